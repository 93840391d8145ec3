"""Mesh geometry that rendering and alignment share: smooth normals that stop at sharp edges, and those edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, identity
from scipy.sparse.csgraph import connected_components

from inspection_cell.cad.component import Component

CREASE_RAD = np.radians(22.0)
COARSE_RAD = np.radians(32.0)
PARALLEL_RAD = np.radians(25.0)
FLAT_RAD = np.radians(0.3)
WELD_M = 1e-8
NO_AREA_M2 = 1e-16


@dataclass(frozen=True)
class EdgeModel:
    """The edges of one component that a camera may see.

    Attributes:
        ends: (e, 2, 3) float64, both ends, metres, part frame.
        normals: (e, 2, 3) float64, unit normals of the two faces that meet; equal where only one face is there.
        points: (e, 3) float64, a point of the edge's faces, to tell which side the camera is on.
        sharp: (e,) bool; a crease or an open border, seen whenever a face of it is; the others only as a contour.
    """

    ends: NDArray[np.float64]
    normals: NDArray[np.float64]
    points: NDArray[np.float64]
    sharp: NDArray[np.bool_]


def joined(component: Component) -> trimesh.Trimesh:
    """The component with equal points made one: the same faces, in the same order."""
    _, first, inverse = np.unique(
        np.round(component.vertices / WELD_M).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return trimesh.Trimesh(component.vertices[first], inverse.reshape(-1)[component.faces], process=False)


def welded(component: Component) -> trimesh.Trimesh:
    """The component with equal points made one and faces without area removed, so that faces know their neighbours."""
    mesh = joined(component)
    mesh.update_faces(mesh.area_faces > NO_AREA_M2)
    return mesh


def creases(mesh: trimesh.Trimesh) -> NDArray[np.bool_]:
    """(a,) bool, for each pair of `mesh.face_adjacency`: whether the surface has an edge there, not a facet's border.

    A bend above 22 deg is an edge. Coarse meshes of round surfaces bend more, up to 30 deg with 12 facets a turn: such
    a bend is none when the surface goes on bending by about as much, the same way, beyond both of its facets (half as
    much where the round surface ends).
    """
    angle, sides = mesh.face_adjacency_angles, mesh.face_adjacency
    sharp = np.asarray(angle > CREASE_RAD)
    doubtful = np.flatnonzero(sharp & (angle < COARSE_RAD))
    if not len(doubtful):
        return sharp
    ends = mesh.face_adjacency_edges
    along = mesh.vertices[ends[:, 1]] - mesh.vertices[ends[:, 0]]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-15)
    convex = mesh.face_adjacency_convex
    n, bends = len(mesh.faces), np.arange(len(sides))
    of_face = coo_matrix((np.ones(2 * len(sides)), (sides.T.reshape(-1), np.tile(bends, 2))), (n, len(sides))).tocsr()
    level = sides[~sharp]
    neighbours = coo_matrix((np.ones(len(level)), (level[:, 0], level[:, 1])), (n, n)).tocsr()
    # A facet is often two triangles, so the bend beyond it may belong to a neighbour.
    near = (neighbours + neighbours.T + identity(n, format="csr")) @ of_face
    goes_on = np.zeros((len(doubtful), 2), bool)
    for side in range(2):
        row, other = near[sides[doubtful, side]].nonzero()
        this = doubtful[row]
        apart = (ends[this][:, :, None] != ends[other][:, None, :]).all(axis=(1, 2))
        parallel = np.abs(np.einsum("ij,ij->i", along[this], along[other])) > np.cos(PARALLEL_RAD)
        alike = (angle[other] > 0.4 * angle[this]) & (angle[other] < 1.5 * angle[this])
        goes_on[row[apart & parallel & alike & (convex[this] == convex[other])], side] = True
    sharp[doubtful[goes_on.all(axis=1)]] = False
    return sharp


def corner_normals(mesh: trimesh.Trimesh) -> NDArray[np.float64]:
    """(m, 3, 3) unit normals at the faces' corners: averaged over neighbours that meet without a crease."""
    adjacent = mesh.face_adjacency[~creases(mesh)]
    n = len(mesh.faces)
    graph = coo_matrix((np.ones(len(adjacent)), (adjacent[:, 0], adjacent[:, 1])), shape=(n, n))
    patch = connected_components(graph, directed=False)[1]
    key = mesh.faces.astype(np.int64) + patch[:, None].astype(np.int64) * len(mesh.vertices)
    group = np.unique(key, return_inverse=True)[1].reshape(-1)
    # Weighted by the corner's angle, so that the tessellation does not tilt the normal.
    weighted = (mesh.face_angles[:, :, None] * mesh.face_normals[:, None, :]).reshape(-1, 3)
    total = np.column_stack([np.bincount(group, weighted[:, k]) for k in range(3)])
    unit = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit[group].reshape(n, 3, 3), float)


def edge_model(component: Component) -> EdgeModel:
    """The component's creases, borders and possible contour edges."""
    mesh = welded(component)
    bent = mesh.face_adjacency_angles > FLAT_RAD
    pairs, vertices = mesh.face_adjacency[bent], mesh.face_adjacency_edges[bent]
    ends = [mesh.vertices[vertices]]
    normals = [mesh.face_normals[pairs]]
    points = [mesh.vertices[vertices[:, 0]]]
    sharp = [creases(mesh)[bent]]
    border = trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)
    if len(border):
        edge = mesh.edges_sorted[border]
        normal = mesh.face_normals[mesh.edges_face[border]]
        ends.append(mesh.vertices[edge])
        normals.append(np.stack([normal, normal], axis=1))
        points.append(mesh.vertices[edge[:, 0]])
        sharp.append(np.ones(len(edge), bool))
    return EdgeModel(np.concatenate(ends), np.concatenate(normals), np.concatenate(points), np.concatenate(sharp))
