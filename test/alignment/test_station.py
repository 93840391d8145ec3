"""A grasp's alignment from its wide views: one, or several that must all be there, all be found and all agree."""

from __future__ import annotations

import numpy as np
import pytest
from held_part import HeldPart, two_wide_content

from inspection_cell.alignment.station import AlignmentStation, WideView
from inspection_cell.core.poses import rotation_angle, transform

TWIST = np.array([0.0015, -0.0012, 0.0016, 0.02, -0.025, 0.015])


@pytest.fixture(scope="module")
def held():
    return HeldPart(two_wide_content(), TWIST)


@pytest.fixture(scope="module")
def station(held):
    return AlignmentStation(held.recipe, held.path, held.config.tool_boxes)


def find(held, station, view_id, **told):
    view, image = held.take(view_id, **told)
    return WideView(view, station.find(view, image, "mono8"))


def off_mm_deg(held, alignment):
    truth, centre = held.T_tool_part(alignment.grasp), held.scene.centre[None]
    shift = transform(alignment.T_reference_part, centre) - transform(truth, centre)
    turn = rotation_angle(truth[:3, :3].T @ alignment.T_reference_part[:3, :3])
    return 1e3 * float(np.linalg.norm(shift)), float(np.degrees(turn))


@pytest.mark.parametrize("grasp", ["g1", "g2"])
def test_two_views_know_the_pose_in_the_hand_better_than_one(held, station, grasp):
    found = [find(held, station, f"{grasp}/{name}") for name in ("wide", "wide_090")]
    one, _ = station.judge(found[:1], 1)
    both, joint = station.judge(found, 2)
    assert one.accepted and both.accepted, (one.reason, both.reason)
    assert (both.grasp, both.view_id, both.stamp_ns) == (grasp, f"{grasp}/wide_090", 2)
    assert joint.disagreement < 1
    shift, turn = off_mm_deg(held, both)
    assert shift < 0.08 and turn < 0.15
    assert np.trace(both.covariance[:3, :3]) < np.trace(one.covariance[:3, :3]) / 9
    assert both.quality == min(f.estimate.quality for f in found)


def test_one_view_gives_what_it_says_alone(held, station):
    found = find(held, station, "g1/wide")
    alignment, joint = station.judge([found], 1)
    assert alignment.accepted and joint.disagreement == 0 and alignment.view_id == "g1/wide"
    expected = found.view.T_reference_part(found.estimate.T_camera_part)
    np.testing.assert_allclose(alignment.T_reference_part, expected, atol=1e-12)
    np.testing.assert_allclose(alignment.covariance, found.estimate.covariance, rtol=1e-6)


@pytest.mark.parametrize(
    "told",
    [
        {"focal": 1.004},
        {"camera_off": (0.0015, 0, 0, 0, 0, 0)},
        {"camera_off": (0, 0, 0, 0, 0.003, 0)},
    ],
    ids=["focal length 0.4 % off", "camera 1.5 mm aside", "camera turned by 0.17 deg"],
)
def test_a_wrong_calibration_that_each_view_accepts_is_refused_by_both(held, station, told):
    found = [find(held, station, f"g1/{name}", **told) for name in ("wide", "wide_090")]
    assert all(f.estimate.accepted for f in found)
    alignment, joint = station.judge(found, 1)
    assert not alignment.accepted and joint.disagreement > 1
    assert "calibration" in alignment.reason and "apart" in alignment.reason


def test_a_view_that_was_not_found_is_not_left_out(held, station):
    good = find(held, station, "g1/wide")
    view, image = held.take("g1/wide_090")
    dark = WideView(view, station.find(view, np.zeros_like(image), "mono8"))
    for found in ([good, dark], [dark, good], [dark, dark]):
        alignment, _ = station.judge(found, 1)
        assert not alignment.accepted and "g1/wide_090: " in alignment.reason
        assert np.all(np.isfinite(alignment.covariance)) and np.isfinite(alignment.residual_px)
