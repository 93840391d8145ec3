"""Where the part is by a depth picture or a point cloud: the CAD's visible surface laid onto what was measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.depth_coarse import distinct, settled, starts
from inspection_cell.alignment.depth_estimate import LIMITS, DepthEstimate, DepthLimits, judged, refused
from inspection_cell.alignment.depth_fit import (
    SAMPLES,
    DepthFit,
    DepthInformation,
    DepthNoise,
    PartSurface,
    SurfaceSamples,
    fit_at,
    information_of,
)
from inspection_cell.alignment.depth_points import DepthPoints, from_cloud, from_picture
from inspection_cell.alignment.judge import prior_fault, prior_information
from inspection_cell.alignment.refine import tukey
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.visibility import projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, perturb, transform, twist_between

COARSE_SAMPLES = 2000
MIDDLE_SAMPLES = 4000
KEPT = 2
MIDDLE_STEPS = 2
FINE_STEPS = 2
TUKEY_SIGMAS = 4.7
"""Tukey's width that loses 5 % to least squares where the noise is normal."""
FEWEST_POINTS = 200
FEWEST_SAMPLES = 50
NOISE = DepthNoise()


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
    wrong = prior_fault(prior, prior_bound, surface.assembly.centre, surface.assembly.radius)
    if wrong:
        return refused(prior, wrong)
    margin_px = _margin(prior, prior_bound, surface.assembly) * camera.matrix[0, 0]
    box = projected_box(surface.assembly.corners, prior, camera, margin_px)
    if box is None:
        return refused(prior, "the prior puts the part behind or around the camera")
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], camera.width), min(box[1] + box[3], camera.height)
    if min(x1 - x0, y1 - y0) < 1:
        return refused(prior, "the prior puts the part outside the depth picture")
    measured = from_picture(picture, camera, (x0, y0, x1 - x0, y1 - y0))
    near = int(np.count_nonzero(_near(measured.points.reshape(-1, 3), prior, prior_bound, surface.assembly)))
    if near < FEWEST_POINTS:
        return refused(prior, _too_few(near))
    return _aligned(measured, surface, prior, prior_bound, noise, limits, hidden, occluders)


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
    wrong = prior_fault(prior, prior_bound, surface.assembly.centre, surface.assembly.radius)
    if wrong:
        return refused(prior, wrong)
    near = points[_near(points, prior, prior_bound, surface.assembly)]
    if len(near) < FEWEST_POINTS:
        return refused(prior, _too_few(len(near)))
    corners = transform(prior, surface.assembly.corners)
    across, margin = corners[:, :2] / corners[:, 2:], _margin(prior, prior_bound, surface.assembly)
    measured = from_cloud(near, across.min(axis=0) - margin, across.max(axis=0) + margin)
    return _aligned(measured, surface, prior, prior_bound, noise, limits, hidden, occluders)


@dataclass(frozen=True)
class _Task:
    """What every step needs.

    Attributes:
        finest_m: width of the Tukey weight in the end. information: (6, 6), of the prior.
    """

    measured: DepthPoints
    surface: PartSurface
    noise: DepthNoise
    hidden: Collection[str]
    occluders: Sequence[Component]
    finest_m: float
    prior: Pose
    information: NDArray[np.float64]

    def seen(self, pose: Pose, count: int) -> SurfaceSamples:
        """Of so many samples those that this pose shows inside the depth picture."""
        samples = self.surface.visible(pose, count, self.hidden, self.occluders)
        return samples.chosen(self.measured.covers(transform(pose, samples.points)))

    def fit(self, pose: Pose, count: int) -> DepthFit | None:
        """None where the part is hardly in view."""
        if not _in_front(pose, self.surface.assembly):
            return None
        samples = self.seen(pose, count)
        return fit_at(pose, samples, self.measured, self.noise) if len(samples) >= FEWEST_SAMPLES else None

    def known(self, pose: Pose, fit: DepthFit) -> DepthInformation:
        """With the prior."""
        to_prior = twist_between(pose, self.prior)
        return information_of(fit, self.finest_m, self.noise, to_prior, self.information)

    def refined(self, pose: Pose, count: int, steps: int) -> tuple[Pose, DepthFit] | None:
        """The pose after some steps, and its fit; None where the part leaves the view."""
        fit = self.fit(pose, count)
        for _ in range(steps):
            if fit is None:
                break
            pose = perturb(pose, self.known(pose, fit).step)
            fit = self.fit(pose, count)
        return None if fit is None else (pose, fit)


def _aligned(
    measured: DepthPoints,
    surface: PartSurface,
    prior: Pose,
    bound: tuple[float, float],
    noise: DepthNoise,
    limits: DepthLimits,
    hidden: Collection[str],
    occluders: Sequence[Component],
) -> DepthEstimate:
    assembly = surface.assembly
    information = prior_information(bound)
    finest_m = TUKEY_SIGMAS * float(noise.sigma(transform(prior, assembly.centre[None])[:, 2])[0])
    task = _Task(measured, surface, noise, hidden, occluders, finest_m, prior, information)
    samples = task.seen(prior, COARSE_SAMPLES)
    if len(samples) < FEWEST_SAMPLES:
        return refused(prior, f"only {len(samples)} points of the part's surface are in view: it is hardly seen")
    poses = starts(prior, assembly.centre, assembly.radius, bound)
    ranked = settled(poses, samples, measured, _reach(bound, assembly), finest_m, information)
    middle = [task.refined(pose, MIDDLE_SAMPLES, MIDDLE_STEPS) for _, pose in ranked[:KEPT]]
    scored = [(float(tukey(m[1].residuals, finest_m).mean()), m[0]) for m in middle if m is not None]
    scored.sort(key=lambda item: -item[0])
    found = task.refined(scored[0][1], SAMPLES, FINE_STEPS) if scored else None
    if found is None:
        return refused(prior, "the part leaves the view while it is being aligned")
    pose, fit = found
    others = distinct(scored, samples)[1:]
    runner_up = others[0][0] / max(scored[0][0], 1e-9) if others else 0.0
    return judged(pose, fit, task.known(pose, fit).covariance, runner_up, prior, bound, limits, assembly)


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
    finite = np.isfinite(points).all(axis=1)
    in_part = transform(inverse(prior), np.where(finite[:, None], points, 0.0))
    low, high = assembly.bounds
    return np.asarray(np.all((in_part > low - reach) & (in_part < high + reach), axis=1) & finite & (points[:, 2] > 0))


def _too_few(count: int) -> str:
    return (
        f"only {count} measured points are near the part, {FEWEST_POINTS} are needed: is it in the depth camera's "
        "view, and are its depths metres?"
    )
