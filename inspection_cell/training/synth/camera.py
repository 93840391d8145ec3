"""What a camera does to a picture: things in the way, exposure, blur, noise, 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True)
class CameraRanges:
    """What is drawn for each picture, evenly.

    Attributes:
        patches: at most so many patches cover parts of it; each at most `patch_share` of its side.
        exposure: how bright its brighter places come. gamma: of the tone curve.
        blur_px: standard deviation, pixels of a picture of 256; half of the pictures get none.
        noise: standard deviation, of 255.
    """

    patches: int = 3
    patch_share: float = 0.3
    exposure: tuple[float, float] = (0.35, 1.25)
    gamma: tuple[float, float] = (0.6, 1.4)
    blur_px: tuple[float, float] = (0.3, 1.6)
    noise: tuple[float, float] = (0.5, 9.0)


def photographed(rng: np.random.Generator, light: Image, ranges: CameraRanges) -> NDArray[np.uint8]:
    """The picture (h, w, 3) of some light (h, w, 3), 1 is white, as a camera gives it."""
    size = light.shape[0]
    if rng.random() < 0.4:
        light = covered(rng, light, ranges)
    if rng.random() < 0.5:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(*ranges.blur_px) * size / 256), np.float32)
    level = float(np.percentile(light[::4, ::4], 90))
    scale = rng.uniform(*ranges.exposure) / max(level, 0.05)
    tone = np.power(np.clip(light * np.float32(scale), 0.0, 1.0), np.float32(rng.uniform(*ranges.gamma)))
    if rng.random() < 0.25:
        tone = np.repeat(tone.mean(axis=2, keepdims=True), 3, axis=2)
    spread = np.float32(rng.uniform(*ranges.noise))
    noise = rng.standard_normal(tone.shape, np.float32)
    return np.asarray(np.clip(tone * 255 + noise * spread, 0, 255), np.uint8)


def covered(rng: np.random.Generator, light: Image, ranges: CameraRanges) -> Image:
    """Patches of a plain colour, with round or straight borders, over parts of the picture."""
    size, result = light.shape[0], light.copy()
    for _ in range(rng.integers(1, ranges.patches + 1)):
        extent = (rng.uniform(0.05, ranges.patch_share, 2) * size).tolist()
        box = (tuple(rng.uniform(0, size, 2).tolist()), tuple(extent), rng.uniform(0, 180))
        colour = rng.uniform(0, 1, 3).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(result, box, colour, -1, cv2.LINE_AA)
        else:
            corners = np.round(cv2.boxPoints(box)).astype(np.int32)
            cv2.fillConvexPoly(result, corners, colour, cv2.LINE_AA)
    return result
