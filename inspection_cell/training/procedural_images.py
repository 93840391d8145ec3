"""Pictures made by code to train a feature extractor on: surfaces of many textures, shapes, light and small defects.

Every picture comes with its truth, so that a network can be asked dense questions: which texture is at this pixel, and
is this pixel part of a defect. Nothing is photographed or downloaded; a picture follows from its generator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
"""(size, size) or (size, size, 3) float32, roughly 0 to 1."""


@dataclass(frozen=True)
class Sample:
    """One picture and its truth.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        texture: (size, size) uint8, index of the texture class, below `TEXTURE_CLASSES`.
        defect: (size, size) bool, true where a defect was drawn.
    """

    image: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    defect: NDArray[np.bool_]


def make_sample(rng: np.random.Generator, size: int) -> Sample:
    """One picture: one to four textured regions, shading, sensor noise and, two times in three, defects."""
    image, texture = _surface(rng, size)
    for _ in range(rng.integers(0, 4)):
        patch, patch_texture = _surface(rng, size)
        region = _shape(rng, size)
        shadow = _soften(region, rng.uniform(2, 9), rng.uniform(-6, 6, 2)) * rng.uniform(0, 0.5)
        image = image * (1 - shadow[..., None] * (1 - region[..., None]))
        image += region[..., None] * (patch - image)
        texture = np.where(region > 0.5, patch_texture, texture)
    defect = np.zeros((size, size), bool)
    if rng.random() < 0.67:
        for _ in range(rng.integers(1, 4)):
            image, drawn = _add_defect(rng, image)
            defect |= drawn
    return Sample(_photograph(rng, image), texture, defect)


def _surface(rng: np.random.Generator, size: int) -> tuple[Image, NDArray[np.uint8]]:
    """A whole picture of one texture in two random colours, and its class."""
    family = int(rng.integers(len(FAMILIES)))
    coarseness = int(rng.integers(SCALES))
    period = float(2.0 ** rng.uniform(2 + coarseness, 3 + coarseness))
    height = FAMILIES[family](rng, size, period)
    height = np.clip((height - height.mean()) / (4 * height.std() + 1e-6) + 0.5, 0, 1)
    dark, light = _two_colours(rng)
    image = dark + (light - dark) * height[..., None]
    return image.astype(np.float32), np.full((size, size), family * SCALES + coarseness, np.uint8)


def _two_colours(rng: np.random.Generator) -> tuple[Image, Image]:
    """A surface's darkest and lightest colour (3,): mostly a difference in brightness, with some in hue."""
    low = rng.uniform(0.0, 0.7)
    high = low + rng.uniform(0.12, 1.0 - low)
    tint = rng.normal(0, rng.choice([0.03, 0.15, 0.3]), 3)
    dark = low + tint * rng.uniform(0.3, 1) + rng.normal(0, 0.04, 3)
    light = high + tint * rng.uniform(0.3, 1) + rng.normal(0, 0.04, 3)
    return np.clip(dark, 0, 1).astype(np.float32), np.clip(light, 0, 1).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, size: int, period: float) -> Image:
    """Noise whose features are about `period` pixels wide, mean 0, standard deviation about 1."""
    cells = max(2, round(size / period) + 1)
    grid = rng.normal(size=(cells, cells)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def _coordinates(rng: np.random.Generator, size: int) -> tuple[Image, Image]:
    """Pixel coordinates of a randomly rotated and shifted frame."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) - rng.uniform(0, size)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


def _plain(rng: np.random.Generator, size: int, period: float) -> Image:
    return 0.15 * _smooth_noise(rng, size, 8 * period) + 0.02 * rng.normal(size=(size, size)).astype(np.float32)


def _clouds(rng: np.random.Generator, size: int, period: float) -> Image:
    octaves = [_smooth_noise(rng, size, max(period / 2**k, 1.5)) / 1.7**k for k in range(4)]
    return np.sum(octaves, axis=0)


def _stripes(rng: np.random.Generator, size: int, period: float) -> Image:
    u, v = _coordinates(rng, size)
    return np.tanh(rng.uniform(0.5, 5) * np.sin(2 * np.pi * u / period)) + 0.05 * v / size


def _checks(rng: np.random.Generator, size: int, period: float) -> Image:
    u, v = _coordinates(rng, size)
    return np.tanh(3 * np.sin(np.pi * u / period) * np.sin(np.pi * v / period))


def _dots(rng: np.random.Generator, size: int, period: float) -> Image:
    u, v = _coordinates(rng, size)
    u, v = (u + period * 0.5 * (np.floor(v / period) % 2)) % period, v % period
    radius = rng.uniform(0.15, 0.4) * period
    return np.tanh(2 * (radius - np.hypot(u - period / 2, v - period / 2)))


def _mesh(rng: np.random.Generator, size: int, period: float) -> Image:
    u, v = _coordinates(rng, size)
    wide = rng.uniform(0.1, 0.3) * period
    return ((u % period < wide) | (v % period < wide)).astype(np.float32)


def _cell_distances(rng: np.random.Generator, size: int, period: float) -> tuple[Image, NDArray[np.int32]]:
    """Distance of each pixel to its nearest random seed point, and that seed's number."""
    count = int(np.clip((size / period) ** 2, 4, 900))
    empty = np.ones((size, size), np.uint8)
    empty[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    distance, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 3)
    return np.asarray(distance), np.asarray(label, np.int32)


def _pebbles(rng: np.random.Generator, size: int, period: float) -> Image:
    return -_cell_distances(rng, size, period)[0]


def _grains(rng: np.random.Generator, size: int, period: float) -> Image:
    label = _cell_distances(rng, size, period)[1]
    return rng.normal(size=label.max() + 1).astype(np.float32)[label]


def _leather(rng: np.random.Generator, size: int, period: float) -> Image:
    label = _cell_distances(rng, size, period)[1].astype(np.float32)
    edges = (cv2.Laplacian(label, cv2.CV_32F) != 0).astype(np.float32)
    return cv2.GaussianBlur(edges, (0, 0), rng.uniform(0.6, 1.5))


def _brushed(rng: np.random.Generator, size: int, period: float) -> Image:
    lines = cv2.blur(rng.normal(size=(2 * size, 2 * size)).astype(np.float32), (int(4 * period) | 1, 1))
    turn = cv2.getRotationMatrix2D((float(size), float(size)), rng.uniform(0, 180), 1.0)
    turn = turn - np.array([[0, 0, size / 2]] * 2)
    return cv2.warpAffine(lines, turn, (size, size), borderMode=cv2.BORDER_REFLECT)


def _marble(rng: np.random.Generator, size: int, period: float) -> Image:
    u, _ = _coordinates(rng, size)
    return np.sin(2 * np.pi * u / (3 * period) + 2.5 * _clouds(rng, size, 2 * period))


def _rings(rng: np.random.Generator, size: int, period: float) -> Image:
    u, v = _coordinates(rng, size)
    return np.sin(2 * np.pi * np.hypot(u, rng.uniform(0.2, 1) * v) / period + _smooth_noise(rng, size, 6 * period))


def _fibres(rng: np.random.Generator, size: int, period: float) -> Image:
    canvas = np.zeros((size, size), np.float32)
    for _ in range(int(min(3 * size / period, 60))):
        start = rng.uniform(0, size, 2)
        stop = start + rng.normal(0, 3 * period, 2)
        ends = [tuple(int(16 * value) for value in point) for point in (start, stop)]
        cv2.line(canvas, ends[0], ends[1], rng.uniform(0.4, 1), 1 + int(period / 12), cv2.LINE_AA, 4)
    return canvas


FAMILIES: tuple[Callable[[np.random.Generator, int, float], Image], ...] = (
    _plain,
    _clouds,
    _stripes,
    _checks,
    _dots,
    _mesh,
    _pebbles,
    _grains,
    _leather,
    _brushed,
    _marble,
    _rings,
    _fibres,
)
SCALES = 3
TEXTURE_CLASSES = len(FAMILIES) * SCALES


def _shape(rng: np.random.Generator, size: int) -> Image:
    """An ellipse, polygon, ring or half plane with an antialiased edge, 0 to 1."""
    mask = np.zeros((size, size), np.uint8)
    centre = rng.uniform(0.1 * size, 0.9 * size, 2)
    radius = rng.uniform(0.08, 0.5) * size
    kind = rng.integers(4)
    if kind == 0:
        box = (tuple(centre), (2 * radius, 2 * radius * rng.uniform(0.3, 1)), rng.uniform(0, 180))
        cv2.ellipse(mask, box, 255, -1, cv2.LINE_AA)
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        corners = centre + radius * rng.uniform(0.6, 1.2, (len(angles), 1)) * np.stack(
            [np.cos(angles), np.sin(angles)], 1
        )
        cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    elif kind == 2:
        thick = max(2, int(radius * rng.uniform(0.1, 0.6)))
        cv2.circle(mask, (int(centre[0]), int(centre[1])), int(radius), 255, thick, cv2.LINE_AA)
    else:
        corners = cv2.boxPoints((tuple(centre), (3 * size, radius), rng.uniform(0, 180)))
        cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _soften(mask: Image, sigma: float, shift: NDArray[np.float64]) -> Image:
    """The mask blurred and moved: a shadow."""
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    return cv2.GaussianBlur(cv2.warpAffine(mask, move, mask.shape[::-1]), (0, 0), sigma)


def _add_defect(rng: np.random.Generator, image: Image) -> tuple[Image, NDArray[np.bool_]]:
    """Draws one defect: a scratch or crack, a stain, a chip (another place's surface), a dent, or specks."""
    size = image.shape[0]
    kind = rng.integers(5)
    if kind == 0:
        alpha = _walk(rng, size)
        drawn = _tinted(rng, image)
    elif kind == 1:
        alpha = _blot(rng, size)
        drawn = _tinted(rng, image)
    elif kind == 2:
        alpha = _blot(rng, size)
        drawn = np.roll(image, tuple(rng.integers(size // 5, size // 2, 2)), (0, 1))
    elif kind == 3:
        bump = cv2.GaussianBlur(_blot(rng, size), (0, 0), rng.uniform(1, 3))
        slope = cv2.Sobel(bump, cv2.CV_32F, 1, 0) * rng.normal() + cv2.Sobel(bump, cv2.CV_32F, 0, 1) * rng.normal()
        return image + rng.uniform(0.2, 0.6) * slope[..., None], bump > 0.3
    else:
        alpha = np.zeros((size, size), np.float32)
        centre = rng.uniform(0, size, 2)
        for point in rng.normal(centre, size / 16, (rng.integers(1, 8), 2)):
            cv2.circle(alpha, (int(point[0]), int(point[1])), int(rng.integers(1, 4)), 1.0, -1, cv2.LINE_AA)
        drawn = _tinted(rng, image)
    return image + alpha[..., None] * (drawn - image), alpha > 0.3


def _tinted(rng: np.random.Generator, image: Image) -> Image:
    """The surface under a stain: partly covered by another colour, enough to be seen."""
    colour = rng.uniform(0, 1, 3).astype(np.float32)
    cover = rng.uniform(0.35, 1.0)
    return image * (1 - cover) + colour * cover


def _walk(rng: np.random.Generator, size: int) -> Image:
    """A thin wandering line, 0 to 1."""
    steps = int(rng.integers(4, 20))
    bend = rng.uniform(0, 0.6)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, bend, steps))
    path = rng.uniform(0, size, 2) + np.cumsum(rng.uniform(2, 7) * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
    canvas = np.zeros((size, size), np.float32)
    cv2.polylines(canvas, [np.round(path * 16).astype(np.int32)], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
    return canvas


def _blot(rng: np.random.Generator, size: int) -> Image:
    """An irregular spot, 0 to 1."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    cx, cy = rng.uniform(0, size, 2)
    radius = rng.uniform(3, size / 6)
    wobble = _smooth_noise(rng, size, max(radius, 3.0)) * radius * 0.35
    return np.clip(radius + wobble - np.hypot(x - cx, (y - cy) * rng.uniform(0.6, 1.6)), 0, 1).astype(np.float32)


def _photograph(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """Uneven light, a highlight, defocus, sensor noise and quantisation; sometimes grey."""
    size = image.shape[0]
    light = 1 + 0.25 * rng.random() * _smooth_noise(rng, size, size * 0.8)
    image = image * light[..., None]
    if rng.random() < 0.3:
        image = image + (0.4 * rng.random() * _soften(_shape(rng, size), 6, np.zeros(2)))[..., None]
    if rng.random() < 0.15:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
    image = (image - 0.5) * rng.uniform(0.7, 1.2) + 0.5 + rng.normal(0, 0.05)
    image = image + rng.normal(0, rng.uniform(0.002, 0.03), image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
