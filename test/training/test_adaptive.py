"""Adaptive sampling draws more of what is hard, and never forgets the rest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.training.adaptive import BINS, AdaptiveSampler, AdaptiveSettings
from inspection_cell.training.synth.stream import Batch


def batch(bins: np.ndarray) -> Batch:
    nothing = np.zeros((len(bins), 0, 0, 3), np.uint8)
    return Batch(nothing, nothing, np.zeros(len(bins), np.int64), bins)


@given(hard=st.integers(0, BINS[0] - 1), seed=st.integers(0, 1000))
def test_a_hard_viewpoint_comes_more_often(hard: int, seed: int) -> None:
    settings = AdaptiveSettings()
    sampler, rng = AdaptiveSampler(settings, seed), np.random.default_rng(seed)
    for _ in range(60):
        bins = np.column_stack([rng.integers(0, n, 64) for n in BINS])
        bins[:8, 0] = hard
        sampler.tell(batch(bins), np.where(bins[:, 0] == hard, 5.0, rng.uniform(0, 1, 64)))
    view, *others = (w for w in (sampler.weights().view, sampler.weights().light, sampler.weights().texture))
    assert view.argmax() == hard
    assert view[hard] > 3 / BINS[0]
    assert view.min() >= settings.least / BINS[0]
    for weights in (view, *others):
        assert np.isclose(weights.sum(), 1.0)


def test_without_losses_all_bins_come_about_alike() -> None:
    sampler = AdaptiveSampler(AdaptiveSettings(), 0)
    mean = np.mean([sampler.weights().light for _ in range(50)], axis=0)
    np.testing.assert_allclose(mean, 1 / BINS[1], rtol=0.2)
