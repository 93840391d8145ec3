"""The chosen order against trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.motion.ordering import TourPlanner
from inspection_cell.motion.planner import PlanningFailed

VELOCITY = np.array([1.0, 2.0])


def seconds(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b) / VELOCITY))


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_tour_is_the_cheapest(seed: int, count: int, first: bool) -> None:
    rng = np.random.default_rng(seed)
    starts, ends = rng.uniform(-2, 2, (2, 2)), [rng.uniform(-2, 2, (2, 2)) for _ in range(2)]
    views = [list(rng.uniform(-2, 2, (2, 2))) for _ in range(count)]
    head, tails = rng.uniform(0, 1, 2), rng.uniform(0, 1, (2, 2))
    before = frozenset({0}) if first and count else frozenset()
    planner = TourPlanner(
        list(starts), head, views, before, [list(e) for e in ends], tails, VELOCITY, lambda a, b: True
    )

    def cost(start: int, order: tuple[int, ...], options: tuple[int, ...]) -> float:
        stops = [starts[start]] + [views[v][o] for v, o in zip(order, options, strict=True)]
        way = sum(seconds(a, b) for a, b in itertools.pairwise(stops))
        last = [min(seconds(stops[-1], q) + t for q, t in zip(e, tail, strict=True))
                for e, tail in zip(ends, tails, strict=True)]  # fmt: skip
        return head[start] + way + sum(last) / 2

    best = min(
        cost(start, order, options)
        for start in range(2)
        for order in itertools.permutations(range(count))
        if not before or order[0] == 0
        for options in itertools.product(range(2), repeat=count)
    )
    tour = planner.best()
    chosen = cost(tour.start, tuple(v for v, _ in tour.views), tuple(o for _, o in tour.views))
    assert chosen == pytest.approx(best)


def test_moves_that_are_not_free_are_avoided_and_banned_ones_never_taken() -> None:
    start, near, far, end = (np.array([x, 0.0]) for x in (0.0, 1.0, -1.2, 0.0))
    blocked = lambda a, b: not (a[0] == 0.0 and b[0] == 1.0)  # noqa: E731
    planner = TourPlanner([start], [0.0], [[near, far]], frozenset(), [[end]], [[0.0]], VELOCITY, blocked)
    tour = planner.best()
    assert tour.views == ((0, 1),)
    planner.ban(tour, 0)
    tour = planner.best()
    assert tour.views == ((0, 0),)
    planner.ban(tour, 1)
    with pytest.raises(PlanningFailed):
        planner.best()
