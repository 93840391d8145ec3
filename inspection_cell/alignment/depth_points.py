"""What a depth camera or a point cloud says about the space around the part: the measured point at each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inspection_cell.cad.distortion import has_distortion
from inspection_cell.cad.visibility import Box
from inspection_cell.core.camera_model import CameraModel

LONGEST_PX = 480
SPACINGS = 3.0
ASKED = 2000


@dataclass(frozen=True)
class DepthPoints:
    """Measured points, one for each pixel of a camera.

    Attributes:
        points: (h, w, 3) float64, metres, camera frame; NaN where nothing was measured.
        camera: of this picture, with its distortion.
    """

    points: NDArray[np.float64]
    camera: CameraModel

    def at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was measured in the direction of places (n, 3) of the camera frame: points (n, 3), NaN for none."""
        column, row, inside = self._pixels(places)
        found = np.full((len(places), 3), np.nan)
        found[inside] = self.points[row[inside], column[inside]]
        return found

    def covers(self, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) whether places (n, 3) lie in the picture, measured or not."""
        return self._pixels(places)[2]

    def _pixels(self, places: NDArray[np.float64]) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
        """Columns, rows, and which of them are of this picture."""
        pixels = np.nan_to_num(self.camera.project(places), nan=-1.0)
        column, row = np.rint(np.clip(pixels, -1, max(self.points.shape))).astype(int).T
        return column, row, (column >= 0) & (row >= 0) & (column < self.camera.width) & (row < self.camera.height)


def from_picture(depth: NDArray[np.floating], camera: CameraModel, box: Box) -> DepthPoints:
    """The points of a depth picture's rectangle; of a large one every second or third pixel is enough.

    Args:
        depth: (h, w) metres along the optical axis; not positive or not finite where nothing was measured.
    """
    x, y, width, height = box
    stride = math.ceil(max(width, height) / LONGEST_PX)
    z = np.asarray(depth[y : y + height : stride, x : x + width : stride], float)
    thinner = np.diag([1.0 / stride, 1.0 / stride, 1.0])
    crop = replace(
        camera, width=z.shape[1], height=z.shape[0], matrix=thinner @ camera.cropped(x, y, width, height).matrix
    )
    row, column = np.nonzero(np.isfinite(z) & (z > 0))
    rays = np.column_stack([column, row, np.ones(len(row))]) @ np.linalg.inv(crop.matrix).T
    if has_distortion(camera) and len(rays):
        pixels = np.column_stack([column, row]).astype(float)
        rays[:, :2] = cv2.undistortPoints(pixels[:, None], crop.matrix, crop.distortion)[:, 0]
    points = np.full((*z.shape, 3), np.nan)
    points[row, column] = rays * z[row, column, None]
    return DepthPoints(points, crop)


def from_cloud(cloud: NDArray[np.floating], low: NDArray[np.float64], high: NDArray[np.float64]) -> DepthPoints:
    """The points of a cloud, sorted into pixels as wide as the cloud is dense.

    Args:
        cloud: (n, 3) metres, finite and in front of the sensor, in its optical frame: what stands before something else
            hides it. At least two points.
        low, high: (2,) directions x / z, y / z that the picture spans.
    """
    points = np.random.default_rng(0).permutation(np.asarray(cloud, float))
    across = points[:, :2] / points[:, 2:]
    distance = cKDTree(across).query(across[:ASKED], 2)[0][:, 1]
    # Wide enough that hardly any pixel of a random cloud is empty; points on a grid are then nine to a pixel.
    pixel = max(SPACINGS * float(np.median(distance)), float(np.max(high - low)) / LONGEST_PX)
    width, height = (int(extent / pixel) + 2 for extent in high - low)
    matrix = np.array([[1 / pixel, 0, -low[0] / pixel], [0, 1 / pixel, -low[1] / pixel], [0, 0, 1.0]])
    picture = DepthPoints(np.full((height, width, 3), np.nan), CameraModel(width, height, matrix))
    column, row, inside = picture._pixels(points)
    # Of several in a pixel any one: the nearest would be the one whose noise points at the camera.
    picture.points[row[inside], column[inside]] = points[inside]
    return picture
