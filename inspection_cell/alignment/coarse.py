"""A first guess over the prior's whole bound: the CAD's edges, turned and shifted, laid over edge directions."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.edges import EdgeSamples
from inspection_cell.alignment.gradients import GradientImage
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector, transform

DIRECTIONS = 8
STEP_PX = 2.0
MAX_TURNS = 5
MAX_DISTANCES = 3
WITHIN = 1.15
"""Of the bound: turns about several axes at once that come to more are left out."""
POSES = 12


def direction_maps(gradients: GradientImage, border: int) -> NDArray[np.uint8]:
    """(8, h + 2 border, w + 2 border) bytes: how strongly an edge of each direction is at or beside a pixel.

    After S. Hinterstoisser et al., "Gradient response maps", PAMI 2012: quantised directions, spread to neighbours.
    """
    maps = kernel.direction_maps(gradients.field(), DIRECTIONS, border)
    for own in maps:
        cv2.addWeighted(own, 0.5, cv2.dilate(own, np.ones((3, 3), np.uint8)), 0.5, 0.0, dst=own)
    return maps


def coarse_poses(
    T_prior: Pose,
    camera: CameraModel,
    samples: EdgeSamples,
    gradients: GradientImage,
    centre: NDArray[np.float64],
    radius_m: float,
    bound: tuple[float, float],
) -> list[Pose]:
    """The prior, and the best poses T_camera_part of a grid over its bound.

    Args:
        camera: the pinhole of the crop; `gradients` is a small scale of it.
        samples: visible edges at the prior, some hundred.
        centre, radius_m: of the part, in the part frame; the grid turns about the centre, and moves it to and fro.
        bound: metres, radians.
    """
    middle = transform(T_prior, centre[None])[0]
    px_per_m = camera.matrix[0, 0] / middle[2] * gradients.scale
    reach = int(np.ceil(bound[0] * px_per_m)) + 1
    angles = _spread(bound[1], radius_m * px_per_m, MAX_TURNS)
    vectors = np.array(list(itertools.product(angles, repeat=3)))
    turns = rotation_from_vector(vectors[np.linalg.norm(vectors, axis=1) <= WITHIN * bound[1]])
    distances = 1.0 + _spread(bound[0] / middle[2], radius_m * px_per_m, MAX_DISTANCES)
    maps = direction_maps(gradients, reach + 1)
    height, width = gradients.x.shape
    small = camera.resized(width, height)
    outline = transform(T_prior, samples.points) - middle

    def laid(some: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        return kernel.coarse(small, outline, samples.normals, middle, some, distances, maps, reach)

    score, shift = (np.concatenate(parts) for parts in zip(*kernel.THREADS.map(laid, _halves(turns)), strict=True))
    poses = []
    for place in np.argsort(-score, axis=None, kind="stable")[:POSES]:
        turn, far = divmod(int(place), len(distances))
        right, down = shift[turn, far]
        moved = distances[far] * (middle + np.array([right, down, 0.0]) / px_per_m)
        poses.append(make_pose(turns[turn], moved - turns[turn] @ middle) @ T_prior)
    return [T_prior, *poses]


def _halves(turns: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """For two processors."""
    middle = (len(turns) + 1) // 2
    return [np.ascontiguousarray(part) for part in (turns[:middle], turns[middle:]) if len(part)]


def _spread(bound: float, lever_px: float, most: int) -> NDArray[np.float64]:
    """Values that cover -bound to bound so closely that `lever_px` pixels times a half step stay below STEP_PX / 2."""
    count = min(most, 2 * int(np.ceil(bound * lever_px / STEP_PX)) + 1)
    return np.linspace(-1.0, 1.0, count) * bound * (1.0 - 1.0 / count) if count > 1 else np.zeros(1)
