"""The verdict on a part, where the part is, and what happened on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from inspection_cell.core.plan import Mode
from inspection_cell.core.reasons import Code, Reason


class Verdict(IntEnum):
    """May this part pass? 0 is none of them."""

    PASS = 1
    FAIL = 2
    UNCERTAIN = 3
    ERROR = 4


class Disposition(IntEnum):
    """Where the part is now."""

    UNKNOWN = 0
    INFEED = 1
    GRIPPER = 2
    SCALE = 3
    GOOD_BIN = 4
    REJECT_BIN = 5
    REWORK_BIN = 6


class Severity(IntEnum):
    """How grave an event is."""

    INFO = 1
    RECOVERED = 2
    FAULT = 3


@dataclass(frozen=True)
class Event:
    """Something that happened: a fault, or a transient that was recovered in time."""

    inspection_id: str
    stamp_ns: int
    source: str
    severity: Severity
    code: Code
    text: str


@dataclass(frozen=True)
class InspectionEnd:
    """The handling is over: no further view or weight will come.

    Attributes:
        complete: every view was taken and the part weighed; False when a fault ended it early.
        reasons: the faults that ended it.
    """

    inspection_id: str
    stamp_ns: int
    complete: bool
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class VerdictProposal:
    """What the evidence says; it becomes a verdict only once it is recorded."""

    inspection_id: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    stamp_ns: int


@dataclass(frozen=True)
class PartVerdict:
    """The committed answer.

    Attributes:
        timings_s: seconds by phase: "cycle", "motion", "capture", "analysis_wait", "weigh", "overhead".
    """

    inspection_id: str
    request_id: str
    serial: str
    recipe: str
    recipe_hash: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    disposition: Disposition
    mode: Mode
    simulated: bool
    stamp_ns: int
    mass_kg: float
    timings_s: dict[str, float]
