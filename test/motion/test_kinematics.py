"""Forward against the URDF multiplied out by hand, inverse against forward."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_demo import SHARE

from inspection_cell.core.poses import make_pose, rotation_from_rpy, rotation_from_vector
from inspection_cell.motion.embedded.kinematics import LIMIT_MARGIN_RAD, Kinematics

URDF = SHARE / "urdf" / "panda_class.urdf"
ARM = Kinematics(URDF, "tool")

joints = st.lists(st.floats(0.02, 0.98), min_size=7, max_size=7).map(
    lambda u: ARM.lower + np.array(u) * (ARM.upper - ARM.lower)
)


def forward_by_hand(q: np.ndarray) -> np.ndarray:
    by_child = {joint.find("child").get("link"): joint for joint in ElementTree.parse(URDF).getroot().iter("joint")}
    chain = []
    link = "tool"
    while link in by_child:
        chain.append(by_child[link])
        link = by_child[link].find("parent").get("link")
    values = iter(q)
    pose = np.eye(4)
    for joint in reversed(chain):
        origin = joint.find("origin")
        xyz = [float(v) for v in origin.get("xyz").split()]
        rpy = [float(v) for v in origin.get("rpy").split()]
        pose = pose @ make_pose(rotation_from_rpy(*rpy), xyz)
        if joint.get("type") == "revolute":
            pose = pose @ make_pose(rotation_from_vector((0, 0, next(values))))
    return pose


@given(joints)
@settings(max_examples=50, deadline=None)
def test_forward_is_the_urdf_multiplied_out(q: np.ndarray) -> None:
    assert np.allclose(ARM.forward(q), forward_by_hand(q), atol=1e-9)


@given(joints, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_solutions_reach_the_pose_inside_the_limits(q: np.ndarray, seed: int) -> None:
    pose = ARM.forward(q)
    for solution in ARM.solutions(pose, np.random.default_rng(seed), attempts=3, seed=q):
        assert np.allclose(ARM.forward(solution), pose, atol=1e-5)
        assert ARM.within_limits(solution, LIMIT_MARGIN_RAD)


def test_most_reachable_poses_are_solved() -> None:
    rng = np.random.default_rng(0)
    solved = 0
    for _ in range(50):
        pose = ARM.forward(rng.uniform(ARM.lower + 0.1, ARM.upper - 0.1))
        solved += next(ARM.solutions(pose, rng, attempts=60), None) is not None
    assert solved >= 48


def test_a_pose_out_of_reach_has_no_solution() -> None:
    pose = make_pose(None, (1.5, 0.0, 0.5))
    assert list(ARM.solutions(pose, np.random.default_rng(0), attempts=5)) == []


def test_wrong_frame_names_the_cure() -> None:
    with pytest.raises(ValueError, match=r"arm\.tool_frame to one of .*hand"):
        Kinematics(URDF, "claw")
