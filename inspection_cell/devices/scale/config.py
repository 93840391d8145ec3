"""Where the scale is and how it speaks: its part of the cell configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MtSicsConfig(BaseModel):
    """A scale that speaks MT-SICS (Mettler-Toledo and many others) on a serial port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["mt_sics"] = "mt_sics"
    port: str = Field(min_length=1, description="Serial port, /dev/ttyUSB0 for one")
    baudrate: int = Field(default=9600, ge=300, le=921600, description="As set in the scale's menu")
    parity: Literal["none", "even", "odd"] = Field(
        default="none", description="As set in the scale's menu; 8 data bits"
    )
    settle_s: float = Field(default=0.3, ge=0, le=10, description="Readings this soon after the load came do not count")
    reply_timeout_s: float = Field(default=1.0, gt=0, le=60, description="A scale silent for so long is asked again")


ScaleConfig = MtSicsConfig
