"""Lights: a Protocol, their configuration, and a simulated light."""

from inspection_cell.devices.light.base import Light, LightError, LightSetting, UnknownSetting
from inspection_cell.devices.light.config import LightConfig, SimulatedLightConfig
from inspection_cell.devices.light.simulated import LightWorld, SimulatedLight

__all__ = [
    "Light",
    "LightConfig",
    "LightError",
    "LightSetting",
    "LightWorld",
    "SimulatedLight",
    "SimulatedLightConfig",
    "UnknownSetting",
    "build_light",
]


def build_light(config: LightConfig, world: LightWorld | None = None) -> Light:
    """The light that the configuration names."""
    return SimulatedLight(config, world)
