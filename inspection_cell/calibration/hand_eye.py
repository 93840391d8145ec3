"""Where a camera sits on the tool, or stands in the world: from images of a target and the arm's poses.

`in_hand`: the camera moves with the tool, the target stands still. `fixed`: the camera stands still, the tool holds the
target. In both T_camera_target = X^-1 G Y with the camera's pose X (on the tool, in the world), the target's pose Y (in
the world, on the tool), and G the tool's pose T_world_tool, inverted where the camera is in hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.calibration.bundle import Bundle, Fit, fit_bundle
from inspection_cell.calibration.refusal import CalibrationRefused
from inspection_cell.calibration.target import Detection
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, make_pose, perturb, rotation_from_vector, transform, twist_between

Mounting = Literal["in_hand", "fixed"]
LEAST_POSES = 6
LEAST_TURN_DEG = 8.0
"""Root mean square of the tool's turns about the second of its axes: about one axis alone the answer is open."""
LARGEST_SIGMA_M, LARGEST_SIGMA_DEG = 0.002, 0.3
"""Of the camera's pose."""
LARGEST_MISFIT_PX, LARGEST_MISFIT_M, LARGEST_MISFIT_DEG = 3.0, 0.006, 1.0
"""What detection and arm may be off; beyond this, images and poses do not belong together."""
OUTLIER, MOST_LEFT_OUT = 6.0, 0.25
"""Times the median from which on a pose is left out, and the share of the poses that may be."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stop:
    """One stop of the arm: its name, the tool's pose in the world, and what the camera saw of the target."""

    name: str
    T_world_tool: Pose
    detection: Detection


@dataclass(frozen=True)
class HandEye:
    """The camera's place and how well it is known.

    Attributes:
        T_camera: T_tool_camera (in hand) or T_world_camera (fixed). T_target: T_world_target, or T_tool_target.
        sigma: (6,) standard deviation of T_camera's place (m) and turn (rad), in the camera's frame.
        names, T_world_tool, residuals: of each used stop: its name, the tool's pose with the arm's error taken out, and
            pixels found minus projected (n, 2) with that pose.
        rms_px: root mean square distance of points found and projected.
        arm_m, arm_rad: standard deviation of the arm's poses a coordinate, as the images tell it.
        arm_errors: (stops, 6) of each used stop: place (m) and turn (rad), in the tool's frame.
        left_out: stops that did not fit the others.
    """

    mounting: Mounting
    T_camera: Pose
    T_target: Pose
    sigma: Floats
    names: tuple[str, ...]
    T_world_tool: tuple[Pose, ...]
    residuals: tuple[Floats, ...]
    rms_px: float
    arm_m: float
    arm_rad: float
    arm_errors: Floats
    left_out: tuple[str, ...]


def calibrate_hand_eye(stops: Sequence[Stop], camera: CameraModel, mounting: Mounting) -> HandEye:
    """A closed solution for a start, then all of it at once: camera, target, and an error of each of the arm's poses.

    The pixels' and the arm's standard deviations are estimated with it (Helmert's estimation of variance components).

    Raises:
        CalibrationRefused: too few poses, or such as leave the answer open or do not belong to the images.
    """
    used = list(stops)
    left_out: list[str] = []
    while True:
        if len(used) < LEAST_POSES:
            raise CalibrationRefused(f"{len(used)} poses with the target in sight, {LEAST_POSES} are needed: take more")
        _turns_enough([s.T_world_tool for s in used])
        bundle = Bundle(camera, mounting == "in_hand", [s.T_world_tool for s in used], [s.detection for s in used])
        fit = fit_bundle(bundle, *_start(bundle))
        sizes = np.linalg.norm(fit.arm_errors / np.repeat([fit.arm_m, fit.arm_rad], 3), axis=1)
        sizes = np.maximum(sizes, [np.sqrt(np.mean(r**2)) / fit.sigma_px for r in fit.residuals])
        worst = int(np.argmax(sizes))
        if sizes[worst] <= OUTLIER * np.median(sizes) or len(left_out) + 1 > MOST_LEFT_OUT * len(stops):
            break
        left_out.append(used.pop(worst).name)
    _refuse(fit)
    return HandEye(
        mounting=mounting,
        T_camera=fit.X,
        T_target=fit.Y,
        sigma=np.sqrt(np.diag(fit.covariance)[:6]),
        names=tuple(s.name for s in used),
        T_world_tool=tuple(perturb(s.T_world_tool, e) for s, e in zip(used, fit.arm_errors, strict=True)),
        residuals=tuple(fit.residuals),
        rms_px=float(np.sqrt(np.mean(np.sum(np.concatenate(fit.residuals) ** 2, axis=1)))),
        arm_m=fit.arm_m,
        arm_rad=fit.arm_rad,
        arm_errors=fit.arm_errors,
        left_out=tuple(left_out),
    )


