"""Reason codes: why an inspection ended as it did. Stable numbers a PLC may switch on; docs/reasons.md lists them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """Numeric reason. 1xx the part, 2xx a lost or invalid check, 3xx camera and light, 4xx arm and gripper, 5xx scale,
    6xx models, 7xx records, 8xx the cell and its nodes, 9xx the request."""

    NONE = 0

    COMPONENT_MISSING = 101
    COMPONENT_WRONG = 102
    COMPONENT_UNCERTAIN = 103
    ANOMALY_VIEWS = 111
    ANOMALY_CRITICAL = 112
    ANOMALY_UNCERTAIN = 113
    WEIGHT_LOW = 121
    WEIGHT_HIGH = 122
    WEIGHT_UNCERTAIN = 123

    CHECK_MISSING = 201
    CHECK_LATE = 202
    CHECK_INVALID = 203
    CHECK_NOT_FINITE = 204
    CHECK_WRONG_MODEL = 205
    CHECK_NOT_JUDGED_ENOUGH = 206
    CHECK_UNEXPECTED = 207
    VIEW_MISSING = 211
    ALIGNMENT_REFUSED = 221
    ALIGNMENT_STALE = 222
    VIEWS_DISAGREE = 223

    CAMERA_FAILED = 301
    CAMERA_TIMEOUT = 302
    CAMERA_WRONG_SIZE = 303
    CAMERA_LOST = 304
    CAMERA_RETRIED = 305
    FRAMES_EXHAUSTED = 311
    FRAME_STALE = 312
    LIGHT_FAILED = 321

    ARM_REFUSED = 401
    ARM_STOPPED = 402
    ARM_NOT_PLANNED = 403
    ARM_NOT_SETTLED = 404
    PART_LOST = 411
    PART_NOT_GRIPPED = 412
    GRIPPER_FAILED = 413

    SCALE_TIMEOUT = 501
    SCALE_UNSTABLE = 502
    SCALE_OVERLOAD = 503
    SCALE_UNDERLOAD = 504
    SCALE_GARBAGE = 505
    SCALE_LOST = 506

    MODEL_MISSING = 601
    MODEL_CORRUPT = 602
    MODEL_WRONG_HASH = 603
    ANALYSIS_FAILED = 611

    RECORD_FAILED = 701
    STORE_FULL = 702

    PROTECTIVE_STOP = 801
    DOOR_OPEN = 802
    SIGNALS_LOST = 803
    NODE_LOST = 811
    NODE_ERROR = 812
    INTERRUPTED = 821
    ABORTED = 822
    TIMEOUT = 823

    NOT_READY = 901
    UNKNOWN_RECIPE = 902
    INVALID_RECIPE = 903
    UNKNOWN_INSPECTION = 904
    INVALID_REQUEST = 905
    REQUEST_CONFLICT = 906
    NOT_FINISHED = 907


@dataclass(frozen=True)
class Reason:
    """One cause, for people and for machines.

    Attributes:
        code: the stable number.
        text: one sentence for people.
        subject: what it is about: a check id, a view id, a component, a device or a node; empty for the cell.
    """

    code: Code
    text: str
    subject: str = ""
