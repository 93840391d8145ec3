"""The gripper as the camera sees it: a hand and two fingers, in the tool frame (z approach, y closing direction)."""

from __future__ import annotations

import numpy as np
import trimesh

from inspection_cell.core.poses import Pose, make_pose

HAND, FINGER = "gripper/hand", "gripper/finger"
FINGER_WIDTH_M, FINGER_THICKNESS_M = 0.018, 0.005
FINGER_REACH_M = 0.0086
HAND_RADIUS_M, HAND_LENGTH_M = 0.037, 0.204
HAND_Z_M = -0.0754


def meshes() -> dict[str, trimesh.Trimesh]:
    """The hand, and one finger whose pad is the plane y = 0 and which lies on the side of positive y."""
    hand = trimesh.creation.capsule(HAND_LENGTH_M - 2 * HAND_RADIUS_M, HAND_RADIUS_M, count=(24, 24))
    hand.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    hand.apply_translation(-hand.bounds.mean(axis=0) + (0, 0, HAND_Z_M))
    root = HAND_Z_M + HAND_RADIUS_M - 0.004
    pad = _box((-FINGER_WIDTH_M / 2, 0.0, -0.014), (FINGER_WIDTH_M / 2, FINGER_THICKNESS_M, FINGER_REACH_M))
    stem = _box((-FINGER_WIDTH_M / 2, 0.004, root), (FINGER_WIDTH_M / 2, 0.016, -0.012))
    return {HAND: hand, FINGER: pad + stem}


def finger_poses(width_m: float) -> tuple[Pose, Pose]:
    """T_tool_finger of the two fingers for a jaw distance."""
    turned = make_pose(np.diag([-1.0, -1.0, 1.0]), (0, -width_m / 2, 0))
    return make_pose(None, (0, width_m / 2, 0)), turned


def _box(low: tuple[float, float, float], high: tuple[float, float, float]) -> trimesh.Trimesh:
    """A box between two corners, cut fine enough to follow the lens's distortion."""
    return trimesh.creation.box(bounds=np.array([low, high])).subdivide().subdivide()
