"""Does the planned steps: moves the arm, works the gripper, looks after the part, knows where it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspection_cell.core.poses import Pose
from inspection_cell.core.verdict import Disposition
from inspection_cell.devices.gripper.base import Gripper, GripperError, PartLost
from inspection_cell.motion.contacts import INFEED, SCALE, Workplace
from inspection_cell.motion.live import fetch_live, place_live, retreat
from inspection_cell.motion.planner import Joints, MotionStopped
from inspection_cell.motion.round import LYING
from inspection_cell.motion.taskplan import GripperCommand, Motion, Place, Step, TaskPlan
from inspection_cell.motion.whereabouts import load_place, save_place

GRIP_TOLERANCE_M = 0.0015
GRIP_FORCE_N = 20.0
DISPOSITIONS = {
    INFEED: Disposition.INFEED,
    SCALE: Disposition.SCALE,
    "good": Disposition.GOOD_BIN,
    "reject": Disposition.REJECT_BIN,
    "rework": Disposition.REWORK_BIN,
}


class PartNotGripped(GripperError):
    """The fingers closed on nothing, or on something else than the part."""


@dataclass(frozen=True)
class StepReport:
    """After a step: T_world_tool measured, whether the arm stands still, where the part is, seconds of motion."""

    T_world_tool: Pose
    settled: bool
    disposition: Disposition
    motion_s: float


class TaskExecutor:
    """Runs one task plan on one arm. One step at a time; `stop` may come from any thread.

    `whereabouts` is the file that says where the part is; an executor made anew goes on from it.
    """

    def __init__(
        self, plan: TaskPlan, workplace: Workplace, gripper: Gripper, settle_s: float, whereabouts: Path
    ) -> None:
        self.plan = plan
        self._workplace = workplace
        self._planner = workplace.planner
        self._gripper = gripper
        self._settle_s = settle_s
        self._whereabouts = whereabouts
        # Without a grasp the arm carries the camera, and the part never leaves its fixture.
        self._known_place = load_place(whereabouts) if workplace.grasps else LYING
        self._last_bin = Disposition.INFEED
        self._stop = threading.Event()

    @property
    def _place(self) -> Place:
        return self._known_place

    @_place.setter
    def _place(self, place: Place) -> None:
        if (place.held, place.at) != (self._known_place.held, self._known_place.at):
            save_place(self._whereabouts, place)
        self._known_place = place

    @property
    def sequence(self) -> list[str]:
        """The steps of the part's way up to the last view, in order."""
        return self.plan.sequence

    @property
    def disposition(self) -> Disposition:
        """Where the part is, or was put down last."""
        if self._place.held:
            return Disposition.GRIPPER
        return DISPOSITIONS.get(self._place.at, self._last_bin)

    def do(self, name: str, progress: Callable[[float], None] = lambda fraction: None) -> StepReport:
        """Does one step: one of the plan, or "home" (from anywhere; a held part goes to rework first).

        Raises:
            StepRefused, PlanningFailed, MotionRefused: it was not begun.
            MotionStopped, PartLost, PartNotGripped, GripperError: it was not ended; the arm stands.
        """
        self._stop.clear()
        started = time.monotonic()
        if name == "home":
            self._go_home(progress)
        else:
            if self._place.held:
                self._look_after_part(self._place.held)
            for step in self._steps(name):
                self._run(step, progress)
        moved = time.monotonic() - started
        settled = self._settle()
        state = self._planner.current_state()
        return StepReport(self._planner.tool_pose(state.q), settled, self.disposition, moved)

    def stop(self) -> None:
        """Decelerates to a standstill on the path."""
        self._stop.set()
        self._planner.stop()

    def _steps(self, name: str) -> list[Step]:
        q = self._planner.current_state().q
        if name.startswith("pick:"):
            self._place = Place(at=INFEED)
            self._last_bin = Disposition.INFEED
        if name.startswith("place:") and not self._is_planned(name):
            away = retreat(self._workplace, q, self._place)
            station = name.removeprefix("place:")
            return [away, place_live(self._workplace, self._home, self._place.held, station)]
        return [self.plan.step(name, q, self._place.held)]

    def _go_home(self, progress: Callable[[float], None]) -> None:
        """Home from anywhere, ready to grip; a part that is still in the arm's care goes to rework first."""
        if self._place.held and not self._still_holds():
            self._lose_part()
        if not self._place.held and self._place.at != SCALE and self._is_planned("home"):
            self._run(self.plan.step("home", self._planner.current_state().q), progress)
        else:
            self._retreat(progress)
        if self._place.at == SCALE:
            try:
                last = list(self._workplace.grasps)[-1]
                self._run(fetch_live(self._workplace, self._home, last, SCALE), progress)
            except PartNotGripped:  # nobody knows where it is, but not there
                self._lose_part()
                self._retreat(progress)
        if self._place.held:
            q = self._planner.current_state().q
            self._run(place_live(self._workplace, q, self._place.held, "rework"), progress)
            self._retreat(progress)
        self._gripper.open(self._workplace.scene.gripper.open_width_m)

    def _retreat(self, progress: Callable[[float], None]) -> None:
        self._run(retreat(self._workplace, self._planner.current_state().q, self._place), progress)

    def _lose_part(self) -> None:
        self._place = Place()
        self._last_bin = Disposition.UNKNOWN

    @property
    def _home(self) -> Joints:
        return self._planner.robot.home

    def _is_planned(self, name: str) -> bool:
        try:
            self.plan.step(name, self._planner.current_state().q, self._place.held)
        except Exception:
            return False
        return True

    def _run(self, step: Step, progress: Callable[[float], None]) -> None:
        for index, segment in enumerate(step.segments):
            if self._stop.is_set():
                raise MotionStopped("stopped on request")
            if isinstance(segment, Motion):
                self._planner.execute(segment.trajectory)
                if segment.place.held:
                    self._look_after_part(segment.place.held)
            else:
                self._work_gripper(segment, step)
            progress((index + 1) / len(step.segments))
        self._arrive(step)

    def _arrive(self, step: Step) -> None:
        """The part is where the step takes it."""
        self._place = step.after
        if step.name.startswith("place:"):
            self._last_bin = DISPOSITIONS[step.name.removeprefix("place:")]
            self._place = Place()

    def _work_gripper(self, command: GripperCommand, step: Step) -> None:
        if command.action == "open":
            self._gripper.open(command.width_m)
            if self._place.held:  # let go: it stays here, also when the step is stopped before its end
                self._arrive(step)
            return
        try:
            self._gripper.grip(command.width_m, GRIP_TOLERANCE_M, GRIP_FORCE_N)
        except PartLost as error:
            raise PartNotGripped(f"{step.name}: {error}") from error
        # From here on the part is in the hand, also when the step is stopped before its end.
        self._place = Place(held=step.after.held)

    def _look_after_part(self, grasp: str) -> None:
        if not self._holds():
            self._lose_part()
            width = self._gripper.state().width_m
            raise PartLost(f"the gripper holds nothing any more (jaws at {width * 1e3:.1f} mm, grasp {grasp})")

    def _still_holds(self) -> bool:
        """Whether the part is in the hand; a gripper that was connected anew is told what it should hold."""
        grasp = self._workplace.grasps.get(self._place.held)
        if grasp is None or self._holds():
            return grasp is not None
        try:
            self._gripper.grip(grasp.width_m, GRIP_TOLERANCE_M, GRIP_FORCE_N)
        except PartLost:
            return False
        return True

    def _holds(self) -> bool:
        return bool(self._gripper.state().holding)

    def _settle(self) -> bool:
        deadline = time.monotonic() + self._settle_s
        while time.monotonic() < deadline:
            time.sleep(min(0.02, self._settle_s))
        return not self._planner.current_state().moving
