"""The cell's configuration: which devices, where they stand, how the nodes run. One file a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.plan import CameraRole, Mode
from inspection_cell.core.poses import Pose
from inspection_cell.devices.camera.config import CameraConfig
from inspection_cell.devices.gripper.config import GripperConfig
from inspection_cell.devices.light.config import LightConfig
from inspection_cell.devices.scale.config import ScaleConfig
from inspection_cell.devices.signals.config import SignalsConfig
from inspection_cell.motion.config import BoxConfig, PoseConfig
from inspection_cell.recipe.loading import Strict, content_hash, load_model
from inspection_cell.recipe.recipe import Name

ROLES: dict[Literal["wide", "inspection"], CameraRole] = {
    "wide": CameraRole.WIDE,
    "inspection": CameraRole.INSPECTION,
}
PositiveFloat = Annotated[float, Field(gt=0)]
# The scale's port in a simulated cell: a pseudo-terminal that the simulation opens.
SIMULATED_PORT = "simulation"


class CalibrationSection(Strict):
    """Intrinsics of the pixels as delivered, and where the camera stands (or sits on the tool)."""

    id: str = Field(min_length=1, description="which calibration this is; every view carries it and the values' hash")
    focal_px: tuple[PositiveFloat, PositiveFloat] = Field(description="fx, fy, pixels")
    centre_px: tuple[float, float] = Field(description="cx, cy, pixels; pixel centres at whole numbers")
    distortion: tuple[float, float, float, float, float] = Field(
        default=(0.0, 0.0, 0.0, 0.0, 0.0), description="k1 k2 p1 p2 k3 as in OpenCV"
    )
    pose: PoseConfig = Field(description="optical frame in the world, or in the tool when the camera is in hand")

    @property
    def told(self) -> str:
        """The id and the beginning of the content's hash: values that were changed under the same id are told apart."""
        return f"{self.id}@{content_hash(self)[:8]}"


class CameraSection(Strict):
    """One camera of the cell."""

    device: CameraConfig
    calibration: CalibrationSection
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="longest wait for one frame, seconds")
    frame_slots: int = Field(default=24, ge=2, le=256, description="frames kept in shared memory")

    @property
    def model(self) -> CameraModel:
        """The camera's intrinsics."""
        (fx, fy), (cx, cy) = self.calibration.focal_px, self.calibration.centre_px
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        return CameraModel(self.device.width, self.device.height, matrix, np.array(self.calibration.distortion))

    def T_world_camera(self, T_world_tool: Pose, in_hand: bool) -> Pose:
        """Optical frame in the world, for the tool's pose."""
        return T_world_tool @ self.calibration.pose.matrix if in_hand else self.calibration.pose.matrix


class ArmSection(Strict):
    """The arm."""

    backend: Literal["simulated"] = "simulated"
    speed: float = Field(default=10.0, gt=0, le=1000, description="how many times faster than real the arm moves")
    settle_s: float = Field(default=0.1, ge=0, le=5, description="wait after a motion before a view, real seconds")


class SimulationSection(Strict):
    """The simulated surroundings: what the emulated cameras see, what lies on the simulated scale."""

    seed: int = Field(default=1, ge=0, description="of part offsets and camera noise")
    part_offset_m: float = Field(
        default=0.003, ge=0, le=0.05, description="hand or fixture hold a part's centre so near its place, metres"
    )
    part_offset_deg: float = Field(
        default=3.0, ge=0, le=30, description="and turned by any angle up to this about any axis, degrees"
    )
    recipe: Name = Field(default="ring_housing", description="says how the hand, or the fixture, holds the part")


class SupervisionSection(Strict):
    """How the lifecycle manager watches the nodes."""

    heartbeat_timeout_s: float = Field(default=5.0, ge=3.0, le=120, description="silence after which a node is lost")
    transition_timeout_s: float = Field(default=60.0, gt=1, le=600, description="longest configure or activate")


