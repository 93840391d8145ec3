"""Timed trajectories: limits by finite differences, ends at rest, the path's ends met."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.motion.embedded import timing
from inspection_cell.motion.planner import Robot, Trajectory

ROBOT = Robot(
    tuple("abc"), -np.full(3, 3.0), np.full(3, 3.0), np.array([2.0, 1.0, 2.6]), np.array([4.0, 2.0, 5.0]),
    np.zeros(3), "tool",
)  # fmt: skip

paths = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=2, max_size=5).map(np.array).filter(
    lambda p: np.min(np.linalg.norm(np.diff(p, axis=0), axis=1)) > 0.05
)  # fmt: skip


@given(paths, st.floats(0.1, 1.0), st.floats(0.1, 1.0))
@settings(max_examples=30, deadline=None)
def test_limits_hold_between_the_samples(path: np.ndarray, speed: float, acceleration: float) -> None:
    trajectory = timing.time_path(timing.densify(path, 0.3), ROBOT, speed, acceleration)
    assert trajectory is not None
    assert np.allclose(trajectory.start, path[0])
    assert np.allclose(trajectory.end, path[-1])
    t = np.linspace(0, trajectory.duration, 2000)
    q = np.array([trajectory.sample(x)[0] for x in t])
    measured = np.diff(q, axis=0) / np.diff(t)[:, None]
    assert np.all(np.abs(measured) <= ROBOT.velocity * speed * 1.05)
    # Over a window of a few samples the mean acceleration must hold the limit too.
    window = max(1, int(0.1 / (t[1] - t[0])))
    if len(measured) > window:
        mean = (measured[window:] - measured[:-window]) / (window * (t[1] - t[0]))
        assert np.all(np.abs(mean) <= ROBOT.acceleration * acceleration * 1.1)
    assert np.max(np.abs(measured[[0, -1]])) < 0.05


@given(paths)
@settings(max_examples=20, deadline=None)
def test_reported_velocity_is_the_position_s_derivative(path: np.ndarray) -> None:
    trajectory = timing.time_path(timing.densify(path, 0.3), ROBOT, 0.5, 0.5)
    assert trajectory is not None
    h = 1e-5
    for time in np.linspace(0.05, 0.95, 15) * trajectory.duration:
        before, _, _ = trajectory.sample(time - h)
        _, qd, _ = trajectory.sample(time)
        after, _, _ = trajectory.sample(time + h)
        assert np.allclose((after - before) / (2 * h), qd, atol=1e-3)


def test_a_path_without_length_has_no_timing() -> None:
    assert timing.time_path(np.zeros((1, 3)), ROBOT, 0.5, 0.5) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda x: {"q": x.q + 3.0}, "position"),
        (lambda x: {"qd": x.qd * 4}, "velocity"),
        (lambda x: {"qdd": x.qdd * 4}, "acceleration"),
        (lambda x: {"t": x.t[::-1]}, "time"),
        (lambda x: {"q": x.q * np.nan}, "finite"),
        (lambda x: {"qd": x.qd + 0.5}, "at rest"),
    ],
)
def test_every_broken_limit_is_named(change: object, fault: str) -> None:
    good = timing.time_path(np.array([[0.0, 0, 0], [1, 0.5, -1]]), ROBOT, 0.5, 0.5)
    assert good is not None
    assert timing.limit_fault(good, ROBOT) == ""
    fields = {"names": good.names, "t": good.t, "q": good.q, "qd": good.qd, "qdd": good.qdd}
    assert fault in timing.limit_fault(Trajectory(**(fields | change(good))), ROBOT)
