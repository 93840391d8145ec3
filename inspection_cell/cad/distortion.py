"""Between a lens's picture and a pinhole's: renderings are made by a pinhole and brought into the distorted image."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel

GRID_PX = 8


def has_distortion(camera: CameraModel) -> bool:
    """Whether the lens bends straight lines at all."""
    return bool(np.any(camera.distortion != 0.0))


def pinhole_cover(camera: CameraModel) -> tuple[CameraModel, NDArray[np.float32]]:
    """The pinhole camera of the same focal length that sees all a distorted camera sees, and where each pixel looks.

    Returns:
        The pinhole camera, and (height, width, 2) float32: each distorted pixel's place in the pinhole's image.
    """
    # The inverse distortion is iterative and slow, but smooth: solve it on a grid and interpolate.
    nx, ny = camera.width // GRID_PX + 2, camera.height // GRID_PX + 2
    u, v = np.meshgrid(np.linspace(0, camera.width - 1, nx), np.linspace(0, camera.height - 1, ny))
    points = np.stack([u.ravel(), v.ravel()], axis=1)
    ideal = cv2.undistortPoints(points[:, None], camera.matrix, camera.distortion, P=camera.matrix)
    coarse = ideal.reshape(ny, nx, 2)
    low = np.floor(coarse.min(axis=(0, 1))).astype(int) - 1
    high = np.ceil(coarse.max(axis=(0, 1))).astype(int) + 2
    cover = CameraModel(int(high[0] - low[0]), int(high[1] - low[1]), _moved(camera.matrix, low))
    # Not by cv2.remap: it rounds to 1/32 of a grid cell, a quarter of a pixel.
    nodes = (coarse - low).astype(np.float32)
    return cover, _stretched(_stretched(nodes, 0, camera.height), 1, camera.width)


def undistorted_crop(
    image: NDArray[np.generic], camera: CameraModel, x: int, y: int, width: int, height: int
) -> tuple[NDArray[np.generic], CameraModel]:
    """The image's rectangle as a pinhole would have seen it, and that pinhole.

    The rectangle may reach beyond the image; the nearest pixels are repeated there.
    """
    pinhole = replace(camera.cropped(x, y, width, height), distortion=np.zeros(5))
    if has_distortion(camera):
        maps = cv2.initUndistortRectifyMap(
            camera.matrix, camera.distortion, np.eye(3), pinhole.matrix, (width, height), cv2.CV_32FC1
        )
        crop = cv2.remap(np.asarray(image), maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop), pinhole
    rows = np.clip(np.arange(y, y + height), 0, camera.height - 1)
    columns = np.clip(np.arange(x, x + width), 0, camera.width - 1)
    inside = x >= 0 and y >= 0 and x + width <= camera.width and y + height <= camera.height
    return (image[y : y + height, x : x + width] if inside else image[np.ix_(rows, columns)]), pinhole


def _stretched(values: NDArray[np.float32], axis: int, count: int) -> NDArray[np.float32]:
    """The values at `count` places spread evenly along an axis, interpolated linearly."""
    place = np.linspace(0, values.shape[axis] - 1, count)
    low = np.minimum(place.astype(int), values.shape[axis] - 2)
    share = np.expand_dims((place - low).astype(np.float32), tuple(k for k in range(3) if k != axis))
    below = values.take(low, axis)
    return np.asarray(below + share * (values.take(low + 1, axis) - below), np.float32)


def _moved(matrix: NDArray[np.float64], low: NDArray[np.int_]) -> NDArray[np.float64]:
    moved = matrix.copy()
    moved[0, 2] -= low[0]
    moved[1, 2] -= low[1]
    return moved
