"""Cameras: a Protocol, backends for Basler, pylon's emulation and folders of pictures, their configuration."""

from __future__ import annotations

from inspection_cell.devices.camera.base import (
    Camera,
    CameraError,
    CameraInfo,
    CameraLost,
    CameraNotFound,
    ExposureRequest,
    Grab,
    GrabFailed,
    GrabTimeout,
    SettingRefused,
    WrongFrameSize,
)
from inspection_cell.devices.camera.basler import BaslerCamera
from inspection_cell.devices.camera.config import BaslerConfig, CameraConfig, EmulatedBaslerConfig, FolderConfig
from inspection_cell.devices.camera.emulation import EmulatorFault, EmulatorFeed, PictureSource
from inspection_cell.devices.camera.folder import FolderCamera

__all__ = [
    "BaslerConfig",
    "Camera",
    "CameraConfig",
    "CameraError",
    "CameraInfo",
    "CameraLost",
    "CameraNotFound",
    "EmulatedBaslerConfig",
    "EmulatorFault",
    "ExposureRequest",
    "FolderConfig",
    "Grab",
    "GrabFailed",
    "GrabTimeout",
    "PictureSource",
    "SettingRefused",
    "WrongFrameSize",
    "build_camera",
]


def build_camera(config: CameraConfig, picture_source: PictureSource | None = None) -> Camera:
    """The camera that the configuration names, not yet open.

    Args:
        config: any of the backends'.
        picture_source: what an emulated camera sees; other cameras have no use for it.

    Raises:
        CameraNotFound: the backend's library is not installed.
        ValueError: an emulated camera without a picture source.
    """
    if isinstance(config, FolderConfig):
        return FolderCamera(config)
    if isinstance(config, BaslerConfig):
        return BaslerCamera(config)
    if picture_source is None:
        raise ValueError(f"emulated camera {config.index} needs a picture source: start the cell's simulation")
    return BaslerCamera(config, EmulatorFeed(config, picture_source))
