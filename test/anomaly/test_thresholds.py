"""Limits from good parts: what they promise, on parts drawn at random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.anomaly.errors import FitError, ScoreError
from inspection_cell.anomaly.thresholds import fit_limits, fit_normaliser, outliers, part_statistic


@given(
    scores=st.lists(st.floats(-5, 30), min_size=2, max_size=16),
    n=st.integers(1, 2),
    limit=st.floats(0.1, 20),
    factor=st.floats(1, 3),
)
def test_statistic_crosses_the_limit_exactly_when_the_part_rule_does(scores, n, limit, factor):
    over = sum(s > limit for s in scores) >= n or max(scores) / factor > limit
    assert (part_statistic(scores, n, factor) > limit) == over


def test_nan_and_missing_views_never_make_a_statistic():
    for scores in ([1.0, float("nan")], [1.0], [1.0, float("inf")]):
        with pytest.raises(ScoreError):
            part_statistic(scores, 2)


def test_views_become_comparable_and_limits_ordered():
    rng = np.random.default_rng(2)
    raw = rng.gumbel(size=(60, 4)) * [1, 5, 0.1, 2] + [10, 40, 3, 7]
    normalised = np.column_stack([[fit_normaliser(column)(v) for v in column] for column in raw.T])
    assert np.ptp(np.quantile(normalised, 0.8, axis=0)) < 0.5
    limits = fit_limits(normalised, n=2)
    assert 0 < limits.uncertain < limits.defect < limits.critical and limits.m == 4
    statistics = [part_statistic(row, 2) for row in normalised]
    assert sum(s > limits.uncertain for s in statistics) == 0, "60 parts, alpha 0.02: the limit is their largest"


def test_wrong_inputs_are_refused():
    good = np.random.default_rng(3).normal(size=(20, 2))
    for normalised, n, alpha in ((good[:5], 1, 0.02), (good, 3, 0.02), (good, 1, 0.0)):
        with pytest.raises(FitError):
            fit_limits(normalised, n, alpha)
    with pytest.raises(FitError, match="copies"):
        fit_normaliser(np.ones(20))


def test_an_outlier_is_named_and_only_it():
    scores = np.random.default_rng(4).normal(10, 1, 50)
    scores[17] = 40
    assert outliers(scores) == [17]
