"""Temperature and calibration figures, on samples whose true probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.presence.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)


def drawn(n: int, seed: int, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, k), and labels that have just the probabilities these logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (n, k))
    labels = (probabilities(logits, 1.0).cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return logits, labels


@settings(max_examples=15, deadline=None)
@given(temperature=st.floats(0.1, 10), seed=st.integers(0, 2**20))
def test_a_known_temperature_is_found_again(temperature: float, seed: int) -> None:
    logits, labels = drawn(4000, seed)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.15)


def test_samples_that_are_all_right_leave_the_logits_as_they_are() -> None:
    logits, _ = drawn(50, 1)
    assert fit_temperature(logits, logits.argmax(axis=1)) == 1.0


def test_probabilities_are_those_of_huge_logits_too() -> None:
    assert np.allclose(probabilities([[1e4, 0.0], [0.0, np.log(3)]], 1.0), [[1, 0], [0.25, 0.75]])


def test_calibration_error_tells_honest_from_sure() -> None:
    logits, labels = drawn(20000, 2)
    honest, sure = reliability(probabilities(logits, 1.0), labels), reliability(probabilities(logits, 0.25), labels)
    assert len(honest) == 15 and {one.right.of for one in honest} <= {1333, 1334}
    assert expected_calibration_error(honest) < 0.015 < 0.1 < expected_calibration_error(sure)
    inside = [low <= one.confidence <= high for one in honest for low, high in [one.right.interval()]]
    assert sum(inside) >= 12
    assert brier_score(probabilities(logits, 1.0), labels) < brier_score(probabilities(logits, 0.25), labels)


def test_figures_worked_out_by_hand_do_not_depend_on_the_order() -> None:
    p = np.array([[0.9, 0.1]] * 30 + [[0.2, 0.8]] * 20)
    labels = np.array([0] * 24 + [1] * 6 + [1] * 20)
    order = np.random.default_rng(3).permutation(50)
    for chosen in (np.arange(50), order):
        bins = reliability(p[chosen], labels[chosen])
        assert [(one.right.hits, one.right.of) for one in bins] == [(20, 20), (24, 30)]
        assert expected_calibration_error(bins) == pytest.approx((20 * 0.2 + 30 * 0.1) / 50)
        assert brier_score(p[chosen], labels[chosen]) == pytest.approx((24 * 0.02 + 6 * 1.62 + 20 * 0.08) / 50)


LOGITS, LABELS = drawn(40, 4)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (LOGITS[:19], LABELS[:19], "19 samples are too few for a temperature; give 20"),
        (np.where(np.arange(40)[:, None] == 7, np.nan, LOGITS), LABELS, "logits: row 7 is not finite"),
        (LOGITS[:, 0], LABELS, r"logits: shape \(40,\); give \(n, k\)"),
        (LOGITS, LABELS[:39], r"labels: int64 of shape \(39,\); give \(40,\) whole numbers"),
        (LOGITS, LABELS + 0.0, r"labels: float64 .* whole numbers"),
        (LOGITS, LABELS + 5, r"labels: number 0 is \d; give classes from 0 to 2"),
    ],
)
def test_wrong_input_is_named(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)


def test_what_is_no_probability_or_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row 1 is .*, not probabilities"):
        brier_score([[0.5, 0.5], [0.5, 0.6]], [0, 1])
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="temperature"):
            probabilities(LOGITS, temperature)


def test_training_sets_its_temperature_correlation_and_limits_by_it() -> None:
    pytest.importorskip("torch")
    from inspection_cell.training.presence_data import Samples
    from inspection_cell.training.presence_fit import calibrate

    views = 4
    of_parts, labels = drawn(4000, 5)
    own, _ = drawn(4000 * views, 6)
    # Half of what a view says is the part's: two views of one part err together.
    logits = np.repeat(of_parts, views, axis=0) + 0.5 * (own - own.mean(axis=0))
    count = len(logits)
    samples = Samples(
        np.zeros((count, 0), np.int8), labels.repeat(views), np.zeros(count, int), np.arange(count) // views
    )
    found = calibrate(2 * logits, samples)
    assert 1.5 < found.temperature < 5
    assert 0.1 < found.correlation <= 1
    assert 0 < found.limit_uncertain <= found.limit_defect < 1
    assert found.held_out["missing_over_uncertain"] > 0.98
    single = probabilities(2 * logits, found.temperature)[:, 0]
    assert found.held_out["present_over_uncertain"] <= np.mean(1 - single[samples.labels == 0] > found.limit_uncertain)
