"""Poses: turns as roll, pitch and yaw, there and back."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.core.poses import rotation_from_rpy, rpy_from_rotation

ANGLES = st.floats(-math.pi, math.pi)


@given(ANGLES, ANGLES | st.sampled_from([math.pi / 2, -math.pi / 2]), ANGLES)
def test_roll_pitch_and_yaw_give_the_same_turn_back_also_where_pitch_is_a_quarter_turn(
    roll: float, pitch: float, yaw: float
) -> None:
    rotation = rotation_from_rpy(roll, pitch, yaw)
    again = rotation_from_rpy(*rpy_from_rotation(rotation))
    assert np.allclose(again, rotation, atol=1e-8)
