"""The fewest views that see enough: greedily at first, then by integer programming, with a bound on the fewest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, eye, hstack, vstack

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Cover:
    """Some views.

    Attributes:
        chosen: rows of `seen`, that which adds most first.
        share: of the weight that they see, of what any view sees.
        at_least: views that are needed for it whatever is chosen, as far as it could be proven.
    """

    chosen: tuple[int, ...]
    share: float
    at_least: int


def cover(
    seen: Flags,
    weights: Floats,
    share: float,
    usable: Callable[[int], bool] = lambda view: True,
    seconds: float = 20.0,
) -> Cover:
    """As few views as were found that see at least a share of the weight that any view sees.

    Greedy set cover first (V. Chvatal, "A greedy heuristic for the set-covering problem", 1979), which may need
    more than the fewest; then the same as an integer program, that ends after so many seconds with a bound.

    Args:
        seen: (views, patches). weights: (patches,).
        usable: asked once for a view that would be chosen, because asking is slow: whether the arm gets there.

    Raises:
        ValueError: the usable views do not see so much; the message says how much they see.
    """
    groups, weights = _alike(seen, weights)
    known: dict[int, bool] = {}

    def may(view: int) -> bool:
        if view not in known:
            known[view] = usable(view)
        return known[view]

    goal = share * float(weights[groups.any(axis=0)].sum())
    chosen = _pruned(groups, weights, _greedy(groups, weights, goal, may), goal)
    at_least = 1
    while True:
        allowed = np.array([known.get(view, True) for view in range(len(groups))])
        better, at_least = _exact(groups, weights, goal, allowed, seconds)
        if better is None or len(better) >= len(chosen):
            break
        reached = [may(view) for view in better]  # all are asked, so that each round rules out what it can
        if all(reached):
            chosen = better
            break
    ordered = _greedy(groups[chosen], weights, goal, lambda view: True)
    order = [*ordered, *(k for k in range(len(chosen)) if k not in ordered)]
    total = float(weights[groups.any(axis=0)].sum())
    got = float(weights[groups[chosen].any(axis=0)].sum()) / total
    return Cover(tuple(int(chosen[k]) for k in order), got, min(at_least, len(chosen)))


def _alike(seen: Flags, weights: Floats) -> tuple[Flags, Floats]:
    """Patches that the same views see, as one."""
    columns, number = np.unique(seen, axis=1, return_inverse=True)
    return columns, np.bincount(number.ravel(), weights, columns.shape[1]).astype(np.float64)


def _greedy(seen: Flags, weights: Floats, goal: float, may: Callable[[int], bool]) -> list[int]:
    left, open_ = weights.copy(), np.ones(len(seen), bool)
    chosen: list[int] = []
    while float(weights[seen[chosen].any(axis=0)].sum() if chosen else 0.0) < goal - TOLERANCE * weights.sum():
        gains = np.where(open_, seen @ left, -1.0)
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            got = float(weights[seen[chosen].any(axis=0)].sum()) / float(weights[seen.any(axis=0)].sum())
            raise ValueError(
                f"the views that the arm reaches show {got:.1%} of what could be seen, which is too little"
            )
        open_[best] = False
        if may(best):
            chosen.append(best)
            left = np.where(seen[best], 0.0, left)
    return chosen


def _pruned(seen: Flags, weights: Floats, chosen: Sequence[int], goal: float) -> list[int]:
    """Without views that the others make needless, those first that were chosen last."""
    kept = list(chosen)
    for view in reversed(chosen):
        rest = [v for v in kept if v != view]
        if rest and float(weights[seen[rest].any(axis=0)].sum()) >= goal - TOLERANCE * weights.sum():
            kept = rest
    return kept


def _exact(seen: Flags, weights: Floats, goal: float, allowed: Flags, seconds: float) -> tuple[list[int] | None, int]:
    """The fewest views if found in time, else None; and how many are needed at least."""
    views, patches = seen.shape
    # Variables: x (views) chosen, y (patches) seen; y <= the sum of x that see it; the weight of y reaches the goal.
    covering = hstack([csr_matrix(-seen.T.astype(float)), eye(patches)])
    reaching = hstack([csr_matrix((1, views)), csr_matrix(weights[None] / weights.sum())])
    low = np.concatenate([np.full(patches, -np.inf), [goal / weights.sum() - TOLERANCE]])
    high = np.concatenate([np.zeros(patches), [np.inf]])
    found = milp(
        np.concatenate([np.ones(views), np.zeros(patches)]),
        integrality=np.concatenate([np.ones(views), np.zeros(patches)]),
        bounds=Bounds(0, np.concatenate([allowed.astype(float), np.ones(patches)])),
        constraints=LinearConstraint(vstack([covering, reaching]).tocsr(), low, high),
        options={"time_limit": seconds},
    )
    bound = getattr(found, "mip_dual_bound", None)
    at_least = int(np.ceil(bound - 1e-6)) if bound is not None and np.isfinite(bound) else 1
    if found.x is None:
        return None, max(at_least, 1)
    return np.flatnonzero(found.x[:views] > 0.5).tolist(), max(at_least, 1)
