"""Where the part is in one view: coarse over the prior's bound, refined to a fraction of a pixel, then judged."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.coarse import coarse_poses
from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.finish import DENSE, FEWEST_SAMPLES, SAMPLES, Sight, finished, matched, sharpened
from inspection_cell.alignment.gradients import TYPICAL_PX, GradientImage, gradient_image, step_width
from inspection_cell.alignment.hypotheses import SCORE_PX, best_turned, out_of_ruts, rivals, tournament
from inspection_cell.alignment.judge import (
    LIMITS,
    TIGHT_PX,
    AlignmentLimits,
    Evidence,
    blur_fault,
    edge_fault,
    pose_fault,
    prior_fault,
    prior_information,
)
from inspection_cell.alignment.refine import covariance
from inspection_cell.cad.assembly import Component
from inspection_cell.cad.distortion import undistorted_crop
from inspection_cell.cad.visibility import Box, projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

COARSE_REACH_PX = 6.0
COARSE_SMALLEST_PX = 140.0
COARSE_SAMPLES = 250
HYPOTHESIS_SAMPLES = 400
HOPELESS = 0.75
"""Of the best score before the last refinement: so far below it no pose comes near the best one's by it."""
FINE_LARGEST_PX = 1400.0
EDGE_BIAS_PX = 0.3
BLURRED_PX = 2.0
MATCH_PX = 2.0


@dataclass(frozen=True)
class AlignmentEstimate:
    """The part's pose in one view.

    Attributes:
        T_camera_part: the estimate, of a symmetric part the one nearest to the prior; the prior where there is none.
        covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame; infinite where there is none.
        quality: 0 to 1, fraction of the visible CAD edges found within 2 px.
        sharpness: 0 to 1, of those the fraction within 0.7 px; matches by chance are spread evenly and reach 0.35.
        agreement: 0 to 1, how far grey levels across the edges, explained by the CAD's edges, put them where they are.
        residual_px: root mean square distance of the found edges; NaN where none was found.
        accepted: only an accepted estimate may be used; `reason` says why not.
        symmetries: (k, 4, 4) T_part_part, turns that leave the part as it was, the identity first.
        edges: (n, 2) pixels of the image, the projected edges; `edge_residuals` (n,), NaN where no edge was found.
    """

    T_camera_part: Pose
    covariance: NDArray[np.float64]
    quality: float
    sharpness: float
    agreement: float
    residual_px: float
    accepted: bool
    reason: str
    symmetries: NDArray[np.float64]
    edges: NDArray[np.float64]
    edge_residuals: NDArray[np.float64]

    @property
    def equivalents(self) -> NDArray[np.float64]:
        """(k, 4, 4) all poses T_camera_part that are the same for a symmetric part, the estimate first."""
        return self.T_camera_part @ self.symmetries


