"""Symmetries found in known shapes wherever they lie, turned into poses, and refused where they make no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.cad.assembly import Assembly, Component, load_assembly
from inspection_cell.cad.symmetry import (
    Axis,
    SymmetryError,
    deviation,
    diameter,
    find_axes,
    find_near_axes,
    symmetry_poses,
)
from inspection_cell.core.poses import Pose, make_pose, rotation_angle, rotation_from_vector, transform

ROOT = Path(__file__).parents[2]
TASKBOARD = ROOT.parent / "shared/data/wrs_taskboard/meshes"
TASKBOARD_ORDERS = {
    "06_MBT4-400.stl": [None, 2],
    "endcap_EDCS10.stl": [None],
}


def assembly(**meshes: trimesh.Trimesh) -> Assembly:
    return Assembly(
        tuple(Component(n, np.asarray(m.vertices, float), np.asarray(m.faces, np.int32)) for n, m in meshes.items()),
        "0",
    )


def moved(part: Assembly, T: Pose) -> Assembly:
    return Assembly(tuple(c.moved(T) for c in part.components), "0")


def drilled(body: trimesh.Trimesh, *holes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.boolean.difference([body, *holes], engine="manifold")


def rod(radius: float, height: float, sections: int, x: float = 0.0, y: float = 0.0) -> trimesh.Trimesh:
    return trimesh.creation.cylinder(radius, height, sections=sections).apply_translation((x, y, 0))


def flange() -> trimesh.Trimesh:
    around = 2 * np.pi * np.arange(6) / 6
    return drilled(rod(0.05, 0.01, 96), *(rod(0.004, 0.03, 31, 0.038 * np.cos(a), 0.038 * np.sin(a)) for a in around))


def bracket() -> trimesh.Trimesh:
    plate = trimesh.creation.box((0.06, 0.02, 0.01))
    wing = trimesh.creation.box((0.02, 0.05, 0.013)).apply_translation((0.02, 0.02, 0.003))
    post = trimesh.creation.box((0.01, 0.01, 0.03)).apply_translation((-0.02, 0, 0.01))
    return trimesh.boolean.union([plate, wing, post], engine="manifold")


SHAPES = {
    "hex nut": (assembly(p=drilled(rod(0.01, 0.008, 6), rod(0.005, 0.02, 40))), 12, False),
    "bolt circle flange": (assembly(p=flange()), 12, False),
    "cylinder": (assembly(p=rod(0.02, 0.07, 48)), None, True),
    "cylinder of few facets": (assembly(p=rod(0.02, 0.07, 16)), None, True),
    "bracket": (assembly(p=bracket()), 1, False),
}
placements = st.tuples(*[st.floats(-2, 2)] * 3, *[st.floats(-0.2, 0.2)] * 3).map(
    lambda v: make_pose(rotation_from_vector(np.add(v[:3], (0.3, -1.1, 0.7))), v[3:])
)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=1, deadline=None)
@given(T=placements)
def test_symmetries_of_known_shapes_wherever_they_lie(name: str, T: Pose) -> None:
    shape, count, is_round = SHAPES[name]
    part = moved(shape, T)
    axes = find_axes(part)
    poses = symmetry_poses(axes, part)
    assert np.array_equal(poses[0], np.eye(4))
    if is_round:
        assert [axis.order for axis in axes] == [None, 2]
    else:
        assert len(poses) == count
    along_z = [axis for axis in axes if axis.order != 2]
    if along_z:
        assert abs(np.dot(along_z[0].direction, T[:3, 2])) > 0.99999
    for pose in (poses[len(poses) // 3], poses[-1]):
        assert deviation(part, pose).largest_m <= 0.0015 * diameter(part)


def test_a_cube_has_24_turns_and_a_ball_too_many() -> None:
    T = make_pose(rotation_from_vector((0.3, -1.1, 0.7)), (0.1, 0.0, -0.2))
    cube = moved(assembly(p=trimesh.creation.box((0.04, 0.04, 0.04))), T)
    poses = symmetry_poses(find_axes(cube), cube)
    assert len(poses) == 24
    corners = cube.components[0].vertices
    for pose in poses:
        assert np.linalg.norm(transform(pose, corners)[:, None] - corners, axis=2).min(axis=1).max() < 1e-4
    ball = assembly(p=trimesh.creation.icosphere(4, 0.03))
    with pytest.raises(SymmetryError, match="as a ball"):
        symmetry_poses(find_axes(ball), ball)


@given(
    direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    order=st.integers(2, 40),
    step=st.floats(0.0005, 0.02),
)
@settings(max_examples=15, deadline=None)
def test_given_axes_become_poses(direction: tuple[float, float, float], order: int, step: float) -> None:
    part = assembly(p=trimesh.creation.box((0.02, 0.03, 0.05)))
    point = (0.01, -0.02, 0.03)
    poses = symmetry_poses([Axis(point, direction, order)], part)
    assert len(poses) == order and np.allclose(transform(poses[order // 2], [point]), [point])
    assert sorted(rotation_angle(p[:3, :3]) for p in poses)[1] == pytest.approx(2 * np.pi / order)
    vertices = part.components[0].vertices
    every = symmetry_poses([Axis(point, direction, None)], part, step)
    places = np.array([transform(pose, vertices) for pose in [*every, every[0]]])
    most = np.linalg.norm(np.diff(places, axis=0), axis=2).max()
    assert most <= step * (1 + 1e-9)


def test_a_missing_clip_is_named() -> None:
    body = drilled(rod(0.04, 0.02, 96), rod(0.02, 0.05, 96))
    clips = {
        f"clip_{k}": trimesh.creation.box((0.006, 0.004, 0.004)).apply_translation(
            (0.042 * np.cos(a), 0.042 * np.sin(a), 0)
        )
        for k, a in enumerate((0.3, 2.5))
    }
    part = assembly(body=body, **clips)
    assert not any(axis.order is None or axis.order > 2 for axis in find_axes(part))
    (near,) = (n for n in find_near_axes(part) if n.axis.order is None)
    assert {name for name, _ in near.deviation.by_component} == set(clips)
    assert 0.002 < near.deviation.largest_m < 0.02 and near.deviation.share < 0.05
    half = Axis((0, 0, 0), (0, 0, 1), 2).turn(np.pi)
    assert deviation(part, half).by_component[0][1] == pytest.approx(deviation(part, half).largest_m)
    assert deviation(part, np.eye(4)).largest_m <= 0.001 * diameter(part)


def test_axes_that_make_no_sense_are_refused() -> None:
    part = assembly(p=bracket())
    with pytest.raises(SymmetryError, match="direction"):
        Axis((0, 0, 0), (0, 0, 0), 2)
    with pytest.raises(SymmetryError, match="order 1"):
        Axis((0, 0, 0), (0, 0, 1), 1)
    with pytest.raises(SymmetryError, match="point"):
        Axis((0, float("nan"), 0), (0, 0, 1), 2)
    with pytest.raises(SymmetryError, match="above zero"):
        symmetry_poses([Axis((0, 0, 0), (0, 0, 1), None)], part, 0.0)
    with pytest.raises(SymmetryError, match="take a larger one"):
        symmetry_poses([Axis((0, 0, 0), (0, 0, 1), None)], part, 1e-8)
    with pytest.raises(SymmetryError, match="oblique"):
        symmetry_poses([Axis((0, 0, 0), (0, 0, 1), None), Axis((0, 0, 0), (0, 1, 1), 2)], part)
    with pytest.raises(SymmetryError, match="no end"):
        symmetry_poses([Axis((0, 0, 0), (0, 0, 1), 7), Axis((0, 0, 0), (0, 1, 1), 5)], part)


@pytest.mark.skipif(not TASKBOARD.is_dir(), reason="../shared/data/wrs_taskboard is absent")
@pytest.mark.parametrize("name", TASKBOARD_ORDERS)
def test_real_parts(name: str) -> None:
    part = load_assembly(TASKBOARD / name, unit="mm")
    assert [axis.order for axis in find_axes(part)] == TASKBOARD_ORDERS[name]
