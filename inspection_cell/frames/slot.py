"""The layout of a slot: a file with a 64-byte header before its pixels, and the names such files have."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

from inspection_cell.frames.handle import FrameHandle

DIRECTORY = Path("/dev/shm")
HEADER_BYTES = 64

_PREFIX = "inspection_cell"
_SLOT_NAME = re.compile(rf"{_PREFIX}\.([A-Za-z0-9_-]+)\.(\d+)", re.ASCII)
_MAGIC = b"ICFRAME\0"
_VERSION = 1
# magic, version, generation, width, height, stride, encoding, payload bytes; then the CRC-32 of these and padding
_FIELDS = struct.Struct("<8sIQIII16sQ")
_CRC = struct.Struct("<I4x")


def slot_name(pool: str, index: int) -> str:
    """The file name of a pool's slot."""
    return f"{_PREFIX}.{pool}.{index}"


def lock_name(pool: str) -> str:
    """The name of the file that the pool's one writer keeps locked."""
    return f"{_PREFIX}.{pool}.lock"


def parse_slot_name(name: str) -> tuple[str, int] | None:
    """Pool and index of a slot's file name; None for every other name, so that no handle leads out of the folder."""
    match = _SLOT_NAME.fullmatch(name)
    return (match.group(1), int(match.group(2))) if match else None


def pack_header(frame: FrameHandle) -> bytes:
    """The 64 bytes that stand before the frame's pixels."""
    fields = _FIELDS.pack(
        _MAGIC,
        _VERSION,
        frame.generation,
        frame.width,
        frame.height,
        frame.stride,
        frame.encoding.encode("ascii"),
        frame.size,
    )
    return fields + _CRC.pack(zlib.crc32(fields))


def read_header(fd: int, name: str) -> FrameHandle | None:
    """The frame that the open slot holds; None where the header is not a whole, sound one of this version."""
    raw = os.pread(fd, HEADER_BYTES, 0)
    if len(raw) != HEADER_BYTES:
        return None
    fields = raw[: _FIELDS.size]
    if _CRC.unpack(raw[_FIELDS.size :])[0] != zlib.crc32(fields):
        return None
    magic, version, generation, width, height, stride, encoding, size = _FIELDS.unpack(fields)
    if magic != _MAGIC or version != _VERSION:
        return None
    return FrameHandle(name, generation, width, height, encoding.rstrip(b"\0").decode("ascii"), stride, size)
