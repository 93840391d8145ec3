"""What the cell asks of any motion planner: plan, check, move, stop. Backends: `embedded`, MoveIt by an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose

Joints = NDArray[np.float64]


class MotionError(RuntimeError):
    """A motion could not be planned or made."""


class PlanningFailed(MotionError):
    """No motion was found; the message says between what and why."""


class MotionRefused(MotionError):
    """The arm did not start to move: protective stop, or the trajectory does not begin where the arm stands."""


class MotionStopped(MotionError):
    """The arm was stopped before the trajectory's end and stands on its path."""


@dataclass(frozen=True)
class PartState:
    """Where the part is while the arm moves: held (T_tool_part), in the scene (T_world_part), or not there.

    Attributes:
        touch: names of links and obstacles the part may touch meanwhile (fingers that grip it, what it rests on).
    """

    T_tool_part: Pose | None = None
    T_world_part: Pose | None = None
    touch: frozenset[str] = frozenset()

    def key(self) -> tuple[object, ...]:
        """Equal for equal states."""
        poses = (self.T_tool_part, self.T_world_part)
        return (*(None if pose is None else pose.round(9).tobytes() for pose in poses), self.touch)


@dataclass(frozen=True)
class Robot:
    """The arm's joints: names, limits (radians, rad/s, rad/s^2), home, and the tool frame's name."""

    names: tuple[str, ...]
    lower: Joints
    upper: Joints
    velocity: Joints
    acceleration: Joints
    home: Joints
    tool_frame: str


@dataclass(frozen=True)
class ArmState:
    """The arm at one moment.

    Attributes:
        stamp_ns: wall clock, nanoseconds since 1970.
        q, qd: (n,) joints and their velocities.
    """

    stamp_ns: int
    q: Joints
    qd: Joints
    moving: bool
    protective_stop: bool


@dataclass(frozen=True)
class Trajectory:
    """A timed motion that starts and ends at rest.

    Attributes:
        names: joint names.
        t: (m,) seconds from 0, rising.
        q, qd, qdd: (m, n) joints, velocities, accelerations.
        native: the backend's own form of it, which it executes; None where this is all.
    """

    names: tuple[str, ...]
    t: NDArray[np.float64]
    q: NDArray[np.float64]
    qd: NDArray[np.float64]
    qdd: NDArray[np.float64]
    native: object | None = field(default=None, compare=False, repr=False)

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.t[-1])

    @property
    def start(self) -> Joints:
        """The joints it starts from."""
        return self.q[0]

    @property
    def end(self) -> Joints:
        """The joints it ends at."""
        return self.q[-1]

    def sample(self, time: float) -> tuple[Joints, Joints, Joints]:
        """q, qd, qdd (n,) at a time, clamped to the ends; cubic Hermite between the samples."""
        time = min(max(time, 0.0), self.duration)
        i = min(int(np.searchsorted(self.t, time, side="right")) - 1, len(self.t) - 2)
        h = float(self.t[i + 1] - self.t[i])
        s = (time - float(self.t[i])) / h
        a, b, va, vb = self.q[i], self.q[i + 1], self.qd[i] * h, self.qd[i + 1] * h
        c2, c3 = 3 * (b - a) - 2 * va - vb, 2 * (a - b) + va + vb
        position = a + s * (va + s * (c2 + s * c3))
        return position, (va + s * (2 * c2 + s * 3 * c3)) / h, (2 * c2 + s * 6 * c3) / h**2


@dataclass(frozen=True)
class PlanRequest:
    """One motion to plan.

    Attributes:
        start: (n,) joints.
        goals: several joint goals, any will do; or empty where `path` is given.
        path: (m, n) joints to follow as they are, e.g. from `MotionPlanner.line`.
        part: where the part is meanwhile: the snapshot of the scene this plan is for.
        station: the straight motion is at a station, where the fingers may come closer than the scene's clearance.
        scaling: factor on the arm's usual speed and acceleration.
        timeout_s: each attempt.
        seed: the same request with the same seed gives the same motion, as long as no attempt runs out of time.
    """

    start: Joints
    goals: Sequence[Joints] = ()
    path: NDArray[np.float64] | None = None
    part: PartState = PartState()
    station: bool = False
    scaling: float = 1.0
    timeout_s: float = 3.0
    attempts: int = 3
    seed: int = 1


class Arm(Protocol):
    """What executes: the simulated arm here, a driver in a plant."""

    def state(self) -> ArmState:
        """The arm now."""
        ...

    def move(self, trajectory: Trajectory) -> None:
        """Moves and returns at the end.

        Raises:
            MotionRefused: it did not start.
            MotionStopped: it was stopped on the way.
        """
        ...

    def stop(self) -> None:
        """Decelerates to a standstill on the path and returns then."""
        ...


class MotionPlanner(Protocol):
    """Plans on a snapshot of the scene (the request's part state); planning never moves the arm."""

    @property
    def robot(self) -> Robot:
        """The arm."""
        ...

    def tool_pose(self, q: Joints) -> Pose:
        """T_world_tool at joints."""
        ...

    def is_valid(self, q: Joints, part: PartState) -> list[tuple[str, str]]:
        """The pairs of bodies too close at joints; empty is valid. Joints off the limits are a pair with "limits"."""
        ...

    def ik(
        self, T_world_tool: Pose, part: PartState, rng: np.random.Generator, count: int, station: bool = False
    ) -> list[Joints]:
        """Up to `count` different valid joint solutions with the goal's margin; fewer where fewer are found."""
        ...

    def line(
        self, start: Joints, T_world_tool: Pose, part: PartState, station: bool = False
    ) -> NDArray[np.float64] | None:
        """Joints (m, n) along a straight tool motion, valid at every step, or None."""
        ...

    def direct(self, start: Joints, goal: Joints, part: PartState) -> bool:
        """Whether the straight joint move is free."""
        ...

    def plan(self, request: PlanRequest) -> Trajectory:
        """A timed, checked motion.

        Raises:
            PlanningFailed: none found.
        """
        ...

    def validate(self, trajectory: Trajectory, part: PartState, station: bool = False) -> str:
        """Why a trajectory must not be run (limits, collisions on dense samples); empty where it may."""
        ...

    def execute(self, trajectory: Trajectory) -> None:
        """Moves the arm; raises as `Arm.move`."""
        ...

    def current_state(self) -> ArmState:
        """The arm now."""
        ...

    def stop(self) -> None:
        """Stops the arm on its path."""
        ...

    def close(self) -> None:
        """Releases what the backend holds."""
        ...
