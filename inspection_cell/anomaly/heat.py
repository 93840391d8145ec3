"""From distances on the feature grid to a heat map and one number."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ScoreError

SIGMA = 4.0
"""Of the smoothing, heat map pixels (robot-assisted inspection, Sec. 2.3)."""
_KERNEL = 2 * int(4 * SIGMA + 0.5) + 1


def heat_map(distances: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Distances on the finest grid, brought to (size, size) and smoothed."""
    upsampled = cv2.resize(distances, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(upsampled, (_KERNEL, _KERNEL), SIGMA))


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
