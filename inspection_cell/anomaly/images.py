"""Reading images of parts from files, and refusing those that are not what they seem."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ImageError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_TAIL_BYTES = 1024


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image file as (h, w) grey or (h, w, 3) RGB, 8 bit.

    Raises:
        ImageError: the file is missing, truncated, damaged, 16 bit or partly transparent.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such image file")
    data = path.read_bytes()
    _check_complete(path, data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None:
        raise ImageError(f"{path}: cannot be decoded as an image; capture or copy it again")
    try:
        checked = check_pixels(pixels)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    return checked if checked.ndim == 2 else np.ascontiguousarray(checked[..., ::-1])


def check_pixels(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The pixels as (h, w) or (h, w, 3) uint8 in their own channel order; an opaque alpha channel is dropped.

    Raises:
        ImageError: other depths or shapes, no pixels, or transparency whose background is unknown.
    """
    if pixels.dtype != np.uint8:
        raise ImageError(f"pixels are {pixels.dtype}, not 8 bit; convert with the camera's white level first")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        if np.any(pixels[..., 3] != 255):
            raise ImageError("the image is partly transparent; save it without an alpha channel")
        pixels = pixels[..., :3]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or min(pixels.shape[:2]) < 8:
        raise ImageError(f"shape {pixels.shape}; needs (h, w) or (h, w, 3) with at least 8 pixels a side")
    return pixels.astype(np.uint8, copy=False)


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder in order of their names.

    Raises:
        ImageError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder of images")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ImageError(f"{folder}: no image files ({', '.join(IMAGE_SUFFIXES)}) in it")
    return files


def _check_complete(path: Path, data: bytes) -> None:
    """Decoders fill a truncated picture up with grey and say nothing: the end marker must be there."""
    tail = data[-_TAIL_BYTES:]
    truncated = (data[:2] == b"\xff\xd8" and b"\xff\xd9" not in tail) or (
        data[:4] == b"\x89PNG" and b"IEND" not in tail
    )
    if truncated:
        raise ImageError(f"{path}: the file is truncated (its end marker is missing); capture or copy it again")
