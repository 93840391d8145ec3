"""The whole way of the demo's part: complete, free, showing what it should; its file; what is planned live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_demo import SHARE

from inspection_cell.core.plan import Grasp
from inspection_cell.motion.config import BoxConfig, SceneConfig
from inspection_cell.motion.contacts import BINS, Workplace
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.live import place_live, retreat
from inspection_cell.motion.planner import MotionRefused, PlanningFailed
from inspection_cell.motion.task import check_plan, load_or_plan, plan_key, plan_task, view_targets
from inspection_cell.motion.taskplan import ForeignPlan, GripperCommand, StepRefused, TaskPlan


def test_every_step_is_there_and_follows_the_one_before(plan: TaskPlan, planner: EmbeddedPlanner) -> None:
    names = plan.sequence
    assert names[:2] == ["pick:g1", "view:g1/wide"]
    assert names[10:13] == ["weigh_place", "weigh_pick:g2", "view:g2/wide"]
    assert sum(name.startswith("view:") for name in names) == 18
    for bin_name in BINS:
        q, held = planner.robot.home, ""
        for name in [*names, f"place:{bin_name}", "home"]:
            step = plan.step(name, q, held)
            q, held = step.end, step.after.held
        assert held == ""
        assert np.allclose(q, planner.robot.home)


def test_no_motion_breaks_a_limit_or_comes_too_close(
    plan: TaskPlan, scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner
) -> None:
    assert check_plan(plan, scene, grasps, planner) == ""


def test_no_motion_collides_between_its_samples(plan: TaskPlan, workplace: Workplace) -> None:
    world = workplace.planner._world
    for step in plan.steps:
        for motion in step.motions:
            checker = world.checker(workplace.part_state(motion.place), 0.0)
            for time in np.arange(0, motion.trajectory.duration, 0.007):
                assert checker.free(motion.trajectory.sample(time)[0]), f"{step.name} at {time:.3f} s"


def test_each_view_shows_its_viewpoint(
    plan: TaskPlan, scene: SceneConfig, workplace: Workplace, planner: EmbeddedPlanner
) -> None:
    viewpoints = {viewpoint.name: viewpoint for viewpoint in scene.viewpoints}
    for step in plan.steps:
        if step.name.startswith("view:"):
            grasp, name = step.name.removeprefix("view:").split("/")
            T_world_part = planner.tool_pose(step.end) @ workplace.grasps[grasp].T_tool_part
            camera = scene.cameras[viewpoints[name].camera].pose
            assert np.allclose(T_world_part @ viewpoints[name].viewpoint.T_part_camera, camera, atol=1e-5), step.name


def test_gripper_closes_at_the_part_and_opens_where_it_is_left(
    plan: TaskPlan, scene: SceneConfig, workplace: Workplace, planner: EmbeddedPlanner
) -> None:
    stations = {"pick:g1": ("infeed", "g1", "close"), "weigh_place": ("scale", "g1", "open")}
    stations |= {"weigh_pick:g2": ("scale", "g2", "close"), "place:reject": ("reject", "g2", "open")}
    steps = {step.name: step for step in plan.steps}
    for name, (station, grasp, action) in stations.items():
        segments = steps[name].segments
        at = max(i for i, s in enumerate(segments) if isinstance(s, GripperCommand))
        assert segments[at].action == action
        T_world_part = planner.tool_pose(segments[at - 1].trajectory.end) @ workplace.grasps[grasp].T_tool_part
        assert np.allclose(T_world_part, scene.station(station).T_world_part, atol=1e-5), name


def test_a_step_is_refused_from_elsewhere_or_with_other_hands(plan: TaskPlan, planner: EmbeddedPlanner) -> None:
    home = planner.robot.home
    with pytest.raises(StepRefused, match="begins"):
        plan.step("weigh_place", home, "g1")
    with pytest.raises(StepRefused, match="nothing held"):
        plan.step("pick:g1", home, "g2")
    with pytest.raises(StepRefused, match="none of"):
        plan.step("dance", home)


def test_the_same_seed_gives_the_same_plan(scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner) -> None:
    views = view_targets(scene, ["wide", "top_000"])
    plans = [
        plan_task(scene, SHARE, grasps, views, backend, seed=7) for backend in (planner, EmbeddedPlanner(scene, SHARE))
    ]
    for a, b in zip(plans[0].steps, plans[1].steps, strict=True):
        assert a.name == b.name
        assert all(np.array_equal(x.trajectory.q, y.trajectory.q) for x, y in zip(a.motions, b.motions, strict=True))


def test_one_grasp_is_enough(scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner) -> None:
    said: list[float] = []
    views = view_targets(scene, ["wide", "below_090"])
    plan = plan_task(scene, SHARE, grasps[:1], views, planner, progress=lambda what, fraction: said.append(fraction))
    assert plan.sequence == ["pick:g1", "view:g1/wide", "view:g1/below_090", "weigh_place", "weigh_pick:g1"]
    assert said == sorted(said)
    assert said[-1] == 1.0


def test_a_viewpoint_out_of_reach_is_named(scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner) -> None:
    far = scene.viewpoints[0].model_copy(
        update={
            "name": "far",
            "T_part_camera": scene.viewpoints[0].T_part_camera.model_copy(update={"xyz_m": (0, 0, 3)}),
        }
    )
    changed = scene.model_copy(update={"viewpoints": (far,)})
    with pytest.raises(PlanningFailed, match="'far' is not reachable in grasp 'g1'"):
        plan_task(changed, SHARE, grasps, view_targets(changed), planner)


def test_the_file_gives_the_plan_back_and_refuses_others(
    plan: TaskPlan, scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner, tmp_path: Path
) -> None:
    path = tmp_path / "plan.npz"
    plan.save(path)
    again = TaskPlan.load(path, plan.key)
    for a, b in zip(plan.steps, again.steps, strict=True):
        assert (a.name, a.before, a.after) == (b.name, b.before, b.after)
        assert [type(s) for s in a.segments] == [type(s) for s in b.segments]
        assert all(np.array_equal(x.trajectory.q, y.trajectory.q) for x, y in zip(a.motions, b.motions, strict=True))
    assert check_plan(again, scene, grasps, planner) == ""
    other = plan_key(scene, SHARE, grasps, view_targets(scene), seed=2)
    with pytest.raises(ForeignPlan, match="another scene"):
        TaskPlan.load(path, other)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ForeignPlan, match="cannot be read"):
        TaskPlan.load(path, plan.key)


def test_an_obstacle_on_the_way_makes_a_kept_plan_invalid(
    plan: TaskPlan, scene: SceneConfig, grasps: list[Grasp]
) -> None:
    box = BoxConfig(name="crate", size_m=(0.3, 0.3, 0.3), xyz_m=(0.5, 0.0, 0.5))
    crowded = scene.model_copy(update={"obstacles": (*scene.obstacles, box)})
    assert "crate" in check_plan(plan, crowded, grasps, EmbeddedPlanner(crowded, SHARE))


def test_a_kept_plan_is_read_and_said_so(
    scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner, tmp_path: Path
) -> None:
    path, views = tmp_path / "plan.npz", view_targets(scene, ["wide"])
    _, first = load_or_plan(path, scene, SHARE, grasps, views, planner)
    _, second = load_or_plan(path, scene, SHARE, grasps, views, planner)
    _, third = load_or_plan(path, scene, SHARE, grasps, views, planner, seed=3)
    assert "not there yet" in first
    assert "read from plan.npz" in second
    assert "another scene" in third


def test_home_from_any_standstill(plan: TaskPlan, workplace: Workplace, planner: EmbeddedPlanner) -> None:
    rng = np.random.default_rng(5)
    motions = [motion for step in plan.steps for motion in step.motions]
    for number in rng.choice(len(motions), 25, replace=False):
        motion = motions[number]
        q, _, _ = motion.trajectory.sample(rng.uniform(0, motion.trajectory.duration))
        step = retreat(workplace, q, motion.place)
        assert step.before.held == step.after.held == motion.place.held
        position = q
        for way in step.motions:
            assert np.allclose(way.trajectory.start, position, atol=1e-9)
            assert planner.validate(way.trajectory, workplace.part_state(way.place), way.station) == ""
            position = way.trajectory.end
        assert np.allclose(position, planner.robot.home)


@pytest.mark.parametrize("grasp", ["g1", "g2"])
@pytest.mark.parametrize("station", BINS)
def test_a_held_part_can_go_to_any_bin_from_home(workplace: Workplace, grasp: str, station: str) -> None:
    step = place_live(workplace, workplace.planner.robot.home, grasp, station)
    assert step.before.held == grasp
    assert step.after.held == ""
    assert [type(segment) for segment in step.segments].count(GripperCommand) == 1


def test_a_planner_without_an_arm_refuses_to_move(plan: TaskPlan, planner: EmbeddedPlanner) -> None:
    with pytest.raises(MotionRefused, match="without an arm"):
        planner.execute(plan.steps[0].motions[0].trajectory)
