"""The weight check: the measured mass against the recipe's nominal one."""

from __future__ import annotations

import math

from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.view import Weight

LEAST_SHARE = 0.25
"""Of the nominal mass: below it, what was weighed is not the part."""


def judge_weight(expected: ExpectedCheck, weight: Weight) -> CheckResult:
    """One weighing as a check result; its score is the signed deviation from nominal, kg (too heavy is positive)."""
    score = weight.mass_kg - expected.nominal
    fault = weight_fault(weight) or _empty_scale(expected, weight)
    outcome = Outcome.INVALID if fault else outcome_of(expected, score)
    return CheckResult(
        inspection_id=weight.inspection_id,
        check_id=expected.check_id,
        kind=CheckKind.WEIGHT,
        outcome=outcome,
        score=score,
        view_id=expected.view_id,
        component=expected.component,
        model_hash=expected.model_hash,
        reason=fault or _reason(outcome, score),
    )


def weight_fault(weight: Weight) -> Reason | None:
    """Why a weighing is not valid, or None."""
    if weight.reason is not None and weight.reason.code is not Code.NONE:
        return weight.reason
    if not weight.stable:
        return Reason(Code.SCALE_UNSTABLE, f"the scale did not settle; it said {weight.raw!r}", weight.scale_id)
    if not math.isfinite(weight.mass_kg):
        return Reason(
            Code.SCALE_GARBAGE, f"the mass {weight.mass_kg} is no number; it said {weight.raw!r}", weight.scale_id
        )
    return None


def _empty_scale(expected: ExpectedCheck, weight: Weight) -> Reason | None:
    """A scale that shows next to nothing weighed no part: a lost part is no proof of a wrong one."""
    if weight.mass_kg >= LEAST_SHARE * expected.nominal:
        return None
    shown = f"the scale shows {weight.mass_kg * 1e3:.2f} g of {expected.nominal * 1e3:.2f} g"
    return Reason(Code.PART_LOST, f"{shown}: the part does not lie on it", weight.scale_id)


def _reason(outcome: Outcome, score: float) -> Reason | None:
    if outcome is Outcome.NOTHING_FOUND:
        return None
    text = f"{score * 1e3:+.2f} g from nominal"
    if outcome is Outcome.UNCERTAIN:
        return Reason(Code.WEIGHT_UNCERTAIN, text)
    return Reason(Code.WEIGHT_LOW if score < 0 else Code.WEIGHT_HIGH, text)
