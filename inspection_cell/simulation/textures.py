"""The pictures that surfaces carry, made by code: mould grain, the label's print, the blurred background."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

GRAIN_SIZE = 512
GRAIN_TEXEL_M = 0.0128 / GRAIN_SIZE
PRINT_FRAME_M = (-0.0060, 0.0239, 0.0120, 0.0044)
"""Where the print lies on the label: y and x of its corner, extent along y and x; part frame."""


def grain() -> NDArray[np.uint8]:
    """(512, 512, 3): slope of the mould texture in two directions, and tone. It tiles."""
    rng = np.random.default_rng(17)
    height = _band(rng, 2.2) + 0.7 * _band(rng, 5.0)
    slope_x = np.roll(height, -1, 1) - np.roll(height, 1, 1)
    slope_y = np.roll(height, -1, 0) - np.roll(height, 1, 0)
    tone = _band(rng, 1.2) + 1.2 * _band(rng, 14.0)
    channels = [c / (3 * c.std()) for c in (slope_x, slope_y, tone)]
    return np.clip(127.5 + 127.5 * np.stack(channels, axis=2), 0, 255).astype(np.uint8)


def _band(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    """Tiling noise of blobs about `sigma` texels wide, standard deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((GRAIN_SIZE, GRAIN_SIZE)))
    fy, fx = np.fft.fftfreq(GRAIN_SIZE)[:, None], np.fft.rfftfreq(GRAIN_SIZE)[None, :]
    f2 = (fx**2 + fy**2) * (2 * np.pi * sigma) ** 2
    noise = np.fft.irfft2(spectrum * f2 * np.exp(-f2 / 2), s=(GRAIN_SIZE, GRAIN_SIZE))
    return noise / noise.std()


def label_print() -> NDArray[np.uint8]:
    """(h, w, 1), 255 where there is ink; 100 pixels a millimetre of the label."""
    width, height = round(PRINT_FRAME_M[2] * 1e5), round(PRINT_FRAME_M[3] * 1e5)
    image = np.zeros((height, width), np.uint8)
    cv2.putText(image, "RH-30", (60, 175), cv2.FONT_HERSHEY_DUPLEX, 4.6, 255, 22, cv2.LINE_AA)
    cv2.putText(image, "24V IP54", (70, 330), cv2.FONT_HERSHEY_SIMPLEX, 3.0, 255, 15, cv2.LINE_AA)
    rng = np.random.default_rng(5)
    x = 760
    while x < width - 90:
        bar = int(rng.choice([10, 18, 28]))
        cv2.rectangle(image, (x, 60), (x + bar, 330), 255, -1)
        x += bar + int(rng.choice([10, 18, 26]))
    cv2.line(image, (50, 385), (width - 80, 385), 255, 9)
    return image[:, :, None]


@lru_cache(maxsize=4)
def background(width: int, height: int) -> NDArray[np.float32]:
    """(h, w) what lies far behind the part, out of focus; about 0.5 to 1.5, to be scaled by the light there."""
    rng = np.random.default_rng(3)
    small = rng.uniform(0.4, 1.6, (6, 8)).astype(np.float32)
    small[rng.integers(6), rng.integers(8)] = 3.0
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0.2, 3.0)
