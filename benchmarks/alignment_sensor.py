"""What a real sensor makes of the light: blur, exposure, noise, grey levels; and what a depth camera measures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from alignment_raycast import Rendering
from numpy.typing import NDArray

DEPTH_STEP_M = 0.00005
DEEPEST_M = 3.0


@dataclass(frozen=True)
class Sensor:
    """A camera's sensor and lens.

    Attributes:
        gain: grey levels per unit of light.
        full_well: electrons at 255; fewer make more shot noise.
        read_noise: grey levels.
        softness_px: standard deviation of the lens's own blur.
        defocus_px: standard deviation of a defocus.
        motion_px: (x, y) path of the image during exposure.
        vignetting: loss of light in the corners.
    """

    gain: float
    full_well: float = 10000.0
    read_noise: float = 0.4
    softness_px: float = 0.55
    defocus_px: float = 0.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    vignetting: float = 0.1


def exposed(light: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light (h, w, c), linear, as the camera's picture: (h, w), or (h, w, 3) RGB through a Bayer pattern.

    The blur acts on the light before it is clipped, as in a lens.
    """
    height, width, bands = light.shape
    image = cv2.GaussianBlur(light, (0, 0), sensor.softness_px).reshape(light.shape)
    if sensor.defocus_px > 0:
        image = cv2.filter2D(image, -1, _defocus(sensor.defocus_px)).reshape(light.shape)
    if any(sensor.motion_px):
        image = cv2.filter2D(image, -1, _motion(sensor.motion_px)).reshape(light.shape)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    levels = image * (1 - sensor.vignetting * 0.5 * (x[None] ** 2 + y[:, None] ** 2))[..., None] * sensor.gain
    if bands == 3:
        return _through_bayer(levels, sensor, rng)
    return _read(levels[..., 0], sensor, rng)


def measured_depth(rendering: Rendering, rng: np.random.Generator) -> NDArray[np.float32]:
    """(h, w) float32 metres as a depth camera gives them: noise that grows with the distance squared, edges lost.

    0 is invalid: at steps of the depth, on surfaces seen at a grazing angle, in mirrors, and beyond 3 m.
    """
    depth = rendering.depth
    height, width = depth.shape
    sigma = 0.0009 * depth**2
    grain = rng.standard_normal((height, width), np.float32)
    coarse = cv2.resize(rng.standard_normal((height // 6 + 1, width // 6 + 1), np.float32), (width, height))
    noisy = depth + sigma * (1.9 * cv2.GaussianBlur(grain, (0, 0), 0.6) + 0.6 * coarse)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > 0.004 + 0.01 * depth
    near_step = cv2.dilate(step.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    holes = cv2.resize(rng.standard_normal((height // 12 + 1, width // 12 + 1), np.float32), (width, height))
    lost = (step & (rng.random((height, width), np.float32) < 0.8)) | (near_step & (holes > 0.3))
    lost |= (rendering.facing < 0.2) | (holes > 2.2) | (depth <= 0) | (depth > DEEPEST_M)
    lost |= rendering.light.mean(axis=2) > np.quantile(rendering.light[::4, ::4].mean(axis=2), 0.995)
    steps = np.where(lost, 0.0, np.rint(noisy / DEPTH_STEP_M))
    return (steps.astype(np.uint16) * DEPTH_STEP_M).astype(np.float32)


def _read(levels: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    levels = np.maximum(levels, 0.0)
    # Shot noise: Poisson's, by its normal approximation, in which 255 levels are the full well.
    sigma = np.sqrt(np.minimum(levels, 300.0) * np.float32(255.0 / sensor.full_well) + np.float32(sensor.read_noise**2))
    return np.clip(np.rint(levels + sigma * rng.standard_normal(levels.shape, np.float32)), 0, 255).astype(np.uint8)


def _through_bayer(levels: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    mosaic = levels[..., 1].copy()
    mosaic[::2, ::2] = levels[::2, ::2, 0]
    mosaic[1::2, 1::2] = levels[1::2, 1::2, 2]
    # OpenCV names a pattern by its second row and column: red first is BayerBG there.
    return np.asarray(cv2.cvtColor(_read(mosaic, sensor, rng), cv2.COLOR_BayerBG2RGB), np.uint8)


def _defocus(sigma: float) -> NDArray[np.float32]:
    """A disc of confusion with a soft rim, of this standard deviation along each axis."""
    radius = 2.0 * sigma
    reach = int(np.ceil(radius + 2))
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _motion(path: tuple[float, float]) -> NDArray[np.float32]:
    """A straight path through the middle, evenly travelled."""
    reach = int(np.ceil(max(abs(path[0]), abs(path[1])) / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 65):
        x, y = share * path[0] + reach, share * path[1] + reach
        i, j = int(x), int(y)
        fx, fy = x - i, y - j
        kernel[j : j + 2, i : i + 2] += np.outer([1 - fy, fy], [1 - fx, fx])
    return kernel / kernel.sum()
