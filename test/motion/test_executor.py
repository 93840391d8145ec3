"""The steps as they are really done: on the simulated arm, with the simulated gripper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from motion_demo import SHARE

from inspection_cell.core.plan import Grasp
from inspection_cell.core.verdict import Disposition
from inspection_cell.devices.gripper import SimulatedGripperConfig, build_gripper
from inspection_cell.devices.gripper.base import PartLost
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import Workplace
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.executor import PartNotGripped, TaskExecutor
from inspection_cell.motion.planner import MotionRefused, MotionStopped
from inspection_cell.motion.simulated_arm import SimulatedArm, simulated_arm
from inspection_cell.motion.taskplan import StepRefused, TaskPlan

FAST = 500.0


@dataclass
class Fingers:
    """Where the fingers really are; `part_m` is what is between them when they close, 0 for nothing."""

    part_m: float = 0.016
    width_m: float = 0.036
    opened: list[float] = field(default_factory=list)
    when_opened: Callable[[], None] = lambda: None

    def on_open(self, width_m: float) -> None:
        self.width_m = width_m
        self.opened.append(width_m)
        self.when_opened()

    def on_grip(self, width_m: float, force_n: float) -> float:
        self.width_m = self.part_m
        return self.width_m

    def read_width(self) -> float:
        return self.width_m


@dataclass
class Rig:
    arm: SimulatedArm
    fingers: Fingers
    executor: TaskExecutor

    def until(self, last: str) -> None:
        """Does the steps of the way up to and with `last`."""
        for name in self.executor.sequence:
            self.executor.do(name)
            if name == last:
                return
        raise AssertionError(f"{last} is not on the way")


@pytest.fixture
def rig(scene: SceneConfig, grasps: list[Grasp], plan: TaskPlan, tmp_path: Path) -> Iterator[Rig]:
    arm = simulated_arm(scene, SHARE, FAST)
    planner = EmbeddedPlanner(scene, SHARE, arm)
    fingers = Fingers()
    workplace = Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, 1)
    gripper = build_gripper(SimulatedGripperConfig(), fingers)
    yield Rig(arm, fingers, TaskExecutor(plan, workplace, gripper, 0.0, tmp_path / "part.json"))
    planner.close()


def test_the_whole_way_ends_in_the_bin_and_at_home(rig: Rig) -> None:
    places = [rig.executor.do(name).disposition for name in rig.executor.sequence]
    assert places[0] is Disposition.GRIPPER
    assert Disposition.SCALE in places and places[-1] is Disposition.GRIPPER
    assert rig.executor.do("place:reject").disposition is Disposition.REJECT_BIN
    report = rig.executor.do("home")
    assert report.disposition is Disposition.REJECT_BIN and report.settled
    # and the next part can be begun at once
    assert rig.executor.do("pick:g1").disposition is Disposition.GRIPPER


def test_a_part_that_falls_is_noticed_at_the_next_motion(rig: Rig) -> None:
    rig.until("view:g1/wide")
    rig.fingers.width_m = 0.0
    with pytest.raises(PartLost, match="holds nothing"):
        rig.executor.do(rig.executor.sequence[2])
    assert rig.executor.disposition is Disposition.UNKNOWN
    rig.executor.do("home")
    assert rig.fingers.opened, "ready to grip again"


def test_closing_on_nothing_is_no_grip(rig: Rig) -> None:
    rig.fingers.part_m = 0.0
    with pytest.raises(PartNotGripped, match="pick:g1"):
        rig.executor.do("pick:g1")
    assert rig.executor.disposition is Disposition.INFEED
    rig.fingers.part_m = 0.016
    rig.executor.do("home")
    assert rig.executor.do("pick:g1").disposition is Disposition.GRIPPER


def test_home_with_a_part_puts_it_into_rework_first(rig: Rig) -> None:
    rig.until("view:g1/wide")
    assert rig.executor.do("home").disposition is Disposition.REWORK_BIN


def test_home_fetches_a_part_that_was_left_on_the_scale(rig: Rig) -> None:
    rig.until("weigh_place")
    assert rig.executor.disposition is Disposition.SCALE
    assert rig.executor.do("home").disposition is Disposition.REWORK_BIN


@pytest.mark.parametrize(
    ("step", "left_at", "after_home"),
    [("weigh_place", Disposition.SCALE, Disposition.REWORK_BIN), ("place:good", *[Disposition.GOOD_BIN] * 2)],
)
def test_a_stop_right_after_letting_go_knows_where_the_part_stays(
    rig: Rig, step: str, left_at: Disposition, after_home: Disposition
) -> None:
    way = rig.executor.sequence
    for name in way[: way.index(step)] if step in way else way:
        rig.executor.do(name)
    rig.fingers.when_opened = rig.executor.stop
    with pytest.raises(MotionStopped):
        rig.executor.do(step)
    rig.fingers.when_opened = lambda: None
    assert rig.executor.disposition is left_at
    assert rig.executor.do("home").disposition is after_home


def test_home_gives_up_a_part_that_is_not_on_the_scale_any_more(rig: Rig) -> None:
    rig.until("weigh_place")
    rig.fingers.part_m = 0.0
    assert rig.executor.do("home").disposition is Disposition.UNKNOWN
    rig.fingers.part_m = 0.016
    assert rig.executor.do("pick:g1").disposition is Disposition.GRIPPER


def test_a_part_can_be_placed_from_the_middle_of_its_way(rig: Rig) -> None:
    rig.until("view:g1/wide")
    assert rig.executor.do("place:rework").disposition is Disposition.REWORK_BIN


def test_a_step_out_of_turn_is_refused(rig: Rig) -> None:
    with pytest.raises(StepRefused, match="begins"):
        rig.executor.do("view:g1/wide")
    with pytest.raises(StepRefused, match="none of"):
        rig.executor.do("dance")


@pytest.mark.parametrize("lost_meanwhile", [False, True])
def test_an_executor_made_anew_goes_on_with_the_part_of_the_one_before(
    scene: SceneConfig, grasps: list[Grasp], plan: TaskPlan, tmp_path: Path, lost_meanwhile: bool
) -> None:
    fingers = Fingers()

    def after_a_restart() -> Iterator[Rig]:
        arm = simulated_arm(scene, SHARE, FAST)
        planner = EmbeddedPlanner(scene, SHARE, arm)
        workplace = Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, 1)
        gripper = build_gripper(SimulatedGripperConfig(), fingers)
        yield Rig(arm, fingers, TaskExecutor(plan, workplace, gripper, 0.0, tmp_path / "part.json"))
        planner.close()

    for rig in after_a_restart():
        rig.until("view:g1/wide")
    if lost_meanwhile:
        fingers.part_m = fingers.width_m = 0.0
    for rig in after_a_restart():
        assert rig.executor.disposition is Disposition.GRIPPER
        found = rig.executor.do("home").disposition
    assert found is (Disposition.UNKNOWN if lost_meanwhile else Disposition.REWORK_BIN)


def test_a_stop_stands_midway_and_home_leads_out(
    scene: SceneConfig, grasps: list[Grasp], plan: TaskPlan, tmp_path: Path
) -> None:
    arm = simulated_arm(scene, SHARE, 20.0)
    planner = EmbeddedPlanner(scene, SHARE, arm)
    workplace = Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, 1)
    gripper = build_gripper(SimulatedGripperConfig(), Fingers())
    executor = TaskExecutor(plan, workplace, gripper, 0.0, tmp_path / "part.json")

    def stop_once_it_moves() -> None:
        while abs(arm.state().q - planner.robot.home).max() < 0.1:
            time.sleep(0.001)
        executor.stop()

    stopper = threading.Thread(target=stop_once_it_moves)
    stopper.start()
    with pytest.raises(MotionStopped):
        executor.do("pick:g1")
    stopper.join()
    assert not arm.state().moving
    arm.protective_stop(True)
    with pytest.raises(MotionRefused, match="protective stop"):
        executor.do("home")
    arm.protective_stop(False)
    executor.do("home")
    assert abs(arm.state().q - planner.robot.home).max() < 1e-3
    planner.close()
