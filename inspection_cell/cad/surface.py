"""Some components' surface, and how far from it they come to lie when they are moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from trimesh import Trimesh

from inspection_cell.cad.component import Component
from inspection_cell.cad.mesh import FLAT_RAD, creases, welded
from inspection_cell.core.poses import Pose, transform

SAMPLES = 80_000
QUICK_POINTS, CHECK_POINTS = 100, 8_000
CANDIDATES = ((4, 1.0), (30, 0.3), (300, 0.05))
ROUGH_LIMIT = 0.1
CONES = 1.5


@dataclass(frozen=True)
class Deviation:
    """How far a part, moved, is from its own surface, beyond what the facets of round surfaces explain.

    Attributes:
        largest_m: the farthest point's distance, metres; below the tolerance it may be smaller in truth.
        share: of the surface's area, what lies farther away than the tolerance.
        by_component: the components beyond the tolerance, with their farthest point's distance, largest first.
    """

    largest_m: float
    share: float
    by_component: tuple[tuple[str, float], ...]


class Surface:
    """Some components' surface, ready for the question how far a point is from it."""

    def __init__(self, components: Sequence[Component]) -> None:
        rng = np.random.default_rng(0)
        meshes = [welded(component) for component in components]
        self.names = [component.name for component in components]
        self.triangles = np.concatenate([mesh.triangles for mesh in meshes])
        self.normals = np.concatenate([mesh.face_normals for mesh in meshes])
        self._edges = np.roll(self.triangles, -1, axis=1) - self.triangles
        self._slack = np.concatenate([_facet_heights(mesh) for mesh in meshes])
        areas = np.concatenate([mesh.area_faces for mesh in meshes])
        owner = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])

        # Nearest triangles are looked up by points on them, so a long sliver needs many although its area is small.
        longest = np.linalg.norm(self.triangles - np.roll(self.triangles, 1, axis=1), axis=2).max(axis=1)
        gap = float(np.sqrt(areas.sum() / SAMPLES))
        counts = np.ceil(np.maximum(areas / gap**2, longest / gap)).astype(int)
        while counts.sum() > 2 * max(SAMPLES, len(areas)):
            gap *= 1.3
            counts = np.ceil(np.maximum(areas / gap**2, longest / gap)).astype(int)
        self._face = np.repeat(np.arange(len(areas)), counts)
        self._tree = cKDTree(_points_in(self.triangles[self._face], rng))

        # Asked are vertices, where most is to be seen, and as many points spread evenly over the area.
        at_corner = rng.permutation(np.unique(self.triangles.reshape(-1, 3), axis=0, return_index=True)[1])
        at_corner = at_corner[: CHECK_POINTS // 2]
        count = CHECK_POINTS - len(at_corner)
        drawn = rng.choice(len(areas), count, p=areas / areas.sum())
        asked = np.concatenate([self.triangles.reshape(-1, 3)[at_corner], _points_in(self.triangles[drawn], rng)])
        faces = np.concatenate([at_corner // 3, drawn])
        even = np.repeat([False, True], [len(at_corner), count])
        order = rng.permutation(len(asked))
        self.asked, self._of_face, self._even = asked[order], faces[order], even[order]
        self._owner = owner[self._of_face]

        weight = areas / areas.sum()
        middle = self.triangles.mean(axis=1)
        self.centre = weight @ middle
        spread = np.concatenate([self.triangles, 3 * middle[:, None]], axis=1) - self.centre * np.array(
            [[1], [1], [1], [3]]
        )
        moment = np.einsum("m,mki,mkj->ij", weight / 12, spread, spread)
        self.moments, self.principal = np.linalg.eigh(moment)
        self.size = 2 * float(np.linalg.norm(self.triangles.reshape(-1, 3) - self.centre, axis=1).max())
        self._spacing = 0.0
        self._spacing = float(self.rough(np.eye(4)[None])[0])

    def rough(self, T: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k,) for turns T (k, 4, 4): a few points' mean distance, cut at a limit, beyond the samples', by the size."""
        points = self.asked[:QUICK_POINTS]
        moved = np.einsum("kij,nj->kni", T[:, :3, :3], points) + T[:, None, :3, 3]
        limit = ROUGH_LIMIT * self.size
        distance = self._tree.query(moved.reshape(-1, 3), distance_upper_bound=limit)[0].reshape(len(T), -1)
        return np.asarray(np.minimum(distance, limit).mean(axis=1) / self.size - self._spacing, float)

    def nearest(
        self, points: NDArray[np.float64], enough: float = np.inf
    ) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
        """For points (n, 3): from the nearest point of the surface to them (n, 3), and its triangle (n,).

        Nearest among a few triangles; where that is not within `enough` and such points are few, among many.
        """
        away, face = np.full((len(points), 3), np.inf), np.zeros(len(points), int)
        for count, most in CANDIDATES:
            row = np.flatnonzero(~(np.linalg.norm(away, axis=1) <= enough) | np.isinf(away[:, 0]))
            if not len(row) or len(row) > most * len(points):
                break
            faces = self._face[self._tree.query(points[row], min(count, len(self._face)))[1]].reshape(len(row), -1)
            asked = np.repeat(points[row], faces.shape[1], axis=0)
            found = self._away(asked, faces.reshape(-1)).reshape(*faces.shape, 3)
            best = np.argmin(np.linalg.norm(found, axis=2), axis=1)
            each = np.arange(len(row))
            away[row], face[row] = found[each, best], faces[each, best]
        return away, face

    def _away(self, points: NDArray[np.float64], face: NDArray[np.int_]) -> NDArray[np.float64]:
        """From the nearest point of each triangle (n,) to each point (n, 3)."""
        normal = self.normals[face]
        away = np.full((len(points), 3), np.inf)
        inside = np.ones(len(points), bool)
        nearest = np.full(len(points), np.inf)
        for k in range(3):
            start = points - self.triangles[face, k]
            edge = self._edges[face, k]
            along = np.einsum("ij,ij->i", start, edge) / np.einsum("ij,ij->i", edge, edge)
            from_edge = start - np.clip(along, 0.0, 1.0)[:, None] * edge
            squared = np.einsum("ij,ij->i", from_edge, from_edge)
            better = squared < nearest
            away[better], nearest[better] = from_edge[better], squared[better]
            inside &= np.einsum("ij,ij->i", np.cross(edge, start), normal) >= 0
        height = np.einsum("ij,ij->i", points - self.triangles[face, 0], normal)
        away[inside] = (height[:, None] * normal)[inside]
        return away

    def deviation(self, turns: Sequence[Pose], tolerance: float, count: int = CHECK_POINTS) -> Deviation:
        """The largest over several motions, of `count` points."""
        excess = np.zeros(count)
        for turn in turns:
            away, face = self.nearest(transform(turn, self.asked[:count]), tolerance)
            slack = np.maximum(self._slack[face], self._slack[self._of_face[:count]])
            excess = np.maximum(excess, np.linalg.norm(away, axis=1) - slack)
        largest = [float(excess[self._owner[:count] == k].max(initial=0.0)) for k in range(len(self.names))]
        off = [(name, far) for name, far in zip(self.names, largest, strict=True) if far > tolerance]
        share = float(np.mean(excess[self._even[:count]] > tolerance))
        return Deviation(max(largest), share, tuple(sorted(off, key=lambda item: -item[1])))


def _points_in(triangles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """One random point (n, 3) in each of the triangles (n, 3, 3)."""
    corners = rng.dirichlet((1.0, 1.0, 1.0), len(triangles))
    return np.asarray(np.einsum("ik,ikj->ij", corners, triangles), float)


def _facet_heights(mesh: Trimesh) -> NDArray[np.float64]:
    """(m,) how far a facet may lie below the round surface it stands for, from the bends to its neighbours."""
    bent = (mesh.face_adjacency_angles > FLAT_RAD) & ~creases(mesh)
    sides, ends = mesh.face_adjacency[bent], mesh.face_adjacency_edges[bent]
    length = np.linalg.norm(mesh.vertices[ends[:, 1]] - mesh.vertices[ends[:, 0]], axis=1)
    bend = np.tan(mesh.face_adjacency_angles[bent] / 4)
    heights = np.zeros(len(mesh.faces))
    for side in sides.T:
        # A facet's height over the bend is twice its area by the edge's length: half of it, times this, is the sagitta.
        heights += CONES * np.bincount(side, mesh.area_faces[side] / length * bend, len(heights))
    # The rim of a flat face beside it is cut off as much, and that of a cone by more than its facets.
    at_vertex = np.zeros(len(mesh.vertices))
    np.maximum.at(at_vertex, mesh.faces, heights[:, None])
    return np.asarray(at_vertex[mesh.faces].max(axis=1), float)
