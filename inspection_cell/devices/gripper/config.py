"""What the gripper can do: its part of the cell configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulatedGripperConfig(BaseModel):
    """A gripper that is only software."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["simulated"] = "simulated"
    max_width_m: float = Field(default=0.085, gt=0, le=1, description="Distance of the open fingers, metres")
    max_force_n: float = Field(default=100.0, gt=0, description="Greatest gripping force, newton")


GripperConfig = SimulatedGripperConfig
