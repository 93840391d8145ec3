"""Intrinsics of a camera from images of a flat target: fitted by OpenCV, judged by how well they are determined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.calibration.refusal import CalibrationRefused
from inspection_cell.calibration.target import LEAST_POINTS, Detection
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector, transform

LEAST_IMAGES = 6
LEAST_COVERED = 0.4
"""Of the image's area that must lie among the target's points, or the distortion at the rim is a guess."""
LEAST_TILT_DEG = 15.0
"""Between some two views of the target: from parallel views focal length and distance cannot be told apart."""
LARGEST_SIGMA_PX = 1.0
"""Standard deviation of where a far point appears, anywhere in the image."""
OUTLIER = 5.0
"""Robust standard deviations from which on a point is left out."""
CELLS = (12, 9)
CERTAIN = 3.0
"""Standard deviations from zero at which k3 is believed; else it is left at zero, for it makes the rim a guess."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Intrinsics:
    """A camera and how well it is known.

    Attributes:
        camera: the intrinsics. names: of the images that were used.
        detections, T_camera_target, residuals: of each image: the points that were used, where the target was, and
            pixels found minus projected (n, 2).
        rms_px: root mean square distance of points found and projected.
        sigma: (9,) standard deviation of fx fy cx cy k1 k2 p1 p2 k3.
        sigma_px: (rows, columns) standard deviation of where a far point appears, over the image.
        covered: share of the image that lies among the points of some view.
        left_out: points that fitted no better than chance would have it.
    """

    camera: CameraModel
    names: tuple[str, ...]
    detections: tuple[Detection, ...]
    T_camera_target: tuple[Pose, ...]
    residuals: tuple[Floats, ...]
    rms_px: float
    sigma: Floats
    sigma_px: Floats
    covered: float
    left_out: int


def calibrate_intrinsics(named: Sequence[tuple[str, Detection]], width: int, height: int) -> Intrinsics:
    """Fits pinhole and distortion to detections, each with the name of its image.

    Raises:
        CalibrationRefused: too few images, or such as leave the answer open.
    """
    used = list(named)
    while True:
        _enough(len(used), len(named))
        camera, poses = _fitted([d for _, d in used], width, height, cv2.CALIB_FIX_K3)
        kept = _inliers([_residual(camera, T, d) for T, (_, d) in zip(poses, used, strict=True)])
        if all(k.all() for k in kept):
            break
        cleaned = [(name, d.only(k)) for (name, d), k in zip(used, kept, strict=True)]
        used = [(name, d) for name, d in cleaned if len(d) >= LEAST_POINTS]
    found = _result(used, camera, poses, 8)
    full = _result(used, *_fitted([d for _, d in used], width, height, 0), 9)
    if abs(full.camera.distortion[4]) > CERTAIN * full.sigma[8]:
        found = full
    _refuse(found)
    return replace(found, left_out=sum(len(d) for _, d in named) - sum(len(d) for _, d in used))


def _result(used: Sequence[tuple[str, Detection]], camera: CameraModel, poses: Sequence[Pose], free: int) -> Intrinsics:
    detections = tuple(d for _, d in used)
    residuals = [_residual(camera, T, d) for T, d in zip(poses, detections, strict=True)]
    covariance = _covariance(camera, poses, detections, residuals, free)
    return Intrinsics(
        camera=camera,
        names=tuple(name for name, _ in used),
        detections=detections,
        T_camera_target=tuple(poses),
        residuals=tuple(residuals),
        rms_px=float(np.sqrt(np.mean(np.sum(np.concatenate(residuals) ** 2, axis=1)))),
        sigma=np.sqrt(np.diag(covariance)),
        sigma_px=_projection_sigma(camera, covariance),
        covered=_covered(detections, camera.width, camera.height),
        left_out=0,
    )


def _enough(count: int, given: int) -> None:
    if count < LEAST_IMAGES:
        raise CalibrationRefused(
            f"{count} of {given} images show the target well enough, {LEAST_IMAGES} are needed: take more, sharp ones,"
            " and check that the target's description is that of the print"
        )


def _fitted(detections: Sequence[Detection], width: int, height: int, flags: int) -> tuple[CameraModel, list[Pose]]:
    points = [d.points.astype(np.float32) for d in detections]
    pixels = [d.pixels.astype(np.float32) for d in detections]
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 200, 1e-12)
    guess = cv2.initCameraMatrix2D(points, pixels, (width, height))
    _, matrix, distortion, turns, shifts = cv2.calibrateCamera(
        points, pixels, (width, height), guess, np.zeros(5), flags=flags | cv2.CALIB_USE_INTRINSIC_GUESS, criteria=stop
    )
    camera = CameraModel(width, height, np.asarray(matrix, np.float64), np.asarray(distortion, np.float64).ravel()[:5])
    return camera, [make_pose(rotation_from_vector(r.ravel()), t.ravel()) for r, t in zip(turns, shifts, strict=True)]


