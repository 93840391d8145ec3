"""Objects that are none of the classes, to fly around in training pictures: solids made by code."""

from __future__ import annotations

import numpy as np
import trimesh

from inspection_cell.cad.component import Component
from inspection_cell.core.poses import make_pose, rotation_from_vector

SOLIDS = 24


def context_solids(seed: int, count: int = SOLIDS) -> list[Component]:
    """Boxes, plates, rods, rings, cones, balls and pairs of them joined, about 0.1 m large; the seed fixes them."""
    rng = np.random.default_rng(seed)
    solids = []
    for number in range(count):
        parts = [_solid(rng)]
        if rng.random() < 0.5:
            other = _solid(rng)
            other.apply_scale(rng.uniform(0.3, 0.8))
            other.apply_transform(make_pose(rotation_from_vector(rng.uniform(-3, 3, 3)), rng.uniform(-0.03, 0.03, 3)))
            parts.append(other)
        vertices = np.concatenate([part.vertices for part in parts])
        faces = np.concatenate([parts[0].faces, *(part.faces + len(parts[0].vertices) for part in parts[1:])])
        solids.append(Component(f"solid{number}", np.asarray(vertices, float), np.asarray(faces, np.int32)))
    return solids


def _solid(rng: np.random.Generator) -> trimesh.Trimesh:
    kind, size = rng.integers(6), rng.uniform(0.015, 0.06, 3)
    sections = int(rng.choice([3, 4, 6, 8, 48]))
    if kind == 0:
        return trimesh.creation.box(2 * size)
    if kind == 1:
        return trimesh.creation.box((2 * size[0], 2 * size[1], rng.uniform(0.002, 0.008)))
    if kind == 2:
        return trimesh.creation.cylinder(size[0] / 2, 2 * size[1], sections=sections)
    if kind == 3:
        return trimesh.creation.annulus(size[0] * rng.uniform(0.2, 0.9), size[0], size[1], sections=sections)
    if kind == 4:
        return trimesh.creation.cone(size[0], 2 * size[1], sections=sections)
    return trimesh.creation.icosphere(3, size[0])