def _turns_enough(poses: Sequence[Pose]) -> None:
    """Refuses poses that turn about one axis only, or hardly at all."""
    between = [twist_between(a, b)[3:] for i, a in enumerate(poses) for b in poses[:i]]
    turns = np.degrees(np.array(between))
    sizes = np.sqrt(np.maximum(np.linalg.eigvalsh(turns.T @ turns / len(turns)), 0))
    if sizes[1] < LEAST_TURN_DEG:
        raise CalibrationRefused(
            f"the tool turns by {sizes[2]:.0f} degrees about one axis, but only by {sizes[1]:.1f} about any other, so"
            " the camera's place along that axis stays open: tilt the tool by 20 degrees or more about two axes"
        )


def _start(bundle: Bundle) -> tuple[Pose, Pose]:
    """X and Y by the closed solution that fits the images better."""
    seen = [_seen(bundle.camera, d) for d in bundle.detections]
    moved = [bundle.G(T) for T in bundle.tools]
    candidates = []
    for method in (cv2.CALIB_ROBOT_WORLD_HAND_EYE_SHAH, cv2.CALIB_ROBOT_WORLD_HAND_EYE_LI):
        try:
            R_y, t_y, R_x, t_x = cv2.calibrateRobotWorldHandEye(
                [T[:3, :3] for T in seen],
                [T[:3, 3] for T in seen],
                [T[:3, :3] for T in moved],
                [T[:3, 3] for T in moved],
                method=method,
            )
        except cv2.error:  # no rotation fits
            continue
        pair = inverse(make_pose(R_x, t_x.ravel())), inverse(make_pose(R_y, t_y.ravel()))
        if all(np.isfinite(T).all() for T in pair):
            candidates.append(pair)
    if not candidates:
        raise CalibrationRefused("no camera pose fits these poses of the arm: check their order, frame and units")
    return min(candidates, key=lambda pair: bundle.misfit(*pair))


def _seen(camera: CameraModel, detection: Detection) -> Pose:
    """T_camera_target of one image alone; a plane has two near answers, of which the better one is taken."""
    _, turns, shifts, _ = cv2.solvePnPGeneric(
        detection.points, detection.pixels, camera.matrix, camera.distortion, flags=cv2.SOLVEPNP_IPPE
    )
    best, least = np.eye(4), np.inf
    for turn, shift in zip(turns, shifts, strict=True):
        turn, shift = cv2.solvePnPRefineLM(
            detection.points, detection.pixels, camera.matrix, camera.distortion, turn.copy(), shift.copy()
        )
        T = make_pose(rotation_from_vector(turn.ravel()), shift.ravel())
        off = detection.pixels - camera.project(transform(T, detection.points))
        size = float(np.mean(off**2))
        if size < least:
            best, least = T, size
    return best


def _refuse(fit: Fit) -> None:
    misfits = (fit.sigma_px, fit.arm_m, np.degrees(fit.arm_rad))
    if any(
        m > limit for m, limit in zip(misfits, (LARGEST_MISFIT_PX, LARGEST_MISFIT_M, LARGEST_MISFIT_DEG), strict=True)
    ):
        raise CalibrationRefused(
            f"images and poses do not belong together: {fit.sigma_px:.1f} pixels, {fit.arm_m * 1e3:.1f} mm and"
            f" {np.degrees(fit.arm_rad):.2f} degrees remain. Check the mounting (in_hand or fixed), that each pose is"
            " that of its image and is T_world_tool in metres, the target's size, and the intrinsics"
        )
    sigma = np.sqrt(np.diag(fit.covariance)[:6])
    turn, place = float(np.degrees(sigma[3:]).max()), float(sigma[:3].max())
    if not (turn <= LARGEST_SIGMA_DEG and place <= LARGEST_SIGMA_M):
        raise CalibrationRefused(
            f"the camera's pose is known to {place * 1e3:.1f} mm and {turn:.2f} degrees only,"
            f" {LARGEST_SIGMA_M * 1e3:.0f} and {LARGEST_SIGMA_DEG} are needed: take more poses, tilted further apart,"
            " with the target large in sight"
        )
