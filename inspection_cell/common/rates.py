"""Rates: shares with exact intervals, and limits that a stated rate of new values exceeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.hits / self.of if self.of else float("nan")

    @property
    def rest(self) -> Share:
        """The others."""
        return Share(self.of - self.hits, self.of)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the true share lies: exact and central (Clopper and Pearson 1934)."""
        rest, miss = (1 - confidence) / 2, self.of - self.hits
        low = float(beta.ppf(rest, self.hits, miss + 1)) if self.hits else 0.0
        high = float(beta.ppf(1 - rest, self.hits + 1, miss)) if miss else 1.0
        return low, high


def conformal_limit(values: ArrayLike, alpha: float) -> tuple[float, float, tuple[float, float]]:
    """The limit that a new value exceeds with a probability of at most alpha, if it is like these.

    It is the k-th smallest of n values, k = ceil((n + 1)(1 - alpha)); where there are too few values for alpha, the
    largest. Given the n values, the chance of a new one to exceed it is Beta(n + 1 - k, k) distributed (Vovk 2012).

    Returns:
        The limit, the alpha reached, (n + 1 - k) / (n + 1), and the exact central 95 % interval of the rate.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    k = min(n, math.ceil((n + 1) * (1 - alpha) - 1e-9))
    low, high = beta.ppf([0.025, 0.975], n + 1 - k, k)
    return float(ordered[k - 1]), (n + 1 - k) / (n + 1), (float(low), float(high))
