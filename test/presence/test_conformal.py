"""Prediction sets and limits keep their stated rates, whatever the classifier is worth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from inspection_cell.presence.conformal import ABSTAIN, ConformalSets, fit_conformal, present_limit, reject_limit

REPEATS = 400


def samples(labels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities (n, 3) of a classifier that is too sure, worse for some classes than for others."""
    logits = rng.normal(0, 3, (len(labels), 3)) + strength * np.eye(3)[labels] * [3, 1, 0.2]
    exponent = np.exp(logits)
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def within(hits: int, of: int, rate: float) -> bool:
    """Whether so many hits are believable, so that of a million only two are not."""
    low, high = binom.ppf([1e-6, 1 - 1e-6], of, rate)
    return bool(low <= hits <= high)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(alpha=st.floats(0.05, 0.4), extra=st.integers(0, 25), strength=st.floats(0, 3), seed=st.integers(0, 2**20))
def test_every_class_is_in_its_set_as_often_as_stated(alpha: float, extra: int, strength: float, seed: int) -> None:
    """The chance is ceil((n + 1)(1 - alpha)) / (n + 1) exactly, over draws of n held-out samples and of a new one."""
    rng = np.random.default_rng(seed)
    counts = np.array([0, extra, 2 * extra]) + math.ceil(1 / alpha - 1)
    labels = np.repeat(np.arange(3), counts)
    hits, wrong = np.zeros(3, int), np.zeros(3, int)
    for _ in range(REPEATS):
        sets = fit_conformal(samples(labels, strength, rng), labels, alpha)
        p = samples(np.arange(3), strength, rng)
        hits += [share.hits for share in sets.coverage(p, np.arange(3))]
        decided = sets.decide(p)
        wrong += (decided != ABSTAIN) & (decided != np.arange(3))
    for c, n in enumerate(counts):
        expected = math.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1)
        assert expected >= 1 - alpha - 1e-9 and within(int(hits[c]), REPEATS, expected)
        assert wrong[c] <= REPEATS - hits[c]


@settings(max_examples=8, deadline=None, derandomize=True)
@given(alpha=st.floats(0.02, 0.4), extra=st.integers(0, 40), seed=st.integers(0, 2**20))
def test_limits_keep_their_rates(alpha: float, extra: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = math.ceil(1 / alpha - 1) + extra
    accepted = rejected = covered = 0
    for _ in range(REPEATS):
        scores, new = rng.beta(5, 1, n), rng.beta(5, 1)
        accept, reject = present_limit(scores, alpha), reject_limit(scores, alpha)
        accepted += new <= accept.limit
        rejected += new > reject.limit
        low, high = accept.rate_interval
        covered += low <= accept.limit**5 <= high
    assert accept.alpha_reached == pytest.approx(math.floor((n + 1) * alpha + 1e-9) / (n + 1))
    assert accept.alpha_reached == pytest.approx(reject.alpha_reached) and accept.alpha_reached <= alpha + 1e-9
    assert within(accepted, REPEATS, accept.alpha_reached) and within(rejected, REPEATS, reject.alpha_reached)
    assert within(covered, REPEATS, 0.95)


def test_equal_scores_are_accepted_no_oftener() -> None:
    """A classifier that calls half of the missing ones present for certain must accept none of them at 10 %."""
    found = present_limit([0.0] * 50 + [1.0] * 50, 0.1)
    assert found.limit < 0 and found.samples == 100


def test_sets_and_decisions_by_hand() -> None:
    sets = ConformalSets((0.5, 0.25), 0.1, (20, 20))
    p = [[0.5, 0.5], [0.25, 0.75], [0.4, 0.6], [0.9, 0.1]]
    assert sets.prediction_sets(p).tolist() == [[True, False], [False, True], [False, False], [True, False]]
    assert sets.decide(p).tolist() == [0, 1, ABSTAIN, 0]
    assert ConformalSets((1.0, 1.0), 0.1, (9, 9)).decide(p).tolist() == [ABSTAIN] * 4
    shares = sets.coverage(p, [0, 1, 1, 0])
    assert [(share.hits, share.of) for share in shares] == [(2, 2), (1, 2)]
    assert shares[0].interval() == pytest.approx((0.025**0.5, 1.0))


P = np.full((40, 2), 0.5)
HALF = np.arange(40) % 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_conformal(P, np.arange(40) < 5, 0.1), "labels: bool"),
        (lambda: fit_conformal(P, (np.arange(40) < 5) * 1, 0.1), "class 1: 5 held-out .* 0.1; give 9 at least"),
        (lambda: fit_conformal(P, HALF * 0, 0.1), "class 1: 0 held-out samples are too few"),
        (lambda: fit_conformal(P, HALF, 0.0), "alpha 0.0: give an error rate between 0 and 1"),
        (lambda: fit_conformal(P * 2, HALF, 0.1), "row 0 is .* not probabilities"),
        (lambda: fit_conformal(P, HALF, 0.1).decide(np.full((3, 4), 0.25)), "4 classes; the sets were fitted to 2"),
        (lambda: fit_conformal(P, HALF, 0.1).decide([[np.nan, 1.0]]), "row 0 is not finite"),
        (lambda: present_limit(np.zeros(98), 0.01), "not present: 98 held-out .* give 99"),
        (lambda: reject_limit([0.5, np.nan] * 10, 0.1), "what is present: number 1 is nan"),
        (lambda: reject_limit([0.5, 1.5] * 10, 0.1), "number 1 is 1.5; give 1 - p"),
    ],
)
def test_wrong_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
