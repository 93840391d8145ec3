"""The pinhole camera with OpenCV's radial-tangential distortion: from points in the optical frame to pixels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of one calibrated camera.

    Attributes:
        width, height: image size, pixels.
        matrix: (3, 3) float64, K of the pinhole; pixel centres at whole numbers.
        distortion: (5,) float64, k1 k2 p1 p2 k3 as in OpenCV and sensor_msgs' plumb_bob.
    """

    width: int
    height: int
    matrix: NDArray[np.float64]
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))

    def __post_init__(self) -> None:
        k = np.asarray(self.matrix, float)
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera image size {self.width}x{self.height}: both must be positive")
        if k.shape != (3, 3) or not np.all(np.isfinite(k)) or k[0, 0] <= 0 or k[1, 1] <= 0:
            raise ValueError(f"camera matrix {k.tolist()}: needs 3x3 finite values and positive focal lengths")
        object.__setattr__(self, "matrix", k)
        object.__setattr__(self, "distortion", np.asarray(self.distortion, float).reshape(5))

    @staticmethod
    def pinhole(width: int, height: int, focal_px: float) -> CameraModel:
        """A camera without distortion whose axis meets the image's centre."""
        centre = ((width - 1) / 2, (height - 1) / 2)
        return CameraModel(width, height, np.array([[focal_px, 0, centre[0]], [0, focal_px, centre[1]], [0, 0, 1.0]]))

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Pixels (n, 2) of points (n, 3) in the optical frame; NaN where a point is not in front."""
        p = np.asarray(points, float).reshape(-1, 3)
        depth = np.where(p[:, 2] > 1e-9, p[:, 2], np.nan)
        x, y = p[:, 0] / depth, p[:, 1] / depth
        if self.distortion.any():
            x, y = self._distorted(x, y)
        k = self.matrix
        return np.column_stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]])

    def _distorted(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return xd, yd

    def resized(self, width: int, height: int) -> CameraModel:
        """The same view sampled to another size; pixel centres stay where they were in the scene."""
        sx, sy = width / self.width, height / self.height
        scale = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1.0]])
        return replace(self, width=width, height=height, matrix=scale @ self.matrix)

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """The camera of the image's rectangle with its upper left pixel at (x, y)."""
        matrix = self.matrix.copy()
        matrix[0, 2] -= x
        matrix[1, 2] -= y
        return replace(self, width=width, height=height, matrix=matrix)
