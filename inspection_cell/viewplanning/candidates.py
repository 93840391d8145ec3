"""Poses to look from: evenly spread directions around the part, at some distances."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose, look_at, make_pose, rotation_from_vector

ROLLS = 8
"""Turns about the optical axis that are tried for the arm's sake; what is seen is all but the same."""


def directions(count: int) -> NDArray[np.float64]:
    """(count, 3) unit vectors, evenly spread (a spiral by the golden angle)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    around = k * math.pi * (3 - math.sqrt(5))
    level = np.sqrt(1 - z**2)
    return np.column_stack([level * np.cos(around), level * np.sin(around), z])


def poses(centre: NDArray[np.float64], distances: tuple[float, ...], count: int) -> list[Pose]:
    """T_part_camera of `count` directions at each of the distances; the image's up is the part's -x where it can be."""
    return [look_at(centre + d * along, centre, down=(1.0, 0.0, 0.0)) for d in distances for along in directions(count)]


def rolled(T_part_camera: Pose) -> Iterator[Pose]:
    """The pose itself, and turned about the optical axis."""
    for k in range(ROLLS):
        # Nearest turns first: a picture that is nearly upright is easier to read.
        turn = math.ceil(k / 2) * (-1) ** k * 2 * math.pi / ROLLS
        yield T_part_camera @ make_pose(rotation_from_vector((0, 0, turn)))
