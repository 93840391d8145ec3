"""Hypotheses of where the part is compete from the coarsest picture to the finest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.gradients import GradientImage
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform, turns_about

KEPT = (6, 4, 2)
WIDTHS = ((3.0, (3.0, 2.0)), (2.0, (2.0, 1.5)))
SCORE_PX = 1.5
RUT_PX = 2.5
FEW = 40
"""Samples that tell whether two poses look alike."""
TURN_PX = 3.0
TURNS = 4.0
MOST_TURN_RAD = math.radians(30.0)
AXES, SIGNS = np.repeat(np.arange(3), 2), np.tile([-1.0, 1.0], 3)[:, None]
"""Along each axis, to either side."""


def tournament(
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
        refined = _refined(poses, camera, samples, gradients, information)
        ranked = _distinct(refined, camera, samples, 1.0 / gradients.scale, keep)
        poses = [pose for _, pose in ranked]
    return ranked


def out_of_ruts(
    ranked: list[tuple[float, Pose]],
    camera: CameraModel,
    samples: EdgeSamples,
    gradients: GradientImage,
    information: NDArray[np.float64],
    centre: NDArray[np.float64],
    radius_m: float,
) -> list[tuple[float, Pose]]:
    """The same, with the best one better where it sat a chamfer's width beside the truth.

    An estimate can rest with edges on their parallel neighbours; a step of some pixels in each direction finds out.
    """
    near = _steps_from(ranked[0][1], camera, RUT_PX / gradients.scale, centre, radius_m)
    best = max([ranked[0], *_refined(near, camera, samples, gradients, information)], key=lambda item: item[0])
    return [best, *ranked[1:]]


def best_turned(
    pose: Pose,
    camera: CameraModel,
    samples: EdgeSamples,
    gradients: GradientImage,
    information: NDArray[np.float64],
    part: PartEdges,
    bound_rad: float,
) -> float:
    """The best score beyond the prior's bound, of poses turned about the part's axes, as a fraction of the pose's own.

    A nearly round part fits well however it is turned; then the place of its few features decides, and if they are
    not where the pose puts them they may be farther round than it was allowed to look.

    Args:
        samples: visible at the pose.
    """
    centre = part.assembly.centre
    step = TURN_PX / gradients.scale * transform(pose, centre[None])[0, 2] / camera.matrix[0, 0] / part.assembly.radius
    angles = np.arange(bound_rad, min(TURNS * bound_rad, MOST_TURN_RAD) + step, step)
    both = np.concatenate([-angles, angles])
    turned = list(pose @ turns_about(centre, (part.axes.T[:, None] * both[:, None]).reshape(-1, 3)))
    own = _refined([pose], camera, samples, gradients, information)[0][0]
    others = _refined(turned, camera, samples, gradients, information)
    score, _ = next(iter(rivals(others, pose, part, camera, samples, 2 * SCORE_PX / gradients.scale)), (0.0, pose))
    return score / max(own, 1e-9)


def rivals(
    ranked: list[tuple[float, Pose]],
    pose: Pose,
    part: PartEdges,
    camera: CameraModel,
    samples: EdgeSamples,
    apart_px: float,
) -> list[tuple[float, Pose]]:
    """Those that look different from a pose and from all that are the same for a symmetric part."""
    if not ranked:
        return []
    same = _seen(list(pose @ part.symmetries), camera, samples)
    seen = _seen([other for _, other in ranked], camera, samples)
    return [item for item, own in zip(ranked, seen, strict=True) if _apart(same, own).min() > apart_px]


def _refined(
    poses: list[Pose],
    camera: CameraModel,
    samples: EdgeSamples,
    gradients: GradientImage,
    information: NDArray[np.float64],
) -> list[tuple[float, Pose]]:
    """Scores and poses at one scale, best first."""
    reach = np.array([max(2, math.ceil(r)) for r, _ in WIDTHS], np.int64)
    widths = np.array([w for _, w in WIDTHS]) / gradients.scale
    field, score_px = gradients.field(), SCORE_PX / gradients.scale

    def refined(some: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return kernel.hypotheses(
            some, camera, samples.points, samples.normals, field, reach, widths, information, score_px
        )

    # Neighbours in the list take about as long: each worker gets every so many.
    shares = [np.stack(poses[k :: kernel.WORKERS]) for k in range(min(kernel.WORKERS, len(poses)))]
    parts = kernel.THREADS.map(refined, shares)
    scored = [(float(score), pose) for scores, some in parts for score, pose in zip(scores, some, strict=True)]
    return sorted(scored, key=lambda item: -item[0])


def _steps_from(
    pose: Pose, camera: CameraModel, step_px: float, centre: NDArray[np.float64], radius_m: float
) -> list[Pose]:
    """12 poses beside one: the part's outline moves by about so many pixels, in each direction and about each axis."""
    middle = transform(pose, centre[None])[0]
    step = step_px * middle[2] / camera.matrix[0, 0]
    # A turn about the line of sight moves the outline by all of its radius, one out of the image by half as much.
    turns = turns_about(middle, step / radius_m * np.diag([2.0, 2.0, 1.0])[AXES] * SIGNS)
    shifts = np.tile(np.eye(4), (6, 1, 1))
    shifts[:, :3, 3] = step * np.array([[1.0, 0, 0], [0, 1, 0], middle / radius_m])[AXES] * SIGNS
    return [*turns @ pose, *shifts @ pose]


def _distinct(
    ranked: list[tuple[float, Pose]], camera: CameraModel, samples: EdgeSamples, apart_px: float, most: int
) -> list[tuple[float, Pose]]:
    """The best ones, without those that look as a better one does."""
    pixels = _seen([pose for _, pose in ranked], camera, samples)
    kept: list[tuple[float, Pose]] = []
    left = np.arange(len(ranked))
    while len(left) and len(kept) < most:
        kept.append(ranked[left[0]])
        left = left[_apart(pixels[left], pixels[left[0]]) > apart_px]
    return kept


def _apart(pixels: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) mean distance between points (k, n, 2) and others (n, 2)."""
    difference = pixels - others
    return np.asarray(np.hypot(difference[..., 0], difference[..., 1]).mean(axis=-1))


def _seen(poses: Sequence[Pose], camera: CameraModel, samples: EdgeSamples) -> NDArray[np.float64]:
    """(k, n, 2) pixels at which poses show some of the samples; far away for what is behind the camera."""
    points = samples.thinned(FEW).points
    in_camera = np.concatenate([transform(pose, points) for pose in poses])
    return np.nan_to_num(camera.project(in_camera), nan=-1e4).reshape(len(poses), -1, 2)
