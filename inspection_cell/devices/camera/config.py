"""Which camera, and how it is set up for good: the part of the cell configuration that each camera backend reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Encoding = Literal["mono8", "rgb8", "bgr8", "bayer_rggb8", "bayer_grbg8", "bayer_gbrg8", "bayer_bggr8"]


class _Frames(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=1, description="Width of every frame, pixels; another width is an error")
    height: int = Field(ge=1, description="Height of every frame, pixels; another height is an error")
    encoding: Encoding = Field(default="mono8", description="Pixel format, named as in sensor_msgs")


class BaslerConfig(_Frames):
    """A Basler camera through pylon."""

    backend: Literal["basler"] = "basler"
    serial: str = Field(min_length=1, description="Serial number printed on the camera")
    retries: int = Field(default=2, ge=0, le=10, description="Further attempts after a failed grab")


class EmulatedBaslerConfig(_Frames):
    """One of pylon's emulated cameras, fed with pictures through the same driver as a real one."""

    backend: Literal["basler_emulated"] = "basler_emulated"
    index: int = Field(default=0, ge=0, le=15, description="Which emulated camera; each camera of a cell has its own")
    retries: int = Field(default=2, ge=0, le=10, description="Further attempts after a failed grab")

    @property
    def serial(self) -> str:
        """Serial number that pylon gives this emulated camera."""
        return f"0815-{self.index:04d}"


class FolderConfig(_Frames):
    """Pictures of a folder, one for each capture, in the order of their names, from the start again at the end."""

    backend: Literal["folder"] = "folder"
    folder: Path = Field(description="Folder with PNG, JPEG, BMP or TIFF files")


CameraConfig = Annotated[BaslerConfig | EmulatedBaslerConfig | FolderConfig, Field(discriminator="backend")]
