"""What the simulated world is told: its cameras, stations and grasps, and how unsteady the hand is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, is_pose

Role = Literal["wide", "inspection"]
Row = tuple[float, float, float, float]
Rows = tuple[Row, Row, Row, Row]


def _rigid(rows: Rows) -> Rows:
    if not is_pose(rows):
        raise ValueError("is not a rigid pose; give 4x4 numbers, rotation orthonormal, last row 0 0 0 1")
    return rows


PoseRows = Annotated[Rows, AfterValidator(_rigid)]


def pose_rows(pose: Pose) -> Rows:
    """A 4x4 pose as the configuration holds it."""
    return tuple(tuple(float(v) for v in row) for row in pose)  # type: ignore[return-value]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CameraSpec(_Strict):
    """One simulated camera: intrinsics as in CameraModel, and where it stands."""

    width: int = Field(ge=16, le=20000)
    height: int = Field(ge=16, le=20000)
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    T_world_camera: PoseRows
    on_tool: bool = Field(default=False, description="the arm carries it: T_world_camera is T_tool_camera")
    light_distance_m: float = Field(default=0.33, gt=0, description="where its ring light's level holds, metres")

    @staticmethod
    def of(
        model: CameraModel, T_world_camera: Pose, light_distance_m: float = 0.33, on_tool: bool = False
    ) -> CameraSpec:
        """From the core's camera model."""
        k = model.matrix
        return CameraSpec(
            width=model.width,
            height=model.height,
            focal_px=(float(k[0, 0]), float(k[1, 1])),
            centre_px=(float(k[0, 2]), float(k[1, 2])),
            distortion=tuple(float(c) for c in model.distortion),  # type: ignore[arg-type]
            T_world_camera=pose_rows(T_world_camera),
            light_distance_m=light_distance_m,
            on_tool=on_tool,
        )

    @property
    def model(self) -> CameraModel:
        """The camera's intrinsics."""
        (fx, fy), (cx, cy) = self.focal_px, self.centre_px
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        return CameraModel(self.width, self.height, matrix, np.array(self.distortion))


class GraspSpec(_Strict):
    """One way to hold the part: nominal T_tool_part, and the jaws' distance while holding."""

    name: str = Field(min_length=1)
    T_tool_part: PoseRows
    width_m: float = Field(gt=0, le=0.5)


class Stations(_Strict):
    """Nominal T_world_part wherever a part may stand or be let go; a cell that grips no part has the infeed only."""

    infeed: PoseRows
    scale: PoseRows | None = None
    good: PoseRows | None = None
    reject: PoseRows | None = None
    rework: PoseRows | None = None


class WorldConfig(_Strict):
    """The simulated world."""

    socket: Path = Field(description="the world listens here; a key file is put beside it")
    part_folder: Path = Field(description="folder of the demo part's STEP files")
    cameras: dict[Role, CameraSpec] = Field(min_length=1)
    stations: Stations
    grasps: tuple[GraspSpec, ...] = Field(description="none: the part lies in a fixture, off its place as in a hand")
    open_width_m: float = Field(default=0.036, gt=0, le=0.5)
    seed: int = Field(default=1, ge=0, description="of grasp offsets and camera noise")
    part_offset_m: float = Field(default=0.003, ge=0, le=0.05, description="radius of the ball the centre lies in")
    part_offset_deg: float = Field(default=3.0, ge=0, le=30, description="radius of the ball of rotation vectors")
