"""Scoring a folder of images with one model, and saying how well it told good from defective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.evaluate import LabelledImage, auroc, labelled_images, read_mask
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.picture import contact_sheet, overlay, tile, verdict_colour
from inspection_cell.anomaly.score import AnomalyModel, AnomalyScore

_SHEET_TILES = 12
_NEAR = 8
"""Twice the heat map's sigma, pixels of the model's square."""
_PIXEL_STEP = 2
"""Every other pixel of a heat map smoothed with sigma 4 says as much as all of them."""


@dataclass(frozen=True)
class FolderResult:
    """The scores of a folder's images.

    Attributes:
        images, scores: in the same order.
        image_auroc, pixel_auroc: NaN where there are no labels or masks.
        on_defect: share of the images with a mask whose hottest spot lies on it or within `_NEAR` pixels of it; NaN
            without masks. A high image AUROC with a low share means that something else than the defect gives it away.
        seconds: median wall time an image, without reading it.
    """

    images: tuple[LabelledImage, ...]
    scores: NDArray[np.float64]
    image_auroc: float
    pixel_auroc: float
    on_defect: float
    seconds: float


def inspect_folder(
    model: AnomalyModel,
    folder: Path,
    sheet: Path | None = None,
    every: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> FolderResult:
    """Scores every image under `folder` (an MVTec layout or a plain folder).

    Args:
        sheet: PNG to write with the highest scoring images and their heat maps.
        every: takes only every n-th image of each kind.

    Raises:
        ImageError: an image that cannot be used, by its name.
    """
    images = [image for kind in _by_kind(labelled_images(folder)) for image in kind[::every]]
    scores, seconds, pixel_heat, pixel_truth = [], [], [], []
    hits: list[bool] = []
    tiles: list[tuple[float, NDArray[np.uint8]]] = []
    for i, image in enumerate(images):
        pixels = read_image(image.path)
        try:
            found = model.score(pixels)
        except ImageError as error:
            raise ImageError(f"{image.path}: {error}") from error
        scores.append(found.score)
        seconds.append(found.seconds)
        if image.kind and (image.is_good or image.mask):
            heat, truth = _pixels(found, image)
            pixel_heat.append(heat)
            pixel_truth.append(truth)
        if image.mask:
            hits.append(_hits(found, image.mask))
        if sheet:
            tiles = sorted([*tiles, (found.score, _tile(model, image, pixels, found))], key=lambda t: -t[0])
            tiles = tiles[:_SHEET_TILES]
        if progress:
            progress(i + 1, len(images), image.path.name)
    if sheet:
        contact_sheet([picture for _, picture in tiles], 3, sheet)
    defective = [not image.is_good for image in images]
    labelled = all(image.kind for image in images)
    return FolderResult(
        tuple(images),
        np.array(scores),
        auroc(scores, defective) if labelled else float("nan"),
        auroc(np.concatenate(pixel_heat), np.concatenate(pixel_truth)) if pixel_heat else float("nan"),
        float(np.mean(hits)) if hits else float("nan"),
        float(np.median(seconds)),
    )


def _by_kind(images: list[LabelledImage]) -> list[list[LabelledImage]]:
    kinds = dict.fromkeys(image.kind for image in images)
    return [[image for image in images if image.kind == kind] for kind in kinds]


def _pixels(found: AnomalyScore, image: LabelledImage) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Heat and truth of the pixels inside the image, in the model's square."""
    inside = found.mapping.inside()[::_PIXEL_STEP, ::_PIXEL_STEP]
    heat = found.heat_map[::_PIXEL_STEP, ::_PIXEL_STEP][inside]
    if image.mask is None:
        return heat, np.zeros(len(heat), bool)
    truth = found.mapping.mask_to_model(read_mask(image.mask))
    return heat, truth[::_PIXEL_STEP, ::_PIXEL_STEP][inside]


def _hits(found: AnomalyScore, mask: Path) -> bool:
    """Whether the hottest spot inside the image lies on the mask or near it."""
    near = np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), np.uint8)
    reach = cv2.dilate(found.mapping.mask_to_model(read_mask(mask)).astype(np.uint8), near)
    heat = np.where(found.mapping.inside(), found.heat_map, -np.inf)
    return bool(reach.ravel()[int(np.argmax(heat))])


def _tile(
    model: AnomalyModel, image: LabelledImage, pixels: NDArray[np.uint8], found: AnomalyScore
) -> NDArray[np.uint8]:
    limits = model.card.limits
    picture = overlay(pixels, found, model.card.normaliser, limits)
    text = f"{image.kind} {image.path.name}  {found.score:.2f}"
    return tile(picture, pixels, text, verdict_colour(found.score, limits))
