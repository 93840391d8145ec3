"""A camera that plays a folder of pictures: for engineers who have images and no camera."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.devices.camera.base import (
    CameraError,
    CameraInfo,
    CameraLost,
    CameraNotFound,
    Grab,
    GrabFailed,
    WrongFrameSize,
)
from inspection_cell.devices.camera.config import FolderConfig

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


class FolderCamera:
    """A `Camera` (see its docstrings) whose next picture is the folder's next file. Exposure and gain do not act.

    A colour picture in a mono8 or Bayer configuration is taken as grey: raw Bayer is stored in one channel.
    """

    def __init__(self, config: FolderConfig) -> None:
        self._config = config
        self._files: list[Path] = []
        self._next = 0

    @property
    def is_open(self) -> bool:
        """Whether `capture` may be called."""
        return bool(self._files)

    @property
    def info(self) -> CameraInfo:
        """The folder as a camera."""
        config = self._config
        return CameraInfo("folder", str(config.folder), config.width, config.height, config.encoding, simulated=True)

    def open(self) -> None:
        """Lists the pictures."""
        folder = self._config.folder
        if not folder.is_dir():
            raise CameraNotFound(f"camera folder {folder}: there is no such folder")
        self._files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        self._next = 0
        if not self._files:
            raise CameraNotFound(f"camera folder {folder}: no picture in it ({', '.join(sorted(_SUFFIXES))})")

    def close(self) -> None:
        """Forgets the list."""
        self._files = []

    def capture(self, exposure_s: float, gain_db: float, timeout_s: float) -> Grab:
        """The next picture of the folder; see `Camera.capture`."""
        if not self._files:
            raise CameraError(f"camera folder {self._config.folder} is not open")
        stamp_ns = time.time_ns()
        path = self._files[self._next % len(self._files)]
        self._next += 1
        image = self._read(path)
        return Grab(image, self._config.encoding, stamp_ns, exposure_s, gain_db, 1, (), self.info)

    def _read(self, path: Path) -> NDArray[np.uint8]:
        if not path.exists():
            raise CameraLost(f"camera folder: {path} is gone")
        colour = self._config.encoding in ("rgb8", "bgr8")
        image = cv2.imread(str(path), cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise GrabFailed(f"camera folder: {path} is not a readable picture")
        size = (image.shape[1], image.shape[0])
        if size != (self._config.width, self._config.height):
            raise WrongFrameSize(
                f"camera folder: {path} is {size[0]}x{size[1]}, the cell configuration says "
                f"{self._config.width}x{self._config.height}"
            )
        return np.asarray(
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if self._config.encoding == "rgb8" else image, np.uint8
        )
