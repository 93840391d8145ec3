"""Pictures for people: the heat map over the image, and a sheet of the worst images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.score import AnomalyScore
from inspection_cell.anomaly.thresholds import Limits, Normaliser

_TILE = 224
_CAPTION = 34
_GREEN, _AMBER, _RED = (40, 160, 60), (230, 150, 20), (210, 40, 40)


def overlay(image: NDArray[np.uint8], score: AnomalyScore, normaliser: Normaliser, limits: Limits) -> NDArray[np.uint8]:
    """The image (h, w, 3) RGB with its heat map: clear below half the uncertain limit, red from the defect limit on.

    The crop the model saw is framed.
    """
    height, width = image.shape[:2]
    heat = score.mapping.map_to_original(score.heat_map, width, height)
    normalised = (heat - normaliser.centre) / normaliser.spread
    low = 0.5 * limits.uncertain
    level = np.clip((normalised - low) / max(limits.defect - low, 1e-6), 0, 1)
    colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    alpha = (0.6 * np.sqrt(level))[..., None]
    colour_image = image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
    result = (colour_image * (1 - alpha) + colours * alpha).astype(np.uint8)
    x, y, w, h = score.mapping.box
    cv2.rectangle(result, (x, y), (x + w - 1, y + h - 1), (255, 255, 255), max(1, width // 500))
    return result


def verdict_colour(score: float, limits: Limits) -> tuple[int, int, int]:
    """Green, amber or red, as a single view stands against the limits."""
    if score > limits.defect:
        return _RED
    return _AMBER if score > limits.uncertain else _GREEN


def tile(
    picture: NDArray[np.uint8], original: NDArray[np.uint8], text: str, colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Original and picture side by side with a caption, (`_TILE` + `_CAPTION`, 2 `_TILE`, 3) RGB."""
    result = np.full((_TILE + _CAPTION, 2 * _TILE, 3), 255, np.uint8)
    for column, source in enumerate((original, picture)):
        rgb = source if source.ndim == 3 else np.repeat(source[..., None], 3, -1)
        scale = _TILE / max(rgb.shape[:2])
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:_TILE, :_TILE]
        result[: small.shape[0], column * _TILE : column * _TILE + small.shape[1]] = small
    cv2.rectangle(result, (0, _TILE), (2 * _TILE, _TILE + 4), colour, -1)
    cv2.putText(result, text, (6, _TILE + 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return result


def contact_sheet(tiles: Sequence[NDArray[np.uint8]], columns: int, path: Path) -> None:
    """Writes the tiles as one PNG.

    Raises:
        ImageError: no tiles, or the file cannot be written.
    """
    if not tiles:
        raise ImageError("no pictures for the contact sheet")
    blank = np.full_like(tiles[0], 255)
    padded = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".png", np.vstack(rows)[..., ::-1])
    if not ok:
        raise ImageError(f"{path}: the contact sheet could not be encoded")
    path.write_bytes(data.tobytes())
