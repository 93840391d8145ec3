"""Several views together: better than one, and a camera that is not what it is said to be is found."""

from dataclasses import replace

import numpy as np
import pytest
from shaded import CAMERA, errors, picture, viewpoint

from inspection_cell.alignment.multiview import PartView, align_views
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, make_pose, perturb, rotation_from_vector

BOUND = (0.004, np.radians(2.0))
T_WORLD_PART = make_pose(rotation_from_vector((0.3, -0.8, 1.1)), (0.4, -0.2, 0.7))


@pytest.fixture(scope="module")
def views(part):
    """Three views from sides some 40 degrees and more apart."""
    poses = [viewpoint(part, azimuth, tilt) for azimuth, tilt in ((0.2, 0.6), (2.2, 0.7), (4.4, 0.5))]
    return [PartView(picture(part, pose, i), CAMERA, T_WORLD_PART @ inverse(pose)) for i, pose in enumerate(poses)]


def prior(twist=(0.001, -0.0012, 0.0008, 0.008, -0.01, 0.006)):
    return perturb(T_WORLD_PART, np.array(twist))


def test_together_they_know_better_than_each_alone(part, views):
    joint = align_views(views, part, prior(), BOUND)
    assert joint.accepted, joint.reason
    assert joint.disagreement < 1
    off = errors(part, T_WORLD_PART, joint.T_world_part)
    alone = [
        errors(part, T_WORLD_PART, view.T_world_camera @ estimate.T_camera_part)
        for view, estimate in zip(views, joint.views, strict=True)
    ]
    assert off[0] < np.median([error[0] for error in alone])
    assert off[0] < 1e-4
    for estimate in joint.views:
        assert np.all(np.linalg.eigvalsh(estimate.covariance - joint.covariance) > 0)


def test_a_focal_length_that_is_not_so_is_found_although_each_view_is_accepted(part, views):
    matrix = CAMERA.matrix.copy()
    matrix[[0, 1], [0, 1]] *= 1.01
    told = [replace(view, camera=CameraModel(CAMERA.width, CAMERA.height, matrix)) for view in views]
    joint = align_views(told, part, prior(), BOUND)
    assert all(estimate.accepted for estimate in joint.views)
    assert not joint.accepted
    assert joint.disagreement > 1
    assert "calibration" in joint.reason


def test_a_camera_that_stands_elsewhere_is_found(part, views):
    moved = replace(views[1], T_world_camera=perturb(views[1].T_world_camera, np.array([0.002, 0, 0, 0, 0, 0])))
    joint = align_views([views[0], moved, views[2]], part, prior(), BOUND)
    assert not joint.accepted
    assert "apart" in joint.reason


def test_a_view_that_shows_nothing_is_left_out_and_none_is_refused(part, views):
    black = replace(views[0], image=np.zeros_like(views[0].image))
    joint = align_views([black, *views[1:]], part, prior(), BOUND)
    assert joint.accepted
    assert not joint.views[0].accepted
    alone = align_views([views[1]], part, prior(), BOUND)
    assert alone.accepted
    assert alone.disagreement == 0
    np.testing.assert_allclose(inverse(views[1].T_world_camera) @ alone.T_world_part, alone.views[0].T_camera_part)
    nothing = align_views([black], part, prior(), BOUND)
    assert not nothing.accepted
    assert np.all(np.isinf(np.diag(nothing.covariance)))
    np.testing.assert_array_equal(nothing.T_world_part, prior())
    with pytest.raises(ValueError, match="no views"):
        align_views([], part, prior(), BOUND)