def align(
    image: ArrayLike,
    camera: CameraModel,
    part: PartEdges,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    limits: AlignmentLimits = LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> AlignmentEstimate:
    """Finds the part near a prior. Whatever is wrong with the input, the answer is a refused estimate.

    Args:
        image: (h, w) or (h, w, 3) uint8 or float, 0 to 255, of the camera's size.
        prior_bound: how far the part may be from the prior, metres and radians, about the part's centre.
        hidden: components known to be absent.
        occluders: known things in the way, in the part frame (a gripper).
    """
    prior = np.asarray(T_camera_part_prior, float)
    pixels = np.asarray(image)
    wrong = _image_fault(pixels, camera) or prior_fault(prior, prior_bound, part.assembly.centre, part.assembly.radius)
    if wrong:
        return _refused(prior, wrong)
    view = _cut_out(pixels, camera, part, prior, prior_bound, hidden, occluders)
    if isinstance(view, str):
        return _refused(prior, view)
    found = _searched(view, part, prior, prior_bound)
    if isinstance(found, str):
        return _refused(prior, found)
    return _judged(found, view, camera, part, prior, prior_bound, limits)


@dataclass(frozen=True)
class _View:
    """The part of the picture that matters.

    Attributes:
        grey: (h, w) float32, without lens distortion. corner: its first pixel's column and row in the image.
        px_per_m: pixels a metre at the prior's distance.
        information: (6, 6) of the prior.
    """

    sight: Sight
    grey: NDArray[np.float32]
    corner: tuple[int, int]
    px_per_m: float
    information: NDArray[np.float64]


@dataclass(frozen=True)
class _Found:
    """The best pose.

    Attributes:
        runner_up: of its score, what a different pose reaches.
        dense: samples on all edges seen. gradients: of the finest scale, `coarser` of the one before.
        width_px: of the picture's steps. finest: the scale at which a sharp picture would be looked at.
    """

    pose: Pose
    runner_up: float
    dense: EdgeSamples
    gradients: GradientImage
    coarser: GradientImage
    width_px: float
    finest: float


def _cut_out(
    pixels: NDArray[Any],
    camera: CameraModel,
    part: PartEdges,
    prior: Pose,
    bound: tuple[float, float],
    hidden: Collection[str],
    occluders: Sequence[Component],
) -> _View | str:
    """The picture around the part, wherever the bound allows it to be; or why there is none."""
    assembly = part.assembly
    depth = float(transform(prior, assembly.centre[None])[0, 2])
    px_per_m = camera.matrix[0, 0] / depth
    box = projected_box(assembly.corners, prior, camera, (bound[0] + assembly.radius * bound[1]) * px_per_m + 8)
    clipped = _clipped(box, camera) if box is not None else None
    if clipped is None:
        return "the prior puts the part outside the image"
    crop, pinhole = undistorted_crop(_grey(pixels), camera, *clipped)
    sight = Sight(part, pinhole, hidden, occluders)
    return _View(sight, np.asarray(crop, np.float32), clipped[:2], px_per_m, prior_information(bound))


def _searched(view: _View, part: PartEdges, prior: Pose, bound: tuple[float, float]) -> _Found | str:
    """The best pose within the bound, or why there is none."""
    sight, assembly, information = view.sight, part.assembly, view.information
    part_px, reach_px = 2 * assembly.radius * view.px_per_m, (bound[0] + assembly.radius * bound[1]) * view.px_per_m
    finest = min(1.0, FINE_LARGEST_PX / part_px)
    coarsest = min(finest, max(COARSE_REACH_PX / reach_px, COARSE_SMALLEST_PX / part_px))
    finer = kernel.THREADS.submit(_finer_gradients, view.grey, coarsest, finest)  # while the coarse search goes on
    samples, smallest = sight.edges(prior, SAMPLES), gradient_image(view.grey, coarsest)
    if len(samples) < FEWEST_SAMPLES:
        return f"only {len(samples)} visible edge points are in the image: the part is hardly in view"
    few, some = samples.thinned(COARSE_SAMPLES), samples.thinned(HYPOTHESIS_SAMPLES)
    poses = coarse_poses(prior, sight.camera, few, smallest, assembly.centre, assembly.radius, bound)
    middle, last, width_px = finer.result()
    pyramid = [smallest, middle, last]
    ranked = tournament(poses, sight.camera, some, pyramid, information)
    ranked = out_of_ruts(ranked, sight.camera, some, last, information, assembly.centre, assembly.radius)
    found = []
    for rough, hypothesis in ranked:
        if rough < HOPELESS * ranked[0][0]:
            break
        refined = finished(hypothesis, sight, last, information)
        if refined is None:
            return "the part leaves the image while it is being aligned"
        found.append((refined[2].score(SCORE_PX / last.scale), *refined))
    # Compared only now: at the coarser step a pose on its way to the best one may still look like another.
    found.sort(key=lambda item: -item[0])
    score, pose, dense, _ = found[0]
    others = rivals([(s, p) for s, p, *_ in found], pose, part, sight.camera, dense, 2 * SCORE_PX / last.scale)
    runner_up = others[0][0] / max(score, 1e-9) if others else 0.0
    return _Found(pose, runner_up, dense, last, pyramid[1], width_px, finest)


def _judged(
    found: _Found,
    view: _View,
    camera: CameraModel,
    part: PartEdges,
    prior: Pose,
    bound: tuple[float, float],
    limits: AlignmentLimits,
) -> AlignmentEstimate:
    """The pose to the last fraction of a pixel, with its covariance and whether it may be used."""
    sight, gradients, assembly, scale = view.sight, found.gradients, part.assembly, found.gradients.scale
    nearest, dense = _nearest_equivalent(found.pose, part, prior), found.dense
    if nearest is not found.pose:
        dense = sight.edges(nearest, DENSE)
    pose, profile = sharpened(nearest, sight, dense, gradients, found.width_px, view.information)
    fit = matched(pose, sight, dense, gradients)
    bias_px = EDGE_BIAS_PX * (profile.sigma / TYPICAL_PX) ** 1.5  # the wider the steps, the more edges merge
    spread = covariance(profile.shifts, profile.weights, profile.jacobian, profile.pixels, bias_px, view.information)
    quality = fit.matched(MATCH_PX / scale)
    sharpness = fit.matched(TIGHT_PX / scale) / max(quality, 1e-9)
    evidence = Evidence(quality, sharpness, profile.agreement(), found.runner_up)
    if evidence.tight < limits.doubtful:
        near = dense.seen_from(pose, sight.camera).thinned(HYPOTHESIS_SAMPLES)
        turned = best_turned(pose, sight.camera, near, found.coarser, view.information, part, bound[1])
        evidence = replace(evidence, beyond=turned)
    blurred = scale < found.finest
    reason = (
        edge_fault(evidence, limits)
        or (blur_fault(profile.sigma * found.finest, spread, assembly, limits) if blurred else "")
        or pose_fault(pose, spread, prior, assembly.centre, bound, limits.bound_factor, limits.spread_of_bound)
    )
    edges = np.nan_to_num(fit.pixels) + np.array(view.corner, float)
    return AlignmentEstimate(
        T_camera_part=pose,
        covariance=spread,
        quality=quality,
        sharpness=sharpness,
        agreement=evidence.agreement,
        residual_px=fit.rms(MATCH_PX / scale),
        accepted=not reason,
        reason=reason,
        symmetries=part.symmetries,
        edges=_distorted(edges, camera) if np.any(camera.distortion) else edges,
        edge_residuals=fit.residuals,
    )


def _nearest_equivalent(pose: Pose, part: PartEdges, prior: Pose) -> Pose:
    """Of all poses that are the same for a symmetric part, the one that is turned least from the prior."""
    if len(part.symmetries) == 1:
        return pose
    alike = np.trace(np.swapaxes(pose @ part.symmetries, 1, 2)[:, :3, :3] @ prior[:3, :3], axis1=1, axis2=2)
    best = int(np.argmax(alike))
    return pose if best == 0 else pose @ part.symmetries[best]


def _finer_gradients(
    grey: NDArray[np.float32], coarsest: float, finest: float
) -> tuple[GradientImage, GradientImage, float]:
    """The gradients between the coarsest scale and the last, and of the last; the width of its steps."""
    last, width_px = _sharp_gradients(grey, finest)
    return gradient_image(grey, math.sqrt(coarsest * last.scale)), last, width_px


def _sharp_gradients(grey: NDArray[np.float32], scale: float) -> tuple[GradientImage, float]:
    """The gradients at a scale, or at the smaller one that holds all that a blurred picture does; its steps' width."""
    gradients = gradient_image(grey, scale)
    width_px = step_width(gradients)
    if width_px <= BLURRED_PX:
        return gradients, width_px
    gradients = gradient_image(grey, scale * BLURRED_PX / width_px)
    return gradients, min(step_width(gradients), BLURRED_PX)


def _distorted(pixels: NDArray[np.float64], camera: CameraModel) -> NDArray[np.float64]:
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    return camera.project(homogeneous @ np.linalg.inv(camera.matrix).T)


def _image_fault(image: NDArray[np.generic], camera: CameraModel) -> str:
    if image.ndim not in (2, 3) or image.shape[:2] != (camera.height, camera.width):
        return f"the image is {image.shape}, the camera {camera.height}x{camera.width}"
    if image.ndim == 3 and image.shape[2] != 3:
        return f"the image has {image.shape[2]} channels, 1 or 3 are known"
    if not np.issubdtype(image.dtype, np.integer) and not np.all(np.isfinite(np.asarray(image, float))):
        return "the image holds values that are not finite"
    return ""


def _refused(prior: Pose, reason: str) -> AlignmentEstimate:
    nowhere = np.zeros((0, 2))
    spread = np.diag(np.full(6, np.inf))
    return AlignmentEstimate(
        prior, spread, 0.0, 0.0, 0.0, math.nan, False, reason, np.eye(4)[None], nowhere, np.zeros(0)
    )


def _clipped(box: Box, camera: CameraModel) -> Box | None:
    """The box inside the image; None when less than 16 pixels are left."""
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], camera.width), min(box[1] + box[3], camera.height)
    return (x0, y0, x1 - x0, y1 - y0) if min(x1 - x0, y1 - y0) >= 16 else None


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) if image.ndim == 3 else image
