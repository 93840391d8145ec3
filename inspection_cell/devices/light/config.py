"""The light's channels and named settings: its part of the cell configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Level = Annotated[float, Field(ge=0, le=1)]


class SimulatedLightConfig(BaseModel):
    """A light that is only software."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["simulated"] = "simulated"
    channels: tuple[str, ...] = Field(default=("ring",), min_length=1, description="Names of the channels")
    settings: dict[str, dict[str, Level]] = Field(
        default_factory=lambda: {"ring": {"ring": 1.0}},
        description="Named settings: intensity of each channel, 0 to 1; channels not named are off",
    )

    @model_validator(mode="after")
    def _known_channels(self) -> SimulatedLightConfig:
        for name, levels in self.settings.items():
            for channel in levels:
                if channel not in self.channels:
                    raise ValueError(f"setting {name}: no channel {channel}, there are {', '.join(self.channels)}")
        return self


LightConfig = SimulatedLightConfig
