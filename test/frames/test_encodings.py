"""Every encoding finds its way to RGB with red where red was."""

from __future__ import annotations

import numpy as np
import pytest

from inspection_cell.frames import ENCODINGS, to_rgb

COLOUR = np.array([200, 120, 40], np.uint8)


def mosaic(pattern: str) -> np.ndarray:
    """A flat image of COLOUR behind a Bayer filter; the pattern is its first two rows, left to right."""
    values = dict(zip("rgb", COLOUR, strict=True))
    return np.tile(np.array([values[letter] for letter in pattern], np.uint8).reshape(2, 2), (8, 8))


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_flat_colour_comes_back(encoding: str) -> None:
    flat = np.tile(COLOUR, (16, 16, 1))
    image = {"mono8": flat[:, :, 0], "rgb8": flat, "bgr8": flat[:, :, ::-1]}.get(encoding)
    if image is None:
        image = mosaic(encoding.removeprefix("bayer_").removesuffix("8"))
    image.setflags(write=False)
    expected = np.full((16, 16, 3), COLOUR[0]) if encoding == "mono8" else flat
    assert np.array_equal(to_rgb(image, encoding), expected)


def test_an_unknown_encoding_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="bayer_rggb8"):
        to_rgb(np.zeros((4, 4), np.uint8), "yuv422")
