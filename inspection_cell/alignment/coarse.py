"""A first guess over the prior's whole bound: the CAD's edges, turned and shifted, laid over edge directions."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.edges import EdgeSamples
from inspection_cell.alignment.gradients import GradientImage
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector, transform

DIRECTIONS = 8
STEP_PX = 2.0
MAX_TURNS = 7
POSES = 12


def direction_maps(gradients: GradientImage, border: int) -> NDArray[np.float32]:
    """(8, h + 2 border, w + 2 border) float32, 0 to 1: how strongly an edge of each direction is at or beside a pixel.

    After S. Hinterstoisser et al., "Gradient response maps", PAMI 2012: quantised directions, spread to neighbours.
    """
    strength = np.minimum(np.hypot(gradients.x, gradients.y) / gradients.threshold, 1.0)
    strength[strength < 0.5] = 0.0
    angle = np.mod(np.arctan2(gradients.y, gradients.x), np.pi) / np.pi * DIRECTIONS
    maps = []
    for k in range(DIRECTIONS):
        away = np.abs(angle - k)
        away = np.minimum(away, DIRECTIONS - away)
        response = (strength * np.clip(1.5 - away, 0.0, 1.0)).astype(np.float32)
        spread = cv2.dilate(response, np.ones((3, 3), np.uint8))
        maps.append(np.pad(0.5 * (response + spread), border))
    return np.stack(maps)


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
        centre, radius_m: of the part, in the part frame; the grid turns about the centre.
        bound: metres, radians.
    """
    middle = transform(T_prior, centre[None])[0]
    px_per_m = camera.matrix[0, 0] / middle[2] * gradients.scale
    reach = int(np.ceil(bound[0] * px_per_m)) + 1
    turns = min(MAX_TURNS, 2 * int(np.ceil(bound[1] * radius_m * px_per_m / STEP_PX)) + 1)
    angles = np.linspace(-1.0, 1.0, turns) * bound[1] * (1.0 - 1.0 / turns) if turns > 1 else np.zeros(1)
    border = reach + 2
    maps = direction_maps(gradients, border)
    height, width = maps.shape[1:]
    shifts = np.arange(-reach, reach + 1)
    offsets = (shifts[:, None] * width + shifts).ravel()
    in_camera = transform(T_prior, samples.points) - middle
    tips = samples.pixels + samples.normals
    scored: list[tuple[float, int, Pose]] = []
    for number, turn in enumerate(itertools.product(angles, repeat=3)):
        rotation = rotation_from_vector(turn)
        pixels = gradients.to_scale(camera.project(in_camera @ rotation.T + middle))
        roll = rotation[:2, :2]
        normal = (tips - samples.pixels) @ roll.T
        direction = np.rint(np.mod(np.arctan2(normal[:, 1], normal[:, 0]), np.pi) / np.pi * DIRECTIONS).astype(int)
        column = np.clip(np.rint(np.nan_to_num(pixels[:, 0])).astype(int), 0, width - 2 * border - 1) + border
        row = np.clip(np.rint(np.nan_to_num(pixels[:, 1])).astype(int), 0, height - 2 * border - 1) + border
        base = ((direction % DIRECTIONS) * height + row) * width + column
        score = maps.reshape(-1)[base[:, None] + offsets].mean(axis=0)
        best = int(np.argmax(score))
        down, right = divmod(best, len(shifts))
        slide = np.array([shifts[right], shifts[down], 0.0]) / px_per_m
        about = make_pose(rotation, middle + slide - rotation @ middle)
        scored.append((float(score[best]), number, about @ T_prior))
    scored.sort(key=lambda item: (-item[0], item[1]))
    return [T_prior, *(pose for _, _, pose in scored[:POSES])]
