"""Why a component was judged so, as a picture: what was seen, what the CAD says, which part of the image decided."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.presence.expectation import SIZE_PX

TILE = 3 * SIZE_PX
CAPTION = 22
PATCH, STEP = 16, 8
_GREEN, _WHITE, _DARK = (70, 190, 90), (255, 255, 255), (28, 30, 34)

Image = NDArray[np.uint8]


def importance(
    probabilities: Callable[[NDArray[np.float32]], NDArray[np.float64]], given: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(64, 64): how much p(present) falls when that place of the image is made plain; negative where it rises.

    Args:
        probabilities: of network inputs (n, 8, 64, 64), (n, 3).
        given: (8, 64, 64), one input.

    Source: M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks" (2014), Sec. 4.2 (occlusion).
    """
    corners = [(y, x) for y in range(0, SIZE_PX - PATCH + 1, STEP) for x in range(0, SIZE_PX - PATCH + 1, STEP)]
    covered = np.repeat(given[None], len(corners) + 1, axis=0)
    for one, (y, x) in zip(covered[1:], corners, strict=True):
        place = one[0, y : y + PATCH, x : x + PATCH]
        place[:] = place.mean()
    present = probabilities(covered)[:, 0]
    total, count = np.zeros((SIZE_PX, SIZE_PX)), np.zeros((SIZE_PX, SIZE_PX))
    for fall, (y, x) in zip(present[0] - present[1:], corners, strict=True):
        total[y : y + PATCH, x : x + PATCH] += fall
        count[y : y + PATCH, x : x + PATCH] += 1
    return total / count


def draw_judgement(
    given: NDArray[np.float32], mask: NDArray[np.bool_], weight: NDArray[np.float64], text: str
) -> Image:
    """(h, w, 3) RGB: the image with the component's outline, the CAD with it and without it, what decided.

    Args:
        given: (8, 64, 64), the network's input. mask: (64, 64), where the component would be seen.
        weight: (64, 64) by `importance`. text: for the caption.
    """
    grey = np.asarray((np.clip(given[0], -1, 1) + 1) * 127.5, np.uint8)
    seen = _enlarged(np.repeat(grey[..., None], 3, axis=2))
    outlined = seen.copy()
    large = cv2.resize(mask.astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, outlines, -1, _GREEN, 1)
    strongest = max(float(np.abs(weight).max()), 0.05)
    heat = cv2.resize(weight / strongest, (TILE, TILE), interpolation=cv2.INTER_LINEAR)[..., None]
    colour = np.where(heat > 0, np.array([70, 190, 90.0]), np.array([225, 60, 50.0]))
    decided = np.asarray(seen * (1 - 0.7 * np.abs(heat)) + colour * 0.7 * np.abs(heat), np.uint8)
    tiles = (
        (outlined, "image, outline by CAD"),
        (_lit(given[2:5]), "CAD with it"),
        (_lit(given[5:8]), "CAD without it"),
        (decided, "green: for it, red: against"),
    )
    row = np.hstack([np.vstack([_strip(TILE, caption), tile]) for tile, caption in tiles])
    return np.asarray(np.vstack([_strip(row.shape[1], text), row]), np.uint8)


def _lit(normals: NDArray[np.float32]) -> Image:
    """Normals (3, 64, 64) in the camera's frame under a lamp beside the camera."""
    light = np.array([-0.35, -0.35, -0.87], np.float32)
    bright = np.clip(np.einsum("chw,c->hw", normals, light), 0, 1)
    return _enlarged(np.repeat(np.asarray(bright * 255, np.uint8)[..., None], 3, axis=2))


def _enlarged(image: NDArray[np.uint8]) -> Image:
    return np.asarray(cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_NEAREST), np.uint8)


def _strip(width: int, text: str) -> Image:
    strip = np.full((CAPTION, width, 3), _DARK, np.uint8)
    cv2.putText(strip, text, (4, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _WHITE, 1, cv2.LINE_AA)
    return strip
