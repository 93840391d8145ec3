"""The way of a camera on the arm round a part in its fixture: complete, free, showing what it should, home again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_demo import SHARE

from inspection_cell.core.verdict import Disposition
from inspection_cell.devices.gripper import SimulatedGripperConfig, build_gripper
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import INFEED, Workplace
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.executor import TaskExecutor
from inspection_cell.motion.planner import PlanningFailed
from inspection_cell.motion.round import LYING
from inspection_cell.motion.simulated_arm import simulated_arm
from inspection_cell.motion.task import check_plan, load_or_plan, plan_task
from inspection_cell.motion.taskplan import TaskPlan
from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.recipe import Recipe, load_recipe
from inspection_cell.recipe.scene import motion_views, scene_of

CELL = SHARE / "config" / "camera_arm_cell.yaml"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(SHARE / "config" / "recipes" / "ring_fixture.yaml")


@pytest.fixture(scope="module")
def arm_scene(recipe: Recipe) -> SceneConfig:
    return scene_of(load_cell_config(CELL), CELL, recipe)


@pytest.fixture(scope="module")
def round_planner(arm_scene: SceneConfig) -> EmbeddedPlanner:
    return EmbeddedPlanner(arm_scene, SHARE)


@pytest.fixture(scope="module")
def round_plan(arm_scene: SceneConfig, recipe: Recipe, round_planner: EmbeddedPlanner) -> TaskPlan:
    return plan_task(arm_scene, SHARE, [], motion_views(recipe), round_planner)


def test_every_view_is_taken_the_wide_ones_first_and_the_arm_comes_home(
    round_plan: TaskPlan, arm_scene: SceneConfig, recipe: Recipe, round_planner: EmbeddedPlanner
) -> None:
    names = round_plan.sequence
    assert sorted(names) == sorted(f"view:{view_id}" for view_id, *_ in recipe.all_views)
    assert {"wide" in name for name in names[:2]} == {True}
    assert check_plan(round_plan, arm_scene, [], round_planner) == ""
    q = round_planner.robot.home
    for name in [*names, "home"]:
        q = round_plan.step(name, q).end
    assert np.allclose(q, round_planner.robot.home)


def test_each_view_is_taken_from_its_viewpoint(
    round_plan: TaskPlan, arm_scene: SceneConfig, round_planner: EmbeddedPlanner
) -> None:
    viewpoints = {viewpoint.name: viewpoint for viewpoint in arm_scene.viewpoints}
    T_world_part = arm_scene.station(INFEED).T_world_part
    for name in round_plan.sequence:
        viewpoint = viewpoints[name.rpartition("/")[2]]
        end = next(step.end for step in round_plan.steps if step.name == name)
        T_world_camera = round_planner.tool_pose(end) @ arm_scene.cameras[viewpoint.camera].pose
        assert np.allclose(T_world_part @ viewpoint.viewpoint.T_part_camera, T_world_camera, atol=1e-5), name


def test_the_housing_on_the_tool_keeps_clear_of_the_part(
    round_plan: TaskPlan, arm_scene: SceneConfig, recipe: Recipe
) -> None:
    """The same way with a lens that would reach down to the part is no way."""
    content = arm_scene.model_dump()
    for camera in content["cameras"].values():
        camera["housing_m"], camera["housing_front_m"] = (0.05, 0.05, 0.5), 0.4
    long = SceneConfig.model_validate(content)
    planner = EmbeddedPlanner(long, SHARE)
    assert "camera_" in check_plan(round_plan, long, [], planner)
    with pytest.raises(PlanningFailed, match="is not reachable in fixture 'fixture'"):
        plan_task(long, SHARE, [], motion_views(recipe), planner)


def test_the_round_is_done_and_broken_off_with_the_part_in_its_fixture(
    arm_scene: SceneConfig, recipe: Recipe, tmp_path: Path
) -> None:
    arm = simulated_arm(arm_scene, SHARE, 500.0)
    planner = EmbeddedPlanner(arm_scene, SHARE, arm)
    file = tmp_path / "plan.npz"
    plan, _ = load_or_plan(file, arm_scene, SHARE, [], motion_views(recipe), planner)
    again, said = load_or_plan(file, arm_scene, SHARE, [], motion_views(recipe), planner)
    assert "read from" in said and again.sequence == plan.sequence
    workplace, gripper = Workplace(arm_scene, {}, planner, 1), build_gripper(SimulatedGripperConfig(), None)
    executor = TaskExecutor(plan, workplace, gripper, 0.0, tmp_path / "part.json")
    for name in [*plan.sequence, "home"]:
        report = executor.do(name)
        assert report.settled and report.disposition is Disposition.INFEED
    executor.do(plan.sequence[0])
    assert executor.do("home").disposition is Disposition.INFEED
    assert np.allclose(planner.current_state().q, planner.robot.home, atol=1e-6)
    assert executor._place == LYING
    planner.close()
