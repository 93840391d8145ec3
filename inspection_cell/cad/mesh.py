"""Mesh geometry that rendering and alignment share: smooth normals that stop at sharp edges, and those edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from inspection_cell.cad.assembly import Component

CREASE_RAD = np.radians(22.0)
FLAT_RAD = np.radians(0.3)
WELD_M = 1e-8


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


def welded(component: Component) -> trimesh.Trimesh:
    """The component with equal points made one and faces without area removed, so that faces know their neighbours."""
    _, first, inverse = np.unique(
        np.round(component.vertices / WELD_M).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    faces = inverse.reshape(-1)[component.faces]
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    mesh = trimesh.Trimesh(component.vertices[first], faces[distinct], process=False)
    mesh.update_faces(mesh.area_faces > 1e-16)
    return mesh


def corner_normals(mesh: trimesh.Trimesh) -> NDArray[np.float64]:
    """(m, 3, 3) unit normals at the faces' corners: averaged over neighbours that meet at less than a crease."""
    adjacent = mesh.face_adjacency[mesh.face_adjacency_angles < CREASE_RAD]
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
    sharp = [mesh.face_adjacency_angles[bent] > CREASE_RAD]
    border = trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)
    if len(border):
        edge = mesh.edges_sorted[border]
        normal = mesh.face_normals[mesh.edges_face[border]]
        ends.append(mesh.vertices[edge])
        normals.append(np.stack([normal, normal], axis=1))
        points.append(mesh.vertices[edge[:, 0]])
        sharp.append(np.ones(len(edge), bool))
    return EdgeModel(np.concatenate(ends), np.concatenate(normals), np.concatenate(points), np.concatenate(sharp))
