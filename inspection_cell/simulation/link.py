"""How the cell's device drivers reach the simulated world: what the emulated camera sees, what the gripper grips."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from numpy.typing import NDArray

from inspection_cell.core.poses import Pose
from inspection_cell.devices.camera.base import ExposureRequest
from inspection_cell.devices.camera.emulation import EmulatorFault, PictureSource
from inspection_cell.devices.signals.simulated import Inputs
from inspection_cell.recipe.cell_config import SIMULATED_PORT, CellConfig
from inspection_cell.simulation.client import WorldClient


def run_folder(data_folder: Path) -> Path:
    """Where sockets and ports of a running cell lie; short, since a socket's path may not exceed 107 bytes."""
    digest = hashlib.sha256(str(data_folder.resolve()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"inspection_cell-{digest}"


def socket_path(data_folder: Path) -> Path:
    """The simulated world's socket."""
    return run_folder(data_folder) / "world"


def scale_port(config: CellConfig, data_folder: Path) -> str:
    """The scale's serial port; in a simulated cell the pseudo-terminal that the simulation opens."""
    if config.scale.port != SIMULATED_PORT:
        return config.scale.port
    return str(run_folder(data_folder) / "scale")


def connect_world(config: CellConfig, data_folder: Path) -> WorldLink | None:
    """The simulated world of a cell; None where nothing is simulated."""
    if config.simulation is None:
        return None
    encodings: dict[str, str] = {role: section.device.encoding for role, section in config.cameras.items()}
    return WorldLink(WorldClient(socket_path(data_folder), timeout_s=60.0, connect_timeout_s=2.0), encodings)


class WorldLink:
    """One process's link; serves as the hook of every simulated device."""

    def __init__(self, client: WorldClient, encodings: Mapping[str, str]) -> None:
        self.client = client
        self._encodings = encodings
        self._levels: dict[str, float] = {}

    def close(self) -> None:
        """Leaves the world."""
        self.client.close()

    def picture_source(self, role: Literal["wide", "inspection"]) -> PictureSource:
        """What the emulated camera of a role sees."""
        encoding = self._encodings[role]

        def picture(request: ExposureRequest) -> NDArray | EmulatorFault:  # type: ignore[type-arg]
            for fault in EmulatorFault:
                if self.client.take_fault(fault.value, role):
                    return fault
            return self.client.expose(role, request.exposure_s, request.gain_db, encoding)  # type: ignore[arg-type]

        return picture

    def on_arm_state(self, q: NDArray, T_world_tool: Pose) -> None:  # type: ignore[type-arg]
        """The arm moved."""
        self.client.set_tool(T_world_tool)

    # The light's world.

    def on_set(self, levels: Mapping[str, float]) -> None:
        """The light is driven so."""
        self._levels = dict(levels)
        self.client.set_light(levels)

    def read_levels(self) -> Mapping[str, float]:
        """How bright each channel burns."""
        return self._levels

    # The gripper's world.

    def on_open(self, width_m: float) -> None:
        """The fingers open."""
        self.client.open(width_m)

    def on_grip(self, width_m: float, force_n: float) -> float:
        """The fingers close; how far apart they came to rest."""
        return self.client.grip(width_m, force_n)

    def read_width(self) -> float:
        """How far apart the fingers are."""
        return self.client.read_width()

    # The safety controller's outputs.

    def signals(self) -> Inputs:
        """The wire now."""
        stop, door = self.client.signals()
        return Inputs(stop, door)
