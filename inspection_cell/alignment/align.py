"""Where the part is in one view: coarse over the prior's bound, refined to a fraction of a pixel, then judged."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.coarse import coarse_poses
from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.gradients import GradientImage, gradient_image, search_lines
from inspection_cell.alignment.refine import Fit, covariance, fit_at, refine
from inspection_cell.cad.assembly import Component
from inspection_cell.cad.distortion import undistorted_crop
from inspection_cell.cad.visibility import Box, projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, is_pose, rotation_angle, transform

COARSE_REACH_PX = 6.0
COARSE_SMALLEST_PX = 140.0
COARSE_SAMPLES = 250
HYPOTHESIS_SAMPLES = 600
KEPT = (6, 4, 2)
HYPOTHESIS_WIDTHS = ((3.0, (3.0, 2.0)), (2.0, (2.0, 1.5)))
SCORE_PX = 1.5
HOPELESS = 0.75
"""Of the best score before the last refinement: so far below it no pose comes near the best one's by it."""
FINE_LARGEST_PX = 1400.0
FINE_WIDTHS = ((4.0, 3.0, 2.0, 2.0), (3.0, 2.0, 1.5, 1.5, 1.5))
SEEN_ANEW_PX = 1.0
SAMPLES = 2000
DEPTH_PX = 400
FEWEST_SAMPLES = 80
MATCH_PX = 2.0
SHARP_PX = 0.7


@dataclass(frozen=True)
class AlignmentLimits:
    """What an estimate must reach to be accepted.

    Attributes:
        quality: fraction of the visible edges found within 2 px.
        sharpness: of those, the fraction within 0.7 px; chance matches are spread evenly and reach 0.35.
        tight: fraction of the visible edges found within 0.7 px. The demo part the wrong way round reaches 0.32.
        runner_up: a distinctly different pose must score less than this fraction of the best.
        bound_factor: how far beyond the prior's bound an estimate may lie.
        spread_of_bound: largest standard deviation, as a fraction of the prior's bound.
    """

    quality: float = 0.5
    sharpness: float = 0.5
    tight: float = 0.375
    runner_up: float = 0.9
    bound_factor: float = 1.25
    spread_of_bound: float = 0.4


@dataclass(frozen=True)
class AlignmentEstimate:
    """The part's pose in one view.

    Attributes:
        T_camera_part: the estimate; the prior where nothing could be estimated.
        covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame; infinite where there is none.
        quality: 0 to 1, fraction of the visible CAD edges found within 2 px.
        sharpness: 0 to 1, of those the fraction within 0.7 px.
        residual_px: root mean square distance of the found edges; NaN where none was found.
        accepted: only an accepted estimate may be used; `reason` says why not.
        edges: (n, 2) pixels of the image, the projected edges; `edge_residuals` (n,), NaN where no edge was found.
    """

    T_camera_part: Pose
    covariance: NDArray[np.float64]
    quality: float
    sharpness: float
    residual_px: float
    accepted: bool
    reason: str
    edges: NDArray[np.float64]
    edge_residuals: NDArray[np.float64]


