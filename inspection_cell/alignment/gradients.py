"""What the image says about edges: gradients at a scale, and the edges met on a line across an expected one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel

SMOOTHED_PX = 0.8
SATURATED = 253.0
FLOOR = 0.5
NOISE_FACTOR = 3.0
STRONG_QUANTILE = 0.99
STRONG_FACTOR = 0.06
STRONG_SHARE = 0.8
STEPS = 1000
FEWEST_STEPS = 50
GRADIENT_PX = 0.45
"""What the derivative's own kernel adds."""
TYPICAL_PX = 1.15
"""Width of a sharp picture's steps, what SMOOTHED_PX adds included."""
MEASURED = 20_000
"""Pixels that say what is typical."""


@dataclass(frozen=True)
class GradientImage:
    """Gradients of one scale of the image.

    Attributes:
        smooth: (h, w) float32, grey levels, noise smoothed a little; infinite where the sensor was saturated.
        x, y: (h, w) float32, grey levels per pixel of this scale.
        scale: pixels of this scale per pixel of the crop.
        threshold: an edge's magnitude must exceed it: above noise, texture and quantisation.
        strong: a strong edge's magnitude.
    """

    smooth: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    scale: float
    threshold: float
    strong: float

    def to_scale(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Crop pixels (..., 2) in pixels of this scale; centres are whole numbers in both."""
        return pixels * self.scale + (self.scale - 1) / 2

    def field(self) -> Any:
        """For the compiled loops; it does not keep the arrays."""
        return kernel.gradients(self.x, self.y, self.scale, self.threshold)


def gradient_image(grey: NDArray[np.float32], scale: float) -> GradientImage:
    """Smooths, shrinks by `scale` (at most 1) and differentiates a grey image (h, w), 0 to 255."""
    if scale < 1.0:
        size = (max(4, round(grey.shape[1] * scale)), max(4, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), SMOOTHED_PX), np.float32)
    x = np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32), np.float32)
    y = np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32), np.float32)
    # Clipping moves an edge towards its darker side.
    if float(grey.max()) >= SATURATED:
        clipped = cv2.dilate((grey >= SATURATED).astype(np.uint8), np.ones((3, 3), np.uint8))
        smooth[clipped > 0] = np.inf
    step = max(1, round(math.sqrt(grey.size / MEASURED)))
    typical, strong = np.quantile(np.hypot(x[::step, ::step], y[::step, ::step]), (0.5, STRONG_QUANTILE))
    # Relative to the strong edges, so that a dark picture is searched as a bright one is.
    threshold = max(FLOOR, NOISE_FACTOR * float(typical), STRONG_FACTOR * float(strong))
    return GradientImage(smooth, x, y, scale, threshold, float(strong))


def step_width(gradients: GradientImage) -> float:
    """How wide the picture's strong edges are: standard deviation of steps in `smooth`, its pixels, at most 10.

    The gradient of such a step is a Gaussian, which two pixels beside its top has fallen to exp(-2 / sigma^2).
    """
    fractions = kernel.widths(gradients.field(), STRONG_SHARE * gradients.strong, STEPS)
    if len(fractions) < FEWEST_STEPS:
        return TYPICAL_PX
    squared = -2.0 / math.log(float(np.clip(np.median(fractions), 1e-3, 0.98)))
    return math.sqrt(max(squared - GRADIENT_PX**2, 0.25))


def search_lines(
    gradients: GradientImage, pixels: NDArray[np.float64], normals: NDArray[np.float64], reach_px: float
) -> NDArray[np.float64]:
    """The strongest edges across each expected edge, to a fraction of a pixel.

    Args:
        pixels: (n, 2) expected edge points, crop pixels.
        normals: (n, 2) unit normals.
        reach_px: how far to look to either side, crop pixels.

    Returns:
        (n, 4) signed distances along the normal, crop pixels, strongest first; NaN where there is no such edge.
    """
    steps = max(2, int(np.ceil(reach_px * gradients.scale)))
    return kernel.lines(gradients.field(), pixels, normals, steps)
