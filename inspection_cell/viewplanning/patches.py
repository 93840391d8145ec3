"""The part's surface as small patches: points with a normal and an area, each of one component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.mesh import welded

LEAST_EACH = 150
"""Patches of the smallest component: so that its coverage is told to a percent."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """The surface, in the part frame.

    Attributes:
        points, normals: (n, 3) metres, unit and outward. areas: (n,) square metres that each stands for.
        component: (n,) int, index into names.
    """

    points: Floats
    normals: Floats
    areas: Floats
    component: NDArray[np.int64]
    names: tuple[str, ...]


def patches_of(assembly: Assembly, count: int, seed: int = 0) -> Patches:
    """About `count` patches, evenly drawn over the area of each component; small components get a few more."""
    rng = np.random.default_rng(seed)
    meshes = [welded(component) for component in assembly.components]
    areas = np.array([mesh.area for mesh in meshes])
    counts = np.maximum(np.rint(count * areas / areas.sum()).astype(int), LEAST_EACH)
    points, normals = [], []
    for mesh, own in zip(meshes, counts.tolist(), strict=True):
        # Evenly spaced along the cumulated area, so that no face is left out by chance that is larger than a patch.
        places = (np.arange(own) + rng.random(own)) / own * mesh.area
        faces = np.minimum(np.searchsorted(np.cumsum(mesh.area_faces), places), len(mesh.faces) - 1)
        u, v = np.sqrt(rng.random(own)), rng.random(own)
        weights = np.column_stack([1 - u, u * (1 - v), u * v])
        points.append(np.einsum("nk,nki->ni", weights, mesh.triangles[faces]))
        normals.append(mesh.face_normals[faces])
    return Patches(
        np.concatenate(points),
        np.concatenate(normals),
        np.repeat(areas / counts, counts),
        np.repeat(np.arange(len(meshes)), counts),
        assembly.names,
    )
