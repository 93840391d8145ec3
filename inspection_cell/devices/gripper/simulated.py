"""A gripper that is only software; what is between its fingers, a simulated world may decide."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from inspection_cell.devices.gripper.base import GripperError, GripState, PartLost
from inspection_cell.devices.gripper.config import SimulatedGripperConfig


class GripperWorld(Protocol):
    """Where the fingers really are; widths in metres. Lost contact is an OSError."""

    def on_open(self, width_m: float) -> None:
        """The fingers open to this width."""

    def on_grip(self, width_m: float, force_n: float) -> float:
        """The fingers close on a part expected to be so wide; answers how far apart they came to rest."""

    def read_width(self) -> float:
        """How far apart the fingers are now."""


class LoneGripper:
    """The world of a gripper without one: the expected part is always there, and stays."""

    def __init__(self, width_m: float) -> None:
        self._width_m = width_m

    def on_open(self, width_m: float) -> None:
        """Opens."""
        self._width_m = width_m

    def on_grip(self, width_m: float, force_n: float) -> float:
        """Finds the part."""
        self._width_m = width_m
        return width_m

    def read_width(self) -> float:
        """As it was left."""
        return self._width_m


class SimulatedGripper:
    """A `Gripper` (see its docstrings), open at the beginning. Thread-safe."""

    def __init__(self, config: SimulatedGripperConfig, world: GripperWorld | None = None) -> None:
        self._config = config
        self._world = LoneGripper(config.max_width_m) if world is None else world
        self._band: tuple[float, float] | None = None
        self._busy = threading.Lock()

    def open(self, width_m: float) -> GripState:
        """Opens."""
        self._check("width_m", width_m, self._config.max_width_m)
        with self._busy:
            self._band = None
            try:
                self._world.on_open(width_m)
            except OSError as error:
                raise GripperError(f"gripper: no contact ({error})") from error
            return self._read()

    def grip(self, width_m: float, tolerance_m: float, force_n: float) -> GripState:
        """Closes, and refuses what is not as wide as expected."""
        self._check("width_m", width_m, self._config.max_width_m)
        self._check("force_n", force_n, self._config.max_force_n)
        with self._busy:
            self._band = (width_m - tolerance_m, width_m + tolerance_m)
            try:
                reached_m = self._world.on_grip(width_m, force_n)
            except OSError as error:
                raise GripperError(f"gripper: no contact ({error})") from error
            state = self._read()
        if not state.holding:
            raise PartLost(
                f"gripper: no part of {width_m * 1e3:.2f} +- {tolerance_m * 1e3:.2f} mm, the fingers closed to "
                f"{reached_m * 1e3:.2f} mm"
            )
        return state

    def state(self) -> GripState:
        """How the fingers are now."""
        with self._busy:
            return self._read()

    def _read(self) -> GripState:
        try:
            width_m = self._world.read_width()
        except OSError as error:
            raise GripperError(f"gripper: no contact ({error})") from error
        holding = self._band is not None and self._band[0] <= width_m <= self._band[1]
        return GripState(width_m, holding, time.time_ns())

    @staticmethod
    def _check(name: str, value: float, highest: float) -> None:
        if not 0 <= value <= highest:
            raise GripperError(f"gripper: {name} {value:g} is not within 0 to {highest:g}")
