"""Gives defects their shape: marks drawn on the surface, pieces cut out of the mesh, bent regions."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.core.poses import make_pose
from inspection_cell.simulation.truth import Defect, DefectKind

MARK_STYLE = {DefectKind.SCRATCH: 0.0, DefectKind.CRACK: 1.0, DefectKind.DOTS: 2.0}


def marks(defect: Defect) -> NDArray[np.float32]:
    """(n, 8) capsules of a surface mark: start x y z, half width, end x y z, style; metres, part frame."""
    rng = np.random.default_rng([defect.seed, 5])
    draw = {DefectKind.SCRATCH: _scratch, DefectKind.CRACK: _crack, DefectKind.DOTS: _dots}[defect.kind]
    flat = draw(rng, defect.size_m)
    along, across = _tangents(defect, rng)
    capsules = np.zeros((len(flat), 8), np.float32)
    for ends in (slice(0, 3), slice(4, 7)):
        uv = flat[:, :2] if ends.start == 0 else flat[:, 3:5]
        capsules[:, ends] = _onto_surface(defect, np.asarray(defect.point) + uv @ np.stack([along, across]))
    capsules[:, 3] = flat[:, 2]
    capsules[:, 7] = MARK_STYLE[defect.kind]
    return capsules


def _tangents(defect: Defect, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors in the surface: the first mostly along the ring, so that long marks stay on the rim."""
    normal = np.asarray(defect.normal)
    around = np.array([-defect.point[1], defect.point[0], 0.0])
    around /= np.linalg.norm(around)
    other = np.cross(normal, around)
    angle = rng.uniform(-0.45, 0.45)
    along = np.cos(angle) * around + np.sin(angle) * other
    return along, np.cross(normal, along)


def _onto_surface(defect: Defect, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of the tangent plane put back on the surface, where that is the cylinder of the outer wall."""
    if abs(defect.normal[2]) > 0.5:
        return points
    radius = float(np.hypot(*defect.point[:2]))
    scale = radius / np.hypot(points[:, 0], points[:, 1])
    return points * np.column_stack([scale, scale, np.ones(len(points))])


def _chain(points: NDArray[np.float64], half_width: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 5) start u v, half width, end u v of the segments through the points."""
    return np.column_stack([points[:-1], half_width, points[1:]])


def _scratch(rng: np.random.Generator, length: float) -> NDArray[np.float64]:
    u = np.linspace(-length / 2, length / 2, 8)
    v = rng.uniform(-0.12, 0.12) * length * (1 - (2 * u / length) ** 2) + rng.normal(0, 0.00003, 8)
    width = rng.uniform(0.00010, 0.00016) * np.array([0.55, 0.8, 1, 1, 1, 0.8, 0.55])
    main = _chain(np.column_stack([u, v]), width)
    if rng.random() < 0.5:
        return main
    beside = main[2:5] + np.array([0, 0.0005, 0, 0, 0.0005])
    beside[:, 2] *= 0.7
    return np.vstack([main, beside])


def _crack(rng: np.random.Generator, length: float) -> NDArray[np.float64]:
    n = 11
    u = np.linspace(-length / 2, length / 2, n) + rng.normal(0, length / 60, n)
    v = np.cumsum(rng.normal(0, length / 22, n))
    points = np.column_stack([u, v - v.mean()])
    width = rng.uniform(0.00008, 0.00012) * np.linspace(1.0, 0.45, n - 1)
    root = points[rng.integers(3, 7)]
    turn = rng.choice([-1, 1]) * rng.uniform(0.5, 0.9)
    steps = np.linspace(0, 0.35 * length, 5)
    branch = root + np.column_stack([steps * np.cos(turn), steps * np.sin(turn) + rng.normal(0, length / 60, 5)])
    branch[0] = root
    return np.vstack([_chain(points, width), _chain(branch, np.linspace(0.8, 0.4, 4) * width[0])])


def _dots(rng: np.random.Generator, spread: float) -> NDArray[np.float64]:
    n = int(rng.integers(3, 8))
    centre = rng.uniform(-0.5, 0.5, (n, 2)) * spread * (1, 0.6)
    radius = rng.uniform(0.00025, 0.00050, n)
    # A short segment instead of a point: real specks are not round.
    end = centre + rng.normal(0, 0.00008, (n, 2))
    return np.column_stack([centre, radius, end])


def cut(mesh: trimesh.Trimesh, defect: Defect) -> trimesh.Trimesh:
    """The mesh with a piece broken out at the defect.

    Args:
        mesh: watertight, metres, part frame.
    """
    rng = np.random.default_rng([defect.seed, 6])
    if defect.place.startswith("bottom rib"):
        tool = trimesh.creation.box((0.0044, 0.0030, 2 * defect.size_m))
        azimuth = np.arctan2(defect.point[1], defect.point[0])
        tool.apply_transform(trimesh.transformations.rotation_matrix(azimuth, (0, 0, 1)))
    else:
        tool = trimesh.creation.icosphere(subdivisions=1, radius=defect.size_m / 2)
        # Broken plastic is not round: each corner of the ball goes in or out a little.
        tool.vertices *= rng.uniform(0.86, 1.10, (len(tool.vertices), 1))
    tool.apply_transform(make_pose(None, defect.point))
    return trimesh.boolean.difference([mesh, tool], engine="manifold")


def bend(corners: NDArray[np.float64], defect: Defect) -> NDArray[np.float64]:
    """A mesh pressed in at the defect, finely divided there.

    The press moves points by u(p) = a d exp(-|p - c|^2 / 2 s^2); normals follow by the inverse transpose of its
    Jacobian.

    Args:
        corners: (m, 3, 6) position and unit normal of each triangle's corners, metres, part frame.

    Returns:
        (k, 3, 6), k > m.
    """
    centre, direction = np.asarray(defect.point), -np.asarray(defect.normal)
    sigma, depth = defect.size_m / 4, defect.size_m / 5
    fine = _divide(corners, centre, 3 * sigma, 0.0007)
    away = fine[:, :, :3] - centre
    bell = depth * np.exp(-(away**2).sum(axis=2, keepdims=True) / (2 * sigma**2))
    gradient = -bell * away / sigma**2
    normal = fine[:, :, 3:]
    normal = normal - gradient * (normal @ direction)[:, :, None] / (1 + gradient @ direction)[:, :, None]
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.concatenate([fine[:, :, :3] + bell * direction, normal], axis=2)


def _divide(
    corners: NDArray[np.float64], centre: NDArray[np.float64], reach: float, edge: float
) -> NDArray[np.float64]:
    """Splits every triangle that comes within reach of the centre into four until its edges are short."""
    done, todo = [], corners
    while len(todo):
        position = todo[:, :, :3]
        longest = np.linalg.norm(position - np.roll(position, 1, axis=1), axis=2).max(axis=1)
        low, high = position.min(axis=1), position.max(axis=1)
        distance = np.linalg.norm(np.clip(centre, low, high) - centre, axis=1)
        split = (longest > edge) & (distance < reach)
        done.append(todo[~split])
        a, b, c = (todo[split][:, k] for k in range(3))
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        todo = np.concatenate([np.stack(quarter, axis=1) for quarter in quarters])
    return np.concatenate(done)
