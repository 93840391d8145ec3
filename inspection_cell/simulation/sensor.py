"""From light to grey values: lens blur, vignetting, exposure, gain, shot and read noise, and the pixel format."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

PixelFormat = Literal["Mono8", "RGB8", "BayerRG8"]
Image = NDArray[np.uint8]

REFERENCE_EXPOSURE_S = 0.008
"""Exposure at which light 1.0 gives full scale at 0 dB."""
FULL_WELL_ELECTRONS = 10500.0
READ_NOISE_ELECTRONS = 5.0
BLACK_LEVEL = 3.0
VIGNETTING = 0.10
BLUR_PX = 0.62
NOISE_TILE = 1024


def expose(
    light: NDArray[np.float32], exposure_s: float, gain_db: float, pixel_format: PixelFormat, seed: int
) -> Image:
    """What the camera delivers.

    Args:
        light: (h, w) for Mono8, else (h, w, 3); not negative; 1 is full scale at the reference exposure and 0 dB.
        seed: makes the noise.

    Returns:
        (h, w) uint8, or (h, w, 3) for RGB8.
    """
    gain = 10 ** (gain_db / 20)
    blurred = cv2.GaussianBlur(light, (5, 5), BLUR_PX)
    if pixel_format == "BayerRG8":
        blurred = _mosaic(blurred)
    height, width = blurred.shape[:2]
    scale = 255.0 * gain * exposure_s / REFERENCE_EXPOSURE_S
    falloff = _falloff(height, width)
    grey = cv2.multiply(blurred, cv2.merge([falloff] * 3) if blurred.ndim == 3 else falloff, scale=scale)
    # Variance of the grey value: shot noise grows with the signal, read noise does not.
    per_electron = 255.0 * gain / FULL_WELL_ELECTRONS
    rng = np.random.default_rng(seed)
    _add_noise(grey, per_electron, (READ_NOISE_ELECTRONS * per_electron) ** 2 + 1 / 12, rng)
    return cv2.convertScaleAbs(cv2.max(grey, 0.0), alpha=1.0, beta=0.0)


def _add_noise(grey: NDArray[np.float32], per_electron: float, fixed: float, rng: np.random.Generator) -> None:
    """Adds noise and the black level in place, block by block from one tile at random offsets."""
    tile = _noise_tile()
    half = NOISE_TILE // 2
    for y in range(0, grey.shape[0], half):
        for x in range(0, grey.shape[1], half):
            block = grey[y : y + half, x : x + half]
            v, u = rng.integers(0, half, 2)
            shape = block.shape[:2]
            noise = tile[v : v + shape[0], u : u + shape[1]]
            if block.ndim == 3:
                noise = np.stack([np.roll(noise, k * 7, axis=(0, 1)) for k in range(3)], axis=2)
            sigma = cv2.sqrt(block * np.float32(per_electron) + np.float32(fixed))
            block += sigma.reshape(block.shape) * noise
            block += np.float32(BLACK_LEVEL)


def _mosaic(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """The Bayer pattern RGGB of an RGB image."""
    raw = light[:, :, 1].copy()
    raw[0::2, 0::2] = light[0::2, 0::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    return raw


@lru_cache(maxsize=4)
def _falloff(height: int, width: int) -> NDArray[np.float32]:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return 1 - VIGNETTING * 0.5 * (x * x + y * y)


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.float32]:
    return np.random.default_rng(11).standard_normal((NOISE_TILE, NOISE_TILE), dtype=np.float32)
