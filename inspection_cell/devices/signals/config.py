"""How the safety PLC's signals are taken: their part of the cell configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulatedSignalsConfig(BaseModel):
    """Signals that are only software."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["simulated"] = "simulated"
    max_age_s: float = Field(default=0.5, gt=0, le=60, description="An older reading counts as a protective stop")


SignalsConfig = SimulatedSignalsConfig
