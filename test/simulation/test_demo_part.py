"""The demo part's CAD: names, units, places, and the grasp sectors that must stay bare."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from simulation_cell import PART_FOLDER

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.core.poses import rotation_from_vector
from inspection_cell.simulation import demo_part


@pytest.fixture(scope="module")
def part():
    return load_assembly(PART_FOLDER / demo_part.CAD_FILE)


def test_components_have_their_names_and_are_in_metres(part):
    assert set(part.names) == {
        "housing",
        "label_plate",
        "clip_left",
        "clip_right",
        *(f"screw_{i}" for i in range(1, 5)),
    }
    housing = part.components[part.index("housing")].vertices
    assert np.hypot(housing[:, 0], housing[:, 1]).max() == pytest.approx(0.030, abs=1e-5)
    assert (housing[:, 2].min(), housing[:, 2].max()) == pytest.approx((0.0, 0.016), abs=1e-6)
    assert 5_000 < sum(len(c.faces) for c in part.components) < 20_000


@pytest.mark.parametrize("name", demo_part.LOOSE_COMPONENTS)
def test_components_sit_where_the_truth_says(part, name):
    vertices = part.components[part.index(name)].vertices
    low, high = vertices.min(axis=0) - 1e-4, vertices.max(axis=0) + 1e-4
    place = np.array(demo_part.COMPONENT_PLACES[name])
    assert np.all((low <= place) & (place <= high))


def test_wrong_components_are_at_the_same_places_but_different(part):
    wrong = {c.name: c for file in demo_part.WRONG_FILES for c in load_assembly(PART_FOLDER / file).components}
    assert set(wrong) == set(demo_part.REPLACEABLE_COMPONENTS)
    for name, component in wrong.items():
        right = part.components[part.index(name)].vertices
        extents = [(v.max(axis=0) - v.min(axis=0)) for v in (right, component.vertices)]
        middles = [(v.max(axis=0) + v.min(axis=0)) / 2 for v in (right, component.vertices)]
        assert np.linalg.norm(middles[0][:2] - middles[1][:2]) < 0.001
        assert np.abs(extents[0] - extents[1]).max() > 0.0003


@pytest.mark.parametrize("azimuth", [125, 235])
def test_grasp_sectors_are_flat_and_bare(part, azimuth):
    points = np.vstack([c.vertices for c in part.components])
    radius, angle = np.hypot(points[:, 0], points[:, 1]), np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    # A pocket, a boss or a component would have corners there; a flat face has none off its plane.
    inside = (np.abs(angle - azimuth) < 20) & (radius > 0.0238) & (radius < 0.0295)
    off_plane = np.minimum(np.abs(points[inside, 2]), np.abs(points[inside, 2] - 0.016))
    assert not np.any(off_plane > 1e-6)


def test_the_part_has_no_rotational_symmetry(part):
    points = np.vstack([c.vertices for c in part.components])
    tree = cKDTree(points)
    for turn in np.radians(range(5, 360, 5)):
        rotation = rotation_from_vector((0, 0, turn))
        distance, _ = tree.query(points @ rotation.T)
        assert (distance > 0.0005).mean() > 0.3
