"""Limits for a cell from good parts: moved where they must be, never past what missing components allow."""

from __future__ import annotations

import numpy as np
import pytest

from inspection_cell.presence.commission import limits_for
from inspection_cell.presence.package import PresenceCard

CARD = PresenceCard("part", "0" * 64, ("clip",), 0.4, 0.8, 0.95, 0.99, 0.35, 150.0, 6.0, "0" * 64, {})


def parts(mean: float, deviation: float, count: int) -> list[list[float]]:
    """Of one view each."""
    odds = np.random.default_rng(0).normal(mean, deviation, count)
    return [[score] for score in (1 / (1 + np.exp(-odds))).tolist()]


def test_good_parts_far_below_leave_the_limits_of_the_card() -> None:
    found = limits_for(CARD, parts(-4.0, 1.0, 50))
    assert (found.uncertain, found.defect, found.moved, found.held_back) == (0.8, 0.95, False, 0)


def test_both_limits_move_alike_above_good_parts_that_score_high() -> None:
    found = limits_for(CARD, parts(1.2, 0.4, 50))
    assert found.moved and found.held_back == 0
    assert 0.8 < max(found.good) < found.uncertain < 0.99
    gaps = [np.log(b / (1 - b)) - np.log(a / (1 - a)) for a, b in ((0.8, 0.95), (found.uncertain, found.defect))]
    assert gaps[0] == pytest.approx(gaps[1])


def test_no_limit_accepts_missing_components() -> None:
    found = limits_for(CARD, parts(6.0, 1.0, 50))
    assert found.uncertain == pytest.approx(0.99)
    assert found.held_back > 40


def test_few_parts_say_nothing() -> None:
    assert not limits_for(CARD, [[0.99]] * 9).moved


def test_good_parts_with_a_view_that_shows_a_defect_are_counted() -> None:
    found = limits_for(CARD, [[0.01, 0.01, 0.01, 0.96]] * 3 + [[0.01, 0.02]] * 30)
    assert (found.moved, found.held_back) == (False, 3)
