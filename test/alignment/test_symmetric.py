"""Symmetric parts: poses that are the same are not rivals, and all of them are named."""

import math

import numpy as np
import pytest
import trimesh
from shaded import CAMERA, picture, prior_of, viewpoint

from inspection_cell.alignment import PartEdges, align
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.symmetry import find_axes
from inspection_cell.core.poses import inverse, rotation_angle, transform


@pytest.fixture(scope="module")
def block() -> Assembly:
    """A square block with a boss on top: four times the same in a turn."""
    base = trimesh.creation.box((0.06, 0.06, 0.02))
    boss = trimesh.creation.box((0.03, 0.03, 0.02)).apply_translation((0, 0, 0.02))
    return Assembly(
        tuple(Component(name, m.vertices, m.faces) for name, m in (("base", base), ("boss", boss))), "0" * 64
    )


def test_a_symmetric_part_is_accepted_and_all_its_poses_are_named(block):
    axes = find_axes(block)
    assert [axis.order for axis in axes] == [4]
    told = PartEdges(block, axes)
    truth = viewpoint(told, 0.7, 0.9)
    image = picture(told, truth)
    prior = prior_of(told, truth, np.array([0.002, -0.001, 0.002, 0.0, 0.0, math.radians(40.0)]))
    bound = (0.005, math.radians(60.0))
    found = align(image, CAMERA, told, prior, bound)
    assert found.accepted, found.reason
    assert found.equivalents.shape == (4, 4, 4)
    assert np.array_equal(found.equivalents[0], found.T_camera_part)
    turns = [rotation_angle(inverse(truth)[:3, :3] @ pose[:3, :3]) for pose in found.equivalents]
    nearest = found.equivalents[int(np.argmin(turns))]
    corner = np.array([[0.03, 0.03, -0.01]])
    assert np.linalg.norm(transform(nearest, corner) - transform(truth, corner)) < 2e-4


def test_a_round_part_is_not_turned_about_its_own_axis(block):
    """No edge fixes that turn; of all poses that are the same the one nearest to the prior is the answer."""
    parts = (trimesh.creation.cylinder(0.03, 0.02, sections=96), trimesh.creation.cylinder(0.012, 0.03, sections=96))
    knob = Assembly(tuple(Component(n, m.vertices, m.faces) for n, m in zip("ab", parts, strict=True)), "1" * 64)
    axes = find_axes(knob)
    assert [axis.order for axis in axes] == [None, 2]
    told = PartEdges(knob, axes)
    for seed in range(4):
        truth = viewpoint(told, 0.9 * seed, 0.8)
        prior = prior_of(told, truth, np.array([0.002, -0.001, 0.002, 0.01, -0.02, 0.02]))
        found = align(picture(told, truth, seed), CAMERA, told, prior, (0.003, math.radians(3.0)))
        assert found.accepted, found.reason
        assert rotation_angle(inverse(prior)[:3, :3] @ found.T_camera_part[:3, :3]) < math.radians(3.0)
        axis = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.015]])
        assert np.linalg.norm(transform(found.T_camera_part, axis) - transform(truth, axis), axis=1).max() < 4e-4
