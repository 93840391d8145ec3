"""The embedded MotionPlanner: direct joint moves where they are free, else RRT-Connect; straight tool moves; timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ompl.base as ob
import ompl.geometric as og
import ompl.util as ou
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.embedded import timing
from inspection_cell.motion.embedded.collision import CollisionChecker, CollisionWorld
from inspection_cell.motion.embedded.kinematics import LIMIT_MARGIN_RAD, Kinematics, robot_of
from inspection_cell.motion.planner import (
    Arm,
    ArmState,
    Joints,
    MotionRefused,
    PartState,
    PlanningFailed,
    PlanRequest,
    Robot,
    Trajectory,
)

_IK_ATTEMPTS = 80
_RESOLUTION_RAD = 0.02
_RANGE_RAD = 0.8
_LINE_STEP_M = 0.004
_LINE_JUMP_RAD = 0.15
_KNOT_SPACINGS_RAD = (0.6, 0.3, 0.15, 0.05)  # wide knots give a smooth, fast motion; narrow ones keep to the path

# Every failure shows in what a call returns. OMPL also complains of a second seed in a process, yet takes it: all
# generators made afterwards follow from it (tested).
ou.setLogLevel(ou.LogLevel.LOG_NONE)


class EmbeddedPlanner:
    """Plans for one scene; executes on `arm` where there is one. Not for several threads at once."""

    def __init__(self, scene: SceneConfig, share: Path, arm: Arm | None = None) -> None:
        urdf = share / scene.arm.urdf
        self.kinematics = Kinematics(urdf, scene.arm.tool_frame)
        self._scene = scene
        self._world = CollisionWorld(self.kinematics, urdf, scene)
        self._arm = arm
        self._robot = robot_of(scene, self.kinematics)

    @property
    def robot(self) -> Robot:
        """The arm's joints and limits."""
        return self._robot

    def tool_pose(self, q: Joints) -> Pose:
        """T_world_tool at joints (n,)."""
        return self.kinematics.forward(q)

    def is_valid(self, q: Joints, part: PartState) -> list[tuple[str, str]]:
        """The pairs of bodies nearer than the scene's clearance; ("arm", "limits") where a joint is off its limits."""
        pairs = [] if self.kinematics.within_limits(q) else [("arm", "limits")]
        return pairs + self._world.checker(part).contacts(q)

    def ik(
        self, T_world_tool: Pose, part: PartState, rng: np.random.Generator, count: int, station: bool = False
    ) -> list[Joints]:
        """Up to `count` different joint solutions, free with the goal's margin (at a station: free)."""
        checker = self._checker(part, station)
        found: list[Joints] = []
        for q in self.kinematics.solutions(T_world_tool, rng, _IK_ATTEMPTS, self._robot.home):
            if checker.free(q) if station else checker.free_goal(q):
                found.append(q)
                if len(found) == count:
                    break
        return found

    def line(
        self, start: Joints, T_world_tool: Pose, part: PartState, station: bool = False
    ) -> NDArray[np.float64] | None:
        """Joints (m, n) along the straight tool motion from `start`; None where a step is not reachable or not free."""
        checker = self._checker(part, station)
        T_start = self.kinematics.forward(start)
        distance = float(np.linalg.norm(T_world_tool[:3, 3] - T_start[:3, 3]))
        steps = max(2, int(np.ceil(distance / _LINE_STEP_M)))
        path = [np.asarray(start, float)]
        for k in range(1, steps + 1):
            q = self.kinematics.inverse(self.kinematics.interpolate(T_start, T_world_tool, k / steps), path[-1])
            if q is None or float(np.max(np.abs(q - path[-1]))) > _LINE_JUMP_RAD or not checker.free(q):
                return None
            path.append(q)
        return np.array(path)

    def direct(self, start: Joints, goal: Joints, part: PartState) -> bool:
        """Whether the straight joint move is free."""
        return self._world.checker(part).edge_free(start, goal, _RESOLUTION_RAD)

    def plan(self, request: PlanRequest) -> Trajectory:
        """A timed motion, checked on dense samples.

        Raises:
            PlanningFailed: no motion was found, or none that keeps the limits and stays free once timed.
        """
        checker = self._checker(request.part, request.station)
        if request.path is not None:
            return self._timed(request.path, checker, request.scaling)
        if not checker.free(request.start):
            raise PlanningFailed(f"the start is not free: {_pairs(checker.contacts(request.start))}")
        for goal in sorted(request.goals, key=lambda q: self._move_time(request.start, q)):
            if checker.edge_free(request.start, goal, _RESOLUTION_RAD):
                return self._timed(np.array([request.start, goal]), checker, request.scaling)
        for attempt in range(request.attempts):
            path = self._rrt_connect(request, checker, request.seed + 1000 * attempt)
            if path is not None:
                try:
                    return self._timed(path, checker, request.scaling)
                except PlanningFailed:
                    continue
        raise PlanningFailed(f"no free motion to {len(request.goals)} goals in {request.attempts} attempts")

    def validate(self, trajectory: Trajectory, part: PartState, station: bool = False) -> str:
        """Which limit or which clearance the trajectory breaks; empty where it may be run."""
        fault = timing.limit_fault(trajectory, self._robot)
        if fault:
            return fault
        checker = self._checker(part, station)
        for t, q in zip(trajectory.t, trajectory.q, strict=True):
            if not checker.free(q):
                return f"at {t:.2f} s too close: {_pairs(checker.contacts(q))}"
        return ""

    def execute(self, trajectory: Trajectory) -> None:
        """Moves the arm; see `Arm.move` for what it raises."""
        self._need_arm().move(trajectory)

    def current_state(self) -> ArmState:
        """The arm now."""
        return self._need_arm().state()

    def stop(self) -> None:
        """Stops the arm on its path."""
        self._need_arm().stop()

    def close(self) -> None:
        """Nothing is held open."""

    def _need_arm(self) -> Arm:
        if self._arm is None:
            raise MotionRefused("this planner was made without an arm; it plans only")
        return self._arm

    def _checker(self, part: PartState, station: bool) -> CollisionChecker:
        return self._world.touch_checker(part) if station else self._world.checker(part)

    def _move_time(self, a: Joints, b: Joints) -> float:
        return float(np.max(np.abs(b - a) / self._robot.velocity))

    def _timed(self, path: NDArray[np.float64], checker: CollisionChecker, scaling: float) -> Trajectory:
        arm = self._scene.arm
        fault = "toppra found no timing"
        for spacing in _KNOT_SPACINGS_RAD:
            knots = timing.densify(path, spacing)
            trajectory = timing.time_path(
                knots, self._robot, arm.speed_scaling * scaling, arm.acceleration_scaling * scaling
            )
            if trajectory is None:
                continue
            fault = timing.limit_fault(trajectory, self._robot)
            if not fault and all(checker.free(q) for q in trajectory.q):
                return trajectory
            fault = fault or "the rounded path meets something"
        raise PlanningFailed(fault)

    def _rrt_connect(self, request: PlanRequest, checker: CollisionChecker, seed: int) -> NDArray[np.float64] | None:
        """A free, shortened path (m, n) to one of the goals, or None."""
        ou.RNG.setSeed(seed)  # before the planner and its samplers are made, which draw their seeds from it
        dimension = len(self._robot.names)
        space = ob.RealVectorStateSpace(dimension)
        bounds = ob.RealVectorBounds(dimension)
        for i in range(dimension):
            bounds.setLow(i, float(self._robot.lower[i] + LIMIT_MARGIN_RAD / 2))
            bounds.setHigh(i, float(self._robot.upper[i] - LIMIT_MARGIN_RAD / 2))
        space.setBounds(bounds)
        setup = og.SimpleSetup(space)
        setup.setStateValidityChecker(lambda state: checker.free(_vector(state, dimension)))
        information = setup.getSpaceInformation()
        information.setStateValidityCheckingResolution(_RESOLUTION_RAD / space.getMaximumExtent())
        setup.setStartState(_state(space, request.start))
        goals = ob.GoalStates(information)
        for goal in request.goals:
            goals.addState(_state(space, goal))
        setup.setGoal(goals)
        planner = og.RRTConnect(information)
        planner.setRange(_RANGE_RAD)
        setup.setPlanner(planner)
        # The status is true for approximate solutions too: only an exact one counts.
        if not setup.solve(request.timeout_s) or not setup.haveExactSolutionPath():
            return None
        path = setup.getSolutionPath()
        simplifier = og.PathSimplifier(information)
        simplifier.reduceVertices(path)
        simplifier.collapseCloseVertices(path)
        for _ in range(3):
            simplifier.partialShortcutPath(path)
            simplifier.reduceVertices(path)
        return np.array([_vector(state, dimension) for state in path.getStates()])


def _state(space: ob.RealVectorStateSpace, q: Joints) -> ob.State:
    state = space.allocState()
    for i, value in enumerate(q):
        state[i] = float(value)
    return state


def _vector(state: ob.State, dimension: int) -> Joints:
    return np.array([state[i] for i in range(dimension)])


def _pairs(contacts: list[tuple[str, str]]) -> str:
    return ", ".join(f"{a} and {b}" for a, b in contacts) or "nothing"
