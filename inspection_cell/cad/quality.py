"""Whether a component's mesh is closed, and its normals turned outward where the mesh tells which side is out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from inspection_cell.cad.component import Component
from inspection_cell.cad.mesh import NO_AREA_M2, joined

INSIDE = 0.5


@dataclass(frozen=True)
class MeshQuality:
    """What is to be known about one component's mesh.

    Attributes:
        faces: triangles in the file.
        degenerate: triangles without area, left out.
        watertight: no edge is a border: an even number of triangles meets at each.
        consistent: neighbouring triangles agreed, in the file, on which side is out.
        turned: triangles whose normal pointed inward and was turned.
        outward: the normals point outward now; False where an open mesh does not tell which side that is.
    """

    name: str
    faces: int
    degenerate: int
    watertight: bool
    consistent: bool
    turned: int
    outward: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it should be, a sentence each."""
        who, said = f"component {self.name!r}", []
        if self.degenerate:
            said.append(f"{who}: {self.degenerate} of {self.faces} triangles have no area: left out")
        if not self.watertight:
            said.append(f"{who}: the mesh is not closed")
        if self.turned and self.turned == self.faces - self.degenerate:
            said.append(f"{who}: was inside out: all normals turned")
        elif self.turned:
            said.append(f"{who}: {self.turned} of {self.faces} triangles pointed inward: their normals turned")
        if not self.outward:
            why = "" if self.consistent else ", and neighbouring triangles disagree"
            said.append(f"{who}: which side is out cannot be told{why}: normals left as they are; close the mesh")
        return tuple(said)


def checked(component: Component) -> tuple[Component, MeshQuality]:
    """The component with triangles without area left out and normals turned outward, and what was found.

    A closed mesh tells which side is out: by the sign of each closed body's volume, where a hollow's wall, a body
    within another, may be negative. An open mesh whose triangles agree tells it when it would hold a volume of the same
    sign however its openings were closed within its box; else it is left as it is.

    Raises:
        ValueError: coordinates are not finite, or no triangle has an area; the text says what, not where.
    """
    if not np.all(np.isfinite(component.vertices)):
        raise ValueError("has coordinates that are not finite")
    mesh = joined(component)
    solid = mesh.area_faces > NO_AREA_M2
    if not solid.any():
        raise ValueError("has no size: no triangle has an area")
    distinct = np.all(mesh.faces != np.roll(mesh.faces, 1, axis=1), axis=1)
    edges = np.sort(mesh.faces[distinct][:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    watertight = bool(np.all(np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0))

    whole = trimesh.Trimesh(mesh.vertices, mesh.faces[distinct], process=False)
    agree = _agreeing(whole)
    inward, told = np.zeros(len(whole.faces), bool), False
    if watertight:
        inward, told = _inward(whole, agree)
    elif agree.all():
        corners = np.stack(np.meshgrid(*whole.bounds.T), axis=-1).reshape(-1, 3)
        signs = {float(np.sign(_volumes(whole.triangles, corner).sum())) for corner in corners}
        told = signs in ({1.0}, {-1.0})
        inward |= signs == {-1.0}
    flipped = np.zeros(len(mesh.faces), bool)
    flipped[distinct] = inward
    faces = np.where(flipped[:, None], component.faces[:, ::-1], component.faces)[solid]
    quality = MeshQuality(
        component.name,
        len(component.faces),
        int(np.count_nonzero(~solid)),
        watertight,
        bool(agree.all()),
        int(np.count_nonzero(flipped & solid)),
        told,
    )
    return Component(component.name, component.vertices, np.ascontiguousarray(faces)), quality


def _agreeing(mesh: trimesh.Trimesh) -> NDArray[np.bool_]:
    """(a,) bool, for each pair of neighbours: they run through their common edge in opposite directions."""
    ways = []
    for side in range(2):
        corners = mesh.faces[mesh.face_adjacency[:, side]]
        first = np.argmax(corners == mesh.face_adjacency_edges[:, :1], axis=1)
        following = np.take_along_axis(corners, ((first + 1) % 3)[:, None], axis=1)[:, 0]
        ways.append(following == mesh.face_adjacency_edges[:, 1])
    agreeing: NDArray[np.bool_] = ways[0] != ways[1]
    return agreeing


def _inward(mesh: trimesh.Trimesh, agree: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bool]:
    """(m,) bool, the faces of a closed mesh to turn, and whether it could be told."""
    # Each face stands twice in a graph, as it is and turned; agreeing neighbours are joined straight, others crosswise.
    n, (a, b) = len(mesh.faces), mesh.face_adjacency.T
    across = np.where(agree, 0, n)
    start, end = np.concatenate([a, a + n]), np.concatenate([b + across, b + n - across])
    label = connected_components(coo_matrix((np.ones(len(start)), (start, end)), (2 * n, 2 * n)), directed=False)[1]
    as_is, turned = label[:n], label[n:]
    if np.any(as_is == turned):
        return np.zeros(n, bool), False  # a surface with one side only
    body = np.minimum(as_is, turned)
    inward = as_is > turned
    # Of a body's two orientations take that which turns fewer faces.
    bodies, index, size = np.unique(body, return_inverse=True, return_counts=True)
    inward ^= (np.bincount(index, inward) > size / 2)[index]
    triangles = np.where(inward[:, None, None], mesh.triangles[:, ::-1], mesh.triangles)
    volumes = _volumes(triangles, mesh.bounds.mean(axis=0))
    if volumes.sum() < 0:
        inward, volumes = ~inward, -volumes
    volume = np.bincount(index, volumes)
    for k in np.flatnonzero(volume < 0):
        point = mesh.triangles[index == k][0, 0]
        holders = sum(abs(_winding(mesh.triangles[index == j], point)) > INSIDE for j in range(len(bodies)) if j != k)
        if holders % 2 == 0:
            inward ^= index == k
    return inward, True


def _volumes(triangles: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) signed volumes of the tetrahedra between the triangles (m, 3, 3) and a point."""
    a, b, c = (triangles - point).transpose(1, 0, 2)
    return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6, float)


def _winding(triangles: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """How often a closed surface winds around a point: 0 outside, 1 or -1 inside.

    Source: the solid angle of a triangle after van Oosterom and Strackee, 1983.
    """
    a, b, c = (triangles - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    dots = np.einsum("ij,ij->i", a, b) * lc + np.einsum("ij,ij->i", b, c) * la + np.einsum("ij,ij->i", c, a) * lb
    angle = 2 * np.arctan2(np.einsum("ij,ij->i", a, np.cross(b, c)), la * lb * lc + dots)
    return float(angle.sum() / (4 * np.pi))
