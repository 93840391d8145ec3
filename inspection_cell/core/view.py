"""A view: one image taken at a viewpoint, with everything that was true at exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.plan import CameraRole, Mounting
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.core.reasons import Reason


@dataclass(frozen=True)
class View:
    """What was true when the shutter opened; the pixels travel beside it, in shared memory or from a store.

    Attributes:
        stamp_ns: wall clock at exposure.
        camera: intrinsics of the image as delivered.
        T_world_camera: optical frame in world.
        T_world_tool: tool frame in world, robot settled.
        T_prior: prior pose of the part: T_tool_part when the part is in the hand, else T_world_part.
        prior_covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame.
        exposure_s, gain_db, light: how it was lit and exposed.
        attempts: grabs it took; more than 1 is a recovered transient.
        settled: whether the arm stood still.
        faults: what went wrong on the way and was recovered.
    """

    inspection_id: str
    view_id: str
    grasp: str
    viewpoint: str
    role: CameraRole
    camera_id: str
    calibration_id: str
    stamp_ns: int
    camera: CameraModel
    mounting: Mounting
    T_world_camera: Pose
    T_world_tool: Pose
    T_prior: Pose
    prior_covariance: NDArray[np.float64]
    exposure_s: float
    gain_db: float
    light: str
    attempts: int
    settled: bool
    faults: tuple[Reason, ...] = ()

    def T_camera_part(self, T_reference_part: Pose) -> Pose:
        """The part in the optical frame, for the part's pose in its reference frame (tool or world)."""
        if self.mounting is Mounting.PART_IN_HAND:
            return inverse(self.T_world_camera) @ self.T_world_tool @ T_reference_part
        return inverse(self.T_world_camera) @ T_reference_part

    def T_reference_part(self, T_camera_part: Pose) -> Pose:
        """The inverse of `T_camera_part`: the part in its reference frame (tool or world)."""
        if self.mounting is Mounting.PART_IN_HAND:
            return inverse(self.T_world_tool) @ self.T_world_camera @ T_camera_part
        return self.T_world_camera @ T_camera_part


@dataclass(frozen=True)
class Alignment:
    """Where the part really is, for one grasp.

    Attributes:
        view_id: the inspection view it was refined in, or the last of the grasp's wide views, for the grasp.
        T_reference_part: T_tool_part (part in hand) or T_world_part (camera in hand).
        covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame.
        quality: 0 to 1; how much of the CAD's visible outline was found where it belongs.
        residual_px: root mean square distance of the found edges to the projected ones.
        accepted: only an accepted alignment may be used.
    """

    inspection_id: str
    grasp: str
    view_id: str
    stamp_ns: int
    T_reference_part: Pose
    covariance: NDArray[np.float64]
    quality: float
    residual_px: float
    accepted: bool
    reason: str = ""


@dataclass(frozen=True)
class Weight:
    """One weighing of the part.

    Attributes:
        mass_kg: net mass; NaN when there is none.
        stable: whether the scale called it stable.
        reason: why there is no mass, or None.
    """

    inspection_id: str
    stamp_ns: int
    mass_kg: float
    stable: bool
    scale_id: str
    raw: str = ""
    reason: Reason | None = None
