"""Motions planned when they are needed: home from any standstill, a held part put down from anywhere."""

from __future__ import annotations

import numpy as np

from inspection_cell.core.poses import Pose, make_pose
from inspection_cell.motion.contacts import Workplace, left_at
from inspection_cell.motion.planner import Joints, PlanningFailed
from inspection_cell.motion.taskplan import Place, Step

_ESCAPE_M = (0.03, 0.08)


def retreat(workplace: Workplace, q: Joints, place: Place) -> Step:
    """From any standstill to home, planned live; a held part stays held.

    Close to a station, where nothing moves freely, the tool first goes straight up (part held) or straight back.

    Raises:
        PlanningFailed: no way out; a person has to move the arm.
    """
    still = Place(place.held, place.at)
    home = workplace.planner.robot.home
    start = np.asarray(q, float)
    if float(np.max(np.abs(start - home))) < 1e-6:
        return Step("retreat", (), still, still)
    if not workplace.planner.is_valid(start, workplace.part_state(still)):
        return Step("retreat", (workplace.free_move(start, home, still),), still, still)
    supports = tuple(station.rests_on for station in workplace.scene.stations.values() if station.rests_on)
    near = Place(still.held, still.at, supports if still.held else workplace.scene.gripper.links)
    pose = workplace.planner.tool_pose(start)
    for direction in (_up, _back) if still.held else (_back, _up):
        for way in _ESCAPE_M:
            path = workplace.planner.line(start, direction(pose, way), workplace.part_state(near), station=True)
            if path is None or workplace.planner.is_valid(path[-1], workplace.part_state(still)):
                continue
            try:
                out = workplace.along(path, near)
                return Step("retreat", (out, workplace.free_move(out.trajectory.end, home, still)), still, still)
            except PlanningFailed:
                continue
    contacts = workplace.planner.is_valid(start, workplace.part_state(still))
    raise PlanningFailed(f"no way home from here: too close are {contacts}; move the arm by hand")


def place_live(workplace: Workplace, q: Joints, grasp: str, station: str) -> Step:
    """From any free standstill with the part held, put it down at a station; planned live; raises PlanningFailed."""
    held = Place(held=grasp)
    for contact in workplace.contacts(station, grasp):
        try:
            move = workplace.free_move(q, contact.lifted, held)
            return Step(f"place:{station}", (move, *workplace.put(contact)), held, left_at(station))
        except PlanningFailed:
            continue
    raise PlanningFailed(f"no motion to station {station!r} with grasp {grasp!r} from here")


def fetch_live(workplace: Workplace, q: Joints, grasp: str, station: str) -> Step:
    """From any free standstill with empty hands, take up a part that stands at a station; raises PlanningFailed."""
    standing = Place(at=station)
    for contact in workplace.contacts(station, grasp):
        try:
            move = workplace.free_move(q, contact.clear, standing)
            return Step(f"fetch:{station}", (move, *workplace.pick(contact)), standing, Place(held=grasp))
        except PlanningFailed:
            continue
    raise PlanningFailed(f"no motion to the part at station {station!r} with grasp {grasp!r} from here")


def _up(pose: Pose, way: float) -> Pose:
    return make_pose(None, (0, 0, way)) @ pose


def _back(pose: Pose, way: float) -> Pose:
    return pose @ make_pose(None, (0, 0, -way))
