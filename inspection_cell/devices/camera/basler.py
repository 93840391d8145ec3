"""Basler cameras through pylon: software trigger, every frame checked, failed grabs retried, reconnect."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from inspection_cell.devices.camera.base import (
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
from inspection_cell.devices.camera.config import BaslerConfig, EmulatedBaslerConfig
from inspection_cell.devices.camera.pylon_runtime import EMULATED_CLASS, load_pylon

# Newer cameras name a format after SFNC 2, older ones with "Packed".
_PIXEL_FORMATS = {
    "mono8": ("Mono8",),
    "rgb8": ("RGB8", "RGB8Packed"),
    "bgr8": ("BGR8", "BGR8Packed"),
    "bayer_rggb8": ("BayerRG8",),
    "bayer_grbg8": ("BayerGR8",),
    "bayer_gbrg8": ("BayerGB8",),
    "bayer_bggr8": ("BayerBG8",),
}

_POLL_S = 0.0005


class Feed(Protocol):
    """What stands in the scene's place for an emulated camera."""

    def connect(self, device: Any) -> None:
        """Prepares the opened pylon device; called at every (re)connection, before it is configured."""

    def before_trigger(self, request: ExposureRequest) -> None:
        """Puts the next picture where the device will find it."""

    def check(self, image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Raises GrabFailed where the device grabbed something else than was put there."""

    def close(self) -> None:
        """Removes what was put."""


class BaslerCamera:
    """A `Camera` (see its docstrings) by serial number. Safe to call from several threads, one at a time."""

    def __init__(self, config: BaslerConfig | EmulatedBaslerConfig, feed: Feed | None = None) -> None:
        self._config = config
        self._feed = feed
        emulated = config.index + 1 if isinstance(config, EmulatedBaslerConfig) else 0
        self._pylon, self._genicam = load_pylon(emulated)
        self._device: Any = None
        self._info: CameraInfo | None = None
        self._busy = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Open, and not lost since."""
        return self._device is not None

    @property
    def info(self) -> CameraInfo:
        """The camera as it was found at `open`."""
        if self._info is None:
            raise CameraError(f"camera {self._config.serial} is not open")
        return self._info

    def open(self) -> None:
        """Connects by serial number, sets size, format and trigger, and starts to wait for triggers."""
        with self._busy:
            if self._device is None:
                self._device, self._info = self._connect()

    def close(self) -> None:
        """Gives the camera free for other programs."""
        with self._busy:
            self._drop()
            self._info = None
            if self._feed is not None:
                self._feed.close()

    def capture(self, exposure_s: float, gain_db: float, timeout_s: float) -> Grab:
        """One triggered picture; see `Camera.capture`."""
        request = ExposureRequest(exposure_s, gain_db)
        reasons: list[str] = []
        with self._busy:
            info = self.info
            while True:
                try:
                    return self._attempt(request, timeout_s, tuple(reasons))
                except (GrabTimeout, GrabFailed, CameraLost, CameraNotFound) as error:
                    reasons.append(f"{type(error).__name__}: {error}")
                    if len(reasons) > self._config.retries:
                        # Found no more after it was found once: to the caller that is a lost camera.
                        kind = CameraLost if isinstance(error, CameraNotFound) else type(error)
                        message = f"camera {info.serial}: {error} (attempt {len(reasons)}, the last)"
                        raise kind(message, tuple(reasons)) from error

    def _attempt(self, request: ExposureRequest, timeout_s: float, reasons: tuple[str, ...]) -> Grab:
        if self._device is None:
            self._device, self._info = self._connect()
        try:
            device = self._device
            exposure_s, gain_db = _set_exposure(device, request)
            if self._feed is not None:
                self._feed.before_trigger(request)
            _discard_waiting(device, self._pylon)
            deadline = time.monotonic() + timeout_s
            stamp_ns = self._trigger(deadline)
            image = self._retrieve(deadline, timeout_s)
            if self._feed is not None:
                self._feed.check(image)
        except GrabTimeout as error:
            if self._is_gone():
                self._drop()
                raise CameraLost("connection lost while waiting for a frame") from error
            # A late frame must not be taken for the answer to the next trigger.
            self._restart_grabbing()
            raise
        except self._genicam.GenericException as error:
            raise self._diagnose(error) from error
        return Grab(image, self._config.encoding, stamp_ns, exposure_s, gain_db, len(reasons) + 1, reasons, self.info)

    def _trigger(self, deadline: float) -> int:
        # A trigger that comes too early is lost.
        device, at_once = self._device, self._pylon.TimeoutHandling_Return
        if not _wait(lambda: device.WaitForFrameTriggerReady(0, at_once), deadline):
            raise GrabTimeout("the camera does not become ready for a trigger")
        stamp_ns = time.time_ns()
        self._device.TriggerSoftware.Execute()
        return stamp_ns

    def _retrieve(self, deadline: float, timeout_s: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
        device = self._device
        if not _wait(lambda: device.NumReadyBuffers.Value > 0, deadline):
            raise GrabTimeout(f"no frame within {timeout_s:g} s")
        result = device.RetrieveResult(0, self._pylon.TimeoutHandling_Return)
        try:
            if not result.GrabSucceeded():
                raise GrabFailed(f"pylon error {result.GetErrorCode():#x}: {result.GetErrorDescription()}")
            size = (result.GetWidth(), result.GetHeight())
            if size != (self._config.width, self._config.height):
                raise WrongFrameSize(
                    f"camera {self._config.serial}: frame of {size[0]}x{size[1]} instead of "
                    f"{self._config.width}x{self._config.height}: set width and height of the cell configuration"
                )
            return np.asarray(result.GetArray(), np.uint8)
        finally:
            result.Release()

    def _diagnose(self, error: Exception) -> CameraError:
        """What a pylon exception in the middle of a grab means; a lost device is dropped, for the next attempt."""
        if self._is_gone():
            self._drop()
            return CameraLost(f"connection lost: {_first_line(error)}")
        self._restart_grabbing()
        return GrabFailed(_first_line(error))

    def _is_gone(self) -> bool:
        device = self._device
        return device.IsCameraDeviceRemoved() or not device.IsPylonDeviceAttached() or not device.IsOpen()

    def _restart_grabbing(self) -> None:
        try:
            self._device.StopGrabbing()
            self._device.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        except self._genicam.GenericException:
            self._drop()

    def _drop(self) -> None:
        if self._device is None:
            return
        for step in (self._device.StopGrabbing, self._device.Close, self._device.DestroyDevice):
            # A device that is gone refuses to be told so; there is nothing else to do about it.
            with contextlib.suppress(self._genicam.GenericException):
                step()
        self._device = None

    def _connect(self) -> tuple[Any, CameraInfo]:
        config = self._config
        factory = self._pylon.TlFactory.GetInstance()
        found = {device.GetSerialNumber(): device for device in factory.EnumerateDevices()}
        if config.serial not in found:
            there = ", ".join(sorted(found)) or "none"
            raise CameraNotFound(
                f"no Basler camera with serial {config.serial} (found: {there}): check cable and power"
            )
        device = None
        try:
            device = self._pylon.InstantCamera(factory.CreateDevice(found[config.serial]))
            device.Open()
            if self._feed is not None:
                self._feed.connect(device)
            self._configure(device)
            device.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        except Exception as error:
            if device is not None:
                device.Close()
            if isinstance(error, self._genicam.GenericException | OSError):
                raise CameraNotFound(f"camera {config.serial} does not open: {_first_line(error)}") from error
            raise
        simulated = device.GetDeviceInfo().GetDeviceClass() == EMULATED_CLASS
        model = device.GetDeviceInfo().GetModelName()
        return device, CameraInfo(model, config.serial, config.width, config.height, config.encoding, simulated)

    def _configure(self, device: Any) -> None:
        _choose(device, "PixelFormat", *_PIXEL_FORMATS[self._config.encoding])
        for axis in ("OffsetX", "OffsetY"):
            if _has(device, axis):
                getattr(device, axis).SetValue(0)
        _set_number(device, "Width", self._config.width, "pixels")
        _set_number(device, "Height", self._config.height, "pixels")
        for automatic in ("ExposureAuto", "GainAuto"):
            if _has(device, automatic):
                _choose(device, automatic, "Off")
        _choose(device, "TriggerSelector", "FrameStart")
        _choose(device, "TriggerMode", "On")
        _choose(device, "TriggerSource", "Software")


def _set_exposure(device: Any, request: ExposureRequest) -> tuple[float, float]:
    """Sets exposure and gain; answers what the camera made of them, in seconds and decibels."""
    microseconds = "ExposureTime" if _has(device, "ExposureTime") else "ExposureTimeAbs"
    return (
        _set_number(device, microseconds, request.exposure_s * 1e6, "microseconds") * 1e-6,
        _set_number(device, "Gain", request.gain_db, "dB"),
    )


def _discard_waiting(device: Any, pylon: Any) -> None:
    """Throws away frames that nobody asked for, so that none is taken for the next trigger's."""
    while device.NumReadyBuffers.Value:
        device.RetrieveResult(0, pylon.TimeoutHandling_Return).Release()


def _has(device: Any, node: str) -> bool:
    return device.GetNodeMap().GetNode(node) is not None


def _set_number(device: Any, node: str, value: float, unit: str) -> float:
    if not _has(device, node):
        raise SettingRefused(f"the camera has no {node} in {unit}")
    parameter = getattr(device, node)
    low, high = parameter.GetMin(), parameter.GetMax()
    if not low <= value <= high:
        raise SettingRefused(f"{node} {value:g} {unit}: this camera allows {low:g} to {high:g}")
    parameter.SetValue(value)
    return float(parameter.GetValue())


def _choose(device: Any, node: str, *names: str) -> None:
    """Sets an enumeration to the first of the names that it has."""
    parameter = getattr(device, node)
    for name in names:
        if name in parameter.Symbolics:
            parameter.SetValue(name)
            return
    raise SettingRefused(f"{node} {names[0]}: this camera allows {', '.join(parameter.Symbolics)}")


def _wait(condition: Callable[[], bool], deadline: float) -> bool:
    """Asks until the condition holds (True) or the time is up (False).

    pylon's own waits are not used: on a busy machine they were seen (26.9) never to return when their time was up.
    """
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(" : ")[0]
