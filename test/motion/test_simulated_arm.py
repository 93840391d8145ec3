"""The simulated arm: plays in time, stops on its path within the limits, obeys the protective stop."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_demo import SHARE, demo_scene

from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.planner import MotionRefused, MotionStopped, PlanRequest, Trajectory
from inspection_cell.motion.simulated_arm import Playback, SimulatedArm, simulated_arm


def _move() -> tuple[Trajectory, np.ndarray]:
    planner = EmbeddedPlanner(demo_scene(), SHARE)
    home = planner.robot.home
    goal = home + np.array([0.8, 0.2, 0.0, 0.3, 0.0, 0.3, -0.5])
    return planner.plan(PlanRequest(home, [goal])), planner.robot.acceleration


_MOVE = _move()


@pytest.fixture
def there() -> Trajectory:
    return _MOVE[0]


def in_background(arm: SimulatedArm, trajectory: Trajectory) -> tuple[threading.Thread, list[Exception]]:
    raised: list[Exception] = []

    def run() -> None:
        try:
            arm.move(trajectory)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not arm.state().moving and thread.is_alive():
        time.sleep(0.001)
    return thread, raised


def test_it_arrives_in_time_and_reports_the_way(scene: SceneConfig, there: Trajectory) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    arm = simulated_arm(scene, SHARE, speed=4.0, on_state=lambda q, pose: seen.append((q, pose)))
    began = time.monotonic()
    arm.move(there)
    assert time.monotonic() - began >= there.duration / 4.0
    state = arm.state()
    assert not state.moving
    assert np.allclose(state.q, there.end)
    assert np.all(state.qd == 0)
    assert np.allclose(seen[-1][0], there.end)
    assert np.allclose(seen[0][0], there.start)
    assert len(seen) > 5
    planner = EmbeddedPlanner(scene, SHARE)
    for q, pose in seen:
        assert np.min(np.max(np.abs(there.q - q), axis=1)) < 0.05
        assert np.allclose(pose, planner.tool_pose(q))


def test_stop_stands_on_the_path(scene: SceneConfig, there: Trajectory) -> None:
    reported: list[np.ndarray] = []
    arm = simulated_arm(scene, SHARE, speed=1.0, on_state=lambda q, pose: reported.append(q))
    thread, raised = in_background(arm, there)
    time.sleep(0.3)
    arm.stop()
    thread.join()
    assert isinstance(raised[0], MotionStopped)
    state = arm.state()
    assert not state.moving
    assert not np.allclose(state.q, there.start, atol=1e-3)
    assert not np.allclose(state.q, there.end, atol=1e-3)
    assert np.array_equal(reported[-1], state.q)
    dense = np.array([there.sample(t)[0] for t in np.linspace(0, there.duration, 3000)])
    assert np.min(np.max(np.abs(dense - state.q), axis=1)) < 1e-3
    with pytest.raises(MotionRefused, match="plan from there"):
        arm.move(there)


def test_protective_stop_stops_and_refuses_until_cleared(scene: SceneConfig, there: Trajectory) -> None:
    arm = simulated_arm(scene, SHARE, speed=1.0)
    thread, raised = in_background(arm, there)
    time.sleep(0.2)
    arm.protective_stop(True)
    thread.join()
    assert "protective stop" in str(raised[0])
    assert arm.state().protective_stop
    with pytest.raises(MotionRefused, match="protective stop"):
        arm.move(there)
    arm.protective_stop(False)
    rest = Trajectory(there.names, there.t, there.q + (arm.state().q - there.q[0]), there.qd, there.qdd)
    fast = SimulatedArm(EmbeddedPlanner(scene, SHARE).robot, lambda q: np.eye(4), arm.state().q, speed=20.0)
    fast.move(rest)
    assert np.allclose(fast.state().q, rest.end)


def test_only_one_motion_at_a_time_and_only_its_own_joints(scene: SceneConfig, there: Trajectory) -> None:
    arm = simulated_arm(scene, SHARE, speed=2.0)
    thread, raised = in_background(arm, there)
    with pytest.raises(MotionRefused, match="moving"):
        arm.move(there)
    thread.join()
    assert raised == []
    with pytest.raises(MotionRefused, match="joints"):
        arm.move(Trajectory(("x",), there.t, there.q, there.qd, there.qdd))


def test_a_fault_of_the_listener_comes_out_of_move(scene: SceneConfig, there: Trajectory) -> None:
    calls: list[int] = []

    def listener(q: np.ndarray, pose: np.ndarray) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise OSError("renderer gone")

    arm = simulated_arm(scene, SHARE, on_state=listener)
    with pytest.raises(OSError, match="renderer gone"):
        arm.move(there)
    assert not arm.state().moving


@given(st.floats(0.02, 0.95))
@settings(max_examples=40, deadline=None)
def test_braking_keeps_the_acceleration_limits(fraction: float) -> None:
    trajectory, limit = _MOVE
    playback = Playback(trajectory, limit)
    playback.advance(fraction * trajectory.duration, braking=False)
    tick = 0.005
    velocities = [playback.joints()[1]]
    while not playback.standing:
        playback.advance(tick, braking=True)
        velocities.append(playback.joints()[1])
        assert len(velocities) < 1000
    # A window of 40 ms: twice the trajectory's own sampling, within which its acceleration is not resolved.
    window = 8
    series = np.array(velocities + [np.zeros_like(limit)] * window)
    mean = np.abs(series[window:] - series[:-window]) / (window * tick)
    assert np.all(mean <= limit * 1.1)
