"""What every camera does: one picture on request, with all that was true when it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class CameraError(Exception):
    """The camera did not do what was asked; the subclass says why, `reasons` what each attempt met."""

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class CameraNotFound(CameraError):
    """No such camera, or no library to speak with it."""


class CameraLost(CameraError):
    """The camera was there and has gone: unplugged, powered off, taken by another program."""


class SettingRefused(CameraError):
    """The camera cannot be set as asked; the message names its range."""


class GrabTimeout(CameraError):
    """No frame within the time allowed."""


class GrabFailed(CameraError):
    """A frame came, but damaged."""


class WrongFrameSize(CameraError):
    """A frame came in another size than the cell configuration says: its calibration would not hold."""


@dataclass(frozen=True)
class ExposureRequest:
    """What a picture is to be taken with: exposure in seconds, gain in decibels."""

    exposure_s: float
    gain_db: float


@dataclass(frozen=True)
class CameraInfo:
    """Which camera it is.

    Attributes:
        model, serial: as the camera says them.
        width, height: of its frames, pixels.
        encoding: of its frames, a sensor_msgs name.
        simulated: its pictures are not of a real scene.
    """

    model: str
    serial: str
    width: int
    height: int
    encoding: str
    simulated: bool


@dataclass(frozen=True)
class Grab:
    """One picture.

    Attributes:
        image: (h, w) or (h, w, 3) uint8 in `encoding`, as the sensor gave it; the caller owns it.
        encoding: a sensor_msgs name.
        stamp_ns: wall clock at the trigger, nanoseconds since 1970.
        exposure_s, gain_db: what the camera was really set to.
        attempts: 1 where the first trigger succeeded.
        reasons: why the attempts before the last one failed.
        info: the camera.
    """

    image: NDArray[np.uint8]
    encoding: str
    stamp_ns: int
    exposure_s: float
    gain_db: float
    attempts: int
    reasons: tuple[str, ...]
    info: CameraInfo


class Camera(Protocol):
    """A camera that takes a picture when told to."""

    @property
    def is_open(self) -> bool:
        """Whether it is connected; one that was lost is connected again by the next `capture`."""

    @property
    def info(self) -> CameraInfo:
        """The camera. Raises CameraError before `open`."""

    def open(self) -> None:
        """Connects and configures. Raises CameraNotFound, SettingRefused. Harmless when open."""

    def close(self) -> None:
        """Gives the camera free. Never raises; harmless when closed."""

    def capture(self, exposure_s: float, gain_db: float, timeout_s: float) -> Grab:
        """Triggers one picture and waits for it.

        Args:
            exposure_s: seconds.
            gain_db: decibels.
            timeout_s: seconds from each attempt's trigger to its frame, exposure and transfer included.

        Raises:
            GrabTimeout, GrabFailed, CameraLost: every attempt failed; of the last one's kind, with all reasons.
            WrongFrameSize, SettingRefused: at once, since another attempt would meet the same.
            CameraError: not open.
        """
