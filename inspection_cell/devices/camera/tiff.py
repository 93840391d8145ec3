"""Uncompressed baseline TIFF, written in one piece: the file that pylon's emulated camera reads fastest.

Source: TIFF Revision 6.0, sections 2 to 6 (one strip, 8 bits a sample, grey or RGB).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SHORT, _LONG = 3, 4
_ENTRIES = 10
_BITS_AT = 8 + 2 + 12 * _ENTRIES + 4
_PIXELS_AT = _BITS_AT + 8


def write_tiff(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a grey (h, w) or an RGB (h, w, 3) uint8 image."""
    height, width = image.shape[:2]
    depth = 1 if image.ndim == 2 else image.shape[2]
    entries = [
        (256, _LONG, 1, width),
        (257, _LONG, 1, height),
        # Three values do not fit into the entry: it points at them.
        (258, _SHORT, depth, 8 if depth == 1 else _BITS_AT),
        (259, _SHORT, 1, 1),  # not compressed
        (262, _SHORT, 1, 1 if depth == 1 else 2),  # black is zero, or RGB
        (273, _LONG, 1, _PIXELS_AT),
        (277, _SHORT, 1, depth),
        (278, _LONG, 1, height),
        (279, _LONG, 1, image.size),
        (284, _SHORT, 1, 1),  # samples interleaved
    ]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head += struct.pack("<I4H", 0, 8, 8, 8, 0)
    with path.open("wb", buffering=0) as file:
        file.write(head)
        pixels = memoryview(np.ascontiguousarray(image).data).cast("B")
        while pixels:
            pixels = pixels[file.write(pixels) :]
