"""From light to grey values: lens blur, vignetting, exposure, gain, shot and read noise, and the pixel format."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

PixelFormat = Literal["mono8", "rgb8", "bgr8", "bayer_rggb8", "bayer_grbg8", "bayer_gbrg8", "bayer_bggr8"]
"""Named as in sensor_msgs."""
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
    light: NDArray[np.float32],
    exposure_s: float,
    gain_db: float,
    pixel_format: PixelFormat,
    seed: int | tuple[int, ...],
) -> Image:
    """What the camera delivers.

    Args:
        light: (h, w) for mono8, else (h, w, 3); not negative; 1 is full scale at the reference exposure and 0 dB.
        seed: makes the noise.

    Returns:
        (h, w) uint8, or (h, w, 3) for rgb8 and bgr8.
    """
    gain = 10 ** (gain_db / 20)
    blurred = np.asarray(cv2.GaussianBlur(light, (5, 5), BLUR_PX), np.float32)
    if pixel_format == "bgr8":
        blurred = np.ascontiguousarray(blurred[:, :, ::-1])
    elif pixel_format.startswith("bayer_"):
        blurred = _mosaic(blurred, pixel_format[6:10])
    height, width = blurred.shape[:2]
    scale = 255.0 * gain * exposure_s / REFERENCE_EXPOSURE_S
    falloff = _falloff(height, width)
    grey = np.asarray(
        cv2.multiply(blurred, cv2.merge([falloff] * 3) if blurred.ndim == 3 else falloff, scale=scale), np.float32
    )
    # Variance of the grey value: shot noise grows with the signal, read noise does not.
    per_electron = 255.0 * gain / FULL_WELL_ELECTRONS
    rng = np.random.default_rng(seed)
    _add_noise(grey, per_electron, (READ_NOISE_ELECTRONS * per_electron) ** 2 + 1 / 12, rng)
    return np.asarray(cv2.convertScaleAbs(np.maximum(grey, 0)), np.uint8)


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


def _mosaic(light: NDArray[np.float32], pattern: str) -> NDArray[np.float32]:
    """The Bayer mosaic of an RGB image; the pattern names the colours of the upper left 2x2 pixels, row by row."""
    raw = np.empty(light.shape[:2], np.float32)
    for i, letter in enumerate(pattern):
        y, x = divmod(i, 2)
        raw[y::2, x::2] = light[y::2, x::2, "rgb".index(letter)]
    return raw


@lru_cache(maxsize=4)
def _falloff(height: int, width: int) -> NDArray[np.float32]:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(1 - VIGNETTING * 0.5 * (x * x + y * y), np.float32)


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.float32]:
    return np.random.default_rng(11).standard_normal((NOISE_TILE, NOISE_TILE), dtype=np.float32)
