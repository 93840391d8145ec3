"""What the arm moves among: the scene file's schema (arm, stations, obstacles, cameras, grasps, viewpoints)."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspection_cell.core.plan import CameraRole, Grasp, Viewpoint
from inspection_cell.core.poses import Pose, make_pose, rotation_from_rpy, rpy_from_rotation

Vector3 = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]
Scaling = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class SceneError(ValueError):
    """The scene file is wrong; the message names the file, the field and what is allowed."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PoseConfig(_Strict):
    """T_a_b as translation and fixed-axis roll, pitch, yaw as in URDF."""

    xyz_m: Vector3
    rpy_deg: Vector3 = (0.0, 0.0, 0.0)

    @property
    def matrix(self) -> Pose:
        """The 4x4 pose."""
        roll, pitch, yaw = (math.radians(angle) for angle in self.rpy_deg)
        return make_pose(rotation_from_rpy(roll, pitch, yaw), self.xyz_m)


class ArmConfig(_Strict):
    """The arm and how fast it may move; `speed_scaling` and `acceleration_scaling` are fractions of its limits."""

    urdf: str = Field(description="path below the package's share folder")
    tool_frame: str = "tool"
    home_rad: tuple[float, ...]
    acceleration_rad_s2: tuple[Positive, ...] = Field(description="each joint's acceleration limit")
    speed_scaling: Scaling = 0.5
    acceleration_scaling: Scaling = 0.5
    approach_scaling: Scaling = Field(0.3, description="further factor for the straight moves at a station")
    never_collide: tuple[tuple[str, str], ...] = Field((), description="link pairs the joint limits keep apart")
    base_links: tuple[str, ...] = Field((), description="links that stand on the table and never meet the scene")


class GripperConfig(_Strict):
    """The parallel gripper: how far it opens and which links touch the part."""

    open_width_m: Positive
    approach_m: Positive = Field(0.08, description="straight way of the tool to a part and away, along the tool's z")
    links: tuple[str, ...] = Field(description="links that may touch the part while it is gripped")


class PartConfig(_Strict):
    """A cylinder around the part, in the part frame: axis z, from z = 0 to its height."""

    radius_m: Positive
    height_m: Positive


class BoxConfig(_Strict):
    """A box that stands still; its centre's pose in the world."""

    name: Name
    size_m: tuple[Positive, Positive, Positive]
    xyz_m: Vector3
    rpy_deg: Vector3 = (0.0, 0.0, 0.0)

    @property
    def T_world_box(self) -> Pose:
        """Pose of the box's centre."""
        return PoseConfig(xyz_m=self.xyz_m, rpy_deg=self.rpy_deg).matrix


class StationConfig(_Strict):
    """Where a part stands: T_world_part, and the obstacle it rests on (empty where it drops)."""

    xyz_m: Vector3
    rpy_deg: Vector3 = (0.0, 0.0, 0.0)
    rests_on: str = ""
    lift_m: Positive = Field(0.06, description="straight up after gripping, straight down before placing")

    @property
    def T_world_part(self) -> Pose:
        """Pose of a part that stands here."""
        return PoseConfig(xyz_m=self.xyz_m, rpy_deg=self.rpy_deg).matrix


class CameraConfig(_Strict):
    """A camera: T_world_camera of its optical frame, or T_tool_camera; its housing is a box behind the lens's front."""

    on_tool: bool = Field(False, description="the arm carries the camera: the pose is that in the tool frame")
    xyz_m: Vector3
    rpy_deg: Vector3
    housing_m: tuple[Positive, Positive, Positive] = Field(description="along the optical frame's x, y, z")
    housing_front_m: float = Field(0.0, description="the housing's front in the optical frame, z; positive: before it")

    @property
    def pose(self) -> Pose:
        """Of the optical frame: T_world_camera, or T_tool_camera where the arm carries the camera."""
        return PoseConfig(xyz_m=self.xyz_m, rpy_deg=self.rpy_deg).matrix


class GraspConfig(_Strict):
    """How the gripper holds the part."""

    name: Name
    T_tool_part: PoseConfig
    width_m: Positive

    @property
    def grasp(self) -> Grasp:
        """As the core type."""
        return Grasp(self.name, self.T_tool_part.matrix, self.width_m)


class ViewpointConfig(_Strict):
    """A pose to look from: T_part_camera of the camera that takes it."""

    name: Name
    camera: Annotated[str, Field(pattern="^(inspection|wide)$")] = "inspection"
    T_part_camera: PoseConfig

    @property
    def viewpoint(self) -> Viewpoint:
        """As the core type."""
        return Viewpoint(self.name, self.T_part_camera.matrix)

    @property
    def role(self) -> CameraRole:
        """Which camera takes it."""
        return CameraRole.WIDE if self.camera == "wide" else CameraRole.INSPECTION


class SceneConfig(_Strict):
    """Everything around the arm. World frame: the arm's base, z up."""

    arm: ArmConfig
    gripper: GripperConfig
    clearance_m: Positive = Field(0.005, description="kept from everything in free motion")
    part: PartConfig
    obstacles: tuple[BoxConfig, ...]
    cameras: dict[str, CameraConfig]
    stations: dict[str, StationConfig]
    grasps: tuple[GraspConfig, ...]
    viewpoints: tuple[ViewpointConfig, ...]

    @model_validator(mode="after")
    def _consistent(self) -> SceneConfig:
        if len(self.arm.home_rad) != len(self.arm.acceleration_rad_s2):
            raise ValueError("arm.home_rad and arm.acceleration_rad_s2 need one value a joint each")
        for field, names in (
            ("obstacles", [box.name for box in self.obstacles]),
            ("grasps", [grasp.name for grasp in self.grasps]),
            ("viewpoints", [viewpoint.name for viewpoint in self.viewpoints]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{field}: {', '.join(twice)} named twice; each name once")
        boxes = {box.name for box in self.obstacles}
        for name, station in self.stations.items():
            if station.rests_on and station.rests_on not in boxes:
                raise ValueError(
                    f"stations.{name}.rests_on: {station.rests_on!r} is none of {', '.join(sorted(boxes))}"
                )
        for viewpoint in self.viewpoints:
            if viewpoint.camera not in self.cameras:
                raise ValueError(f"viewpoints.{viewpoint.name}.camera: {viewpoint.camera!r} is not in cameras")
        return self

    def digest(self) -> str:
        """SHA-256 of the content, independent of the file's layout."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def station(self, name: str) -> StationConfig:
        """A station by name.

        Raises:
            SceneError: there is none of that name.
        """
        if name not in self.stations:
            raise SceneError(f"station {name!r} is none of {', '.join(sorted(self.stations))}")
        return self.stations[name]


def load_scene(path: Path) -> SceneConfig:
    """Reads and checks a scene file.

    Raises:
        SceneError: not readable, not YAML, or a field is wrong; every wrong field is named.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return SceneConfig.model_validate(content)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SceneError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc']) or 'scene'}: {e['msg']}" for e in error.errors()]
        raise SceneError(f"{path}: " + "; ".join(lines)) from error


def pose_config(pose: Pose) -> PoseConfig:
    """A pose as it stands in a file: micrometres and 1e-4 degrees."""
    x, y, z = (round(float(v), 6) for v in pose[:3, 3])
    a, b, c = (round(math.degrees(v), 4) for v in rpy_from_rotation(pose[:3, :3]))
    return PoseConfig(xyz_m=(x, y, z), rpy_deg=(a, b, c))
