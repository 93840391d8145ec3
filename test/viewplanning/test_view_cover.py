"""The fewest views: never more than needed, never one that the arm does not reach."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.viewplanning.cover import cover


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(3, 12), st.sampled_from([0.6, 0.9, 1.0]))
def test_finds_as_few_views_as_trying_all_of_them(seed: int, views: int, patches: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.random((views, patches)) < 0.4
    seen[0, 0] = True
    weights = rng.uniform(0.1, 1.0, patches)
    usable = rng.random(views) < 0.8
    total = weights[seen.any(axis=0)].sum()

    def enough(chosen: tuple[int, ...]) -> bool:
        return float(weights[seen[list(chosen)].any(axis=0)].sum()) >= share * total - 1e-9

    able = np.flatnonzero(usable).tolist()
    sizes = [k for k in range(1, len(able) + 1) if any(enough(c) for c in itertools.combinations(able, k))]
    if not sizes:
        with pytest.raises(ValueError, match="too little"):
            cover(seen, weights, share, lambda view: bool(usable[view]))
        return
    found = cover(seen, weights, share, lambda view: bool(usable[view]))
    assert usable[list(found.chosen)].all() and enough(found.chosen)
    assert len(found.chosen) == sizes[0]
    assert found.at_least <= sizes[0]
    assert found.share == pytest.approx(weights[seen[list(found.chosen)].any(axis=0)].sum() / total)
