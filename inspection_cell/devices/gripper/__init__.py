"""Grippers: a Protocol, their configuration, and a simulated gripper."""

from inspection_cell.devices.gripper.base import Gripper, GripperError, GripState, PartLost, require_part
from inspection_cell.devices.gripper.config import GripperConfig, SimulatedGripperConfig
from inspection_cell.devices.gripper.simulated import GripperWorld, SimulatedGripper

__all__ = [
    "GripState",
    "Gripper",
    "GripperConfig",
    "GripperError",
    "GripperWorld",
    "PartLost",
    "SimulatedGripper",
    "SimulatedGripperConfig",
    "build_gripper",
    "require_part",
]


def build_gripper(config: GripperConfig, world: GripperWorld | None = None) -> Gripper:
    """The gripper that the configuration names."""
    return SimulatedGripper(config, world)
