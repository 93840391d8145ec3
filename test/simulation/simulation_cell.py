"""A small cell to test the simulation with: one camera each, eight viewpoints, two grasps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose
from inspection_cell.simulation.config import CameraSpec, GraspSpec, Stations, WorldConfig, pose_rows

PART_FOLDER = Path(__file__).parents[2] / "models" / "parts" / "ring_housing"
DISTANCE_M = 0.32
# 0.1 mm a pixel: half of the cell's resolution, to be quick.
CAMERA = CameraModel.pinhole(800, 600, 3000.0)
T_WORLD_CAMERA = look_at((0.84, 0.0, 0.48), (0.52, 0.0, 0.48))
INFEED = make_pose(None, (0.42, -0.40, 0.14))


def T_part_tool(azimuth_deg: float) -> Pose:
    """The tool at the ring's rim: z inwards, y along the ring's axis."""
    c, s = math.cos(math.radians(azimuth_deg)), math.sin(math.radians(azimuth_deg))
    z, y = np.array([-c, -s, 0.0]), np.array([0.0, 0.0, 1.0])
    return make_pose(np.column_stack([np.cross(y, z), y, z]), (0.027 * c, 0.027 * s, 0.008))


def T_part_camera(polar_deg: float, azimuth_deg: float) -> Pose:
    """A camera that looks at the part's middle."""
    p, a = math.radians(polar_deg), math.radians(azimuth_deg)
    middle = np.array([0.0, 0.0, 0.008])
    direction = np.array([math.sin(p) * math.cos(a), math.sin(p) * math.sin(a), math.cos(p)])
    return look_at(middle + DISTANCE_M * direction, middle, down=(1, 0, 0))


VIEWPOINTS = [T_part_camera(polar, azimuth) for polar in (35, 145) for azimuth in (0, 90, 180, 270)]
GRASPS = [T_part_tool(125), T_part_tool(235)]


def world_config(socket: Path) -> WorldConfig:
    """The cell's configuration for a world that listens at `socket`."""
    elsewhere = {name: make_pose(None, (0.1, 0.2 * i, 0.18)) for i, name in enumerate(("good", "reject", "rework"))}
    stations = {"infeed": INFEED, "scale": make_pose(None, (0.36, 0.42, 0.18)), **elsewhere}
    return WorldConfig(
        socket=socket,
        part_folder=PART_FOLDER,
        cameras={"inspection": CameraSpec.of(CAMERA, T_WORLD_CAMERA, DISTANCE_M)},
        stations=Stations(**{name: pose_rows(pose) for name, pose in stations.items()}),
        grasps=tuple(
            GraspSpec(name=f"g{i + 1}", T_tool_part=pose_rows(inverse(T)), width_m=0.016) for i, T in enumerate(GRASPS)
        ),
    )


def T_world_tool_for(viewpoint: Pose, grasp: Pose) -> Pose:
    """Where the tool must be so that the camera sees the part from the viewpoint."""
    return T_WORLD_CAMERA @ inverse(viewpoint) @ grasp
