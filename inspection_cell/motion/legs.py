"""One grasp's part of the way: pick, every view in the best order, and a put at each possible end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inspection_cell.core.plan import CameraRole, Viewpoint
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.motion.contacts import Contact, Workplace, left_at
from inspection_cell.motion.ordering import Tour, TourPlanner
from inspection_cell.motion.planner import Joints, PlanningFailed
from inspection_cell.motion.taskplan import GripperCommand, Place, Step

_SOLUTIONS_PER_VIEW = 8
TOURS = 20


@dataclass(frozen=True)
class ViewTarget:
    """A viewpoint, the camera that takes it, and the grasps (or the fixture) it is shown in."""

    viewpoint: Viewpoint
    role: CameraRole
    grasps: tuple[str, ...]


@dataclass(frozen=True)
class Picking:
    """One way to begin a leg: the step's name, where the arm starts, and where the part is until it is gripped."""

    name: str
    contact: Contact
    start: Joints
    before: Place


class MoveFailed(Exception):
    """A move of a tour has no motion; `move` is its number in the tour."""

    def __init__(self, move: int, why: str) -> None:
        super().__init__(why)
        self.move = move


def plan_leg(
    workplace: Workplace,
    picks: Sequence[Picking],
    views: Sequence[ViewTarget],
    ends: Mapping[str, Sequence[Contact]],
    progress: Callable[[float], None],
) -> list[Step]:
    """The steps for one grasp: pick, views, and one step for each of `ends`, all of which begin at the last view.

    The choice among joint solutions is the fastest whose every move can be planned.

    Raises:
        PlanningFailed: a view is not reachable, or no complete way was found.
    """
    grasp = picks[0].contact.grasp
    options = [_solutions(workplace, view, grasp) for view in views]
    tours = _tours(workplace, picks, views, options, ends)
    failure = ""
    for _ in range(TOURS):
        tour = tours.best()
        try:
            return _steps(workplace, tour, picks, views, options, ends, progress)
        except MoveFailed as failed:
            tours.ban(tour, failed.move)
            failure = str(failed)
    raise PlanningFailed(f"grasp {grasp!r}: no complete way in {TOURS} tries; the last failed at {failure}")


def _tours(
    workplace: Workplace,
    picks: Sequence[Picking],
    views: Sequence[ViewTarget],
    options: Sequence[Sequence[Joints]],
    ends: Mapping[str, Sequence[Contact]],
) -> TourPlanner:
    robot = workplace.planner.robot
    state = workplace.part_state(Place(held=picks[0].contact.grasp))

    def seconds(a: Joints, b: Joints) -> float:
        return float(np.max(np.abs(a - b) / robot.velocity))

    return TourPlanner(
        [pick.contact.lifted for pick in picks],
        [seconds(pick.start, pick.contact.clear) for pick in picks],
        options,
        # The wide camera finds the part in the hand; the close views need its answer.
        frozenset(i for i, view in enumerate(views) if view.role == CameraRole.WIDE),
        [[contact.lifted for contact in contacts] for contacts in ends.values()],
        [[seconds(contact.clear, robot.home) for contact in contacts] for contacts in ends.values()],
        robot.velocity,
        lambda a, b: workplace.planner.direct(a, b, state),
    )


def _steps(
    workplace: Workplace,
    tour: Tour,
    picks: Sequence[Picking],
    views: Sequence[ViewTarget],
    options: Sequence[Sequence[Joints]],
    ends: Mapping[str, Sequence[Contact]],
    progress: Callable[[float], None],
) -> list[Step]:
    """All motions of one tour; raises MoveFailed with the first move that has none."""
    pick = picks[tour.start]
    held = Place(held=pick.contact.grasp)
    shown = [views[view].viewpoint.name for view, _ in tour.views]
    stops = [pick.contact.lifted, *(options[view][option] for view, option in tour.views)]
    number = 0
    try:
        steps = [_pick_step(workplace, pick, held)]
        for number, (name, (a, b)) in enumerate(zip(shown, itertools.pairwise(stops), strict=True)):
            progress(number / (len(shown) + len(ends)))
            move = workplace.free_move(a, b, held)
            steps.append(Step(f"view:{held.held}/{name}", (move,), held, held))
        for number, ((name, contacts), option) in enumerate(zip(ends.items(), tour.ends, strict=True), len(shown)):
            progress(number / (len(shown) + len(ends)))
            contact = contacts[option]
            move = workplace.free_move(stops[-1], contact.lifted, held)
            steps.append(Step(name, (move, *workplace.put(contact)), held, left_at(contact.station)))
    except PlanningFailed as error:
        raise MoveFailed(number, str(error)) from error
    return steps


def _pick_step(workplace: Workplace, pick: Picking, held: Place) -> Step:
    to_part = workplace.free_move(pick.start, pick.contact.clear, pick.before)
    opened = GripperCommand("open", workplace.scene.gripper.open_width_m)
    return Step(pick.name, (opened, to_part, *workplace.pick(pick.contact)), pick.before, held)


def _solutions(workplace: Workplace, view: ViewTarget, grasp: str) -> list[Joints]:
    """Joints that show the held part to the view's camera; the same for the same seed."""
    camera = workplace.scene.cameras[view.role.name.lower()]
    T_tool_camera = workplace.grasps[grasp].T_tool_part @ view.viewpoint.T_part_camera
    return solutions(workplace, camera.pose @ inverse(T_tool_camera), Place(held=grasp), view, grasp)


def solutions(workplace: Workplace, T_world_tool: Pose, place: Place, view: ViewTarget, held: str) -> list[Joints]:
    """Joints for a view; `held` is the grasp or the fixture. Raises PlanningFailed."""
    rng = np.random.default_rng([workplace.seed, *f"{held}/{view.viewpoint.name}".encode()])
    found = workplace.planner.ik(T_world_tool, workplace.part_state(place), rng, _SOLUTIONS_PER_VIEW)
    if not found:
        where = f"{'grasp' if place.held else 'fixture'} {held!r}"
        raise PlanningFailed(
            f"viewpoint {view.viewpoint.name!r} is not reachable in {where}; turn it about the camera's axis"
        )
    return found
