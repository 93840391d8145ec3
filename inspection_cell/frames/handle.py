"""What is sent instead of pixels: the handle of a frame in shared memory, and what may go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass


class FrameError(Exception):
    """Something about a frame in shared memory is not as it must be."""


class StaleFrame(FrameError):
    """The handle's frame is gone: overwritten, removed, or never what the handle says."""


class FramesExhausted(FrameError):
    """No slot can take the frame: all are leased, or the memory is full."""


class PoolInUse(FrameError):
    """Another living process writes the pool of this name."""


@dataclass(frozen=True)
class FrameHandle:
    """Names one frame, once and for all: no other frame ever has the same name and generation.

    Attributes:
        name: the slot's file name in the frames' folder.
        generation: the slot's count at this frame; greater with each frame, also over restarts of the writer.
        width, height: pixels.
        encoding: a sensor_msgs name, one of `ENCODINGS`.
        stride: bytes from one row to the next.
        size: bytes of all pixels, stride times height.
    """

    name: str
    generation: int
    width: int
    height: int
    encoding: str
    stride: int
    size: int
