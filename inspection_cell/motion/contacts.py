"""How the gripper comes to a part at a station and leaves it: contact, straight way back, straight way up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.plan import Grasp
from inspection_cell.core.poses import inverse, make_pose
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.planner import Joints, MotionPlanner, PartState, PlanningFailed, PlanRequest
from inspection_cell.motion.taskplan import GripperCommand, Motion, Place, Segment

INFEED, SCALE, BINS = "infeed", "scale", ("good", "reject", "rework")

_CANDIDATES = 24
_KEEP = 6


@dataclass(frozen=True)
class Contact:
    """One way to grip (or release) a part at a station.

    Attributes:
        q: (n,) joints at the part.
        back: (m, n) from there straight back, part left standing; its last is the pre-grasp.
        up: (m, n) from there straight up, part held; its last is the lift's end.
    """

    station: str
    grasp: str
    q: Joints
    back: NDArray[np.float64]
    up: NDArray[np.float64]

    @property
    def clear(self) -> Joints:
        """The joints beside the standing part."""
        return self.back[-1]

    @property
    def lifted(self) -> Joints:
        """The joints with the part held above the station."""
        return self.up[-1]


class Workplace:
    """The scene, the grasps and a planner: what is needed to plan one motion of the part's way."""

    def __init__(self, scene: SceneConfig, grasps: Mapping[str, Grasp], planner: MotionPlanner, seed: int) -> None:
        self.scene = scene
        self.grasps = dict(grasps)
        self.planner = planner
        self.seed = seed

    def part_state(self, place: Place) -> PartState:
        """The part's state for the planner."""
        return PartState(
            T_tool_part=self.grasps[place.held].T_tool_part if place.held else None,
            T_world_part=self.scene.station(place.at).T_world_part if place.at else None,
            touch=frozenset(place.touch),
        )

    def gripping(self, station: str) -> Place:
        """The part stands at the station, the fingers may touch it."""
        return Place(at=station, touch=self.scene.gripper.links)

    def lifting(self, station: str, grasp: str) -> Place:
        """The part is held and may touch what it rests on at the station."""
        rests_on = self.scene.station(station).rests_on
        return Place(held=grasp, touch=(rests_on,) if rests_on else ())

    def contacts(self, station: str, grasp: str) -> list[Contact]:
        """Different ways to hold the part at a station; the same for the same seed.

        Raises:
            PlanningFailed: none is reachable with its ways back and up.
        """
        rng = np.random.default_rng([self.seed, *f"{station}/{grasp}".encode()])
        T_world_tool = self.scene.station(station).T_world_part @ inverse(self.grasps[grasp].T_tool_part)
        gripping = self.part_state(self.gripping(station))
        lifting = self.part_state(self.lifting(station, grasp))
        backed = T_world_tool @ make_pose(None, (0.0, 0.0, -self.scene.gripper.approach_m))
        raised = make_pose(None, (0.0, 0.0, self.scene.station(station).lift_m)) @ T_world_tool
        found: list[Contact] = []
        for q in self.planner.ik(T_world_tool, gripping, rng, _CANDIDATES, station=True):
            back = self.planner.line(q, backed, gripping, station=True)
            up = self.planner.line(q, raised, lifting, station=True)
            if back is None or up is None:
                continue
            if self.planner.is_valid(back[-1], self.part_state(Place(at=station))):
                continue
            if self.planner.is_valid(up[-1], self.part_state(Place(held=grasp))):
                continue
            found.append(Contact(station, grasp, q, back, up))
            if len(found) == _KEEP:
                break
        if not found:
            raise PlanningFailed(
                f"grasp {grasp!r} is not reachable at station {station!r} with its straight ways back and up; turn the "
                f"station (stations.{station}.rpy_deg) or move it"
            )
        return found

    def free_move(self, start: Joints, goal: Joints, place: Place) -> Motion:
        """A free motion to one joint goal; raises PlanningFailed."""
        request = PlanRequest(start, [goal], part=self.part_state(place), seed=self.seed)
        return Motion(self.planner.plan(request), place)

    def along(self, path: NDArray[np.float64], place: Place) -> Motion:
        """A motion along a straight way (m, n) at a station, at the approach's speed; raises PlanningFailed."""
        request = PlanRequest(
            path[0],
            path=path,
            part=self.part_state(place),
            station=True,
            scaling=self.scene.arm.approach_scaling,
        )
        return Motion(self.planner.plan(request), place, station=True)

    def pick(self, contact: Contact) -> list[Segment]:
        """From beside the part: approach, close, lift."""
        return [
            self.along(contact.back[::-1], self.gripping(contact.station)),
            GripperCommand("close", self.grasps[contact.grasp].width_m),
            self.along(contact.up, self.lifting(contact.station, contact.grasp)),
        ]

    def put(self, contact: Contact) -> list[Segment]:
        """From above the station: down, open, back."""
        return [
            self.along(contact.up[::-1], self.lifting(contact.station, contact.grasp)),
            GripperCommand("open", self.scene.gripper.open_width_m),
            self.along(contact.back, self.gripping(contact.station)),
        ]


def left_at(station: str) -> Place:
    """Where the part is once put down: out of the arm's way in a bin, standing elsewhere."""
    return Place() if station in BINS else Place(at=station)
