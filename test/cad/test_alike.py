"""Components of the same shape are found wherever they sit; mirrored and stretched ones are others."""

from __future__ import annotations

import numpy as np
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.cad.alike import alike, groups_of_alike
from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.component import Component
from inspection_cell.core.poses import make_pose, rotation_from_vector
from inspection_cell.recipe.paths import share_folder

HOUSING = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
turns = st.tuples(*[st.floats(-3, 3)] * 3)


def wedge() -> Component:
    mesh = trimesh.creation.box((0.01, 0.02, 0.03))
    vertices = np.asarray(mesh.vertices) * [1, 1, 1] + np.linspace(0, 0.004, 8)[:, None] * [1.0, 0.3, 0.1]
    return Component("wedge", vertices, np.asarray(mesh.faces, np.int32))


@given(turn=turns, shift=turns)
def test_a_moved_component_is_alike_and_a_changed_one_is_not(turn: tuple[float, ...], shift: tuple[float, ...]) -> None:
    moved = wedge().moved(make_pose(rotation_from_vector(turn), shift))
    assert alike(wedge(), moved)
    for factors in ([-1, 1, 1], [1, 1, 1.001]):
        changed = Component("changed", moved.vertices * factors, moved.faces)
        assert not alike(wedge(), changed)


def test_the_demo_parts_screws_are_one_shape() -> None:
    assembly = load_assembly(HOUSING)
    groups = groups_of_alike(assembly, assembly.names)
    assert ("screw_1", "screw_2", "screw_3", "screw_4") in groups
    assert ("clip_left",) in groups or ("clip_left", "clip_right") in groups
    assert sum(len(group) for group in groups) == len(assembly.names)
