"""What a weighing says: the part's mass, or nothing about the part."""

from __future__ import annotations

import math

import pytest

from inspection_cell.core.check import Outcome
from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.reasons import Code
from inspection_cell.core.view import Weight
from inspection_cell.decision.weight import judge_weight

CHECK = ExpectedCheck("weight", CheckKind.WEIGHT, nominal=0.1, limit_uncertain=0.001, limit_defect=0.002)


@pytest.mark.parametrize(
    ("mass_kg", "stable", "outcome", "code"),
    [
        (0.1005, True, Outcome.NOTHING_FOUND, None),
        (0.0985, True, Outcome.UNCERTAIN, Code.WEIGHT_UNCERTAIN),
        (0.097, True, Outcome.DEFECT, Code.WEIGHT_LOW),
        (0.103, True, Outcome.DEFECT, Code.WEIGHT_HIGH),
        (0.03, True, Outcome.DEFECT, Code.WEIGHT_LOW),
        (0.02, True, Outcome.INVALID, Code.PART_LOST),
        (0.0, True, Outcome.INVALID, Code.PART_LOST),
        (-0.1, True, Outcome.INVALID, Code.PART_LOST),
        (0.1, False, Outcome.INVALID, Code.SCALE_UNSTABLE),
        (math.nan, True, Outcome.INVALID, Code.SCALE_GARBAGE),
    ],
)
def test_weight(mass_kg: float, stable: bool, outcome: Outcome, code: Code | None) -> None:
    found = judge_weight(CHECK, Weight("i", 0, mass_kg, stable, "scale", "S S"))
    assert found.outcome is outcome
    assert (found.reason.code if found.reason else None) is code
