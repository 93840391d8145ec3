"""A check result: what one check says about the part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.reasons import Reason


class Outcome(IntEnum):
    """What a check found. INVALID is a fault of ours, NOT_APPLICABLE a view that cannot show it."""

    NOTHING_FOUND = 1
    UNCERTAIN = 2
    DEFECT = 3
    NOT_APPLICABLE = 4
    INVALID = 5


@dataclass(frozen=True)
class CheckResult:
    """One answer to one ExpectedCheck.

    Attributes:
        outcome: by the check's own limits; the part's verdict is made from all of them.
        score: the number behind the outcome, on the scale of the plan's limits; NaN when there is none.
        model_hash: SHA-256 of the model that judged.
        lateness_s: seconds past the check's deadline; 0 or less is in time. Measured once, live, on a steady clock.
        analysis_s: time the check took.
        box: x, y, width, height in pixels of the view; where the evidence is; zeros when nowhere.
        artifact: file with what the check saw (image, heat map), relative to the inspection's folder; may be empty.
        artifact_sha256: its hash.
        reason: why, when it is not NOTHING_FOUND.
    """

    inspection_id: str
    check_id: str
    kind: CheckKind
    outcome: Outcome
    score: float
    view_id: str = ""
    component: str = ""
    model_hash: str = ""
    lateness_s: float = 0.0
    analysis_s: float = 0.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    artifact: str = ""
    artifact_sha256: str = ""
    reason: Reason | None = None


def outcome_of(check: ExpectedCheck, score: float) -> Outcome:
    """The outcome that a finite score means under the plan's limits; a weight's score counts by its size."""
    size = abs(score) if check.kind is CheckKind.WEIGHT else score
    if size > check.limit_defect:
        return Outcome.DEFECT
    return Outcome.UNCERTAIN if size > check.limit_uncertain else Outcome.NOTHING_FOUND
