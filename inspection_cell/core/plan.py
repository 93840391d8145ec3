"""The inspection plan: every view and every check that a part must have before it may pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from inspection_cell.core.poses import Pose


class Mode(IntEnum):
    """What the cell is doing with parts; only PRODUCTION gives verdicts a line may act on."""

    PRODUCTION = 1
    TEACH = 2
    SIMULATION = 3
    REPLAY = 4


class Mounting(IntEnum):
    """Who moves: the part in the gripper before a fixed camera, or the camera on the arm before a fixed part."""

    PART_IN_HAND = 1
    CAMERA_IN_HAND = 2


class CheckKind(IntEnum):
    """What a check looks at."""

    ALIGNMENT = 1
    PRESENCE = 2
    ANOMALY = 3
    WEIGHT = 4
    RECORD = 5


class CameraRole(IntEnum):
    """Which camera takes a view: WIDE finds the part, INSPECTION judges it."""

    WIDE = 1
    INSPECTION = 2


@dataclass(frozen=True)
class Grasp:
    """How the gripper holds the part.

    Attributes:
        name: as in the recipe.
        T_tool_part: nominal pose of the part in the tool frame.
        width_m: jaw distance while holding.
    """

    name: str
    T_tool_part: Pose
    width_m: float


@dataclass(frozen=True)
class Viewpoint:
    """A pose to look from.

    Attributes:
        name: as in the recipe.
        T_part_camera: pose of the optical frame in the part frame.
    """

    name: str
    T_part_camera: Pose


@dataclass(frozen=True)
class ExpectedView:
    """One view the plan waits for; `deadline_s` counts from the plan's publication."""

    view_id: str
    grasp: str
    viewpoint: str
    role: CameraRole
    deadline_s: float


def wide_views(views: Iterable[ExpectedView], grasp: str) -> tuple[ExpectedView, ...]:
    """The views that find the part in a grasp; its alignment is made from all of them, its check stands on the last."""
    return tuple(view for view in views if view.grasp == grasp and view.role is CameraRole.WIDE)


@dataclass(frozen=True)
class ExpectedCheck:
    """One check the plan waits for.

    Attributes:
        check_id: unique in the plan, e.g. "anomaly/g1_v03" or "presence/clip_left/g1_v03".
        kind: what it looks at.
        view_id: the view it judges; empty for weight.
        component: the component it judges; empty where it is the whole part.
        model_hash: SHA-256 of the model that must have judged it; empty where no model is used.
        limit_uncertain: score above which it is no longer "nothing found". For weight: tolerance, kg.
        limit_defect: score above which the view shows a defect. For weight: tolerance, kg.
        limit_critical: score above which one view alone fails the part; infinity where none can.
        nominal: weight only: the expected mass, kg.
        needs_alignment: whether an accepted alignment of the view's grasp is a condition.
        deadline_s: seconds after its input (view, weight) was published; later is late.
    """

    check_id: str
    kind: CheckKind
    view_id: str = ""
    component: str = ""
    model_hash: str = ""
    limit_uncertain: float = 0.0
    limit_defect: float = 0.0
    limit_critical: float = float("inf")
    nominal: float = 0.0
    needs_alignment: bool = False
    deadline_s: float = 10.0


@dataclass(frozen=True)
class PartRule:
    """How the checks of a part are combined.

    Attributes:
        anomaly_views: n: so many views over their limit fail the part (n of m).
        presence_min_judged: component -> in how many views it must have been judged.
        presence_correlation: of the views of a component, whose scores are joined by it (core/joined.py); the limits
            of its checks are the joined score's.
    """

    anomaly_views: int = 2
    presence_min_judged: dict[str, int] = field(default_factory=dict)
    presence_correlation: float = 1.0


@dataclass(frozen=True)
class InspectionPlan:
    """Everything that will be looked at, announced before the first motion.

    Attributes:
        inspection_id: unique for ever; the key of every message of this part.
        request_id: the PLC's own key; the same request never runs twice.
        stamp_ns: wall clock, nanoseconds since 1970.
        recipe_hash: SHA-256 of the recipe file's canonical content.
        deadline_s: the whole inspection, from the plan's publication to the last check.
    """

    inspection_id: str
    request_id: str
    serial: str
    recipe: str
    recipe_hash: str
    mode: Mode
    simulated: bool
    mounting: Mounting
    stamp_ns: int
    views: tuple[ExpectedView, ...]
    checks: tuple[ExpectedCheck, ...]
    rule: PartRule
    deadline_s: float
