"""Pose errors: what must hold for any pose, and equality with the definitions written out point by point."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.alignment.metrics import (
    MSPD_THRESHOLDS_PX,
    THRESHOLDS,
    add,
    add_s,
    average_recall,
    mspd,
    mssd,
    projection_error,
    rotation_error,
    symmetry_transforms,
    translation_error,
    vsd,
)
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector

CAMERA = CameraModel(80, 60, np.array([[150.0, 25.0, 41.0], [0, 155.0, 28.5], [0, 0, 1]]))
PINHOLE = CameraModel.pinhole(640, 480, 900.0)
LENS = replace(PINHOLE, distortion=np.array([-0.15, 0.05, 0.001, -0.001, 0.0]))
HALF_TURN = make_pose(np.diag([-1.0, -1.0, 1.0]))
exact = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def some_pose(rng: np.random.Generator, depth: float = 0.6) -> Pose:
    """Any rotation, in front of the camera."""
    return make_pose(rotation_from_vector(rng.uniform(-2, 2, 3)), rng.uniform(-0.1, 0.1, 3) + (0, 0, depth))


def some_points(rng: np.random.Generator, count: int = 25) -> np.ndarray:
    return rng.uniform(-0.1, 0.1, (count, 3))


def some_symmetries(rng: np.random.Generator) -> np.ndarray:
    axis = rng.normal(size=3)
    return symmetry_transforms([HALF_TURN], [(axis, rng.uniform(-0.02, 0.02, 3))], 0.3)


@exact
@given(seeds)
def test_the_truth_has_no_error_and_the_errors_do_not_depend_on_the_camera_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, symmetries = some_points(rng), some_symmetries(rng)
    estimate, truth, moved = some_pose(rng), some_pose(rng), some_pose(rng, 0.0)
    assert add(truth, truth, points) == add_s(truth, truth, points) == mssd(truth, truth, points, symmetries) == 0
    assert mspd(truth, truth, points, LENS, symmetries) == projection_error(truth, truth, points, LENS) == 0
    assert rotation_error(truth, truth) < 1e-12 and translation_error(truth, truth) == 0
    for metric in (add, add_s, mssd, lambda e, t, x: mssd(e, t, x, symmetries)):
        there = metric(moved @ estimate, moved @ truth, points)
        assert there == pytest.approx(metric(estimate, truth, points), abs=1e-12)
    assert rotation_error(moved @ estimate, moved @ truth) == pytest.approx(rotation_error(estimate, truth), abs=1e-9)


@exact
@given(seeds)
def test_a_nearer_point_or_a_symmetry_only_makes_the_error_smaller(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, symmetries = some_points(rng), some_symmetries(rng)
    estimate, truth = some_pose(rng), some_pose(rng)
    assert add_s(estimate, truth, points) <= add(estimate, truth, points) + 1e-15
    assert add(estimate, truth, points) <= mssd(estimate, truth, points) + 1e-15
    assert projection_error(estimate, truth, points, LENS) <= mspd(estimate, truth, points, LENS) + 1e-12
    assert mssd(estimate, truth, points, symmetries) <= mssd(estimate, truth, points)
    assert mspd(estimate, truth, points, LENS, symmetries) <= mspd(estimate, truth, points, LENS)
    other = truth @ symmetries[rng.integers(1, len(symmetries))]
    assert mssd(other, truth, points, symmetries) < 1e-12 < 1e-3 < mssd(other, truth, points)
    assert mspd(other, truth, points, LENS, symmetries) < 1e-9 < 1e-1 < mspd(other, truth, points, LENS)


@exact
@given(seeds)
def test_equals_the_definitions_point_by_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, symmetries = some_points(rng), some_symmetries(rng)
    estimate, truth = some_pose(rng), some_pose(rng)

    def at(pose: Pose, x: np.ndarray) -> np.ndarray:
        return (pose @ (*x, 1.0))[:3]

    def pixel(pose: Pose, x: np.ndarray) -> np.ndarray:
        image = CAMERA.matrix @ at(pose, x)
        return image[:2] / image[2]

    def least_greatest(place: Callable[[Pose, np.ndarray], np.ndarray]) -> float:
        return min(max(math.dist(place(estimate, x), place(truth @ s, x)) for x in points) for s in symmetries)

    all_apart = [math.dist(at(estimate, x), at(truth, x)) for x in points]
    nearest = [min(math.dist(at(estimate, other), at(truth, x)) for other in points) for x in points]
    pixels = [math.dist(pixel(estimate, x), pixel(truth, x)) for x in points]
    cosine = (np.trace(estimate[:3, :3] @ np.linalg.inv(truth[:3, :3])) - 1) / 2
    for found, expected in [
        (add(estimate, truth, points), np.mean(all_apart)),
        (add_s(estimate, truth, points), np.mean(nearest)),
        (mssd(estimate, truth, points), max(all_apart)),
        (mssd(estimate, truth, points, symmetries), least_greatest(at)),
        (mspd(estimate, truth, points, CAMERA), max(pixels)),
        (mspd(estimate, truth, points, CAMERA, symmetries), least_greatest(pixel)),
        (projection_error(estimate, truth, points, CAMERA), np.mean(pixels)),
        (math.cos(rotation_error(estimate, truth)), cosine),
        (translation_error(estimate, truth), math.dist(estimate[:3, 3], truth[:3, 3])),
    ]:
        assert found == pytest.approx(expected, rel=0, abs=1e-9)


def test_a_small_rotation_is_not_lost_in_rounding() -> None:
    truth = make_pose(rotation_from_vector((0.3, -1.0, 0.7)), (0, 0, 0.5))
    for angle in (1e-9, 1e-6, math.pi - 1e-6):
        turned = truth @ make_pose(rotation_from_vector((0, angle, 0)))
        assert rotation_error(turned, truth) == pytest.approx(angle, abs=1e-14)


def test_motion_along_the_axis_hardly_shows_in_the_image() -> None:
    points = some_points(np.random.default_rng(0), 200) / 4
    truth = make_pose(None, (0, 0, 0.6))
    along, across = make_pose(None, (0, 0, 0.602)), make_pose(None, (0.002, 0, 0.6))
    assert mssd(along, truth, points) == pytest.approx(mssd(across, truth, points))
    assert mspd(along, truth, points, PINHOLE) < 0.1 * mspd(across, truth, points, PINHOLE)
    assert mspd(across, truth, points, PINHOLE) == pytest.approx(900 * 0.002 / (0.6 + points[:, 2].min()))


def test_an_estimate_behind_the_camera_is_infinitely_wrong_and_a_truth_there_is_a_mistake() -> None:
    points, front, behind = some_points(np.random.default_rng(0)), make_pose(None, (0, 0, 0.6)), make_pose(None)
    assert mspd(behind, front, points, PINHOLE) == projection_error(behind, front, points, PINHOLE) == math.inf
    assert mspd(behind, front, points, PINHOLE, symmetry_transforms([HALF_TURN])) == math.inf
    for metric in (mspd, projection_error):
        with pytest.raises(ValueError, match="T_truth"):
            metric(front, behind, points, PINHOLE)


def slab(left: int, depth: float, tilt: float = 0.0) -> np.ndarray:
    """The depth image of a plate 20 x 20 pixels large."""
    image = np.zeros((CAMERA.height, CAMERA.width))
    image[20:40, left : left + 20] = depth + tilt * np.arange(20)
    return image


def test_vsd_of_the_same_of_another_place_and_of_nothing() -> None:
    wall = np.full((CAMERA.height, CAMERA.width), 0.8)
    truth = slab(10, 0.5)
    scene = np.where(truth > 0, truth, wall)
    assert np.all(vsd(truth, truth, scene, CAMERA, 0.1) == 0)
    assert np.all(vsd(slab(45, 0.5), truth, scene, CAMERA, 0.1) == 1)
    assert np.all(vsd(wall * 0, wall * 0, scene, CAMERA, 0.1) == 1)
    half = vsd(slab(20, 0.5), truth, scene, CAMERA, 0.1)
    assert half == pytest.approx(np.full(len(THRESHOLDS), 2 / 3))  # 10 columns agree of 30


def test_vsd_judges_what_is_visible_and_takes_missing_depth_as_visible() -> None:
    truth, deeper = slab(10, 0.5), slab(10, 0.522)
    scene = np.where(truth > 0, truth, 0.8)
    low, high = vsd(deeper, truth, scene, CAMERA, 0.1, taus=(0.2, 0.3))
    assert (low, high) == (1, 0)  # 22 mm and some more off the axis, of a diameter of 100 mm
    shorter, hidden = truth.copy(), scene.copy()
    shorter[30:] = 0  # the lower half is not in the estimate
    hidden[30:] = 0.3  # and something stands before it
    assert np.all(vsd(shorter, truth, scene, CAMERA, 0.1) == 0.5)
    assert np.all(vsd(shorter, truth, hidden, CAMERA, 0.1) == 0)
    assert np.all(vsd(shorter, truth, np.where(hidden == 0.3, 0, scene), CAMERA, 0.1) == 0.5)


@exact
@given(seeds)
def test_vsd_equals_its_definition_pixel_by_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, estimate = slab(15, 0.5, 0.001), slab(15 + int(rng.integers(0, 15)), rng.uniform(0.45, 0.55), -0.001)
    measured = np.where(truth > 0, truth, 0.6) + rng.normal(0, 0.015, truth.shape)
    measured[rng.random(truth.shape) < 0.1] = 0
    diameter, delta, taus = 0.12, 0.01, (0.05, 0.15, 0.3)
    union, wrong = 0, [0] * len(taus)
    k = CAMERA.matrix
    for v in range(CAMERA.height):
        for u in range(CAMERA.width):
            ray = np.linalg.norm(np.linalg.solve(k, (u, v, 1.0)))
            e, g, m = (float(image[v, u] * ray) for image in (estimate, truth, measured))
            g_visible = g > 0 and (m == 0 or g - m <= delta)
            e_visible = e > 0 and (m == 0 or e - m <= delta or g_visible)
            union += g_visible or e_visible
            for i, tau in enumerate(taus):
                agree = g_visible and e_visible and abs(e - g) / diameter < tau
                wrong[i] += (g_visible or e_visible) and not agree
    expected = np.array(wrong) / union
    found = vsd(estimate.astype(np.float64), truth, measured, CAMERA, diameter, delta, taus)
    assert found == pytest.approx(expected, rel=0, abs=1e-9)
    assert np.all(np.diff(found) <= 0)


def test_continuous_symmetries_come_in_small_steps_around_their_axis() -> None:
    assert np.array_equal(symmetry_transforms(), np.eye(4)[None])
    offset = np.array([0.01, 0.02, 0.0])
    turns = symmetry_transforms(axes=[((0, 0, 2.0), offset)])
    assert len(turns) == 315 and np.array_equal(turns[0], np.eye(4))  # ceil(pi / 0.01)
    on_axis = turns @ np.array([0.01, 0.02, 0.7, 1.0])
    assert on_axis[:, :3] == pytest.approx(np.tile([0.01, 0.02, 0.7], (315, 1)))
    rim = (turns @ np.array([0.06, 0.02, 0.0, 1.0]))[:, :3]  # 50 mm off the axis, so of a diameter of 100 mm
    assert np.linalg.norm(np.diff(rim, axis=0, append=rim[:1]), axis=1).max() <= 0.01 * 0.1
    flip, axis = make_pose(np.diag([1.0, -1.0, -1.0]), (0.0, 0.05, 0.0)), [((0, 0, 1.0), offset)]
    both = symmetry_transforms([flip], axis, 0.5)
    assert both.shape == (14, 4, 4)
    assert both[7:] == pytest.approx(both[:7] @ flip)  # first the flip, then the turn


def test_average_recall_counts_what_is_below_each_threshold() -> None:
    assert average_recall([0.0, 0.0], THRESHOLDS) == 1
    assert average_recall([0.26, math.inf, math.nan, 0.6], THRESHOLDS) == pytest.approx(5 / 40)
    assert average_recall([[0.0, 10.0], [10.0, 50.0]], MSPD_THRESHOLDS_PX) == pytest.approx((10 + 8 + 8 + 0) / 40)
    with pytest.raises(ValueError, match="no errors"):
        average_recall([], THRESHOLDS)


def test_many_points_and_symmetries_take_little_memory() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(100_000, 3))
    points *= 0.05 / np.linalg.norm(points, axis=1, keepdims=True)
    symmetries = symmetry_transforms(axes=[((0, 0, 1), (0, 0, 0))], largest_step=0.03)
    assert len(symmetries) > 100
    truth = make_pose(rotation_from_vector((0.2, 0.1, 0.3)), (0, 0, 0.6))
    estimate = truth @ symmetries[40] @ make_pose(None, (0, 0, 0.001))
    tracemalloc.start()
    try:
        assert mssd(estimate, truth, points, symmetries) == pytest.approx(0.001, abs=1e-6)
        assert mspd(estimate, truth, points, PINHOLE, symmetries) < 2
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


def test_wrong_input_is_named() -> None:
    points, pose, image = some_points(np.random.default_rng(0)), make_pose(None, (0, 0, 0.6)), np.zeros((60, 80))
    nan_pose, scaled, nan_points = pose.copy(), pose * 1.1, points.copy()
    nan_pose[1, 3] = nan_points[3, 1] = np.nan
    for metric in (
        add,
        add_s,
        mssd,
        lambda e, t, x: mspd(e, t, x, CAMERA),
        lambda e, t, x: projection_error(e, t, x, CAMERA),
    ):
        for arguments, message in [
            ((pose[:3], pose, points), "T_estimate: shape"),
            ((pose, nan_pose, points), "T_truth: not finite"),
            ((scaled, pose, points), "T_estimate: not a rigid pose"),
            ((pose, pose.T, points), "T_truth: not a rigid pose"),
            ((pose, pose, points[:0]), "at least one point"),
            ((pose, pose, points[:, :2]), "points: shape"),
            ((pose, pose, nan_points), "points: not finite"),
        ]:
            with pytest.raises(ValueError, match=message):
                metric(*arguments)
    for symmetries in (pose, np.zeros((0, 4, 4)), np.zeros((2, 4, 4)), np.full((1, 4, 4), np.nan)):
        with pytest.raises(ValueError, match="symmetries"):
            mssd(pose, pose, points, symmetries)
    for arguments, message in [
        ((image[:9], image, image, CAMERA, 0.1), "depth_estimate: shape"),
        ((image, image - 1, image, CAMERA, 0.1), "depth_truth: holds"),
        ((image, image, image * np.nan, CAMERA, 0.1), "depth_measured: holds"),
        ((image, image, image, CAMERA, 0.0), "diameter"),
        ((image, image, image, CAMERA, 0.1, 0.01, ()), "taus"),
        ((np.zeros((480, 640)), np.zeros((480, 640)), np.zeros((480, 640)), LENS, 0.1), "distortion"),
    ]:
        with pytest.raises(ValueError, match=message):
            vsd(*arguments)
    for axis in [((0, 0, 0), (0, 0, 0)), ((0, 1), (0, 0, 0)), ((0, 0, 1), (0, np.nan, 0))]:
        with pytest.raises(ValueError, match=r"axes\[0\]"):
            symmetry_transforms(axes=[axis])
    with pytest.raises(ValueError, match="largest_step"):
        symmetry_transforms(largest_step=0)
