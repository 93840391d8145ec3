"""Hypotheses of where the part is compete from the coarsest picture to the finest."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.gradients import GradientImage
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector, transform

KEPT = (6, 4, 2)
WIDTHS = ((3.0, (3.0, 2.0)), (2.0, (2.0, 1.5)))
SCORE_PX = 1.5
RUT_PX = 2.5
TURN_PX = 3.0
TURNS = 4.0
MOST_TURN_RAD = math.radians(30.0)


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
        ranked = _refined(poses, camera, samples, gradients, information)[:keep]
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
    turned = []
    for axis, sign, angle in itertools.product(part.axes.T, (-1.0, 1.0), angles):
        rotation = rotation_from_vector(sign * angle * axis)
        turned.append(pose @ make_pose(rotation, centre - rotation @ centre))
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
    points = samples.thinned(40).points
    same = np.stack([camera.project(transform(pose @ turn, points)) for turn in part.symmetries])
    seen = [camera.project(transform(other, points)) for _, other in ranked]
    apart = [np.linalg.norm(np.nan_to_num(same - own, nan=1e4), axis=2).mean(axis=1).min() for own in seen]
    return [item for item, px in zip(ranked, apart, strict=True) if px > apart_px]


def _refined(
    poses: list[Pose],
    camera: CameraModel,
    samples: EdgeSamples,
    gradients: GradientImage,
    information: NDArray[np.float64],
) -> list[tuple[float, Pose]]:
    """Scores and poses at one scale, best first and without those that look alike."""
    reach = np.array([max(2, math.ceil(r)) for r, _ in WIDTHS], np.int64)
    widths = np.array([w for _, w in WIDTHS]) / gradients.scale
    field, score_px = gradients.field(), SCORE_PX / gradients.scale

    def refined(pose: Pose) -> tuple[float, Pose]:
        return kernel.hypothesis(
            pose, camera, samples.points, samples.normals, field, reach, widths, information, score_px
        )

    scored = list(kernel.THREADS.map(refined, poses))
    return _distinct(sorted(scored, key=lambda item: -item[0]), camera, samples, 1.0 / gradients.scale)


def _steps_from(
    pose: Pose, camera: CameraModel, step_px: float, centre: NDArray[np.float64], radius_m: float
) -> list[Pose]:
    """12 poses beside one: the part's outline moves by about so many pixels, in each direction and about each axis."""
    middle = transform(pose, centre[None])[0]
    step = step_px * middle[2] / camera.matrix[0, 0]
    poses = []
    for axis, sign in itertools.product(range(3), (-1.0, 1.0)):
        # A turn about the line of sight moves the outline by all of its radius, one out of the image by half as much.
        turn = sign * step / radius_m * (2.0 if axis < 2 else 1.0) * np.eye(3)[axis]
        rotation = rotation_from_vector(turn)
        shift = sign * step * np.eye(3)[axis] if axis < 2 else sign * step / radius_m * middle
        poses += [make_pose(rotation, middle - rotation @ middle) @ pose, make_pose(None, shift) @ pose]
    return poses


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
