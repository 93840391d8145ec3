"""What parts are made of: the same seed gives the same part, and defects lie on the surface."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from simulation_cell import PART_FOLDER

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.simulation import defects, demo_part
from inspection_cell.simulation.appearance import appearance, seat
from inspection_cell.simulation.truth import MARKS, DefectKind, make_defect, make_part

SAMPLING_M = 0.0006
"""The surface is sampled more densely than this."""
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def housing() -> trimesh.Trimesh:
    part = load_assembly(PART_FOLDER / demo_part.CAD_FILE)
    return welded(part.components[part.index("housing")])


@pytest.fixture(scope="module")
def surface(housing) -> cKDTree:
    return cKDTree(trimesh.sample.sample_surface(housing, 300_000, seed=1)[0])


@given(SEEDS, st.lists(st.sampled_from(list(DefectKind)), max_size=3))
def test_the_same_seed_gives_the_same_part(seed, kinds):
    assert make_part("S1", seed, kinds) == make_part("S1", seed, kinds)
    assert [d.kind for d in make_part("S1", seed, kinds).defects] == kinds


@given(SEEDS)
def test_good_parts_differ_but_little(seed):
    part = make_part("S1", seed)
    assert part.good
    assert part.mass_kg == pytest.approx(demo_part.NOMINAL_MASS_KG, rel=0.01)
    assert appearance(seed).tone == pytest.approx(1.0, abs=0.25)
    offset = seat("clip_left", seed, np.array(demo_part.COMPONENT_PLACES["clip_left"]))
    moved = offset[:3, :3] @ demo_part.COMPONENT_PLACES["clip_left"] + offset[:3, 3]
    assert np.linalg.norm(moved - demo_part.COMPONENT_PLACES["clip_left"]) < 0.0003


@given(SEEDS)
def test_a_wrong_weight_is_beyond_the_spread_of_good_parts(seed):
    part = make_part("S1", seed, [DefectKind.WRONG_WEIGHT])
    assert abs(part.mass_kg / demo_part.NOMINAL_MASS_KG - 1) > 0.04


def test_the_seed_decides_the_look():
    assert appearance(1) != appearance(2)
    assert make_defect(DefectKind.SCRATCH, 1) != make_defect(DefectKind.SCRATCH, 2)


@given(seed=SEEDS, kind=st.sampled_from(MARKS))
def test_marks_follow_the_surface_about_the_stated_place(seed, kind):
    defect = make_defect(kind, seed)
    capsules = defects.marks(defect)
    ends = np.vstack([capsules[:, :3], capsules[:, 4:7]]).astype(float)
    if abs(defect.normal[2]) > 0.5:
        off = np.abs(ends[:, 2] - defect.point[2])
    else:
        off = np.abs(np.hypot(ends[:, 0], ends[:, 1]) - np.hypot(*defect.point[:2]))
    assert off.max() < 1e-6
    assert np.linalg.norm(ends - defect.point, axis=1).max() < 0.85 * defect.size_m
    assert np.linalg.norm(np.ptp(ends, axis=0)) + 2 * capsules[:, 3].max() > 0.0005


def test_the_zones_lie_on_the_housing(surface):
    rng = np.random.default_rng(1)
    zones = (*demo_part.MARK_ZONES, *demo_part.EDGE_ZONES)
    points = np.array([zone.sample(rng)[1] for zone in zones for _ in range(3)])
    # An edge zone names the sharp edge; the real one has a chamfer of 0.4 mm.
    assert surface.query(points)[0].max() < 0.0004 + SAMPLING_M


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_missing_geometry_takes_material_away_there_only(housing, seed):
    defect = make_defect(DefectKind.MISSING_GEOMETRY, seed)
    broken = defects.cut(housing, defect)
    lost = housing.volume - broken.volume
    assert 1e-10 < lost < 1e-7
    corners = np.concatenate([housing.vertices, broken.vertices])
    changed, count = np.unique(np.round(corners, 8), axis=0, return_counts=True)
    assert np.linalg.norm(changed[count == 1] - defect.point, axis=1).max() < 3 * defect.size_m


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_deformation_moves_the_surface_inwards_there_only(housing, surface, seed):
    defect = make_defect(DefectKind.DEFORMATION, seed)
    corners = np.concatenate([housing.vertices[housing.faces], corner_normals(housing)], axis=2)
    bent = defects.bend(corners, defect)
    depth = defect.size_m / 5
    points = bent[:, :, :3].reshape(-1, 3)
    far = np.linalg.norm(points - defect.point, axis=1) > 1.5 * defect.size_m
    assert surface.query(points[far])[0].max() < SAMPLING_M
    assert 0.4 * depth < surface.query(points)[0].max() < depth + SAMPLING_M
