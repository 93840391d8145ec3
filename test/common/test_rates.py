"""Exact intervals, and limits from values alone: what they promise, on values drawn at random."""

import numpy as np
import pytest
from scipy.stats import binom

from inspection_cell.common.rates import Share, conformal_limit


@pytest.mark.parametrize("hits, of", [(0, 26), (1, 26), (20, 26), (26, 26)])
def test_intervals_are_exact(hits, of):
    """At each end, so few or so many hits have a chance of 2.5 %."""
    low, high = Share(hits, of).interval()
    assert low <= hits / of <= high
    assert low == 0 if hits == 0 else binom.sf(hits - 1, of, low) == pytest.approx(0.025)
    assert high == 1 if hits == of else binom.cdf(hits, of, high) == pytest.approx(0.025)


def test_conformal_limit_keeps_its_rate_on_average():
    rng = np.random.default_rng(0)
    over = []
    for _ in range(4000):
        limit, reached, _ = conformal_limit(rng.gumbel(size=60), 0.05)
        assert reached == pytest.approx(3 / 61)
        over.append(rng.gumbel() > limit)
    assert 0.035 < np.mean(over) < 0.06


def test_the_interval_covers_the_true_rate():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(1000):
        limit, _, (low, high) = conformal_limit(rng.uniform(size=50), 0.02)
        covered.append(low <= 1 - limit <= high)
    assert 0.93 < np.mean(covered) < 0.97


def test_too_few_values_for_alpha_are_said():
    limit, reached, _ = conformal_limit(np.arange(20.0), 0.02)
    assert limit == 19 and reached == pytest.approx(1 / 21)
