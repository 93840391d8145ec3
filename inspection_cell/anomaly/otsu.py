"""Where the part is, from brightness alone: Multi-Otsu thresholds and the box of what they find.

For images without an alignment (an engineer's folder). In the cell the box comes from the projected CAD model.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.images import check_pixels
from inspection_cell.anomaly.preprocess import Box

Crop = Box | Literal["otsu"]
"""A box, or "otsu": the box around the part, found in each image."""
_LOOKED_AT = 1200
"""Pixels along the longer side at which box and histogram are taken: a box needs no more."""


def multi_otsu(histogram: ArrayLike, classes: int) -> list[int]:
    """The thresholds that part a histogram into classes with the largest variance between them.

    Class k holds the values t[k-1] < v <= t[k] (Liao, Chen and Chung 2001, "A fast algorithm for multilevel
    thresholding"). With F(u, v) = S(u, v)^2 / P(u, v) of a class of the values u to v, from its sums of value times
    count and of count, the best sum of F over the classes up to v follows from the best one with a class less.

    Args:
        histogram: (n,) counts of the values 0 to n - 1.

    Raises:
        ImageError: fewer different values than classes.
    """
    counts = np.asarray(histogram, np.float64).ravel()
    used = np.flatnonzero(counts)
    if classes < 2 or len(used) < classes:
        raise ImageError(f"{len(used)} different grey values cannot be parted into {classes} classes")
    first = int(used[0])
    counts = counts[first : int(used[-1]) + 1]
    p = np.concatenate([[0.0], np.cumsum(counts)])
    s = np.concatenate([[0.0], np.cumsum(counts * np.arange(len(counts)))])
    weight, total = p[None, 1:] - p[:-1, None], s[None, 1:] - s[:-1, None]  # of the values u to v at [u, v]
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(weight > 0, total**2 / weight, 0.0)
    score[np.tril_indices(len(counts), -1)] = -np.inf
    best, cuts = score[0], []
    for _ in range(classes - 1):
        # a class less up to u - 1, then one from u to v
        joined = np.concatenate([[-np.inf], best[:-1]])[:, None] + score
        cuts.append(joined.argmax(0) - 1)
        best = joined.max(0)
    thresholds, last = [], len(counts) - 1
    for cut in reversed(cuts):
        last = int(cut[last])
        thresholds.append(last + first)
    return thresholds[::-1]


def find_crop(crop: Crop | None, image: NDArray[np.generic]) -> Box | None:
    """The box of one image; None for the whole of it. Raises ImageError: it shows no part."""
    return part_box(image) if crop == "otsu" else crop


def part_box(image: NDArray[np.generic], classes: int = 3, margin: float = 0.02) -> Box:
    """The box around the largest thing that is not of the darkest class, with a margin.

    Args:
        image: (h, w) or (h, w, 3) uint8 of a part before something dark.
        margin: added at each side, as a share of the box's longer side.

    Raises:
        ImageError: not an 8 bit image, or of one grey value.
    """
    pixels = check_pixels(image)
    height, width = pixels.shape[:2]
    step = max(1, max(height, width) // _LOOKED_AT)
    small = np.ascontiguousarray(pixels[::step, ::step])
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256])
    threshold = multi_otsu(histogram, classes)[0]
    mask = cv2.morphologyEx((grey > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        raise ImageError("nothing brighter than the background was found; give the crop")
    x, y, w, h = (int(v) * step for v in stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), :4])
    more = round(margin * max(w, h)) + step
    left, top = max(0, x - more), max(0, y - more)
    return left, top, min(width, x + w + more) - left, min(height, y + h + more) - top
