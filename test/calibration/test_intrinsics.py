"""Intrinsics from pictures of printed targets, found by the real detectors."""

import numpy as np
import pytest

from inspection_cell.calibration.intrinsics import calibrate_intrinsics
from inspection_cell.calibration.refusal import CalibrationRefused
from inspection_cell.calibration.target import AprilGridTarget, CharucoTarget, Detection, Target, find, target_points
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, transform
from inspection_cell.simulation.target_images import photographed

CHARUCO = CharucoTarget(kind="charuco", squares=(11, 8), square_m=0.015, marker_m=0.011, dictionary="4X4_100")
GRID = AprilGridTarget(kind="aprilgrid", tags=(6, 5), tag_m=0.02, spacing=0.3)
CAMERA = CameraModel(
    800, 600, np.array([[1500, 0, 410.0], [0, 1497, 290], [0, 0, 1]]), np.array([-0.12, 0.1, 3e-4, -2e-4, 0])
)


def pictures(target: Target, count: int, tilt: float, seed: int = 0) -> list[tuple[str, Detection]]:
    rng = np.random.default_rng(seed)
    points = target_points(target)
    found = []
    for k in range(count):
        tilted, around = np.radians(rng.uniform(0.4 * tilt, tilt)), 2.4 * k
        away = np.array([np.sin(tilted) * np.cos(around), np.sin(tilted) * np.sin(around), -np.cos(tilted)])
        if target.kind == "aprilgrid":
            away[2] *= -1
        aim = points.mean(axis=0) + (0.03 * np.cos(1.3 * k), 0.03 * np.sin(1.3 * k), 0)
        T = inverse(look_at(aim + rng.uniform(0.4, 0.5) * away, aim, rng.normal(size=3)))
        detection = find(target, photographed(target, CAMERA, T, rng))
        if detection is not None:
            off = detection.pixels - CAMERA.project(transform(T, detection.points))
            assert np.sqrt(np.mean(np.sum(off**2, axis=1))) < 0.15, "points are found below a pixel"
            found.append((f"image {k}", detection))
    return found


@pytest.mark.parametrize("target", [CHARUCO, GRID], ids=["charuco", "aprilgrid"])
def test_finds_the_camera_within_the_stated_deviation(target: Target) -> None:
    given = pictures(target, 14, 35.0)
    assert len(given) >= 12
    found = calibrate_intrinsics(given, CAMERA.width, CAMERA.height)
    error = np.array(
        [
            *(found.camera.matrix - CAMERA.matrix)[[0, 1], [0, 1]],
            *(found.camera.matrix - CAMERA.matrix)[[0, 1], [2, 2]],
        ]
    )
    assert np.all(np.abs(error) < 6 * found.sigma[:4] + 0.2), (error, found.sigma)
    assert found.rms_px < 0.15 and found.covered > 0.4


def test_refuses_parallel_views_and_few_images() -> None:
    with pytest.raises(CalibrationRefused, match="tilt"):
        calibrate_intrinsics(pictures(CHARUCO, 8, 2.0), CAMERA.width, CAMERA.height)
    with pytest.raises(CalibrationRefused, match="6 are needed"):
        calibrate_intrinsics(pictures(CHARUCO, 4, 30.0), CAMERA.width, CAMERA.height)
