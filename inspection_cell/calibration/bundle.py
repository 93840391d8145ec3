"""All of a hand-eye calibration fitted at once: camera, target, and a small error of each of the arm's poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.calibration.target import Detection
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, perturb, transform

ITERATIONS, ROUNDS = 60, 12
HUBER = 2.5
"""Standard deviations of a pixel from which on a point counts less."""
FIRST_PX, FIRST_M, FIRST_RAD = 0.3, 3e-4, 1e-3
LEAST_PX, LEAST_M, LEAST_RAD = 1e-3, 1e-7, 1e-7
SETTLED = 0.02
"""Relative change of the standard deviations at which they are found."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bundle:
    """What was measured: the tool's poses T_world_tool and what the camera saw of the target at each."""

    camera: CameraModel
    in_hand: bool
    tools: Sequence[Pose]
    detections: Sequence[Detection]

    def G(self, T_world_tool: Pose) -> Pose:
        """What is between the target's and the camera's pose."""
        return inverse(T_world_tool) if self.in_hand else T_world_tool

    def misfit(self, X: Pose, Y: Pose) -> float:
        """Median distance in pixels, of the stops' median distances."""
        sizes = []
        for T, d in zip(self.tools, self.detections, strict=True):
            off = d.pixels - self.camera.project(transform(inverse(X) @ self.G(T) @ Y, d.points))
            sizes.append(float(np.median(np.nan_to_num(np.linalg.norm(off, axis=1), nan=1e6))))
        return float(np.median(sizes))


@dataclass(frozen=True)
class Fit:
    """What fits best.

    Attributes:
        X, Y: poses of camera and target. covariance: (12, 12) of X and Y, each place (m) then turn (rad) in its frame.
        sigma_px, arm_m, arm_rad: standard deviations a coordinate. arm_errors: (n, 6) place and turn, tool frame.
        residuals: of each stop, pixels found minus projected (n, 2).
    """

    X: Pose
    Y: Pose
    covariance: Floats
    sigma_px: float
    arm_m: float
    arm_rad: float
    arm_errors: Floats
    residuals: list[Floats]


@dataclass
class _State:
    X: Pose
    Y: Pose
    tools: list[Pose]
    errors: Floats


def fit_bundle(bundle: Bundle, X: Pose, Y: Pose) -> Fit:
    """Levenberg and Marquardt with Huber's weights, and between its rounds the three standard deviations.

    Each is estimated from its own residuals and its share of the redundancy (Foerstner and Wrobel, Photogrammetric
    Computer Vision, 4.2.4).
    """
    state = _State(X, Y, list(bundle.tools), np.zeros((len(bundle.tools), 6)))
    sigmas = np.array([FIRST_PX, FIRST_M, FIRST_RAD])
    for _ in range(ROUNDS):
        state = _optimised(bundle, state, sigmas)
        residuals, normal, of_pixels = _linearised(bundle, state, sigmas)[:3]
        covariance = np.asarray(np.linalg.inv(normal), np.float64)
        before, sigmas = sigmas, _variances(residuals, state.errors, sigmas, covariance, of_pixels)
        if np.all(np.abs(np.log(sigmas / before)) < SETTLED):
            break
    pixels, place, turn = sigmas.tolist()
    return Fit(state.X, state.Y, covariance[:12, :12], pixels, place, turn, state.errors, residuals)


def _optimised(bundle: Bundle, state: _State, sigmas: Floats) -> _State:
    residuals, normal, _, gradient = _linearised(bundle, state, sigmas)
    cost, damping = _cost(residuals, state.errors, sigmas), 1e-4
    for _ in range(ITERATIONS):
        step = np.asarray(np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient), np.float64)
        tried = _moved(bundle, state, step)
        there = _cost(_residuals(bundle, tried), tried.errors, sigmas)
        if not there <= cost:
            damping *= 10
            if damping > 1e8:
                break
            continue
        small = cost - there < 1e-9 * cost
        state, cost, damping = tried, there, max(damping / 10, 1e-9)
        if small:
            break
        residuals, normal, _, gradient = _linearised(bundle, state, sigmas)
    return state


def _moved(bundle: Bundle, state: _State, step: Floats) -> _State:
    errors = state.errors + step[12:].reshape(-1, 6)
    tools = [perturb(T, e) for T, e in zip(bundle.tools, errors, strict=True)]
    return _State(perturb(state.X, step[:6]), perturb(state.Y, step[6:12]), tools, errors)


def _residuals(bundle: Bundle, state: _State) -> list[Floats]:
    away = inverse(state.X)
    return [
        np.nan_to_num(d.pixels - bundle.camera.project(transform(away @ bundle.G(T) @ state.Y, d.points)), nan=1e4)
        for T, d in zip(state.tools, bundle.detections, strict=True)
    ]