def align(
    image: ArrayLike,
    camera: CameraModel,
    part: PartEdges,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    limits: AlignmentLimits = AlignmentLimits(),
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
    wrong = _input_fault(pixels, camera, prior, prior_bound)
    if wrong:
        return _refused(prior, wrong)
    assembly = part.assembly
    corners = np.stack(np.meshgrid(*assembly.bounds.T), axis=-1).reshape(-1, 3)
    depth = float(transform(prior, assembly.centre[None])[0, 2])
    if depth <= assembly.radius:
        return _refused(prior, "the prior puts the part behind or around the camera")
    px_per_m = camera.matrix[0, 0] / depth
    reach_px = (prior_bound[0] + assembly.radius * prior_bound[1]) * px_per_m
    box = projected_box(corners, prior, camera, reach_px + 8)
    clipped = _clipped(box, camera) if box is not None else None
    if clipped is None:
        return _refused(prior, "the prior puts the part outside the image")
    crop, pinhole = undistorted_crop(_grey(pixels), camera, *clipped)
    grey = np.asarray(crop, np.float32)
    information = np.diag([(2.0 / prior_bound[0]) ** 2] * 3 + [(2.0 / prior_bound[1]) ** 2] * 3)

    part_px = 2 * assembly.radius * px_per_m
    finest = min(1.0, FINE_LARGEST_PX / part_px)
    coarsest = min(finest, max(COARSE_REACH_PX / reach_px, COARSE_SMALLEST_PX / part_px))
    samples = part.visible(prior, pinhole, SAMPLES, DEPTH_PX, hidden, occluders)
    if len(samples) < FEWEST_SAMPLES:
        return _refused(prior, f"only {len(samples)} visible edge points are in the image: the part is hardly in view")
    scales = (coarsest, math.sqrt(coarsest * finest), finest)
    pyramid = [gradient_image(grey, scale) for scale in scales]
    few = samples.thinned(COARSE_SAMPLES)
    poses = coarse_poses(prior, pinhole, few, pyramid[0], assembly.centre, assembly.radius, prior_bound)
    ranked = _tournament(poses, pinhole, samples.thinned(HYPOTHESIS_SAMPLES), pyramid, information)
    finished = []
    for rough, hypothesis in ranked:
        if rough < HOPELESS * ranked[0][0]:
            break
        refined = _finish(hypothesis, pinhole, part, pyramid[-1], information, hidden, occluders)
        if refined is None:
            return _refused(prior, "the part leaves the image while it is being aligned")
        finished.append((refined[1].score(SCORE_PX / finest), *refined))
    # Compared only now: at the coarser step a pose on its way to the best one may still look like another.
    finished.sort(key=lambda item: -item[0])
    score, pose, fit = finished[0]
    others = _distinct([(s, p) for s, p, _ in finished], pinhole, samples, 2 * SCORE_PX / finest)[1:]
    runner_up = others[0][0] / max(score, 1e-9) if others else 0.0
    return _judged(
        pose, fit, runner_up, prior, assembly.centre, prior_bound, limits, information, finest, clipped, camera
    )


def _finish(
    pose: Pose,
    camera: CameraModel,
    part: PartEdges,
    gradients: GradientImage,
    information: NDArray[np.float64],
    hidden: Collection[str],
    occluders: Sequence[Component],
) -> tuple[Pose, Fit] | None:
    """The last refinement at the finest scale, with the edges seen from the pose itself; None when too few are."""
    samples = part.visible(pose, camera, SAMPLES, DEPTH_PX, hidden, occluders)
    for number, widths in enumerate(FINE_WIDTHS):
        if number and _moved_px(pose, camera, samples) > SEEN_ANEW_PX:
            samples = part.visible(pose, camera, SAMPLES, DEPTH_PX, hidden, occluders)
        if len(samples) < FEWEST_SAMPLES:
            return None
        samples = samples.seen_from(pose, camera)
        lines = search_lines(gradients, samples.pixels, samples.normals, widths[0] / gradients.scale)
        pose = refine(pose, camera, samples, lines, np.array(widths) / gradients.scale, information)
    return pose, fit_at(pose, camera, samples, lines)


def _moved_px(pose: Pose, camera: CameraModel, samples: EdgeSamples) -> float:
    """How far the samples lie on average from where they were seen."""
    return float(np.linalg.norm(samples.seen_from(pose, camera).pixels - samples.pixels, axis=1).mean())


def _tournament(
    poses: list[Pose],
    camera: CameraModel,
    samples: EdgeSamples,
    pyramid: list[GradientImage],
    information: NDArray[np.float64],
) -> list[tuple[float, Pose]]:
    """Refines poses from the coarsest scale to the finest; fewer and fewer, all distinct, go on to the next.

    Returns:
        Scores and poses at the finest scale, best first.
    """
    ranked: list[tuple[float, Pose]] = []
    for gradients, keep in zip(pyramid, KEPT, strict=True):
        reach = np.array([max(2, math.ceil(r)) for r, _ in HYPOTHESIS_WIDTHS], np.int64)
        widths = np.array([w for _, w in HYPOTHESIS_WIDTHS]) / gradients.scale
        field, score_px = gradients.field(), SCORE_PX / gradients.scale
        ranked = [
            kernel.hypothesis(
                pose, camera, samples.points, samples.normals, field, reach, widths, information, score_px
            )
            for pose in poses
        ]
        ranked = _distinct(sorted(ranked, key=lambda item: -item[0]), camera, samples, 1.0 / gradients.scale)[:keep]
        poses = [pose for _, pose in ranked]
    return ranked


def _distinct(
    ranked: list[tuple[float, Pose]], camera: CameraModel, samples: EdgeSamples, apart_px: float
) -> list[tuple[float, Pose]]:
    """Without the poses that look as a better one does."""
    points = samples.thinned(40).points
    in_camera = np.stack([transform(pose, points) for _, pose in ranked])
    pixels = np.nan_to_num(camera.project(in_camera.reshape(-1, 3)), nan=-1e4).reshape(len(ranked), -1, 2)
    kept: list[int] = []
    for k, own in enumerate(pixels):
        if not kept or np.linalg.norm(pixels[kept] - own, axis=2).mean(axis=1).min() > apart_px:
            kept.append(k)
    return [ranked[k] for k in kept]


def _judged(
    pose: Pose,
    fit: Fit,
    runner_up: float,
    prior: Pose,
    centre: NDArray[np.float64],
    bound: tuple[float, float],
    limits: AlignmentLimits,
    information: NDArray[np.float64],
    scale: float,
    box: Box,
    camera: CameraModel,
) -> AlignmentEstimate:
    quality = fit.matched(MATCH_PX / scale)
    sharpness = fit.matched(SHARP_PX / scale) / quality if quality > 0 else 0.0
    near = np.abs(np.nan_to_num(fit.residuals, nan=np.inf)) < MATCH_PX / scale
    residual = float(np.sqrt(np.mean(fit.residuals[near] ** 2))) if near.any() else math.nan
    spread = covariance(fit, 1.5 * MATCH_PX / scale, information)
    moved = float(np.linalg.norm(transform(pose, centre[None]) - transform(prior, centre[None])))
    turned = rotation_angle(inverse(prior)[:3, :3] @ pose[:3, :3])
    # The rotation acts about the part's origin; at its centre is where the translation is meant.
    shift = np.eye(6)
    shift[:3, 3:] = -np.array(
        [[0, -centre[2], centre[1]], [centre[2], 0, -centre[0]], [-centre[1], centre[0], 0]], float
    )
    at_centre = shift @ spread @ shift.T
    sigma = np.sqrt(np.maximum(np.array([at_centre[:3, :3].trace() / 3, at_centre[3:, 3:].trace() / 3]), 0.0))
    reason = ""
    if not is_pose(pose, 1e-6) or not np.all(np.isfinite(spread)):
        reason = "the estimate is not finite"
    elif quality < limits.quality:
        reason = f"only {quality:.0%} of the visible edges were found, {limits.quality:.0%} are needed"
    elif sharpness < limits.sharpness:
        reason = f"the found edges do not line up: sharpness {sharpness:.2f}, {limits.sharpness:.2f} is needed"
    elif quality * sharpness < limits.tight:
        tight = quality * sharpness
        reason = f"only {tight:.0%} of the visible edges lie within {SHARP_PX} px, {limits.tight:.0%} are needed"
    elif runner_up > limits.runner_up:
        reason = f"another pose fits as well: it scores {runner_up:.0%} of the best"
    elif moved > limits.bound_factor * bound[0] or turned > limits.bound_factor * bound[1]:
        reason = (
            f"{moved * 1000:.2f} mm and {math.degrees(turned):.2f} deg from the prior, "
            f"beyond its bound of {bound[0] * 1000:.2f} mm and {math.degrees(bound[1]):.2f} deg"
        )
    elif sigma[0] > limits.spread_of_bound * bound[0] or sigma[1] > limits.spread_of_bound * bound[1]:
        reason = f"the edges do not fix the pose: {sigma[0] * 1000:.2f} mm, {math.degrees(sigma[1]):.2f} deg"
    edges = np.nan_to_num(fit.pixels) + np.array(box[:2], float)
    if np.any(camera.distortion):
        edges = _distorted(edges, camera)
    return AlignmentEstimate(pose, spread, quality, sharpness, residual, not reason, reason, edges, fit.residuals)


def _distorted(pixels: NDArray[np.float64], camera: CameraModel) -> NDArray[np.float64]:
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    return camera.project(homogeneous @ np.linalg.inv(camera.matrix).T)


def _input_fault(image: NDArray[np.generic], camera: CameraModel, prior: Pose, bound: tuple[float, float]) -> str:
    if image.ndim not in (2, 3) or image.shape[:2] != (camera.height, camera.width):
        return f"the image is {image.shape}, the camera {camera.height}x{camera.width}"
    if image.ndim == 3 and image.shape[2] != 3:
        return f"the image has {image.shape[2]} channels, 1 or 3 are known"
    if not np.issubdtype(image.dtype, np.integer) and not np.all(np.isfinite(np.asarray(image, float))):
        return "the image holds values that are not finite"
    if not is_pose(prior):
        return "the prior is not a finite rigid pose"
    if not all(np.isfinite(bound)) or min(bound) <= 0:
        return f"the prior's bound {bound} is not positive and finite"
    return ""


def _refused(prior: Pose, reason: str) -> AlignmentEstimate:
    nowhere = np.zeros((0, 2))
    spread = np.diag(np.full(6, np.inf))
    return AlignmentEstimate(prior, spread, 0.0, 0.0, math.nan, False, reason, nowhere, np.zeros(0))


def _clipped(box: Box, camera: CameraModel) -> Box | None:
    """The box inside the image; None when less than 16 pixels are left."""
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], camera.width), min(box[1] + box[3], camera.height)
    return (x0, y0, x1 - x0, y1 - y0) if min(x1 - x0, y1 - y0) >= 16 else None


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) if image.ndim == 3 else image
