"""Hand-eye calibration: finds the camera, tells how well, and refuses what leaves it open."""

import numpy as np
import pytest

from inspection_cell.calibration.hand_eye import Mounting, Stop, calibrate_hand_eye
from inspection_cell.calibration.refusal import CalibrationRefused
from inspection_cell.calibration.target import CharucoTarget, Detection, target_points
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import (
    Pose,
    inverse,
    look_at,
    make_pose,
    perturb,
    rotation_from_vector,
    transform,
    twist_between,
)

TARGET = CharucoTarget(kind="charuco", squares=(11, 8), square_m=0.015, marker_m=0.011, dictionary="4X4_100")
POINTS = target_points(TARGET)
CAMERA = CameraModel(
    1600, 1200, np.array([[3000, 0, 810.0], [0, 2995, 590], [0, 0, 1]]), np.array([-0.12, 0.1, 3e-4, -2e-4, 0])
)
X = make_pose(rotation_from_vector((0.4, -1.2, 0.3)), (0.05, -0.08, 0.03))
Y = make_pose(rotation_from_vector((1.0, 0.2, -0.5)), (0.5, 0.1, -0.2))
ARM_M, ARM_RAD, PIXEL = 1e-4, 5e-4, 0.05


def seen_from(rng: np.random.Generator, tilt: float = 35.0) -> Pose:
    """T_camera_target."""
    tilted, around = np.radians(rng.uniform(0, tilt)), rng.uniform(0, 2 * np.pi)
    away = np.array([np.sin(tilted) * np.cos(around), np.sin(tilted) * np.sin(around), -np.cos(tilted)])
    centre = POINTS.mean(axis=0)
    return inverse(look_at(centre + rng.uniform(0.4, 0.6) * away, centre, rng.normal(size=3)))


def detected(T: Pose, rng: np.random.Generator) -> Detection:
    pixels = CAMERA.project(transform(T, POINTS))
    inside = np.all((pixels >= 0) & (pixels <= (CAMERA.width - 1, CAMERA.height - 1)), axis=1)
    noisy = pixels + rng.normal(0, PIXEL, pixels.shape)
    return Detection(np.flatnonzero(inside), POINTS[inside], noisy[inside])


def stops(mounting: Mounting, count: int, seed: int = 0, tilt: float = 35.0) -> list[Stop]:
    rng = np.random.default_rng((seed, count))
    found = []
    for k in range(count):
        T = seen_from(rng, tilt)
        between = X @ T @ inverse(Y)
        tool = inverse(between) if mounting == "in_hand" else between
        told = perturb(tool, rng.normal(size=6) * np.repeat([ARM_M, ARM_RAD], 3))
        found.append(Stop(f"stop {k}", told, detected(T, rng)))
    return found


@pytest.mark.parametrize("mounting", ["in_hand", "fixed"])
def test_finds_the_camera_and_the_arms_error(mounting: Mounting) -> None:
    found = calibrate_hand_eye(stops(mounting, 20), CAMERA, mounting)
    off = twist_between(X, found.T_camera)
    assert np.all(np.abs(off) < 5 * found.sigma), "the stated deviation must be true"
    assert np.linalg.norm(off[:3]) < 0.3e-3 and np.linalg.norm(off[3:]) < 0.7e-3
    assert found.arm_m == pytest.approx(ARM_M, rel=0.5) and found.arm_rad == pytest.approx(ARM_RAD, rel=0.5)
    assert found.left_out == ()


def test_leaves_out_a_pose_that_is_not_that_of_its_image() -> None:
    given = stops("in_hand", 12)
    given[4] = Stop("swapped", given[5].T_world_tool, given[4].detection)
    found = calibrate_hand_eye(given, CAMERA, "in_hand")
    assert found.left_out == ("swapped",)
    assert np.linalg.norm(twist_between(X, found.T_camera)[:3]) < 0.5e-3


def test_refuses_turns_about_one_axis_alone() -> None:
    with pytest.raises(CalibrationRefused, match="about two axes"):
        calibrate_hand_eye(stops("in_hand", 15, tilt=0.0), CAMERA, "in_hand")


def test_refuses_few_poses_and_poses_of_another_mounting() -> None:
    with pytest.raises(CalibrationRefused, match="6 are needed"):
        calibrate_hand_eye(stops("fixed", 5), CAMERA, "fixed")
    with pytest.raises(CalibrationRefused, match="mounting"):
        calibrate_hand_eye(stops("fixed", 15), CAMERA, "in_hand")


def test_refuses_poses_in_millimetres() -> None:
    given = [
        Stop(s.name, make_pose(s.T_world_tool[:3, :3], 1000 * s.T_world_tool[:3, 3]), s.detection)
        for s in stops("in_hand", 15)
    ]
    with pytest.raises(CalibrationRefused, match="metres"):
        calibrate_hand_eye(given, CAMERA, "in_hand")
