"""A light that is only software; what it lights up, a simulated world may decide."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

from inspection_cell.devices.light.base import LightError, LightSetting, UnknownSetting
from inspection_cell.devices.light.config import SimulatedLightConfig


class LightWorld(Protocol):
    """Where the lamps really are. Lost contact is an OSError."""

    def on_set(self, levels: Mapping[str, float]) -> None:
        """All channels are driven so, 0 to 1."""

    def read_levels(self) -> Mapping[str, float]:
        """How bright each channel really burns, 0 to 1."""


class LoneLight:
    """The world of a light without one: lamps burn as they are driven."""

    def __init__(self) -> None:
        self._levels: dict[str, float] = {}

    def on_set(self, levels: Mapping[str, float]) -> None:
        """Burns so."""
        self._levels = dict(levels)

    def read_levels(self) -> Mapping[str, float]:
        """As it was driven."""
        return self._levels


class SimulatedLight:
    """A `Light` (see its docstrings), off at the beginning. Thread-safe."""

    def __init__(self, config: SimulatedLightConfig, world: LightWorld | None = None) -> None:
        self._config = config
        self._world = LoneLight() if world is None else world
        self._busy = threading.Lock()

    def set(self, setting: str | LightSetting) -> LightSetting:
        """Drives the channels."""
        wanted = self._named(setting) if isinstance(setting, str) else setting
        for channel in wanted.levels:
            if channel not in self._config.channels:
                raise UnknownSetting(f"light: no channel {channel}, there are {', '.join(self._config.channels)}")
        levels = {channel: float(wanted.levels.get(channel, 0.0)) for channel in self._config.channels}
        with self._busy:
            try:
                self._world.on_set(levels)
            except OSError as error:
                raise LightError(f"light: no contact ({error})") from error
        return LightSetting(levels)

    def off(self) -> None:
        """Drives every channel with 0."""
        self.set(LightSetting({}))

    def is_on(self) -> bool:
        """Whether any lamp burns, whatever was asked of it."""
        with self._busy:
            try:
                return any(level > 0 for level in self._world.read_levels().values())
            except OSError as error:
                raise LightError(f"light: no contact ({error})") from error

    def _named(self, name: str) -> LightSetting:
        if name not in self._config.settings:
            known = ", ".join(self._config.settings) or "none"
            raise UnknownSetting(f"light: no setting {name!r} in the cell configuration (light.settings has {known})")
        return LightSetting(self._config.settings[name])
