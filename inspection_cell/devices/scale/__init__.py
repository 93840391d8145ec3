"""Scales: a Protocol, the MT-SICS driver, and a simulated scale that speaks MT-SICS on a real port."""

from inspection_cell.devices.scale.base import (
    Overload,
    Scale,
    ScaleError,
    ScaleGarbage,
    ScaleLost,
    ScaleTimeout,
    ScaleUnstable,
    Underload,
    Weighing,
)
from inspection_cell.devices.scale.config import MtSicsConfig, ScaleConfig
from inspection_cell.devices.scale.mt_sics import MtSicsScale
from inspection_cell.devices.scale.simulated import ScaleBehaviour, ScaleFault, SimulatedScale

__all__ = [
    "MtSicsConfig",
    "MtSicsScale",
    "Overload",
    "Scale",
    "ScaleBehaviour",
    "ScaleConfig",
    "ScaleError",
    "ScaleFault",
    "ScaleGarbage",
    "ScaleLost",
    "ScaleTimeout",
    "ScaleUnstable",
    "SimulatedScale",
    "Underload",
    "Weighing",
    "build_scale",
]


def build_scale(config: ScaleConfig) -> Scale:
    """The scale that the configuration names, not yet open."""
    return MtSicsScale(config)