class RecordsSection(Strict):
    """Where what happened is kept."""

    url: str = Field(default="", description="database; empty: SQLite in the data folder")
    min_free_mb: int = Field(default=500, ge=0, description="below this no part is started")


class CellConfig(Strict):
    """One cell."""

    format: Literal[1]
    name: Name
    namespace: Name = "inspection_cell"
    mode: Literal["production", "teach", "simulation"]
    data: str = Field(default="~/inspection_cell_data", description="folder of records, images and models")
    scene: str = Field(description="file of arm, stations and obstacles, relative to this file or to the package")
    recipes: str = Field(default="config/recipes", description="folder of the recipes that ship with the package")
    cameras: dict[Literal["wide", "inspection"], CameraSection] = Field(min_length=1)
    tool_boxes: tuple[BoxConfig, ...] = Field(
        default=(), description="the gripper as boxes in the tool frame: what hides components from the camera"
    )
    light: LightConfig
    gripper: GripperConfig
    scale: ScaleConfig
    signals: SignalsConfig
    arm: ArmSection
    simulation: SimulationSection | None = None
    inference: EngineConfig = Field(default=CPU, description="what runs the anomaly check's network")
    supervision: SupervisionSection = SupervisionSection()
    records: RecordsSection = RecordsSection()
    processes: tuple[tuple[str, ...], ...] = Field(
        default=(
            ("camera_wide", "camera_inspection"),
            ("arm", "scale", "signals"),
            ("alignment", "presence", "anomaly"),
            ("cell", "decision", "lifecycle_manager"),
        ),
        description="which nodes share a process; a camera that the cell lacks may stand here",
    )

    @model_validator(mode="after")
    def _consistent(self) -> CellConfig:
        needs_world = sorted(self.simulated_parts)
        if needs_world and self.simulation is None:
            raise ValueError(f"simulation: is missing, but {', '.join(needs_world)} are simulated")
        if self.mode == "production" and needs_world:
            raise ValueError(f"mode: production needs real devices, but {', '.join(needs_world)} are simulated")
        nodes = [node for group in self.process_groups for node in group]
        if sorted(nodes) != sorted(set(nodes)) or set(nodes) != set(self.nodes):
            raise ValueError(f"processes: must name each of {', '.join(self.nodes)} once; found {', '.join(nodes)}")
        return self

    @property
    def simulated_parts(self) -> set[str]:
        """Sections whose device is not real."""
        parts = {f"cameras.{role}" for role, c in self.cameras.items() if c.device.backend != "basler"}
        parts |= {name for name in ("light", "gripper", "signals", "arm") if getattr(self, name).backend == "simulated"}
        if self.scale.port == SIMULATED_PORT:
            parts.add("scale")
        return parts

    @property
    def simulated(self) -> bool:
        """Whether anything in the cell is not real; stands in every verdict."""
        return bool(self.simulated_parts)

    @property
    def core_mode(self) -> Mode:
        """What the cell is doing with parts."""
        return Mode[self.mode.upper()]

    @property
    def data_folder(self) -> Path:
        """Folder of records, images and models."""
        return Path(self.data).expanduser()

    @property
    def process_groups(self) -> tuple[tuple[str, ...], ...]:
        """The nodes that are started, process by process."""
        absent = {f"camera_{role}" for role in ROLES} - set(self.nodes)
        groups = (tuple(node for node in group if node not in absent) for group in self.processes)
        return tuple(group for group in groups if group)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node, in the order of bring-up."""
        cameras = tuple(f"camera_{role}" for role in sorted(self.cameras))
        return (
            "signals",
            *cameras,
            "scale",
            "arm",
            "alignment",
            "presence",
            "anomaly",
            "decision",
            "cell",
            "lifecycle_manager",
        )


def load_cell_config(path: Path) -> CellConfig:
    """Reads and checks the cell's configuration.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    return load_model(path, CellConfig)
