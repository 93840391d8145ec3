"""Where the tool is for given joints, and which joints put it at a given pose (Pinocchio)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike

from inspection_cell.core.poses import Pose
from inspection_cell.motion.config import SceneConfig, SceneError
from inspection_cell.motion.planner import Joints, Robot

LIMIT_MARGIN_RAD = 0.03  # solutions keep this far off the joint limits, so that a motion around them stays inside
_TOLERANCE = 1e-6
_ITERATIONS = 80
_STEP_RAD = 0.5


class Kinematics:
    """An arm from its URDF, with one tool frame.

    Attributes:
        model: Pinocchio's model; `names`, `lower`, `upper`, `velocity` (n,) are its joints' names and limits.
    """

    def __init__(self, urdf: Path, tool_frame: str) -> None:
        if not urdf.is_file():
            raise FileNotFoundError(f"{urdf}: the arm's URDF is not there; check arm.urdf in the scene file")
        self.model = pin.buildModelFromUrdf(str(urdf))
        self._data = self.model.createData()
        if not self.model.existFrame(tool_frame):
            frames = ", ".join(frame.name for frame in self.model.frames)
            raise ValueError(f"{urdf}: no frame {tool_frame!r}; set arm.tool_frame to one of {frames}")
        self.tool_id = int(self.model.getFrameId(tool_frame))
        self.names = tuple(str(name) for name in self.model.names[1:])
        self.lower: Joints = np.array(self.model.lowerPositionLimit)
        self.upper: Joints = np.array(self.model.upperPositionLimit)
        self.velocity: Joints = np.array(self.model.velocityLimit)

    def forward(self, q: ArrayLike) -> Pose:
        """T_world_tool, 4x4, for joints (n,)."""
        pin.framesForwardKinematics(self.model, self._data, np.asarray(q, float))
        return np.array(self._data.oMf[self.tool_id].homogeneous)

    def within_limits(self, q: ArrayLike, margin: float = 0.0) -> bool:
        """Whether joints (n,) or (m, n) all lie `margin` radians inside their limits."""
        q = np.asarray(q, float)
        return bool(np.all(q >= self.lower + margin - 1e-9) and np.all(q <= self.upper - margin + 1e-9))

    def inverse(self, T_world_tool: Pose, seed: ArrayLike) -> Joints | None:
        """Joints near `seed` that put the tool at a pose (1e-6 m and rad), or None where the search ends elsewhere.

        Damped least squares on the pose error in se(3), steps limited, clipped to the limits less their margin.
        """
        goal = pin.SE3(np.ascontiguousarray(T_world_tool))
        lower, upper = self.lower + LIMIT_MARGIN_RAD, self.upper - LIMIT_MARGIN_RAD
        q = np.clip(np.array(seed, float), lower, upper)
        for _ in range(_ITERATIONS):
            pin.computeJointJacobians(self.model, self._data, q)
            pin.updateFramePlacement(self.model, self._data, self.tool_id)
            error = pin.log6(self._data.oMf[self.tool_id].actInv(goal)).vector
            size = float(error @ error)
            if size < _TOLERANCE**2:
                return q
            jacobian = pin.getFrameJacobian(self.model, self._data, self.tool_id, pin.LOCAL)
            damping = (1e-6 + 0.02 * min(1.0, size)) * np.eye(6)
            step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping, error)
            largest = float(np.max(np.abs(step)))
            q = np.clip(q + step * min(1.0, _STEP_RAD / max(largest, 1e-12)), lower, upper)
        return None

    def solutions(
        self, T_world_tool: Pose, rng: np.random.Generator, attempts: int, seed: ArrayLike | None = None
    ) -> Iterator[Joints]:
        """Different joint solutions of a pose: from `seed` first, then from random starts."""
        found: list[Joints] = []
        for attempt in range(attempts):
            start = seed if attempt == 0 and seed is not None else rng.uniform(self.lower, self.upper)
            q = self.inverse(T_world_tool, start)
            if q is None or any(float(np.max(np.abs(q - other))) < 0.15 for other in found):
                continue
            found.append(q)
            yield q

    def interpolate(self, T_a: Pose, T_b: Pose, fraction: float) -> Pose:
        """The pose between two poses: straight line of the origin, constant rotation axis."""
        a, b = pin.SE3(np.ascontiguousarray(T_a)), pin.SE3(np.ascontiguousarray(T_b))
        rotation = a.rotation @ pin.exp3(fraction * pin.log3(a.rotation.T @ b.rotation))
        return np.array(pin.SE3(rotation, (1 - fraction) * a.translation + fraction * b.translation).homogeneous)


def robot_of(scene: SceneConfig, kinematics: Kinematics) -> Robot:
    """The arm's joints: names and limits from its URDF, accelerations and home from the scene.

    Raises:
        SceneError: the scene's values do not fit the URDF.
    """
    home = np.array(scene.arm.home_rad)
    if home.shape != kinematics.lower.shape or not kinematics.within_limits(home):
        raise SceneError(
            f"arm.home_rad {home.tolist()}: needs {len(kinematics.names)} values between "
            f"{kinematics.lower.tolist()} and {kinematics.upper.tolist()}"
        )
    return Robot(
        kinematics.names,
        kinematics.lower,
        kinematics.upper,
        kinematics.velocity,
        np.array(scene.arm.acceleration_rad_s2),
        home,
        scene.arm.tool_frame,
    )
