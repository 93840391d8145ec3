"""From where a component is looked at: a sphere of viewpoints around it, without those from which the CAD hides it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at

DIRECTIONS = 480
AROUND, UP = 8, 4
VIEW_BINS = AROUND * UP
LEAST_VISIBLE = 0.5
CHECK_PX = 128


@dataclass(frozen=True)
class ViewRange:
    """Of the directions from a component to the camera, in its frame, degrees.

    Attributes:
        polar: from the z axis. azimuth: from the x axis; a range that does not begin below its end goes round by 180.
    """

    polar: tuple[float, float] = (0.0, 180.0)
    azimuth: tuple[float, float] = (-180.0, 180.0)

    def holds(self, directions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) whether directions (n, 3) lie within."""
        polar = np.degrees(np.arccos(np.clip(directions[:, 2], -1, 1)))
        azimuth = np.degrees(np.arctan2(directions[:, 1], directions[:, 0]))
        low, high = self.azimuth
        around = (azimuth >= low) & (azimuth <= high) if low < high else (azimuth >= low) | (azimuth <= high)
        return (polar >= self.polar[0]) & (polar <= self.polar[1]) & around


EVERYWHERE = ViewRange()


@dataclass(frozen=True)
class Viewpoints:
    """Allowed directions (n, 3), unit, and the bin (n,) of each; `apart`: how far neighbours are apart, radians."""

    directions: NDArray[np.float64]
    bins: NDArray[np.int64]
    apart: float

    def draw(self, rng: np.random.Generator, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """A direction by the weights (VIEW_BINS,) of the bins, and its bin; bins without any do not count."""
        there = np.bincount(self.bins, minlength=VIEW_BINS) > 0
        share = np.where(there, weights, 0.0)
        bin_ = int(rng.choice(VIEW_BINS, p=share / share.sum()))
        chosen = self.directions[rng.choice(np.flatnonzero(self.bins == bin_))]
        moved = chosen + rng.normal(0, self.apart / 3, 3)
        return moved / np.linalg.norm(moved), bin_


def sphere(count: int = DIRECTIONS) -> NDArray[np.float64]:
    """(count, 3) directions spread evenly: a spiral whose turns are apart by the golden angle."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.arange(count) * math.pi * (3 - math.sqrt(5))
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def bins_of(directions: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) bins of equal area: AROUND the z axis and UP along it."""
    up = np.minimum(((1 - directions[:, 2]) / 2 * UP).astype(np.int64), UP - 1)
    around = ((np.arctan2(directions[:, 1], directions[:, 0]) / (2 * math.pi) + 0.5) * AROUND).astype(np.int64)
    return np.asarray(up * AROUND + np.minimum(around, AROUND - 1))


def viewpoints(assembly: Assembly, name: str, distance_m: float, within: ViewRange = EVERYWHERE) -> Viewpoints:
    """The directions from which a component is seen in its assembly.

    Args:
        distance_m: from the component's middle to the camera.

    Raises:
        ValueError: it is seen from nowhere within the range.
    """
    directions = sphere()
    directions = directions[within.holds(directions)]
    if len(assembly.components) > 1 and len(directions):
        directions = directions[_seen(assembly, name, distance_m, directions) >= LEAST_VISIBLE]
    if not len(directions):
        raise ValueError(
            f"{assembly.source}: {name} is seen from nowhere in polar {within.polar}, azimuth {within.azimuth} "
            "degrees; widen the range, or leave the component out"
        )
    return Viewpoints(directions, bins_of(directions), math.sqrt(4 * math.pi / DIRECTIONS))


def _seen(assembly: Assembly, name: str, distance_m: float, directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) fraction of the component's projection that nothing hides."""
    index, own = assembly.index(name), assembly.components[assembly.index(name)]
    centre = (own.vertices.min(axis=0) + own.vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(own.vertices - centre, axis=1).max())
    camera = CameraModel.pinhole(CHECK_PX, CHECK_PX, 0.9 * CHECK_PX * distance_m / (2 * radius))
    others = [n for n in assembly.names if n != name]
    fractions = []
    with GeometryRenderer(assembly) as renderer:
        for direction in directions:
            pose = inverse(look_at(centre + direction * distance_m, centre))
            alone = int(np.count_nonzero(renderer.render(pose, camera, others).ids == index))
            seen = np.count_nonzero(renderer.render(pose, camera).ids == index)
            fractions.append(seen / max(alone, 1))
    return np.array(fractions)
