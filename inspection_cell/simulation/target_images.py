"""Pictures of a flat calibration target as a camera with distortion, blur and noise takes them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.calibration.target import Target, drawn, size_m
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, transform

SUPERSAMPLE = 3
MARGIN = 0.06
"""White border of the print, as a share of its width."""
BEHIND = 90.0


def photographed(
    target: Target, camera: CameraModel, T_camera_target: Pose, rng: np.random.Generator, noise: float = 2.0
) -> NDArray[np.uint8]:
    """Grey (h, w) of the print under uneven light; `noise` is the standard deviation in grey values."""
    size = (camera.width * SUPERSAMPLE, camera.height * SUPERSAMPLE)
    # From pixel to pixel the place on the plane is all but linear.
    x, y = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in _on_plane(camera, T_camera_target))
    per_m = SUPERSAMPLE * camera.matrix[0, 0] / float(T_camera_target[2, 3])
    print_ = drawn(target, per_m)
    per_m, begin = print_.shape[1] / size_m(target)[0], 0.0
    if target.kind == "aprilgrid":  # its y axis runs up the print, and its first tag's corner is the origin
        print_, begin = print_[::-1], target.tag_m * target.spacing
    border = round(MARGIN * print_.shape[1])
    sheet = cv2.copyMakeBorder(np.asarray(print_, np.float32), *(border,) * 4, cv2.BORDER_CONSTANT, value=255.0)
    u, v = (((place + begin) * per_m + border - 0.5).astype(np.float32) for place in (x, y))
    picture = cv2.remap(sheet, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=BEHIND)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.5 * SUPERSAMPLE)
    small = cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    across = np.linspace(-1, 1, camera.width)[None] * rng.uniform(-0.2, 0.2)
    down = np.linspace(-1, 1, camera.height)[:, None] * rng.uniform(-0.2, 0.2)
    lit = (20 + 0.75 * small) * (1 + across + down)
    return np.clip(np.rint(lit + rng.normal(0, noise, lit.shape)), 0, 255).astype(np.uint8)


def _on_plane(camera: CameraModel, T_camera_target: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y (h, w) in the target's frame of what each pixel sees of its plane; far away where that is behind."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)[:, None]
    flat = cv2.undistortPoints(pixels, camera.matrix, camera.distortion)[:, 0]
    T = inverse(T_camera_target)
    eye = T[:3, 3]
    rays = transform(T, np.column_stack([flat, np.ones(len(flat))])) - eye
    reach = -eye[2] / np.where(np.abs(rays[:, 2]) > 1e-9, rays[:, 2], 1e-9)
    reach = np.where(reach > 0, reach, 1e6)
    return tuple((eye[k] + reach * rays[:, k]).reshape(camera.height, camera.width) for k in (0, 1))  # type: ignore[return-value]
