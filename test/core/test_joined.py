"""The joined score: what it means at both ends of the correlation, and what never moves it which way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.core.joined import SUREST, joined_score
from inspection_cell.presence.combine import ComponentViews, combine

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=16)
CORRELATION = st.floats(0, 1)


def test_independent_views_multiply_their_odds_and_alike_ones_say_what_one_says() -> None:
    assert joined_score([0.8, 0.8], 0.0) == pytest.approx(16 / 17)
    assert joined_score([0.8] * 5, 1.0) == pytest.approx(0.8)
    assert joined_score([0.3], 0.4) == pytest.approx(0.3)
    assert joined_score([1.0], 0.0) == pytest.approx(1 - SUREST)


@given(SCORES, CORRELATION, st.floats(0, 1), st.integers(0, 3))
def test_a_graver_view_never_lowers_it(scores: list[float], correlation: float, graver: float, lost: int) -> None:
    worse = [max(scores[0], graver), *scores[1:]]
    assert joined_score(worse, correlation, lost) >= joined_score(scores, correlation, lost)


@given(SCORES, CORRELATION, st.floats(0, 1))
def test_a_lost_view_never_proves_what_it_would_not_have_proven(
    scores: list[float], correlation: float, last: float
) -> None:
    assert joined_score(scores, correlation, 1) <= joined_score([*scores, last], correlation) + 1e-12


@given(SCORES, CORRELATION)
def test_it_is_what_the_classes_joined_say(scores: list[float], correlation: float) -> None:
    p = np.clip(scores, SUREST, 1 - SUREST)
    views = ComponentViews(np.stack([1 - p, p], axis=1), np.ones(len(p)), np.zeros(len(p), np.int64))
    assert combine(views, correlation)[0, 1] == pytest.approx(joined_score(scores, correlation), abs=1e-9)
