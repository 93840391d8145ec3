"""Where the part is by a depth picture or a point cloud: the CAD's visible surface laid onto what was measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.depth_coarse import distinct, settled, starts
from inspection_cell.alignment.depth_fit import (
    SAMPLES,
    DepthFit,
    DepthNoise,
    PartSurface,
    SurfaceSamples,
    covariance,
    fit_at,
    step,
)
from inspection_cell.alignment.depth_points import DepthPoints, from_cloud, from_picture
from inspection_cell.alignment.refine import tukey
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.visibility import projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, is_pose, rotation_angle, transform

COARSE_SAMPLES = 1200
MIDDLE_SAMPLES = 4000
KEPT = 2
MIDDLE_STEPS = 3
FINE_STEPS = 3
TUKEY_SIGMAS = 4.7
"""Tukey's width that loses 5 % to least squares where the noise is normal."""
NEAR_SIGMAS = 3.0
FEWEST_POINTS = 200
FEWEST_SAMPLES = 100
NOISE = DepthNoise()


@dataclass(frozen=True)
class DepthLimits:
    """What an estimate must reach to be accepted.

    Attributes:
        quality: fraction of the visible surface measured where it should be, within three standard deviations.
        residual: of that, the largest root mean square, in standard deviations; chance matches are spread evenly and
            reach 1.73.
        seen_through: of the surface, the fraction at most behind which something was measured: nothing can hide that.
        runner_up: a distinctly different pose must score less than this fraction of the best.
        bound_factor: how far beyond the prior's bound an estimate may lie.
        spread_of_bound: largest standard deviation, as a fraction of the prior's bound.
    """

    quality: float = 0.5
    residual: float = 1.4
    seen_through: float = 0.25
    runner_up: float = 0.9
    bound_factor: float = 1.25
    spread_of_bound: float = 0.4


LIMITS = DepthLimits()


@dataclass(frozen=True)
class DepthEstimate:
    """The part's pose by depth.

    Attributes:
        T_camera_part: the estimate, in the depth camera's frame; the prior where nothing could be estimated.
        covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame; infinite where there is none.
        quality: 0 to 1, fraction of the visible CAD surface measured within three standard deviations of it.
        residual_m: root mean square distance of that part of it; NaN where nothing was found.
        accepted: only an accepted estimate may be used; `reason` says why not.
        points: (n, 3) metres, depth camera's frame: the visible surface; `residuals` (n,) metres along its normals to
            what was measured, NaN where nothing was.
    """

    T_camera_part: Pose
    covariance: NDArray[np.float64]
    quality: float
    residual_m: float
    accepted: bool
    reason: str
    points: NDArray[np.float64]
    residuals: NDArray[np.float64]


def align_depth(
    depth: ArrayLike,
    camera: CameraModel,
    surface: PartSurface,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    noise: DepthNoise = NOISE,
    limits: DepthLimits = LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> DepthEstimate:
    """Finds the part in a depth picture, near a prior. Whatever is wrong with the input, the answer is refused.

    Args:
        depth: (h, w) metres along the optical axis, 0 or NaN where nothing was measured.
        prior_bound: how far the part may be from the prior, metres and radians, about the part's centre.
        hidden: components known to be absent.
        occluders: known things in the way, in the part frame (a gripper).
    """
    prior, picture = np.asarray(T_camera_part_prior, float), np.asarray(depth)
    if picture.shape != (camera.height, camera.width):
        return refused(prior, f"the depth picture is {picture.shape}, the camera {camera.height}x{camera.width}")
    if not np.issubdtype(picture.dtype, np.floating):
        return refused(prior, f"the depth picture holds {picture.dtype}: metres as floating-point numbers are needed")
    wrong = _prior_fault(prior, prior_bound, surface.assembly)
    if wrong:
        return refused(prior, wrong)
    margin_px = _margin(prior, prior_bound, surface.assembly) * camera.matrix[0, 0]
    box = projected_box(_corners(surface.assembly), prior, camera, margin_px)
    if box is None:
        return refused(prior, "the prior puts the part behind or around the camera")
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], camera.width), min(box[1] + box[3], camera.height)
    if min(x1 - x0, y1 - y0) < 1:
        return refused(prior, "the prior puts the part outside the depth picture")
    measured = from_picture(picture, camera, (x0, y0, x1 - x0, y1 - y0))
    points = measured.points.reshape(-1, 3)
    return _aligned(measured, points, surface, prior, prior_bound, noise, limits, hidden, occluders)


