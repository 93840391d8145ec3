"""Figures that say how well scores and heat maps tell defects from good parts, over every threshold or at one.

A score counts as positive ("defective") when it is above the threshold, as everywhere in this room.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.common.rates import Share

Curve = NDArray[np.float64]


def tpr_tnr(scores_good: ArrayLike, scores_bad: ArrayLike, thresholds: ArrayLike) -> tuple[Curve, Curve]:
    """The share of defects above each threshold (sensitivity), and of good parts not above it (specificity).

    Raises:
        ValueError: one of the groups is empty, or a score is not finite.
    """
    good, bad = _sorted(scores_good), _sorted(scores_bad)
    tpr = 1 - np.searchsorted(bad, thresholds, side="right") / len(bad)
    tnr = np.searchsorted(good, thresholds, side="right") / len(good)
    return np.asarray(tpr, float), np.asarray(tnr, float)


def d_t(scores_good: ArrayLike, scores_bad: ArrayLike) -> tuple[Share, float]:
    """D_T: the TNR at the highest threshold T whose TPR is still 1, and this T.

    Robot-assisted PaDiM inspection, Eq. 3. The paper tries whole numbers; here T is the largest number below the
    lowest score of a defect. T is chosen on the very defects that it is measured on, so new ones may lie below it.

    Raises:
        ValueError: one of the groups is empty, or a score is not finite.
    """
    good, bad = _sorted(scores_good), _sorted(scores_bad)
    threshold = float(np.nextafter(bad[0], -np.inf))
    return Share(int((good <= threshold).sum()), len(good)), threshold


def roc(scores_good: ArrayLike, scores_bad: ArrayLike) -> tuple[Curve, Curve]:
    """The ROC curve's corners from (0, 0) to (1, 1): false positive rates and true positive rates.

    Raises:
        ValueError: one of the groups is empty, or a score is not finite.
    """
    thresholds = np.unique(np.concatenate([_sorted(scores_good), _sorted(scores_bad)]))[::-1]
    tpr, tnr = tpr_tnr(scores_good, scores_bad, [*thresholds, -np.inf])
    return 1 - tnr, tpr


def aupro(maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]], limit: float = 0.3) -> float:
    """The area under the per-region-overlap curve up to a false positive rate, divided by that rate.

    At a threshold, the overlap of a region (8-connected, of a mask) is the share of its pixels above the threshold;
    the curve is the mean over all regions against the share of defect-free pixels above it (Bergmann et al. 2021,
    "The MVTec Anomaly Detection Dataset", IJCV 129). Every value that occurs is a threshold and lines join the points:
    nothing is approximated. Only the pixels above the threshold that belongs to the limit are sorted.

    Args:
        maps: heat maps (h, w), defect-free images among them; their sizes may differ.
        masks: true on the defects, each of its map's size.
        limit: the false positive rate, above 0 and at most 1.

    Returns:
        From 0 to 1; NaN where there is no region or no defect-free pixel.

    Raises:
        ValueError: sizes that differ, a map that is not finite, or another limit.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit {limit}: needs to be above 0, at most 1")
    pairs = list(zip(maps, masks, strict=True))
    if any(heat.shape != mask.shape or not np.isfinite(heat).all() for heat, mask in pairs):
        raise ValueError("every heat map must be finite and of its mask's size")
    clean = np.concatenate([heat[~mask] for heat, mask in pairs]) if pairs else np.empty(0)
    regions = sum(_regions(mask)[0] for mask in masks)
    if not regions or not len(clean):
        return float("nan")
    # Seen from the top, the first defect-free pixel that brings the rate over the limit.
    last = max(0, len(clean) - 1 - int(limit * len(clean)))
    floor = np.partition(clean, last)[last]
    kept = [_kept(heat, mask, floor) for heat, mask in pairs]
    values, weights = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    order = np.argsort(values)[::-1]
    values, weights = values[order], weights[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    rates = np.append(0, np.cumsum(weights == 0)[ends] / len(clean))
    overlaps = np.append(0, np.cumsum(weights)[ends] / regions)
    below = rates <= limit
    rates, overlaps = (
        np.append(rates[below], limit),
        np.append(overlaps[below], np.interp(limit, rates, overlaps)),
    )
    return float(np.trapezoid(overlaps, rates) / limit)


def _regions(mask: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32]]:
    """How many regions, and (h, w) their numbers from 1, 0 between them."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(labels, np.int32)


def _kept(
    heat: NDArray[np.float32], mask: NDArray[np.bool_], floor: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The values from `floor` on, and what each adds to its region's overlap: 0 for a defect-free pixel."""
    labels = _regions(mask)[1]
    shares = 1 / np.maximum(1, np.bincount(labels.ravel()))
    shares[0] = 0
    shown = heat >= floor
    return heat[shown], shares[labels[shown]]


def _sorted(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.sort(np.asarray(scores, float).ravel())
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("needs scores of good parts and of defects, all finite")
    return values
