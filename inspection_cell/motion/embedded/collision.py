"""Whether the arm and what it holds keep clear of the scene and of themselves (Pinocchio with Coal)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike, NDArray

from inspection_cell.core.poses import Pose, make_pose
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.embedded.kinematics import Kinematics
from inspection_cell.motion.planner import PartState

PART = "part"
GOAL_MARGIN_M = 0.004  # goals are checked with this much more, so that a reached goal is never a start in collision
_TOUCH_MARGIN_M = 0.0005  # at a station the fingers pass a support with little room


@dataclass(frozen=True)
class _Body:
    """One collision shape: its link's (or obstacle's) name, the joint it hangs on (0: the world), the arm's or not."""

    name: str
    joint: int
    of_arm: bool


class CollisionWorld:
    """The scene with one arm; makes a checker for each state of the part, and keeps it."""

    def __init__(self, kinematics: Kinematics, urdf: Path, scene: SceneConfig) -> None:
        self._kinematics = kinematics
        self._urdf = urdf
        self._scene = scene
        self._checkers: dict[tuple[object, ...], CollisionChecker] = {}

    def checker(self, part: PartState, margin: float | None = None) -> CollisionChecker:
        """The checker for where the part is; `margin` in metres, the scene's clearance when None."""
        if margin is None:
            margin = self._scene.clearance_m
        key = (part.key(), margin)
        if key not in self._checkers:
            self._checkers[key] = CollisionChecker(self._kinematics, self._urdf, self._scene, part, margin)
        return self._checkers[key]

    def touch_checker(self, part: PartState) -> CollisionChecker:
        """The checker for the straight moves at a station."""
        return self.checker(part, _TOUCH_MARGIN_M)


class CollisionChecker:
    """Answers for one scene and one state of the part. Cylinders of the URDF count as the capsules inside them."""

    def __init__(self, kinematics: Kinematics, urdf: Path, scene: SceneConfig, part: PartState, margin: float) -> None:
        self._model = kinematics.model
        self._data = self._model.createData()
        self._geometry = pin.buildGeomFromUrdf(self._model, str(urdf), pin.GeometryType.COLLISION)
        self._bodies = [self._adopt(shape) for shape in self._geometry.geometryObjects]
        for box in scene.obstacles:
            self._add(box.name, coal.Box(*box.size_m), 0, box.T_world_box)
        for name, camera in scene.cameras.items():
            centre = make_pose(None, (0.0, 0.0, camera.housing_front_m - camera.housing_m[2] / 2))
            joint, T_joint_camera = self._on(kinematics, camera.pose) if camera.on_tool else (0, camera.pose)
            self._add(f"camera_{name}", coal.Box(*camera.housing_m), joint, T_joint_camera @ centre)
        self._add_part(scene, kinematics, part)
        self._pair_up(scene, part)
        self._free = self._request(margin)
        self._goal = self._request(margin + GOAL_MARGIN_M)

    def _adopt(self, shape: pin.GeometryObject) -> _Body:
        if isinstance(shape.geometry, coal.Cylinder):
            radius, half = shape.geometry.radius, shape.geometry.halfLength
            shape.geometry = coal.Capsule(radius, 2 * (half - radius))
        return _Body(str(self._model.frames[shape.parentFrame].name), int(shape.parentJoint), True)

    def _add(self, name: str, shape: coal.CollisionGeometry, joint: int, placement: Pose) -> None:
        placed = pin.GeometryObject(name, joint, 0, pin.SE3(np.ascontiguousarray(placement)), shape)
        self._geometry.addGeometryObject(placed)
        self._bodies.append(_Body(name, joint, False))

    def _on(self, kinematics: Kinematics, T_tool_thing: Pose) -> tuple[int, Pose]:
        """The joint that the tool hangs on, and the pose in its frame of a thing that the tool carries."""
        tool = self._model.frames[kinematics.tool_id]
        return int(tool.parentJoint), tool.placement.homogeneous @ T_tool_thing

    def _add_part(self, scene: SceneConfig, kinematics: Kinematics, part: PartState) -> None:
        shape = coal.Cylinder(scene.part.radius_m, scene.part.height_m)
        centre = make_pose(None, (0.0, 0.0, scene.part.height_m / 2))
        if part.T_tool_part is not None:
            joint, T_joint_part = self._on(kinematics, part.T_tool_part)
            self._add(PART, shape, joint, T_joint_part @ centre)
        elif part.T_world_part is not None:
            self._add(PART, shape, 0, part.T_world_part @ centre)

    def _pair_up(self, scene: SceneConfig, part: PartState) -> None:
        apart = {frozenset(pair) for pair in scene.arm.never_collide}
        for i, a in enumerate(self._bodies):
            for j in range(i + 1, len(self._bodies)):
                b = self._bodies[j]
                neighbours = a.of_arm and b.of_arm and abs(a.joint - b.joint) == 1
                names = frozenset((a.name, b.name))
                if a.joint == b.joint or neighbours or names in apart:
                    continue
                if a.name in scene.arm.base_links and not b.of_arm and b.joint == 0:
                    continue
                if PART in names and names & part.touch:
                    continue
                self._geometry.addCollisionPair(pin.CollisionPair(i, j))

    def _request(self, margin: float) -> pin.GeometryData:
        data = self._geometry.createData()
        for request in data.collisionRequests:
            request.security_margin = margin
        return data

    def free(self, q: ArrayLike) -> bool:
        """Whether joints (n,) keep the margin from everything."""
        q = np.asarray(q, float)
        return not pin.computeCollisions(self._model, self._data, self._geometry, self._free, q, True)

    def free_goal(self, q: ArrayLike) -> bool:
        """The same with the goal's larger margin."""
        q = np.asarray(q, float)
        return not pin.computeCollisions(self._model, self._data, self._geometry, self._goal, q, True)

    def contacts(self, q: ArrayLike) -> list[tuple[str, str]]:
        """Every pair of bodies closer than the margin at joints (n,)."""
        pin.computeCollisions(self._model, self._data, self._geometry, self._free, np.asarray(q, float), False)
        return [
            (self._bodies[pair.first].name, self._bodies[pair.second].name)
            for pair, result in zip(self._geometry.collisionPairs, self._free.collisionResults, strict=True)
            if result.isCollision()
        ]

    def edge_free(self, a: ArrayLike, b: ArrayLike, resolution: float = 0.02) -> bool:
        """Whether the straight joint move from a to b is free, sampled every `resolution` radians, ends included."""
        start, end = np.asarray(a, float), np.asarray(b, float)
        steps = max(1, int(np.ceil(np.linalg.norm(end - start) / resolution)))
        return all(self.free(start + (end - start) * fraction) for fraction in _coarse_first(steps))


def _coarse_first(steps: int) -> NDArray[np.float64]:
    """The fractions k / steps, k = 0..steps, ordered so that a collision in the middle is found early."""
    order: list[int] = [0, steps]
    taken = set(order)
    stride = steps
    while len(order) <= steps:
        stride = max(1, stride // 2)
        for k in range(stride, steps, stride):
            if k not in taken:
                taken.add(k)
                order.append(k)
    return np.array(order, float) / steps