def _weights(residual: Floats, sigma: float) -> Floats:
    """(n,) Huber's."""
    return np.asarray(np.minimum(1.0, HUBER * sigma / np.maximum(np.linalg.norm(residual, axis=1), 1e-12)))


def _cost(residuals: Sequence[Floats], errors: Floats, sigmas: Floats) -> float:
    scaled = np.linalg.norm(np.concatenate(residuals), axis=1) / sigmas[0]
    far = scaled > HUBER
    pixels = np.where(far, HUBER * (2 * scaled - HUBER), scaled**2).sum()
    return float(pixels + np.sum((errors / np.repeat(sigmas[1:], 3)) ** 2))


def _linearised(bundle: Bundle, state: _State, sigmas: Floats) -> tuple[list[Floats], Floats, Floats, Floats]:
    """Residuals, the normal matrix (12 + 6 n, ...), its share by the pixels, and the gradient's negative half."""
    residuals = _residuals(bundle, state)
    size = 12 + 6 * len(bundle.tools)
    of_pixels, gradient = np.zeros((size, size)), np.zeros(size)
    for i, (T, d, residual) in enumerate(zip(state.tools, bundle.detections, residuals, strict=True)):
        J = _jacobian(bundle, state, T, d)
        columns = np.r_[0:12, 12 + 6 * i : 18 + 6 * i]
        weights = np.repeat(_weights(residual, sigmas[0]), 2) / sigmas[0] ** 2
        of_pixels[np.ix_(columns, columns)] += J.T @ (weights[:, None] * J)
        gradient[columns] += J.T @ (weights * residual.ravel())
    prior = np.tile(np.repeat(1 / sigmas[1:] ** 2, 3), len(bundle.tools))
    gradient[12:] -= prior * state.errors.ravel()
    return residuals, of_pixels + np.diag(np.r_[np.zeros(12), prior]), of_pixels, gradient


def _jacobian(bundle: Bundle, state: _State, T_world_tool: Pose, detection: Detection) -> Floats:
    """(2 n, 18) of the pixels by the camera's, the target's and the tool's small motion."""
    away, points = inverse(state.X), detection.points
    T = away @ bundle.G(T_world_tool) @ state.Y
    there = transform(T, points)
    camera = bundle.camera
    _, jacobian = cv2.projectPoints(there, np.zeros(3), np.zeros(3), camera.matrix, camera.distortion)
    still = np.tile(np.eye(3), (len(points), 1, 1))
    of_place = jacobian[:, 3:6].reshape(-1, 2, 3)
    of_target = T[:3, :3] @ np.concatenate([still, -_cross(points)], axis=2)
    of_camera = np.concatenate([-still, _cross(there)], axis=2)
    if bundle.in_hand:
        at_tool, turn = transform(inverse(T_world_tool) @ state.Y, points), -away[:3, :3]
    else:
        at_tool, turn = transform(state.Y, points), away[:3, :3] @ T_world_tool[:3, :3]
    of_tool = turn @ np.concatenate([still, -_cross(at_tool)], axis=2)
    return np.asarray((of_place @ np.concatenate([of_camera, of_target, of_tool], axis=2)).reshape(-1, 18))


def _cross(points: Floats) -> Floats:
    """(n, 3, 3): what multiplies a vector as p x does."""
    result = np.zeros((len(points), 3, 3))
    result[:, 0, 1], result[:, 0, 2], result[:, 1, 2] = -points[:, 2], points[:, 1], -points[:, 0]
    return result - np.swapaxes(result, 1, 2)


def _variances(
    residuals: Sequence[Floats], errors: Floats, sigmas: Floats, covariance: Floats, of_pixels: Floats
) -> Floats:
    """(3,) of pixels, the arm's places and its turns: squares by redundancy, each in its own group."""
    found = np.concatenate(residuals)
    weights = _weights(found, sigmas[0])
    free = max(2 * float(weights.sum()) - float(np.sum(covariance * of_pixels)), 1.0)
    result = [np.sqrt(float(np.sum(weights[:, None] * found**2)) / free)]
    spread = np.diag(covariance)[12:].reshape(-1, 6)
    for group, sigma in ((slice(0, 3), sigmas[1]), (slice(3, 6), sigmas[2])):
        free = errors[:, group].size - float(spread[:, group].sum()) / sigma**2
        result.append(np.sqrt(float(np.sum(errors[:, group] ** 2)) / max(free, 1e-3)))
    return np.maximum(result, [LEAST_PX, LEAST_M, LEAST_RAD])
