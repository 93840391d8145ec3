"""The way of a camera on the arm: from home to every viewpoint of a part in its fixture, best order, and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from inspection_cell.core.plan import CameraRole
from inspection_cell.core.poses import inverse
from inspection_cell.motion.contacts import INFEED, Workplace
from inspection_cell.motion.legs import TOURS, MoveFailed, ViewTarget, solutions
from inspection_cell.motion.ordering import Tour, TourPlanner
from inspection_cell.motion.planner import Joints, PlanningFailed
from inspection_cell.motion.taskplan import Place, Step

LYING = Place(at=INFEED)


def plan_round(workplace: Workplace, views: Sequence[ViewTarget], progress: Callable[[float], None]) -> list[Step]:
    """A step for each view, then "home".

    Raises:
        PlanningFailed: a view is not reachable, or no complete way was found.
    """
    robot = workplace.planner.robot
    lying = workplace.part_state(LYING)
    options = [_solutions(workplace, view) for view in views]
    tours = TourPlanner(
        [robot.home],
        [0.0],
        options,
        # The wide camera finds the part in its fixture; the close views need its answer.
        frozenset(i for i, view in enumerate(views) if view.role is CameraRole.WIDE),
        [[robot.home]],
        [[0.0]],
        robot.velocity,
        lambda a, b: workplace.planner.direct(a, b, lying),
    )
    failure = ""
    for _ in range(TOURS):
        tour = tours.best()
        try:
            return _steps(workplace, tour, views, options, progress)
        except MoveFailed as failed:
            tours.ban(tour, failed.move)
            failure = str(failed)
    raise PlanningFailed(f"no complete way round the part in {TOURS} tries; the last failed at {failure}")


def _steps(
    workplace: Workplace,
    tour: Tour,
    views: Sequence[ViewTarget],
    options: Sequence[Sequence[Joints]],
    progress: Callable[[float], None],
) -> list[Step]:
    """All motions of one tour; raises MoveFailed with the first move that has none."""
    home = workplace.planner.robot.home
    names = [*(f"view:{views[view].grasps[0]}/{views[view].viewpoint.name}" for view, _ in tour.views), "home"]
    stops = [home, *(options[view][option] for view, option in tour.views), home]
    steps = []
    for number, (name, (a, b)) in enumerate(zip(names, itertools.pairwise(stops), strict=True)):
        progress(number / len(names))
        try:
            steps.append(Step(name, (workplace.free_move(a, b, LYING),), LYING, LYING))
        except PlanningFailed as error:
            raise MoveFailed(number, str(error)) from error
    return steps


def _solutions(workplace: Workplace, view: ViewTarget) -> list[Joints]:
    """Joints that bring the view's camera to its viewpoint; the same for the same seed."""
    T_world_part = workplace.scene.station(INFEED).T_world_part
    camera = workplace.scene.cameras[view.role.name.lower()]
    T_world_tool = T_world_part @ view.viewpoint.T_part_camera @ inverse(camera.pose)
    return solutions(workplace, np.asarray(T_world_tool), LYING, view, view.grasps[0])
