"""In which order, and with which of its joint solutions each, the stops of one grasp are visited fastest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.motion.planner import Joints, PlanningFailed

MAX_VIEWS = 12  # the exact order costs 2^views
_STOP_S = 0.3  # what each stop costs beyond the move at full speed
_DETOUR = 1.6  # a move that is not free directly takes about so much longer


@dataclass(frozen=True)
class Tour:
    """The chosen solutions: the start's index, (view, index) in order, and the end's index for each end."""

    start: int
    views: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]


class TourPlanner:
    """Holds the stops of one grasp and what is known about the moves between them.

    Args:
        starts: joint solutions to start from, `head` (s,) the seconds each costs before.
        views: for each view its joint solutions.
        first: indices of the views that must come before all others.
        ends: for each possible end (a bin, the scale) its joint solutions, `tails` the seconds each costs after.
            The tour ends at one of them; which one is not known beforehand, so their mean counts.
        velocity: (n,) joint speeds for the cost.
        direct: whether the straight joint move between two solutions is free; asked only for moves of a best tour.
    """

    def __init__(
        self,
        starts: Sequence[Joints],
        head: Sequence[float],
        views: Sequence[Sequence[Joints]],
        first: frozenset[int],
        ends: Sequence[Sequence[Joints]],
        tails: Sequence[Sequence[float]],
        velocity: Joints,
        direct: Callable[[Joints, Joints], bool],
    ) -> None:
        if len(views) > MAX_VIEWS:
            raise PlanningFailed(f"{len(views)} views in one grasp; at most {MAX_VIEWS} can be ordered")
        groups = [starts, *views, *ends]
        self._nodes = np.array([q for group in groups for q in group])
        bounds = np.cumsum([0, *(len(group) for group in groups)])
        slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(bounds)]
        self._starts, self._views, self._ends = slices[0], slices[1 : 1 + len(views)], slices[1 + len(views) :]
        self._head = np.array(head, float)
        self._tails = [np.array(tail, float) for tail in tails]
        self._first = sum(1 << view for view in first)
        self._direct = direct
        reach = np.abs(self._nodes[:, None, :] - self._nodes[None, :, :]) / velocity
        self._cost: NDArray[np.float64] = reach.max(axis=2) + _STOP_S
        self._asked: set[tuple[int, int]] = set()

    def best(self) -> Tour:
        """The cheapest tour, all of whose moves have been asked for being free directly.

        Raises:
            PlanningFailed: no tour is left.
        """
        while True:
            tour = self._cheapest()
            fresh = [edge for edge in self._edges(tour) if edge not in self._asked]
            if not fresh:
                return tour
            for a, b in fresh:
                self._asked.add((a, b))
                if not self._direct(self._nodes[a], self._nodes[b]):
                    self._cost[a, b] = _DETOUR * self._cost[a, b] + 2 * _STOP_S

    def ban(self, tour: Tour, move: int) -> None:
        """Forbids one move of a tour: 0 is start to first view, ..., then last view to each end."""
        self._cost[self._edges(tour)[move]] = np.inf

    def _edges(self, tour: Tour) -> list[tuple[int, int]]:
        nodes = [self._starts.start + tour.start]
        nodes += [self._views[view].start + option for view, option in tour.views]
        edges = list(itertools.pairwise(nodes))
        return edges + [(nodes[-1], end.start + option) for end, option in zip(self._ends, tour.ends, strict=True)]

    def _cheapest(self) -> Tour:
        """Held and Karp's dynamic program over the sets of views already seen, with several solutions a view."""
        count = len(self._views)
        full = (1 << count) - 1
        # cost_to[seen][v]: cheapest way that has seen `seen` and stands at each solution of view v.
        cost_to: list[dict[int, NDArray[np.float64]]] = [{} for _ in range(full + 1)]
        came_from: list[dict[int, NDArray[np.intp]]] = [{} for _ in range(full + 1)]
        for seen in range(full + 1):
            for view in range(count):
                if seen >> view & 1 or (~seen & self._first and not self._first >> view & 1):
                    continue
                if seen == 0:
                    before, nodes = self._head, np.arange(self._starts.start, self._starts.stop)
                elif cost_to[seen]:
                    before = np.concatenate(list(cost_to[seen].values()))
                    nodes = self._members(cost_to[seen])
                else:
                    continue
                ways = before[:, None] + self._cost[nodes, self._views[view]]
                after = seen | 1 << view
                cost_to[after][view] = ways.min(axis=0)
                came_from[after][view] = nodes[ways.argmin(axis=0)]
        return self._trace(cost_to, came_from, full)

    def _trace(
        self, cost_to: list[dict[int, NDArray[np.float64]]], came_from: list[dict[int, NDArray[np.intp]]], full: int
    ) -> Tour:
        if full == 0:
            nodes, total = np.arange(self._starts.start, self._starts.stop), self._head.copy()
        else:
            nodes, total = self._members(cost_to[full]), np.concatenate(list(cost_to[full].values()))
        for end, tail in zip(self._ends, self._tails, strict=True):
            total = total + (self._cost[nodes, end] + tail).min(axis=1) / len(self._ends)
        if not np.isfinite(total).any():
            raise PlanningFailed("no order of the views is left that the arm can move in")
        node = int(nodes[int(total.argmin())])
        ends = tuple(
            int((self._cost[node, end] + tail).argmin()) for end, tail in zip(self._ends, self._tails, strict=True)
        )
        views: list[tuple[int, int]] = []
        seen = full
        while seen:
            view = self._view_of(node)
            option = node - self._views[view].start
            views.append((view, option))
            node = int(came_from[seen][view][option])
            seen &= ~(1 << view)
        return Tour(node - self._starts.start, tuple(reversed(views)), ends)

    def _members(self, by_view: dict[int, NDArray[np.float64]]) -> NDArray[np.intp]:
        return np.concatenate([np.arange(self._views[view].start, self._views[view].stop) for view in by_view])

    def _view_of(self, node: int) -> int:
        return next(i for i, view in enumerate(self._views) if view.start <= node < view.stop)