def _residual(camera: CameraModel, T: Pose, detection: Detection) -> Floats:
    return np.asarray(detection.pixels - camera.project(transform(T, detection.points)))


def _inliers(residuals: Sequence[Floats]) -> list[NDArray[np.bool_]]:
    """Which points stay: those within OUTLIER robust standard deviations of all."""
    distances = [np.linalg.norm(r, axis=1) for r in residuals]
    # The median distance of a normal error in two dimensions is 1.18 standard deviations.
    limit = OUTLIER * max(float(np.median(np.concatenate(distances))) / 1.1774, 0.02)
    return [d <= limit for d in distances]


def _covariance(
    camera: CameraModel, poses: Sequence[Pose], detections: Sequence[Detection], residuals: Sequence[Floats], free: int
) -> Floats:
    """(9, 9) of fx fy cx cy and the distortion, the target's poses being unknown too; the first `free` were fitted."""
    own, count = np.zeros((free, free)), 0
    for T, detection in zip(poses, detections, strict=True):
        turn = cv2.Rodrigues(T[:3, :3])[0]
        _, jacobian = cv2.projectPoints(detection.points, turn, T[:3, 3], camera.matrix, camera.distortion)
        of_pose, of_camera = jacobian[:, :6], jacobian[:, 6 : 6 + free]
        between = of_camera.T @ of_pose
        own += of_camera.T @ of_camera - between @ np.linalg.solve(of_pose.T @ of_pose, between.T)
        count += len(of_pose)
    freedom = max(count - free - 6 * len(poses), 1)
    variance = float(np.sum(np.concatenate(residuals) ** 2)) / freedom
    scale = 1 / np.sqrt(np.diag(own))  # fx is thousands, k1 a tenth: scaled, or the inverse loses digits
    result = np.zeros((9, 9))
    result[:free, :free] = variance * np.linalg.pinv(own * np.outer(scale, scale), 1e-14) * np.outer(scale, scale)
    return result


def _projection_sigma(camera: CameraModel, covariance: Floats) -> Floats:
    """(rows, columns) pixels: how uncertain it is where a far point appears.

    What a small turn of the camera explains is not counted: a pose is found with the same intrinsics, and makes up for
    it (mrcal's uncertainty of projection at infinity).
    """
    columns, rows = CELLS
    u, v = np.meshgrid(np.linspace(0, camera.width - 1, columns), np.linspace(0, camera.height - 1, rows))
    flat = cv2.undistortPoints(np.stack([u.ravel(), v.ravel()], axis=1)[:, None], camera.matrix, camera.distortion)
    rays = np.column_stack([flat[:, 0], np.ones(rows * columns)])
    _, jacobian = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera.matrix, camera.distortion)
    of_turn, of_camera = jacobian[:, :3], jacobian[:, 6:15]
    remaining = of_camera - of_turn @ np.linalg.lstsq(of_turn, of_camera, rcond=None)[0]
    variances = np.einsum("ij,jk,ik->i", remaining, covariance, remaining)
    return np.asarray(np.sqrt(np.maximum(variances.reshape(-1, 2).sum(axis=1), 0)).reshape(rows, columns))


def _covered(detections: Sequence[Detection], width: int, height: int) -> float:
    scale = 200 / max(width, height)
    seen = np.zeros((round(height * scale), round(width * scale)), np.uint8)
    for detection in detections:
        hull = cv2.convexHull(np.rint(detection.pixels * scale).astype(np.int32))
        cv2.fillConvexPoly(seen, hull, 1)
    return float(seen.mean())


def _refuse(found: Intrinsics) -> None:
    normals = np.array([T[:3, 2] for T in found.T_camera_target])
    tilt = float(np.degrees(np.arccos(np.clip((normals @ normals.T).min(), -1, 1))))
    if tilt < LEAST_TILT_DEG:
        raise CalibrationRefused(
            f"the target is tilted by no more than {tilt:.0f} degrees between the images, so focal length and distance"
            " cannot be told apart: tilt it by 20 to 40 degrees to either side"
        )
    if found.covered < LEAST_COVERED:
        raise CalibrationRefused(
            f"the target was seen in {found.covered:.0%} of the image's area, {LEAST_COVERED:.0%} are needed:"
            " show it near all edges and corners too"
        )
    worst = float(found.sigma_px.max())
    if not worst <= LARGEST_SIGMA_PX:
        row, column = np.unravel_index(int(np.nanargmax(found.sigma_px)), found.sigma_px.shape)
        rows, columns = found.sigma_px.shape
        where = (
            round(column / (columns - 1) * (found.camera.width - 1)),
            round(row / (rows - 1) * (found.camera.height - 1)),
        )
        raise CalibrationRefused(
            f"where a point appears is known to {worst:.1f} pixels only at {where}, {LARGEST_SIGMA_PX} are needed:"
            " take more images, nearer, tilted, and with the target there"
        )
