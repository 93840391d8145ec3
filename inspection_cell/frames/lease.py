"""The reader's side: a frame mapped read-only, kept from being overwritten while it is looked at."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.frames.encodings import channels
from inspection_cell.frames.handle import FrameHandle, StaleFrame
from inspection_cell.frames.slot import DIRECTORY, HEADER_BYTES, parse_slot_name, read_header


@contextmanager
def lease(handle: FrameHandle, directory: Path = DIRECTORY) -> Iterator[NDArray[np.uint8]]:
    """The handle's pixels, (h, w) or (h, w, 3) uint8, read-only and not copied.

    The slot is not reused until the context ends and the last array that looks into it is gone; so a view kept too
    long costs a slot, but never shows another frame. Copy what must live long.

    Raises:
        StaleFrame: the slot holds another frame by now, or none.
    """
    image = _map(handle, directory)
    yield image


def _map(handle: FrameHandle, directory: Path) -> NDArray[np.uint8]:
    if parse_slot_name(handle.name) is None:
        raise StaleFrame(f"{handle.name!r} is not the name of a frame slot")
    try:
        fd = os.open(directory / handle.name, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise StaleFrame(f"frame {handle.name} generation {handle.generation} is gone: {error.strerror}") from error
    try:
        # First the lock, then the look: what the header says under the lock stays true as long as the lock is held.
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StaleFrame(
                f"frame {handle.name} generation {handle.generation} is just being overwritten: use more slots"
            ) from error
        _check(handle, read_header(fd, handle.name), os.fstat(fd).st_size)
        # The mapping keeps the open file, and with it the lock, after the descriptor is closed: both go when the
        # last array over the mapping goes, or when this process dies.
        mapped = mmap.mmap(fd, HEADER_BYTES + handle.size, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    return _as_image(np.frombuffer(mapped, np.uint8, handle.size, HEADER_BYTES), handle)


def _check(handle: FrameHandle, found: FrameHandle | None, file_bytes: int) -> None:
    if found is None:
        raise StaleFrame(f"slot {handle.name} holds no frame")
    if found.generation != handle.generation:
        raise StaleFrame(
            f"slot {handle.name} holds generation {found.generation} by now, not {handle.generation}: use more slots"
        )
    if found != handle or file_bytes < HEADER_BYTES + handle.size:
        raise StaleFrame(f"slot {handle.name}: its header says {found}, the handle {handle}")


def _as_image(flat: NDArray[np.uint8], handle: FrameHandle) -> NDArray[np.uint8]:
    depth = channels(handle.encoding)
    rows = flat.reshape(handle.height, handle.stride)[:, : handle.width * depth]
    return rows if depth == 1 else rows.reshape(handle.height, handle.width, depth)
