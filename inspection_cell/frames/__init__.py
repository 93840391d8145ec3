"""Images between processes of one host: written once into shared memory, mapped by every reader without copying."""

from inspection_cell.frames.encodings import ENCODINGS, channels, check_image, to_rgb
from inspection_cell.frames.handle import FrameError, FrameHandle, FramesExhausted, PoolInUse, StaleFrame
from inspection_cell.frames.lease import lease
from inspection_cell.frames.pool import FramePool, check_space, clean_leftovers

__all__ = [
    "ENCODINGS",
    "FrameError",
    "FrameHandle",
    "FramePool",
    "FramesExhausted",
    "PoolInUse",
    "StaleFrame",
    "channels",
    "check_image",
    "check_space",
    "clean_leftovers",
    "lease",
    "to_rgb",
]
