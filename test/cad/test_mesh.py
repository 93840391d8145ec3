"""Which edges of a mesh are the part's, and which only the tessellation's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.component import Component
from inspection_cell.cad.mesh import corner_normals, edge_model, welded

TASKBOARD = Path(__file__).parents[3] / "shared/data/wrs_taskboard/meshes"


def component(mesh: trimesh.Trimesh) -> Component:
    return Component("part", np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))


def turned_profile(points: list[tuple[float, float]], sections: int = 48) -> Component:
    return component(trimesh.creation.revolve(points, sections=sections))


def sharp_length(part: Component) -> float:
    edges = edge_model(part)
    return float(np.linalg.norm(edges.ends[edges.sharp, 0] - edges.ends[edges.sharp, 1], axis=1).sum())


@pytest.mark.parametrize("sections", [12, 13, 16, 24, 64])
def test_a_cylinder_has_only_its_rims(sections: int) -> None:
    part = component(trimesh.creation.cylinder(0.01, 0.03, sections=sections))
    rim = 2 * sections * 0.01 * np.sin(np.pi / sections)
    assert sharp_length(part) == pytest.approx(2 * rim, rel=1e-6)
    mesh = welded(part)
    wall = np.abs(mesh.face_normals[:, 2]) < 0.5
    radial = mesh.triangles[wall][:, :, :2] / np.linalg.norm(mesh.triangles[wall][:, :, :2], axis=2, keepdims=True)
    assert np.allclose(corner_normals(mesh)[wall][:, :, :2], radial, atol=1e-6)


@pytest.mark.parametrize("corners", [3, 4, 6, 8, 10])
def test_a_prism_has_all_its_edges(corners: int) -> None:
    part = component(trimesh.creation.cylinder(0.01, 0.03, sections=corners))
    side = 2 * 0.01 * np.sin(np.pi / corners)
    assert sharp_length(part) == pytest.approx(corners * (2 * side + 0.03), rel=1e-6)


def test_a_torus_of_16_facets_has_none_and_chamfers_have_both() -> None:
    ring = component(trimesh.creation.torus(0.05, 0.002, major_sections=80, minor_sections=16))
    assert not edge_model(ring).sharp.any()
    # A chamfer of 30 deg: its edges bend by 30 and 60 deg.
    c = 0.002
    rise = c * np.tan(np.radians(60))
    part = turned_profile([(0, 0), (0.01, 0), (0.01, 0.02), (0.01 - c, 0.02 + rise), (0, 0.02 + rise)])
    around = 2 * 48 * np.sin(np.pi / 48)
    assert sharp_length(part) == pytest.approx(around * (0.01 + 0.01 + 0.01 - c), rel=1e-6)


@pytest.mark.parametrize("steps", [3, 6])
def test_a_rounding_is_no_edge(steps: int) -> None:
    radius = 0.003
    angle = np.linspace(0, np.pi / 2, steps + 1)
    rounding = [(0.007 + radius * np.cos(a), 0.017 + radius * np.sin(a)) for a in angle]
    part = turned_profile([(0, 0), (0.01, 0), *rounding, (0, 0.02)])
    assert sharp_length(part) == pytest.approx(2 * 48 * np.sin(np.pi / 48) * 0.01, rel=1e-6)  # the lower rim alone


def test_an_open_border_is_an_edge() -> None:
    box = trimesh.creation.box((0.02, 0.02, 0.02))
    open_box = trimesh.Trimesh(box.vertices, box.faces[box.face_normals[:, 2] < 0.5], process=False)
    assert sharp_length(component(open_box)) == pytest.approx(12 * 0.02)


@pytest.mark.skipif(not TASKBOARD.is_dir(), reason="../shared/data/wrs_taskboard is absent")
def test_a_real_round_belt_has_no_edges_and_a_plate_keeps_all() -> None:
    belt = load_assembly(TASKBOARD / "06_MBT4-400.stl", unit="mm").components[0]
    assert not edge_model(belt).sharp.any()
    plate = load_assembly(TASKBOARD / "taskboard_02_plate.stl", unit="mm").components[0]
    assert np.count_nonzero(edge_model(plate).sharp) == 1740
