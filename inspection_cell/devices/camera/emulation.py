"""What pylon's emulated camera sees: before each trigger the picture source's picture becomes its file."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.devices.camera.base import ExposureRequest, GrabFailed, WrongFrameSize
from inspection_cell.devices.camera.config import EmulatedBaslerConfig
from inspection_cell.devices.camera.tiff import write_tiff

_SHARED_MEMORY = Path("/dev/shm")
_NAME = "inspection_cell.feed"


class EmulatorFault(enum.Enum):
    """What a picture source answers in a picture's place, to make the emulated device itself fail at this trigger."""

    FAILED_BUFFER = "failed_buffer"
    NO_FRAME = "no_frame"
    UNPLUGGED = "unplugged"


PictureSource = Callable[[ExposureRequest], "NDArray[np.uint8] | EmulatorFault"]
"""Asked before every trigger, also at retries: an image in the configured encoding and size, exposed as requested
(the emulator applies neither exposure nor gain), or a fault. A smaller picture is grabbed in its wrong size."""


class EmulatorFeed:
    """Hands pictures to one emulated camera as files in shared memory."""

    def __init__(self, config: EmulatedBaslerConfig, picture_source: PictureSource) -> None:
        self._config = config
        self._picture_source = picture_source
        self._device: Any = None
        self._shown: NDArray[np.uint8] | None = None
        self._folder = _SHARED_MEMORY / f"{_NAME}.{os.getpid()}.{config.index}"

    def connect(self, device: Any) -> None:
        """Makes the emulator play our folder in frames of the configured size."""
        _remove_leftovers()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._show(np.zeros((self._config.height, self._config.width), np.uint8))
        # A file is read again only when its name changes: one file under two names is read at every trigger. The
        # folder is listed once, by a thread of the emulator and a moment after the start: it must not change any more.
        os.link(self._folder / "a.tiff", self._folder / "b.tiff")
        # The sensor's size is never less than the frame's: shrink the frame first.
        for axis, size in (("Width", self._config.width), ("Height", self._config.height)):
            frame, sensor = getattr(device, axis), getattr(device, f"{axis}Max")
            frame.SetValue(frame.GetMin())
            sensor.SetValue(size)
        device.TestImageSelector.SetValue("Off")
        device.ImageFileMode.SetValue("On")
        device.ImageFilename.SetValue(str(self._folder))
        self._device = device

    def before_trigger(self, request: ExposureRequest) -> None:
        """Makes the picture source's answer the next thing that the camera grabs.

        Raises:
            GrabFailed: an OSError on the way: the connection to the picture source lost, shared memory full.
            WrongFrameSize: the picture is larger than the frame: the emulator would crop it and say nothing.
        """
        try:
            answer = self._picture_source(request)
            self._shown = None if isinstance(answer, EmulatorFault) else answer
            if isinstance(answer, EmulatorFault):
                self._fail(answer)
            else:
                self._show(self._as_file_content(answer))
        except OSError as error:
            raise GrabFailed(f"emulated camera {self._config.serial} gets no picture: {error}") from error

    def check(self, image: NDArray[np.uint8]) -> None:
        """Raises GrabFailed: the emulator played an older picture."""
        if self._shown is not None and self._shown.shape == image.shape and not np.array_equal(self._shown, image):
            raise GrabFailed("the emulator played an older picture")

    def _as_file_content(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        if width > self._config.width or height > self._config.height:
            raise WrongFrameSize(
                f"emulated camera {self._config.serial}: picture of {width}x{height} for frames of "
                f"{self._config.width}x{self._config.height}: let the picture source make that size"
            )
        if self._config.encoding == "bgr8":
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        return picture

    def close(self) -> None:
        """Removes the pictures."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _show(self, picture: NDArray[np.uint8]) -> None:
        write_tiff(self._folder / "a.tiff", picture)

    def _fail(self, fault: EmulatorFault) -> None:
        if fault is EmulatorFault.FAILED_BUFFER:
            self._device.ForceFailedBufferCount.SetValue(1)
            self._device.ForceFailedBuffer.Execute()
        elif fault is EmulatorFault.NO_FRAME:
            self._device.AcquisitionStop.Execute()
        else:
            self._device.DestroyDevice()


def _remove_leftovers() -> None:
    """Removes the pictures of processes that died without closing their camera."""
    for folder in _SHARED_MEMORY.glob(f"{_NAME}.*.*"):
        if not Path("/proc", folder.name.split(".")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)
