"""The alignment check: whether the part's pose in one grasp was found, and may be used."""

from __future__ import annotations

import numpy as np

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.poses import is_pose
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.view import Alignment


def judge_alignment(expected: ExpectedCheck, alignment: Alignment, grasp: str) -> CheckResult:
    """One alignment as a check result; its score is the edges' residual, pixels, for people and records only.

    Args:
        grasp: the plan's grasp for the check's view; an alignment of another grasp is stale.
    """
    fault = _fault(alignment, grasp)
    return CheckResult(
        inspection_id=alignment.inspection_id,
        check_id=expected.check_id,
        kind=CheckKind.ALIGNMENT,
        outcome=Outcome.INVALID if fault else Outcome.NOTHING_FOUND,
        score=alignment.residual_px,
        view_id=expected.view_id,
        component=expected.component,
        model_hash=expected.model_hash,
        reason=fault,
    )


def _fault(alignment: Alignment, grasp: str) -> Reason | None:
    if alignment.grasp != grasp:
        text = f"the alignment belongs to grasp {alignment.grasp!r}, the part is held in {grasp!r}"
        return Reason(Code.ALIGNMENT_STALE, text, alignment.view_id)
    if not alignment.accepted:
        return Reason(Code.ALIGNMENT_REFUSED, alignment.reason or "the alignment was refused", alignment.view_id)
    numbers = (alignment.quality, alignment.residual_px, *np.ravel(alignment.covariance))
    if not is_pose(alignment.T_reference_part) or not np.all(np.isfinite(numbers)):
        return Reason(Code.ALIGNMENT_REFUSED, "the alignment's pose or figures are not finite", alignment.view_id)
    return None
