"""The part's whole way, planned: pick, show every viewpoint, weigh, regrasp, show again, put into a bin, go home."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from inspection_cell.core.plan import Grasp
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import BINS, INFEED, SCALE, Workplace
from inspection_cell.motion.legs import Picking, ViewTarget, plan_leg
from inspection_cell.motion.planner import MotionPlanner, PlanningFailed
from inspection_cell.motion.round import plan_round
from inspection_cell.motion.taskplan import ForeignPlan, Place, Step, TaskPlan

PLANNER_VERSION = 1  # raise it when the same input would be planned differently

Progress = Callable[[str, float], None]


def view_targets(scene: SceneConfig, names: Sequence[str] = ()) -> list[ViewTarget]:
    """The scene's viewpoints (those of `names`, all where empty), each shown in every grasp of the scene."""
    grasps = tuple(grasp.name for grasp in scene.grasps)
    return [
        ViewTarget(viewpoint.viewpoint, viewpoint.role, grasps)
        for viewpoint in scene.viewpoints
        if not names or viewpoint.name in names
    ]


def plan_key(scene: SceneConfig, share: Path, grasps: Sequence[Grasp], views: Sequence[ViewTarget], seed: int) -> str:
    """SHA-256 of everything a plan depends on."""
    digest = hashlib.sha256(f"{PLANNER_VERSION} {seed} {scene.digest()}".encode())
    digest.update((share / scene.arm.urdf).read_bytes())
    for grasp in grasps:
        digest.update(f"{grasp.name} {grasp.width_m!r} {grasp.T_tool_part.round(9).tolist()}".encode())
    for view in views:
        pose = view.viewpoint.T_part_camera.round(9).tolist()
        digest.update(f"{view.viewpoint.name} {view.role} {view.grasps} {pose}".encode())
    return digest.hexdigest()


def plan_task(
    scene: SceneConfig,
    share: Path,
    grasps: Sequence[Grasp],
    views: Sequence[ViewTarget],
    planner: MotionPlanner,
    seed: int = 1,
    progress: Progress = lambda what, fraction: None,
) -> TaskPlan:
    """Plans every step for one or two grasps; with one, the part is taken from the scale as it was put there.

    Without a grasp the arm carries the camera, and the way is once round the part in its fixture. The same arguments
    give the same plan. `progress` is told what is planned and the fraction done.

    Raises:
        PlanningFailed: a step has no motion; the message says which and between what.
    """
    if len(grasps) > 2:
        raise PlanningFailed(f"{len(grasps)} grasps; the way has one or two")
    workplace = Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, seed)
    if not grasps:
        round_ = plan_round(workplace, views, lambda f: progress("the way round the part", f))
        return TaskPlan(plan_key(scene, share, grasps, views, seed), tuple(round_))
    first, last = grasps[0].name, grasps[-1].name
    home = planner.robot.home
    steps: list[Step] = []

    progress("ways to grip", 0.0)
    at_infeed, put_down = workplace.contacts(INFEED, first), workplace.contacts(SCALE, first)
    taken_up = workplace.contacts(SCALE, last)
    picks = [Picking(f"pick:{first}", contact, home, Place(at=INFEED)) for contact in at_infeed]
    shown = _views_of(views, first)
    steps += plan_leg(
        workplace, picks, shown, {"weigh_place": put_down}, lambda f: progress(f"grasp {first}", 0.1 + 0.4 * f)
    )

    beside = steps[-1].end
    picks = [Picking(f"weigh_pick:{last}", contact, beside, Place(at=SCALE)) for contact in taken_up]
    shown = _views_of(views, last) if len(grasps) == 2 else []
    ends = {f"place:{name}": workplace.contacts(name, last) for name in BINS}
    for step in plan_leg(workplace, picks, shown, ends, lambda f: progress(f"grasp {last}", 0.5 + 0.4 * f)):
        steps.append(step)
        if step.name.startswith("place:"):
            steps.append(Step("home", (workplace.free_move(step.end, home, Place()),), Place(), Place()))
    progress("done", 1.0)
    return TaskPlan(plan_key(scene, share, grasps, views, seed), tuple(steps))


def load_or_plan(
    path: Path,
    scene: SceneConfig,
    share: Path,
    grasps: Sequence[Grasp],
    views: Sequence[ViewTarget],
    planner: MotionPlanner,
    seed: int = 1,
    progress: Progress = lambda what, fraction: None,
) -> tuple[TaskPlan, str]:
    """The plan kept at `path` where it is for this task and still valid, else a new one, kept there.

    Returns the plan and a sentence that says which of the two, and why; raises PlanningFailed.
    """
    try:
        plan = TaskPlan.load(path, plan_key(scene, share, grasps, views, seed))
        fault = check_plan(plan, scene, grasps, planner)
        if not fault:
            return plan, f"motion plan read from {path.name} and checked"
        reason = f"{path.name} is no longer valid ({fault})"
    except ForeignPlan as error:
        reason = str(error) if path.exists() else f"{path.name} is not there yet"
    plan = plan_task(scene, share, grasps, views, planner, seed, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    plan.save(path)
    return plan, f"motion planned: {reason}"


def check_plan(plan: TaskPlan, scene: SceneConfig, grasps: Sequence[Grasp], planner: MotionPlanner) -> str:
    """The first fault of a plan's motions (limits, clearances, joins); empty where there is none."""
    workplace = Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, 0)
    if fault := plan.discontinuity():
        return fault
    for step in plan.steps:
        for motion in step.motions:
            if fault := planner.validate(motion.trajectory, workplace.part_state(motion.place), motion.station):
                return f"{step.name}: {fault}"
    return ""


def _views_of(views: Sequence[ViewTarget], grasp: str) -> list[ViewTarget]:
    return [view for view in views if grasp in view.grasps]
