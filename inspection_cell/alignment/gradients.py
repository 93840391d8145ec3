"""What the image says about edges: gradients at a scale, and the edges met on a line across an expected one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CANDIDATES = 4
FLOOR = 0.5
NOISE_FACTOR = 3.0
STRONG_QUANTILE = 0.99
STRONG_FACTOR = 0.06
ACROSS = 0.7


@dataclass(frozen=True)
class GradientImage:
    """Gradients of one scale of the image.

    Attributes:
        x, y: (h, w) float32, grey levels per pixel of this scale.
        scale: pixels of this scale per pixel of the crop.
        threshold: an edge's magnitude must exceed it: above noise, texture and quantisation.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    scale: float
    threshold: float

    def to_scale(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Crop pixels (..., 2) in pixels of this scale; centres are whole numbers in both."""
        return pixels * self.scale + (self.scale - 1) / 2


def gradient_image(grey: NDArray[np.float32], scale: float) -> GradientImage:
    """Smooths, shrinks by `scale` (at most 1) and differentiates a grey image (h, w), 0 to 255."""
    if scale < 1.0:
        size = (max(4, round(grey.shape[1] * scale)), max(4, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.8)
    x = np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32), np.float32)
    y = np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32), np.float32)
    typical, strong = np.quantile(np.hypot(x[::2, ::2], y[::2, ::2]), (0.5, STRONG_QUANTILE))
    # Relative to the strong edges, so that a dark picture is searched as a bright one is.
    return GradientImage(x, y, scale, max(FLOOR, NOISE_FACTOR * float(typical), STRONG_FACTOR * float(strong)))


@dataclass(frozen=True)
class LineEdges:
    """Edges met on the search lines, in pixels of the crop.

    Attributes:
        offsets: (n, 4) float64, signed distance along the normal; NaN where there is no such candidate.
    """

    offsets: NDArray[np.float64]


def search_lines(
    gradients: GradientImage, pixels: NDArray[np.float64], normals: NDArray[np.float64], reach_px: float
) -> LineEdges:
    """The strongest edges across each expected edge, to a fraction of a pixel.

    Args:
        pixels: (n, 2) expected edge points, crop pixels.
        normals: (n, 2) unit normals.
        reach_px: how far to look to either side, crop pixels.
    """
    steps = max(2, int(np.ceil(reach_px * gradients.scale)))
    along = np.arange(-steps, steps + 1, dtype=np.float32)
    centre = gradients.to_scale(pixels).astype(np.float32)
    direction = normals.astype(np.float32)
    map_x = centre[:, :1] + along * direction[:, :1]
    map_y = centre[:, 1:] + along * direction[:, 1:]
    gx, gy = _sample(gradients.x, map_x, map_y), _sample(gradients.y, map_x, map_y)
    across = np.abs(gx * direction[:, :1] + gy * direction[:, 1:])
    peak = np.zeros_like(across, bool)
    middle = across[:, 1:-1]
    peak[:, 1:-1] = (
        (middle > across[:, :-2])
        & (middle >= across[:, 2:])
        & (middle > gradients.threshold)
        & (middle > ACROSS * np.hypot(gx, gy)[:, 1:-1])
    )
    strength = np.where(peak, across, 0.0)
    count = min(CANDIDATES, strength.shape[1])
    best = np.argpartition(-strength, count - 1, axis=1)[:, :count]
    rows = np.arange(len(best))[:, None]
    found = strength[rows, best] > 0
    inner = np.clip(best, 1, across.shape[1] - 2)
    left, mid, right = across[rows, inner - 1], across[rows, inner], across[rows, inner + 1]
    bend = left - 2 * mid + right
    shift = np.where(bend < -1e-6, 0.5 * (left - right) / np.minimum(bend, -1e-6), 0.0)
    offsets = (along[inner] + np.clip(shift, -0.5, 0.5)) / gradients.scale
    return LineEdges(np.where(found, offsets, np.nan).astype(float))


def _sample(values: NDArray[np.float32], map_x: NDArray[np.float32], map_y: NDArray[np.float32]) -> NDArray[np.float32]:
    # remap takes at most 32767 rows: fold long lists of lines.
    rows = 30000
    parts = [
        cv2.remap(values, map_x[i : i + rows], map_y[i : i + rows], cv2.INTER_LINEAR, borderValue=0.0)
        for i in range(0, len(map_x), rows)
    ]
    return np.concatenate(parts) if parts else np.zeros(map_x.shape, np.float32)
