"""From an image of a part to the square the backbone sees, and back: crop, resize, pad, normalise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.images import check_pixels

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the original image."""


@dataclass(frozen=True)
class Mapping:
    """Where the original image went in the square of `size` x `size` pixels.

    Pixel centres are at whole numbers: model = scale * (original + 0.5) + shift - 0.5, along x and y.

    Attributes:
        size: side of the square, pixels.
        box: the crop in the original image.
        content: x, y, width, height of the crop inside the square; outside of it is padding.
    """

    size: int
    box: Box
    content: Box

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) square pixels for each original pixel along x and y."""
        return np.array([self.content[2] / self.box[2], self.content[3] / self.box[3]])

    @property
    def shift(self) -> NDArray[np.float64]:
        """(2,) pixels, see the class."""
        return np.array(self.content[:2]) - self.scale * np.array(self.box[:2])

    def to_model(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 2) of the original image in the square."""
        return self.scale * (np.asarray(points, float) + 0.5) + self.shift - 0.5

    def to_original(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 2) of the square in the original image."""
        return (np.asarray(points, float) + 0.5 - self.shift) / self.scale - 0.5

    def map_to_original(self, square: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """A map (size, size) put back into an original image of width x height; 0 outside the crop."""
        x, y, w, h = self.content
        bx, by, bw, bh = self.box
        result = np.zeros((height, width), np.float32)
        result[by : by + bh, bx : bx + bw] = cv2.resize(square[y : y + h, x : x + w], (bw, bh))
        return result

    def mask_to_model(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (h, w) of the original image in the square: true where any masked pixel falls."""
        x, y, w, h = self.content
        bx, by, bw, bh = self.box
        result = np.zeros((self.size, self.size), bool)
        part = np.asarray(mask[by : by + bh, bx : bx + bw], np.float32)
        result[y : y + h, x : x + w] = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA) > 1e-3
        return result

    def inside(self) -> NDArray[np.bool_]:
        """(size, size) true where the square shows the image and not padding."""
        x, y, w, h = self.content
        result = np.zeros((self.size, self.size), bool)
        result[y : y + h, x : x + w] = True
        return result


def make_mapping(width: int, height: int, size: int, crop: Box | None = None) -> Mapping:
    """How an image of width x height, or its crop, comes into the square: centred, its longer side filling it.

    Raises:
        ImageError: the crop is not inside the image, or the size not a multiple of 16.
    """
    if size < 32 or size % 16:
        raise ImageError(f"size {size}: the square's side must be a multiple of 16, at least 32")
    x, y, w, h = crop or (0, 0, width, height)
    if w < 8 or h < 8 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise ImageError(
            f"crop x {x}, y {y}, {w} x {h}: needs at least 8 x 8 pixels inside the {width} x {height} image"
        )
    longer = max(w, h)
    cw, ch = max(1, round(size * w / longer)), max(1, round(size * h / longer))
    return Mapping(size, (x, y, w, h), ((size - cw) // 2, (size - ch) // 2, cw, ch))


def to_square(image: NDArray[np.generic], mapping: Mapping) -> NDArray[np.uint8]:
    """The image's crop as (content height, content width, 3) uint8; grey is repeated in three channels.

    Raises:
        ImageError: not an 8 bit grey or RGB image.
    """
    pixels = check_pixels(image)
    x, y, w, h = mapping.box
    width, height = mapping.content[2:]
    shrinking = width < w or height < h
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    square = np.asarray(cv2.resize(pixels[y : y + h, x : x + w], (width, height), interpolation=method), np.uint8)
    return np.repeat(square[..., None], 3, -1) if square.ndim == 2 else square


def preprocess(
    image: NDArray[np.generic],
    mapping: Mapping,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    channel_order: str = "RGB",
) -> NDArray[np.float32]:
    """The network's input (1, 3, size, size) float32; padding has the value 0, the network's mean colour.

    Args:
        mean, std: (3,) in the network's channel order, for pixel values from 0 to 1.
        channel_order: "RGB" or "BGR", what the network was trained with.
    """
    planes = cv2.split(to_square(image, mapping))
    x, y, w, h = mapping.content
    result = np.zeros((1, 3, mapping.size, mapping.size), np.float32)
    # A value of 8 bits has 256 answers: looking them up is ten times faster than computing.
    answers = (np.arange(256, dtype=np.float32)[:, None] / np.float32(255) - mean) / std
    for i, plane in enumerate(planes if channel_order == "RGB" else planes[::-1]):
        result[0, i, y : y + h, x : x + w] = cv2.LUT(plane, np.ascontiguousarray(answers[:, i]))
    return result
