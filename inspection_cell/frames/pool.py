"""The writer's side: slots in shared memory; each frame goes to the oldest one that nobody reads."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from inspection_cell.frames.encodings import channels, check_image
from inspection_cell.frames.handle import FrameHandle, FramesExhausted, PoolInUse
from inspection_cell.frames.slot import (
    DIRECTORY,
    HEADER_BYTES,
    lock_name,
    pack_header,
    parse_slot_name,
    read_header,
    slot_name,
)

_GROW_SHARED_MEMORY = "enlarge it (mount -o remount,size=..., docker --shm-size), or use fewer slots or smaller frames"


class FramePool:
    """The one writer of the slots of a name.

    A frame may be overwritten once `slots` later ones were put, unless somebody leases it: give as many slots as
    frames can be on their way or in use at once.
    """

    def __init__(self, name: str, slots: int, directory: Path = DIRECTORY) -> None:
        """Takes the pool and removes what a pool of this name left beyond its slots.

        Raises:
            PoolInUse: another living process writes a pool of this name.
            ValueError: the name is not made of letters, digits, _ and -; or there is no slot.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII):
            raise ValueError(f"frame pool name {name!r}: only letters, digits, _ and - are allowed")
        if slots < 1:
            raise ValueError(f"frame pool {name}: {slots} slots, at least 1 is needed")
        self.name = name
        self._directory = directory
        # flock tells processes apart, not threads of this one.
        self._putting = threading.Lock()
        self._lock_fd = _lock_pool(name, directory)
        for index, path in _slot_files(name, directory):
            if index >= slots:
                path.unlink(missing_ok=True)
        names = [slot_name(name, index) for index in range(slots)]
        self._fds = {n: os.open(directory / n, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600) for n in names}
        self._generations = {n: _generation(fd, n) for n, fd in self._fds.items()}

    def put(self, image: NDArray[np.uint8], encoding: str) -> FrameHandle:
        """Copies an image, (h, w) or (h, w, 3) uint8, into shared memory.

        Raises:
            FramesExhausted: all slots are leased, or shared memory is full.
            ValueError: the image does not fit its encoding.
        """
        check_image(image, encoding)
        height, width = image.shape[:2]
        stride = width * channels(encoding)
        size = stride * height
        with self._putting:
            name = self._lock_oldest_free()
            fd = self._fds[name]
            try:
                self._reserve(fd, HEADER_BYTES + size)
                # Wall time makes generations unique even where a slot was removed and made anew in between.
                generation = max(self._generations[name] + 1, time.time_ns())
                self._generations[name] = generation
                handle = FrameHandle(name, generation, width, height, encoding, stride, size)
                # The header first: should this process die among the pixels, no handle names the half-written frame.
                os.pwrite(fd, pack_header(handle), 0)
                _write_all(fd, np.ascontiguousarray(image), HEADER_BYTES)
                return handle
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Removes the slots and gives the name free; frames that are leased stay mapped for their readers."""
        if self._lock_fd < 0:
            return
        for name, fd in self._fds.items():
            (self._directory / name).unlink(missing_ok=True)
            os.close(fd)
        (self._directory / lock_name(self.name)).unlink(missing_ok=True)
        os.close(self._lock_fd)
        self._fds, self._lock_fd = {}, -1

    def __enter__(self) -> FramePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock_oldest_free(self) -> str:
        for name in sorted(self._fds, key=lambda n: self._generations[n]):
            try:
                fcntl.flock(self._fds[name], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return name
        raise FramesExhausted(
            f"frame pool {self.name}: all {len(self._fds)} slots are leased; "
            "give the camera more frame slots, or look for the reader that keeps its frames"
        )

    def _reserve(self, fd: int, size: int) -> None:
        # A file that shrank would kill a reader that maps it; and memory taken beforehand cannot be missing later.
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            raise FramesExhausted(
                f"frame pool {self.name}: no room for {size / 1e6:.1f} MB in {self._directory} "
                f"({error.strerror}): {_GROW_SHARED_MEMORY}"
            ) from error


def check_space(slots: int, frame_bytes: int, directory: Path = DIRECTORY) -> str | None:
    """Says what is missing where the free shared memory does not hold `slots` frames; None where it does.

    Ask before the pool takes its memory, after `clean_leftovers`.
    """
    state = os.statvfs(directory)
    free = state.f_bavail * state.f_frsize
    page = state.f_frsize
    needed = slots * ((HEADER_BYTES + frame_bytes + page - 1) // page) * page
    if needed <= free:
        return None
    return (
        f"{directory} has {free / 1e6:.0f} MB free, {slots} frames of {frame_bytes / 1e6:.1f} MB need "
        f"{needed / 1e6:.0f} MB: {_GROW_SHARED_MEMORY}"
    )


def clean_leftovers(prefix: str = "", directory: Path = DIRECTORY) -> list[str]:
    """Removes the slots of pools whose name begins so and whose writer is dead; returns the removed files' names."""
    removed = []
    pools = {found[0] for p in directory.iterdir() if (found := parse_slot_name(p.name))}
    for pool in sorted(p for p in pools if p.startswith(prefix)):
        try:
            lock_fd = _lock_pool(pool, directory)
        except PoolInUse:
            continue
        for _, path in _slot_files(pool, directory):
            path.unlink(missing_ok=True)
            removed.append(path.name)
        (directory / lock_name(pool)).unlink(missing_ok=True)
        os.close(lock_fd)
    return removed


def _lock_pool(pool: str, directory: Path) -> int:
    """Descriptor of the pool's lock file, locked by us; the kernel unlocks it when this process dies."""
    path = directory / lock_name(pool)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise PoolInUse(
                f"frame pool {pool}: another process writes it ({path} is locked); "
                "stop that cell, or give this camera another name"
            ) from error
        # Whoever held it before may have removed the file between our open and our lock: then ours locks nothing.
        if _still_there(path, fd):
            return fd
        os.close(fd)


def _still_there(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _slot_files(pool: str, directory: Path) -> list[tuple[int, Path]]:
    """Index and path of each of the pool's slots that exists."""
    found = ((parse_slot_name(path.name), path) for path in directory.iterdir())
    return sorted((slot[1], path) for slot, path in found if slot and slot[0] == pool)


def _generation(fd: int, name: str) -> int:
    header = read_header(fd, name)
    return header.generation if header else 0


def _write_all(fd: int, image: NDArray[np.uint8], offset: int) -> None:
    pixels = memoryview(image.data).cast("B")
    while pixels:
        written = os.pwrite(fd, pixels, offset)
        pixels, offset = pixels[written:], offset + written
