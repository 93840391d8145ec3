"""Limits from good parts alone: comparable view scores, and a part's limit with a stated false-reject rate.

The scores must be leave-one-out: each good part judged by a model of all the others. With fewer parts than dimensions
a model's own training parts score far too low, and every new good part would be above their maximum. Leaving out more
than one at a time makes models of fewer parts than the final one, and limits that are too high: on metal_plate
(SqueezeNet, 256 pixels) a five-fold cross-fit found 23 % of the defects and held back 0 of 26 new good images, where
leave-one-out finds 94 % and holds back 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.anomaly.errors import FitError, ScoreError
from inspection_cell.common.rates import conformal_limit

CRITICAL_FACTOR = 1.5
"""How far over the limit a single view must be to count for the whole part."""
OUTLIER_Z = 6.0
"""Robust standard deviations above the median from which a good image is named as an outlier."""
LEAST_PARTS = 8
DEFECT_ALPHA_RATIO = 0.1
"""The defect limit is meant for a tenth of the uncertain limit's false-reject rate."""


@dataclass(frozen=True)
class Normaliser:
    """Makes scores of different viewpoints comparable: 0 for a typical good part, 1 a robust standard deviation above.

    Attributes:
        centre: median of the good parts' raw scores.
        spread: their robust standard deviation.
    """

    centre: float
    spread: float

    def __call__(self, raw: float) -> float:
        """The normalised score."""
        return (raw - self.centre) / self.spread


@dataclass(frozen=True)
class Limits:
    """When a part's normalised view scores are suspicious, and when they prove a defect.

    A part's statistic is max(n-th largest view score, largest / critical_factor): it is over a limit exactly when n
    views are over it or one is over critical_factor times it.

    Attributes:
        n, m: how many of how many views.
        critical_factor: see above.
        uncertain: good parts are above this with a probability of about `alpha`: the conformal limit.
        defect: extrapolated from the good parts' tail to alpha / 10; nothing observed proves its rate.
        critical: critical_factor * defect, for a single view.
        alpha: false-reject rate asked for.
        alpha_reached: what the limit's rank among the parts stands for: at most alpha, and one of 1 / (parts + 1),
            2 / (parts + 1), ...; above alpha only where there are too few parts.
        rate_interval: where the true false-reject rate of `uncertain` lies with 95 %, over draws of the good parts.
        parts: good parts behind it.
    """

    n: int
    m: int
    critical_factor: float
    uncertain: float
    defect: float
    critical: float
    alpha: float
    alpha_reached: float
    rate_interval: tuple[float, float]
    parts: int


def fit_normaliser(raw: ArrayLike) -> Normaliser:
    """From the leave-one-out raw scores of one viewpoint's good images.

    Raises:
        FitError: all scores the same, or not finite.
    """
    values = np.asarray(raw, float)
    if not np.isfinite(values).all():
        raise FitError("a leave-one-out score is not finite")
    centre = float(np.median(values))
    spread = float((np.quantile(values, 0.84) - np.quantile(values, 0.16)) / 2)
    if spread <= 1e-9 * max(1.0, abs(centre)):
        raise FitError("the good images' scores do not differ at all; are they copies of one image?")
    return Normaliser(centre, spread)


def part_statistic(scores: ArrayLike, n: int, critical_factor: float = CRITICAL_FACTOR) -> float:
    """max(n-th largest, largest / critical_factor) of a part's normalised view scores.

    Raises:
        ScoreError: fewer than n scores, or one not finite.
    """
    ordered = np.sort(np.asarray(scores, float))[::-1]
    if len(ordered) < n or not np.isfinite(ordered).all():
        raise ScoreError(f"scores {ordered.tolist()}: needs at least {n}, all finite")
    return float(max(ordered[n - 1], ordered[0] / critical_factor))


def tail_limit(values: ArrayLike, alpha: float) -> float:
    """Extrapolates to the level exceeded with probability alpha, with an exponential tail over the upper quarter.

    An assumption, not an observation: alpha is usually far below one in the number of parts.
    """
    ordered = np.sort(np.asarray(values, float))
    tail = max(4, len(ordered) // 4)
    start = ordered[-tail - 1]
    mean_excess = float((ordered[-tail:] - start).mean())
    return float(start + mean_excess * math.log(max(1.0, tail / len(ordered) / alpha)))


def fit_limits(
    normalised: NDArray[np.float64], n: int, alpha: float = 0.02, critical_factor: float = CRITICAL_FACTOR
) -> Limits:
    """The limits from leave-one-out, normalised scores of good parts (parts, views).

    Raises:
        FitError: fewer than 8 parts, more views needed than there are, or alpha not between 0 and 0.5.
    """
    parts, views = normalised.shape
    if parts < LEAST_PARTS or not 1 <= n <= views or not 0 < alpha < 0.5:
        needs = f"needs {LEAST_PARTS} parts, n in 1..m, 0 < alpha < 0.5"
        raise FitError(f"{parts} parts, {n} of {views} views, alpha {alpha}: {needs}")
    statistics = [part_statistic(row, n, critical_factor) for row in normalised]
    uncertain, reached, interval = conformal_limit(statistics, alpha)
    defect = max(tail_limit(statistics, DEFECT_ALPHA_RATIO * reached), 1.2 * uncertain)
    return Limits(
        n, views, critical_factor, uncertain, defect, critical_factor * defect, alpha, reached, interval, parts
    )


def outliers(raw: ArrayLike) -> list[int]:
    """Indices of good images whose leave-one-out score is far above the others'."""
    values = np.asarray(raw, float)
    median = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    return [int(i) for i in np.flatnonzero(values - median > OUTLIER_Z * max(spread, 1e-9))]
