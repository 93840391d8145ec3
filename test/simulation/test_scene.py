"""Pictures of the simulated part: geometry as the camera model says, light, and defects where the truth has them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation_cell import CAMERA, DISTANCE_M, GRASPS, PART_FOLDER, VIEWPOINTS

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, perturb, transform
from inspection_cell.simulation import demo_part
from inspection_cell.simulation.demo_part import MARK_ZONES
from inspection_cell.simulation.scene import PlacedGripper, PlacedPart, Shot
from inspection_cell.simulation.truth import Defect, DefectKind, PartTruth, make_part

SHOT = Shot(CAMERA, exposure_s=0.008, ring_distance_m=DISTANCE_M)
GOOD = make_part("S1", 1)


def picture(scene, truth, T_part_camera=VIEWPOINTS[0], grasp=None, shot=SHOT):
    T_camera_part = inverse(T_part_camera)
    gripper = PlacedGripper(T_camera_part @ grasp, 0.016) if grasp is not None else None
    return scene.render(shot, PlacedPart(truth, T_camera_part), gripper)


def changed(image, reference, threshold=8):
    """(h, w) bool: where two pictures differ by more than grain."""
    return cv2.blur(np.abs(image.astype(np.float32) - reference), (3, 3)) > threshold


def silhouette(scene, truth, T_part_camera, camera):
    """(h, w) bool: the pixels whose light is another when the part is there."""
    shot = replace(SHOT, camera=camera, light={"ring": 1.0, "dome": 1.0})
    part = PlacedPart(truth, inverse(T_part_camera))
    return np.abs(scene.light(shot, part, None) - scene.light(shot, None, None)) > 0.02


def test_the_same_seeds_give_the_same_picture(scene):
    assert np.array_equal(picture(scene, GOOD), picture(scene, GOOD))
    assert not np.array_equal(picture(scene, GOOD), picture(scene, GOOD, shot=replace(SHOT, noise_seed=1)))
    assert not np.array_equal(picture(scene, GOOD), picture(scene, make_part("S1", 2)))


def test_noise_is_that_of_the_sensor(scene):
    a, b = (picture(scene, GOOD, shot=replace(SHOT, noise_seed=i)).astype(float) for i in (1, 2))
    bright = a > 100
    sigma = (a - b)[bright].std() / np.sqrt(2)
    expected = np.sqrt(a[bright].mean() * 255 / 10500)
    assert sigma == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("viewpoint", range(0, 8, 3))
def test_the_part_is_where_the_camera_model_puts_it(scene, viewpoint):
    camera = CameraModel(
        800, 600, CAMERA.matrix * [[0.9, 1, 1], [1, 0.92, 1], [1, 1, 1]], np.array([-0.4, 2, 0.01, -0.008, 0])
    )
    bare = tuple(Defect(DefectKind.MISSING_COMPONENT, name) for name in demo_part.LOOSE_COMPONENTS)
    mask = silhouette(scene, PartTruth("S1", 1, bare), VIEWPOINTS[viewpoint], camera)
    part = load_assembly(PART_FOLDER / demo_part.CAD_FILE)
    points = part.components[part.index("housing")].vertices
    pixels = camera.project(transform(inverse(VIEWPOINTS[viewpoint]), points))
    for axis in (0, 1):
        seen = np.flatnonzero(mask.any(axis=axis))
        across = pixels[:, axis]
        assert (seen.min(), seen.max()) == pytest.approx((across.min(), across.max()), abs=1.2)


@settings(max_examples=6, deadline=None)
@given(
    st.tuples(*[st.floats(-0.0012, 0.0012)] * 2),
    st.floats(-0.02, 0.02),
    st.sampled_from([0, 2, 5]),
)
def test_a_moved_part_moves_in_the_picture_as_it_should(scene, shift, turn, viewpoint):
    T_camera_part = inverse(VIEWPOINTS[viewpoint])
    camera = CAMERA.resized(640, 480)
    # In the optical frame: sideways and about the optical axis, so that the outline moves as a rigid figure.
    middle = np.array([0.0, 0.0, DISTANCE_M])
    in_camera = inverse(perturb(np.eye(4), (0, 0, 0, 0, 0, -turn)))
    in_camera[:3, 3] = (*shift, 0.0)
    moved = in_camera @ T_camera_part
    before, after = (
        np.argwhere(silhouette(scene, GOOD, inverse(T), camera))[:, ::-1].mean(axis=0) for T in (T_camera_part, moved)
    )
    ray = np.array([*((before - camera.matrix[:2, 2]) / camera.matrix[0, 0]), 1.0]) * middle[2]
    expected = camera.project(transform(in_camera, ray[None]))[0]
    assert after == pytest.approx(expected, abs=0.35)


def test_light_off_is_nearly_black_and_exposure_scales(scene):
    dark = picture(scene, GOOD, shot=replace(SHOT, light={}))
    assert np.percentile(dark, 99.9) < 12
    lit = picture(scene, GOOD).astype(float)
    half = picture(scene, GOOD, shot=replace(SHOT, exposure_s=0.004)).astype(float)
    gained = picture(scene, GOOD, shot=replace(SHOT, exposure_s=0.004, gain_db=6.0206)).astype(float)
    body = (lit > 60) & (lit < 200)
    assert ((half - 3)[body] / (lit - 3)[body]).mean() == pytest.approx(0.5, abs=0.01)
    assert (gained[body] / lit[body]).mean() == pytest.approx(1.0, abs=0.01)
    assert np.median(lit[lit > 40]) > 60


def test_an_unknown_light_or_format_is_refused(scene):
    with pytest.raises(ValueError, match=r"'blue'.*'ring' and 'dome'"):
        picture(scene, GOOD, shot=replace(SHOT, light={"blue": 1.0}))
    with pytest.raises(ValueError, match=r"mono12.*mono8"):
        picture(scene, GOOD, shot=replace(SHOT, pixel_format="mono12"))


def test_colour_formats_agree(scene):
    rgb = picture(scene, GOOD, shot=replace(SHOT, pixel_format="rgb8"))
    bgr = picture(scene, GOOD, shot=replace(SHOT, pixel_format="bgr8"))
    bayer = picture(scene, GOOD, shot=replace(SHOT, pixel_format="bayer_rggb8"))
    assert rgb.shape == (600, 800, 3)
    assert np.abs(rgb[:, :, ::-1].astype(int) - bgr).mean() < 2
    assert np.abs(bayer[0::2, 0::2].astype(int) - rgb[0::2, 0::2, 0]).mean() < 3
    assert np.abs(bayer[1::2, 1::2].astype(int) - rgb[1::2, 1::2, 2]).mean() < 3


@pytest.mark.parametrize("kind", [k for k in DefectKind if k is not DefectKind.WRONG_WEIGHT])
def test_a_defect_changes_the_picture_there_and_only_there(scene, kind):
    truth = make_part("S1", 4, [kind])
    defect = truth.defects[0]
    reference = replace(truth, defects=())
    counts = []
    for viewpoint in VIEWPOINTS:
        difference = changed(picture(scene, truth, viewpoint), picture(scene, reference, viewpoint))
        place = CAMERA.project(transform(inverse(viewpoint), [defect.point]))[0]
        reach = (1.5 * defect.size_m or 0.010) * CAMERA.matrix[0, 0] / DISTANCE_M
        if difference.any():
            where = np.argwhere(difference)[:, ::-1]
            assert np.linalg.norm(where - place, axis=1).max() < reach + 4
        counts.append(int(difference.sum()))
    assert sum(count > 15 for count in counts) >= 2


@pytest.mark.parametrize("zone", MARK_ZONES, ids=lambda z: f"{z.name}-{z.azimuth[0]}")
def test_a_mark_in_every_zone_is_seen_in_two_views_despite_the_gripper(scene, zone):
    place, point, normal = zone.sample(np.random.default_rng(3))
    defect = Defect(DefectKind.SCRATCH, "housing", place, point, normal, 0.005, seed=3)
    seen = 0
    for grasp in GRASPS:
        for viewpoint in VIEWPOINTS:
            if seen >= 2 or inverse(viewpoint)[2, :3] @ normal > 0.2:
                continue
            pictures = (picture(scene, t, viewpoint, grasp) for t in (replace(GOOD, defects=(defect,)), GOOD))
            seen += changed(*pictures).sum() > 15
    assert seen >= 2


def test_the_gripper_holds_the_rim(scene):
    held, free = picture(scene, GOOD, grasp=GRASPS[0]), picture(scene, GOOD)
    covered = CAMERA.project(transform(inverse(VIEWPOINTS[0]), [GRASPS[0][:3, 3] + (0, 0, 0.008)]))[0]
    x, y = covered.astype(int)
    assert held[y, x] < 0.6 * free[y, x]
