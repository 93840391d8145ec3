"""An arm that is not there: plays timed trajectories in real time (or sped up), stops within its limits, reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from inspection_cell.core.poses import Pose
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.embedded.kinematics import Kinematics, robot_of
from inspection_cell.motion.planner import ArmState, Joints, MotionRefused, MotionStopped, Robot, Trajectory
from inspection_cell.motion.taskplan import START_TOLERANCE_RAD

_TICK_S = 0.005
_REPORT_S = 0.02

OnState = Callable[[Joints, Pose], None]


class Playback:
    """A trajectory being played: how far it is, and how fast it flows (1: as planned); brakes within the limits.

    Args:
        acceleration: (n,) joint acceleration limits for braking, rad/s^2.
    """

    def __init__(self, trajectory: Trajectory, acceleration: Joints) -> None:
        self._trajectory = trajectory
        self._acceleration = acceleration
        self._time = 0.0
        self._rate = 1.0

    @property
    def arrived(self) -> bool:
        """Whether it is at the trajectory's end."""
        return self._time >= self._trajectory.duration

    @property
    def standing(self) -> bool:
        """Whether nothing moves any more."""
        return self.arrived or self._rate <= 0.0

    def advance(self, seconds: float, braking: bool) -> None:
        """Lets `seconds` pass; in small steps, for braking depends on where on the path it is."""
        while seconds > 0 and not self.standing:
            step = min(seconds, _TICK_S)
            if braking:
                self._rate = max(0.0, self._rate - self._braking() * step)
            self._time = min(self._trajectory.duration, self._time + self._rate * step)
            seconds -= step

    def joints(self) -> tuple[Joints, Joints]:
        """q and qd (n,) now."""
        q, qd, _ = self._trajectory.sample(self._time)
        return q, qd * self._rate

    def _braking(self) -> float:
        """The strongest slowing of the flow, 1/s, that keeps every joint's acceleration limit.

        With q(s(t)) is q'' = q_s s'' + q_ss s'^2, so each joint bounds s'' from below.
        """
        _, qd, qdd = self._trajectory.sample(self._time)
        own = qdd * self._rate**2
        moving = np.abs(qd) > 1e-6
        if not moving.any():
            return np.inf
        limit = self._acceleration
        room = np.where(qd > 0, limit + own, limit - own)[moving] / np.abs(qd[moving])
        return max(float(np.min(room)), 0.0)


def simulated_arm(scene: SceneConfig, share: Path, speed: float = 1.0, on_state: OnState | None = None) -> SimulatedArm:
    """The scene's arm, at home, with kinematics of its own; `share` is the folder the URDF's path starts at."""
    kinematics = Kinematics(share / scene.arm.urdf, scene.arm.tool_frame)
    robot = robot_of(scene, kinematics)
    return SimulatedArm(robot, kinematics.forward, robot.home, speed, on_state)


class SimulatedArm:
    """Stands for a robot's controller; behaves as `planner.Arm`.

    All times of a trajectory are divided by `speed` on the wall clock; the velocities it reports are the trajectory's.
    `on_state` is called from the arm's own thread, about 50 times a second of wall clock while it moves, once at the
    start and always with the last position before `move` returns: whoever takes it for reality is never behind.
    An exception it raises stops the arm where it is and comes out of `move`. It must not call `move` or `stop`.
    `tool_pose` is called from that thread too, so it must not share its data with a planner: see `simulated_arm`.
    """

    def __init__(
        self,
        robot: Robot,
        tool_pose: Callable[[Joints], Pose],
        q: Joints,
        speed: float = 1.0,
        on_state: OnState | None = None,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed}: must be positive; 1 is real time")
        self._robot = robot
        self._tool_pose = tool_pose
        self._speed = speed
        self._on_state = on_state
        self._changed = threading.Condition()
        self._q = np.array(q, float)
        self._qd = np.zeros_like(self._q)
        self._playback: Playback | None = None
        self._stopping = False
        self._protective_stop = False
        self._fault: Exception | None = None
        self._report()

    def state(self) -> ArmState:
        """The arm now."""
        with self._changed:
            return ArmState(
                time.time_ns(),
                self._q.copy(),
                self._qd.copy(),
                self._playback is not None,
                self._protective_stop,
            )

    def move(self, trajectory: Trajectory) -> None:
        """Plays the trajectory and returns at its end.

        Raises:
            MotionRefused: protective stop, another motion, or the trajectory does not begin where the arm stands.
            MotionStopped: stopped on the way; the arm stands on the path.
        """
        with self._changed:
            self._refuse(trajectory)
            self._playback = Playback(trajectory, self._robot.acceleration)
            self._stopping = False
            self._fault = None
        player = threading.Thread(target=self._play, name="simulated-arm", daemon=True)
        player.start()
        player.join()
        with self._changed:
            fault, stopped, protective = self._fault, self._stopping, self._protective_stop
            self._stopping = False
        if fault is not None:
            raise fault
        if stopped:
            raise MotionStopped("protective stop" if protective else "stopped on request")

    def stop(self) -> None:
        """Decelerates as fast as the joints' limits allow, on the path, and returns when the arm stands."""
        with self._changed:
            self._stopping = self._playback is not None
            self._changed.wait_for(lambda: self._playback is None)

    def protective_stop(self, active: bool) -> None:
        """The safety controller's input: stops the arm and keeps it until cleared; returns at once."""
        with self._changed:
            self._protective_stop = active
            if active and self._playback is not None:
                self._stopping = True

    def _refuse(self, trajectory: Trajectory) -> None:
        if self._protective_stop:
            raise MotionRefused("protective stop is active; clear it first")
        if self._playback is not None:
            raise MotionRefused("the arm is moving; wait for it or stop it")
        if trajectory.names != self._robot.names:
            raise MotionRefused(f"the trajectory is for joints {', '.join(trajectory.names)}")
        off = float(np.max(np.abs(trajectory.start - self._q)))
        if not off < START_TOLERANCE_RAD:
            raise MotionRefused(f"the trajectory begins {off:.3f} rad from where the arm stands; plan from there")

    def _play(self) -> None:
        try:
            self._report()
            last = next_report = time.monotonic()
            moving = True
            while moving:
                time.sleep(_TICK_S)
                now = time.monotonic()
                moving = self._advance(self._speed * (now - last))
                last = now
                if now >= next_report and moving:
                    self._report()
                    next_report = now + _REPORT_S
            self._report()
        except Exception as error:
            with self._changed:
                self._fault = error
        finally:
            with self._changed:
                self._qd = np.zeros_like(self._qd)
                self._playback = None
                self._changed.notify_all()

    def _advance(self, seconds: float) -> bool:
        """Lets `seconds` of trajectory time pass; whether the arm still moves then."""
        with self._changed:
            playback = self._playback
            assert playback is not None
            playback.advance(seconds, self._stopping)
            self._q, self._qd = playback.joints()
            if playback.arrived:
                self._stopping = False  # it was there before it could stop
            return not playback.standing

    def _report(self) -> None:
        if self._on_state is not None:
            with self._changed:
                q = self._q.copy()
            self._on_state(q, self._tool_pose(q))
