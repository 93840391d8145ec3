"""The one place that imports Basler's pylon: names the cure where it is missing."""

from __future__ import annotations

import os
from types import ModuleType

from inspection_cell.devices.camera.base import CameraNotFound

EMULATED_CLASS = "BaslerCamEmu"


def load_pylon(emulated_cameras: int = 0) -> tuple[ModuleType, ModuleType]:
    """The modules `pylon` and `genicam`, with at least this many emulated cameras to be found.

    Raises:
        CameraNotFound: pypylon is not installed.
    """
    # pylon reads the variable whenever it enumerates; it is set before the import all the same, for older releases.
    if emulated_cameras > int(os.environ.get("PYLON_CAMEMU") or 0):
        os.environ["PYLON_CAMEMU"] = str(emulated_cameras)
    try:
        from pypylon import genicam, pylon
    except ImportError as error:
        raise CameraNotFound(f'Basler cameras need pypylon ({error}): pip install "inspection_cell[camera]"') from error
    return pylon, genicam
