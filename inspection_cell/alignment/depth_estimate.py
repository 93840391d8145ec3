"""What depth says about the part's pose, and whether that may be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.depth_fit import DepthFit
from inspection_cell.alignment.judge import pose_fault
from inspection_cell.cad.assembly import Assembly
from inspection_cell.core.poses import Pose

NEAR_SIGMAS = 3.0


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
        found: whether the part's surface was found. A found one may still be refused, where it does not fix the pose by
            itself or lies beyond the prior's bound; beside another estimate it counts.
        accepted: only an accepted estimate may be used alone; `reason` says why not.
        points: (n, 3) metres, depth camera's frame: the visible surface; `residuals` (n,) metres along its normals to
            what was measured, NaN where nothing was.
    """

    T_camera_part: Pose
    covariance: NDArray[np.float64]
    quality: float
    residual_m: float
    found: bool
    accepted: bool
    reason: str
    points: NDArray[np.float64]
    residuals: NDArray[np.float64]


def refused(prior: Pose, reason: str) -> DepthEstimate:
    """The estimate where there is none."""
    nowhere, spread = np.zeros((0, 3)), np.diag(np.full(6, np.inf))
    return DepthEstimate(prior, spread, 0.0, math.nan, False, False, reason, nowhere, np.zeros(0))


def judged(
    pose: Pose,
    fit: DepthFit,
    covariance: NDArray[np.float64],
    runner_up: float,
    prior: Pose,
    bound: tuple[float, float],
    limits: DepthLimits,
    assembly: Assembly,
) -> DepthEstimate:
    """The estimate of a finished fit.

    Args:
        runner_up: of the best score, what a distinctly different pose reaches.
    """
    near = fit.matched(NEAR_SIGMAS)
    quality = float(np.mean(near))
    residual_m = float(np.sqrt(np.mean(fit.residuals[near] ** 2))) if near.any() else math.nan
    missed = _surface_fault(fit, runner_up, limits)
    fixed = bound, limits.bound_factor, limits.spread_of_bound
    reason = missed or pose_fault(pose, covariance, prior, assembly.centre, *fixed, "the surfaces")
    return DepthEstimate(
        pose, covariance, quality, residual_m, not missed, not reason, reason, fit.points, fit.residuals
    )


def _surface_fault(fit: DepthFit, runner_up: float, limits: DepthLimits) -> str:
    """Why what was measured is not the part; empty where it is."""
    near = fit.matched(NEAR_SIGMAS)
    quality, seen_through = float(np.mean(near)), float(np.mean(fit.residuals < -NEAR_SIGMAS * fit.sigma))
    if quality < limits.quality:
        return f"only {quality:.0%} of the visible surface was measured in its place, {limits.quality:.0%} are needed"
    if seen_through > limits.seen_through:
        return f"the depth camera sees through {seen_through:.0%} of the part, {limits.seen_through:.0%} are allowed"
    residual = float(np.sqrt(np.mean((fit.residuals[near] / fit.sigma[near]) ** 2)))
    if residual > limits.residual:
        return (
            f"the measured surface is not the part's, or the depth camera's noise is more than was said: "
            f"{residual:.2f} standard deviations, {limits.residual:.2f} are allowed"
        )
    if runner_up > limits.runner_up:
        return f"another pose fits as well: it scores {runner_up:.0%} of the best"
    return ""
