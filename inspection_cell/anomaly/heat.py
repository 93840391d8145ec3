"""From distances on the feature grid to a heat map and one number: three ways to say how anomalous an image is."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ScoreError

SIGMA = 4.0
"""Of the smoothing, heat map pixels (robot-assisted inspection, Sec. 2.3)."""
_KERNEL = 2 * int(4 * SIGMA + 0.5) + 1


def heat_map(distances: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Distances on the finest grid, brought to (size, size) with bilinear interpolation and smoothed.

    Both steps are linear and work on rows and columns apart, so they are one matrix on each side: a fifth of the time.
    """
    rows, columns = (_upsampling(n, size) for n in distances.shape)
    return np.asarray(rows @ distances @ columns.T, np.float32)


@lru_cache(maxsize=8)
def _upsampling(count: int, size: int) -> NDArray[np.float32]:
    """(size, count): interpolates and smooths a column of `count` values as OpenCV does."""
    upsampled = cv2.resize(np.eye(count), (count, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(upsampled, (1, _KERNEL), SIGMA), np.float32)


def raw_score(heat: NDArray[np.float32], allowed: NDArray[np.bool_]) -> float:
    """The largest value of the heat map where it counts.

    Raises:
        ScoreError: the map is not finite, or nothing counts.
    """
    if not np.isfinite(heat).all():
        raise ScoreError("the heat map is not finite")
    if not allowed.any():
        raise ScoreError("the exclusion mask leaves nothing of the image to judge")
    return float(heat[allowed].max())


def percentile_score(heat: NDArray[np.float32], allowed: NDArray[np.bool_]) -> float:
    """The 99.99 percentile where it counts: the paper's second measure, which forgives single hot pixels."""
    return float(np.percentile(heat[allowed], 99.99))


def cluster_pixels(defect_mm: float, mm_per_pixel: float) -> int:
    """S, the heat map pixels that the smallest defect of interest lights up.

    A disc as wide as the defect and two sigma of the smoothing (robot-assisted inspection, Sec. 2.4.3).
    """
    return max(1, round(math.pi / 4 * (defect_mm / mm_per_pixel + 2 * SIGMA) ** 2))


def cluster_score(heat: NDArray[np.float32], allowed: NDArray[np.bool_], pixels: int) -> float:
    """The highest T at which a cluster of at least so many neighbouring pixels lies above T (Sec. 2.4.3).

    The paper asks whether there is one above a given T; this is the T at which the answer changes, to within a
    thousandth of the map's range.

    Raises:
        ScoreError: the map is not finite, or fewer pixels count than a cluster has.
    """
    raw_score(heat, allowed)
    values = heat[allowed]
    if len(values) < pixels:
        raise ScoreError(f"{len(values)} pixels count, a cluster has {pixels}")
    shown = np.where(allowed, heat, -np.inf)
    low, high = float(values.min()), float(np.partition(values, -pixels)[-pixels])
    step = 1e-3 * max(float(values.max()) - low, 1e-12)
    while high - low > step:
        middle = (low + high) / 2
        _, _, stats, _ = cv2.connectedComponentsWithStats((shown > middle).astype(np.uint8), connectivity=8)
        if stats[1:, cv2.CC_STAT_AREA].max(initial=0) >= pixels:
            low = middle
        else:
            high = middle
    return low