def align_cloud(
    cloud: ArrayLike,
    surface: PartSurface,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    noise: DepthNoise = NOISE,
    limits: DepthLimits = LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> DepthEstimate:
    """Finds the part in a point cloud that one sensor saw, near a prior; see `align_depth`.

    Args:
        cloud: (n, 3) metres in the sensor's optical frame; points that are not finite count as not measured.
    """
    prior, points = np.asarray(T_camera_part_prior, float), np.asarray(cloud)
    if points.ndim != 2 or points.shape[1] != 3 or not np.issubdtype(points.dtype, np.floating):
        return refused(prior, f"the cloud is {points.shape} of {points.dtype}: (n, 3) metres are needed")
    wrong = _prior_fault(prior, prior_bound, surface.assembly)
    if wrong:
        return refused(prior, wrong)
    near = points[_near(points, prior, prior_bound, surface.assembly)]
    if len(near) < FEWEST_POINTS:
        return refused(prior, _too_few(len(near)))
    corners = transform(prior, _corners(surface.assembly))
    across, margin = corners[:, :2] / corners[:, 2:], _margin(prior, prior_bound, surface.assembly)
    measured = from_cloud(near, across.min(axis=0) - margin, across.max(axis=0) + margin)
    return _aligned(measured, near, surface, prior, prior_bound, noise, limits, hidden, occluders)


def refused(prior: Pose, reason: str) -> DepthEstimate:
    """The estimate where there is none."""
    nowhere, spread = np.zeros((0, 3)), np.diag(np.full(6, np.inf))
    return DepthEstimate(prior, spread, 0.0, math.nan, False, reason, nowhere, np.zeros(0))


def _aligned(
    measured: DepthPoints,
    points: NDArray[np.floating],
    surface: PartSurface,
    prior: Pose,
    bound: tuple[float, float],
    noise: DepthNoise,
    limits: DepthLimits,
    hidden: Collection[str],
    occluders: Sequence[Component],
) -> DepthEstimate:
    assembly = surface.assembly
    near = int(np.count_nonzero(_near(points, prior, bound, assembly)))
    if near < FEWEST_POINTS:
        return refused(prior, _too_few(near))
    information = np.diag([(2.0 / bound[0]) ** 2] * 3 + [(2.0 / bound[1]) ** 2] * 3)
    distance = transform(prior, assembly.centre[None])[:, 2]
    finest = TUKEY_SIGMAS * float(noise.sigma(distance)[0])

    def seen(pose: Pose, count: int) -> SurfaceSamples:
        samples = surface.visible(pose, count, hidden, occluders)
        return samples.chosen(measured.covers(transform(pose, samples.points)))

    def refined(pose: Pose, count: int, steps: int) -> tuple[float, Pose, DepthFit] | None:
        """Its score, 0 to 1, the pose and its fit; None where the part leaves the view."""
        for left in range(steps, -1, -1):
            if not _in_front(pose, assembly):
                return None
            samples = seen(pose, count)
            if len(samples) < FEWEST_SAMPLES:
                return None
            fit = fit_at(pose, samples, measured, noise)
            if left:
                pose = step(fit, pose, finest, information)
        return float(tukey(fit.residuals, finest).mean()), pose, fit

    samples = seen(prior, COARSE_SAMPLES)
    if len(samples) < FEWEST_SAMPLES:
        return refused(prior, f"only {len(samples)} points of the part's surface are in view: it is hardly seen")
    poses = starts(prior, assembly.centre, assembly.radius, bound)
    ranked = settled(poses, samples, measured, _reach(bound, assembly), finest, information)
    middle = [refined(pose, MIDDLE_SAMPLES, MIDDLE_STEPS) for _, pose in ranked[:KEPT]]
    finished = sorted((m[:2] for m in middle if m is not None), key=lambda item: -item[0])
    found = refined(finished[0][1], SAMPLES, FINE_STEPS) if finished else None
    if found is None:
        return refused(prior, "the part leaves the view while it is being aligned")
    _, pose, fit = found
    others = distinct(finished, samples)[1:]
    runner_up = others[0][0] / max(finished[0][0], 1e-9) if others else 0.0
    spread = covariance(fit, finest, noise, information)
    return _judged(pose, fit, spread, runner_up, prior, bound, limits, assembly)


def _judged(
    pose: Pose,
    fit: DepthFit,
    spread: NDArray[np.float64],
    runner_up: float,
    prior: Pose,
    bound: tuple[float, float],
    limits: DepthLimits,
    assembly: Assembly,
) -> DepthEstimate:
    near = fit.matched(NEAR_SIGMAS)
    quality = float(np.mean(near))
    residual_m = float(np.sqrt(np.mean(fit.residuals[near] ** 2))) if near.any() else math.nan
    seen_through = float(np.mean(fit.residuals < -NEAR_SIGMAS * fit.sigma))
    in_sigmas = float(np.sqrt(np.mean((fit.residuals[near] / fit.sigma[near]) ** 2))) if near.any() else math.inf
    centre = assembly.centre
    moved = float(np.linalg.norm(transform(pose, centre[None]) - transform(prior, centre[None])))
    turned = rotation_angle(prior[:3, :3].T @ pose[:3, :3])
    # The rotation acts about the part's origin; at its centre is where the translation is meant.
    at_centre = np.eye(6)
    at_centre[:3, 3:] = np.cross(np.eye(3), centre)
    variances = np.diag(at_centre @ spread @ at_centre.T)
    sigma = np.sqrt(np.maximum([variances[:3].mean(), variances[3:].mean()], 0.0))
    reason = ""
    if not is_pose(pose) or not np.all(np.isfinite(spread)):
        reason = "the estimate is not finite"
    elif quality < limits.quality:
        reason = f"only {quality:.0%} of the visible surface was measured in its place, {limits.quality:.0%} are needed"
    elif seen_through > limits.seen_through:
        reason = f"the depth camera sees through {seen_through:.0%} of the part, {limits.seen_through:.0%} are allowed"
    elif runner_up > limits.runner_up:
        reason = f"another pose fits as well: it scores {runner_up:.0%} of the best"
    elif in_sigmas > limits.residual:
        reason = (
            f"the measured surface is not the part's: {residual_m * 1e3:.2f} mm off, {in_sigmas:.2f} standard "
            f"deviations of the depth camera, {limits.residual:.2f} are allowed"
        )
    elif moved > limits.bound_factor * bound[0] or turned > limits.bound_factor * bound[1]:
        reason = (
            f"{moved * 1e3:.2f} mm and {math.degrees(turned):.2f} deg from the prior, "
            f"beyond its bound of {bound[0] * 1e3:.2f} mm and {math.degrees(bound[1]):.2f} deg"
        )
    elif sigma[0] > limits.spread_of_bound * bound[0] or sigma[1] > limits.spread_of_bound * bound[1]:
        reason = f"the surface does not fix the pose: {sigma[0] * 1e3:.2f} mm, {math.degrees(sigma[1]):.2f} deg"
    return DepthEstimate(pose, spread, quality, residual_m, not reason, reason, fit.points, fit.residuals)


def _prior_fault(prior: Pose, bound: tuple[float, float], assembly: Assembly) -> str:
    if not is_pose(prior):
        return "the prior is not a finite rigid pose"
    if not all(np.isfinite(bound)) or min(bound) <= 0:
        return f"the prior's bound {bound} is not positive and finite"
    return "" if _in_front(prior, assembly) else "the prior puts the part behind or around the camera"


def _in_front(pose: Pose, assembly: Assembly) -> bool:
    return float(transform(pose, assembly.centre[None])[0, 2]) > assembly.radius


def _margin(prior: Pose, bound: tuple[float, float], assembly: Assembly) -> float:
    """How far beyond the prior's outline the part may be, as the tangent of an angle at the camera."""
    nearest = float(transform(prior, assembly.centre[None])[0, 2]) - assembly.radius
    return min(1.0, _reach(bound, assembly) / nearest)


def _reach(bound: tuple[float, float], assembly: Assembly) -> float:
    """How far the prior's bound moves any point of the part, metres."""
    return bound[0] + assembly.radius * bound[1]


def _near(
    points: NDArray[np.floating], prior: Pose, bound: tuple[float, float], assembly: Assembly
) -> NDArray[np.bool_]:
    """(n,) whether a point may be the part's; not one that is not finite."""
    reach = _reach(bound, assembly)
    in_part = transform(inverse(prior), points)
    low, high = assembly.bounds
    return np.asarray(np.all((in_part > low - reach) & (in_part < high + reach), axis=1) & (points[:, 2] > 0))


def _too_few(count: int) -> str:
    return (
        f"only {count} measured points are near the part, {FEWEST_POINTS} are needed: is it in the depth camera's "
        "view, and are its depths metres?"
    )


def _corners(assembly: Assembly) -> NDArray[np.float64]:
    return np.stack(np.meshgrid(*assembly.bounds.T), axis=-1).reshape(-1, 3)
