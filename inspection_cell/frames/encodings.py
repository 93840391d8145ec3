"""What the pixels of an image mean: sensor_msgs' encoding names, and the way from each to RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Bytes a pixel of each encoding. Bayer names give the first two rows' filters, read left to right.
ENCODINGS: dict[str, int] = {
    "mono8": 1,
    "rgb8": 3,
    "bgr8": 3,
    "bayer_rggb8": 1,
    "bayer_grbg8": 1,
    "bayer_gbrg8": 1,
    "bayer_bggr8": 1,
}

# OpenCV names a Bayer pattern by its second row, second and third column: RGGB is its "BG".
_TO_RGB: dict[str, int] = {
    "mono8": cv2.COLOR_GRAY2RGB,
    "bgr8": cv2.COLOR_BGR2RGB,
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
}


def channels(encoding: str) -> int:
    """Bytes a pixel.

    Raises:
        ValueError: the encoding is none of `ENCODINGS`.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"image encoding {encoding!r} is not known: use one of {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding]


def check_image(image: NDArray[np.uint8], encoding: str) -> None:
    """Refuses an image whose type or shape is not what its encoding says.

    Raises:
        ValueError: not (h, w) uint8 for one channel, (h, w, 3) uint8 for three, or empty.
    """
    wanted = channels(encoding)
    shape = "(h, w)" if wanted == 1 else f"(h, w, {wanted})"
    fits = image.ndim == 2 if wanted == 1 else image.ndim == 3 and image.shape[2] == wanted
    if image.dtype != np.uint8 or not fits or image.size == 0:
        raise ValueError(f"{encoding} needs a {shape} uint8 image that is not empty, got {image.shape} {image.dtype}")


def to_rgb(image: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """The image as (h, w, 3) uint8 RGB; Bayer is demosaiced bilinearly.

    An rgb8 image is returned as it is, not copied: where it comes from a lease, it ends with the lease.

    Raises:
        ValueError: the image does not fit its encoding.
    """
    check_image(image, encoding)
    if encoding == "rgb8":
        return image
    return np.asarray(cv2.cvtColor(image, _TO_RGB[encoding]), np.uint8)
