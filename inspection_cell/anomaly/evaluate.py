"""How well a model tells defects from good parts: the area under the ROC curve, and data sets of labelled images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from inspection_cell.anomaly.curves import aupro, d_t
from inspection_cell.anomaly.errors import ImageError, ScoreError
from inspection_cell.anomaly.heat import cluster_score, percentile_score
from inspection_cell.anomaly.images import IMAGE_SUFFIXES, image_files, read_image
from inspection_cell.anomaly.score import AnomalyModel, AnomalyScore
from inspection_cell.common.rates import Share

GOOD = "good"
_PIXEL_STEP = 2
"""Ranking every other pixel of a heat map smoothed with sigma 4 says as much as ranking all of them."""


@dataclass(frozen=True)
class LabelledImage:
    """One test image.

    Attributes:
        path: the image.
        kind: the folder's name: "good" or the kind of defect.
        mask: the file with the defect's pixels, where there is one.
    """

    path: Path
    kind: str
    mask: Path | None

    @property
    def is_good(self) -> bool:
        """Whether it shows no defect."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Judged:
    """One test image and what the model says of it.

    Attributes:
        scores: normalised, one for each of the evaluation's decisions.
        trained_on: whether the model was fitted on this very file.
        truth: (size, size) true on the defect, in the model's square; None where it has no mask.
    """

    image: LabelledImage
    found: AnomalyScore
    scores: tuple[float, ...]
    trained_on: bool
    truth: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Decision:
    """One way to bring a heat map to one number, and the normalised scores that it gives.

    Attributes:
        name: for people.
        good: (g,) of the good test images, without those that the model was fitted on.
        trained: (t,) of the good images that it was fitted on.
        bad: (b,) of the defective test images.
    """

    name: str
    good: NDArray[np.float64]
    trained: NDArray[np.float64]
    bad: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """Of defective against good test images."""
        return auroc([*self.good, *self.bad], [False] * len(self.good) + [True] * len(self.bad))

    def d_t(self) -> tuple[Share, float]:
        """D_T on the good test images, and its threshold; see `curves.d_t`."""
        return d_t(self.good, self.bad)


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on a data set.

    Attributes:
        images: the test images, kind by kind.
        decisions: the maximum, by which a cell decides; the 99.99 percentile; the cluster where its size was given.
        pixel_auroc, aupro: of the heat maps of new good images and of those with a mask, in the model's square,
            without padding.
        seconds: median wall time an image, without reading it.
    """

    images: tuple[Judged, ...]
    decisions: tuple[Decision, ...]
    pixel_auroc: float
    aupro: float
    seconds: float


def auroc(scores: ArrayLike, positives: ArrayLike) -> float:
    """The probability that a random positive scores above a random negative, ties counted half; NaN without both.

    It is the Mann-Whitney statistic of the ranks, the area under the ROC curve (Hanley and McNeil 1982).

    Raises:
        ValueError: a score is not finite.
    """
    values, truth = np.asarray(scores, float).ravel(), np.asarray(positives, bool).ravel()
    if not np.isfinite(values).all():
        raise ValueError("scores that are not finite cannot be ranked")
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    rank_sum = float(rankdata(values)[truth].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def training_images(folder: Path) -> list[Path]:
    """The good images of a data set in `train/good`, or of a plain folder of images."""
    train = folder / "train" / GOOD
    return image_files(train if train.is_dir() else folder)


def labelled_images(folder: Path) -> list[LabelledImage]:
    """The images under `test/<kind>`, with their masks in `ground_truth/<kind>` (`x.png` or `x_mask.png`).

    A folder without `test` counts as one of unknown images: kind "" and no masks.
    """
    test = folder / "test"
    if not test.is_dir():
        return [LabelledImage(path, "", None) for path in image_files(folder)]
    kinds = sorted(p for p in test.iterdir() if p.is_dir())
    if not kinds:
        raise ImageError(f"{test}: no folders of images in it (test/good, test/<kind of defect>)")
    return [
        LabelledImage(path, kind.name, _mask_file(folder / "ground_truth" / kind.name, path.stem))
        for kind in kinds
        for path in image_files(kind)
    ]


def _mask_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{end}{suffix}" for end in ("", "_mask") for suffix in IMAGE_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask image (h, w): true where it is drawn, by its alpha channel where it has one, else where it is bright."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(f"{path}: cannot be decoded as a mask")
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(-1)
    return np.asarray(pixels > np.iinfo(pixels.dtype).max // 2)


def evaluate(
    model: AnomalyModel,
    folder: Path,
    cluster: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Scores a data set's test images, each once, and the training images that the model was fitted on.

    Args:
        folder: with `test/good`, `test/<kind>` and `ground_truth/<kind>`; training images in `train/good` may lack.
        cluster: pixels of the smallest cluster that counts, see `heat.cluster_pixels`; None leaves this decision out.

    Raises:
        ImageError: a data set without good images, defects or masks; an image or mask that cannot be used.
        ScoreError: an image has fewer pixels than the cluster.
    """
    tests = _test_set(folder)
    train = folder / "train" / GOOD
    fitted_on = [path for path in image_files(train) if _is_of_fit(model, path)] if train.is_dir() else []
    every = [*tests, *(LabelledImage(path, GOOD, None) for path in fitted_on)]
    images: list[Judged] = []
    trained: list[tuple[float, ...]] = []
    for number, image in enumerate(every, start=1):
        judged = _judge(model, image, cluster)
        if number <= len(tests):
            images.append(judged)
        if judged.trained_on and image.is_good:
            trained.append(judged.scores)
        if progress:
            progress(number, len(every), image.path.name)
    good = [judged.scores for judged in images if judged.image.is_good and not judged.trained_on]
    if not good:
        raise ImageError(f"{folder / 'test' / GOOD}: the model was fitted on all of its images; needs new ones")
    bad = [judged.scores for judged in images if not judged.image.is_good]
    names = ["maximum", "99.99 percentile"] + ([f"cluster of {cluster} pixels"] if cluster else [])
    decisions = tuple(
        Decision(name, *(np.array([scores[column] for scores in group]) for group in (good, trained, bad)))
        for column, name in enumerate(names)
    )
    pixel_auroc, overlap = _pixel_figures(images)
    seconds = float(np.median([judged.found.seconds for judged in images]))
    return Evaluation(tuple(images), decisions, pixel_auroc, overlap, seconds)


def _judge(model: AnomalyModel, image: LabelledImage, cluster: int | None) -> Judged:
    pixels = read_image(image.path)
    try:
        found = model.score(pixels)
    except ImageError as error:
        raise ImageError(f"{image.path}: {error}") from error
    raw = [found.raw, percentile_score(found.heat_map, found.allowed)]
    if cluster:
        try:
            raw.append(cluster_score(found.heat_map, found.allowed, cluster))
        except ScoreError as error:
            text = f"{image.path}: {error}; check the millimetres of a pixel and the smallest defect"
            raise ScoreError(text) from None
    scores = tuple(model.card.normaliser(value) for value in raw)
    return Judged(image, found, scores, _is_of_fit(model, image.path), _truth(image, found, pixels))


def _is_of_fit(model: AnomalyModel, path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() in model.card.data_sha256


def _truth(image: LabelledImage, found: AnomalyScore, pixels: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    if image.is_good:
        return np.zeros(found.heat_map.shape, bool)
    if image.mask is None:
        return None
    mask = read_mask(image.mask)
    if mask.shape != pixels.shape[:2]:
        raise ImageError(
            f"{image.mask}: {mask.shape[1]} x {mask.shape[0]} pixels, its image {image.path.name} has "
            f"{pixels.shape[1]} x {pixels.shape[0]}"
        )
    if not mask.any():
        raise ImageError(f"{image.mask}: nothing is drawn in it; draw the defect, or remove the mask")
    return found.mapping.mask_to_model(mask)


def _pixel_figures(images: list[Judged]) -> tuple[float, float]:
    """AUROC and AUPRO over the pixels that show the images and not padding."""
    maps, truths = [], []
    for judged in images:
        if judged.truth is not None and not (judged.image.is_good and judged.trained_on):
            x, y, w, h = judged.found.mapping.content
            maps.append(judged.found.heat_map[y : y + h, x : x + w])
            truths.append(judged.truth[y : y + h, x : x + w])
    heat = np.concatenate([part[::_PIXEL_STEP, ::_PIXEL_STEP].ravel() for part in maps])
    truth = np.concatenate([part[::_PIXEL_STEP, ::_PIXEL_STEP].ravel() for part in truths])
    return auroc(heat, truth), aupro(maps, truths)


def _test_set(folder: Path) -> list[LabelledImage]:
    """The test images, where there is all that an evaluation needs."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; name a data set with test/good and test/<kind of defect>")
    if not (folder / "test").is_dir():
        raise ImageError(f"{folder}: no folder test in it; needs test/good and test/<kind of defect>")
    tests = labelled_images(folder)
    defects = [image for image in tests if not image.is_good]
    if len(defects) == len(tests):
        raise ImageError(f"{folder / 'test'}: no folder good in it; needs new images of good parts")
    if not defects:
        raise ImageError(f"{folder / 'test'}: no defects in it; needs images in test/<kind of defect>")
    if not any(image.mask for image in defects):
        raise ImageError(
            f"{folder / 'ground_truth'}: no masks for the defects in it (ground_truth/<kind>/<image>.png or "
            "<image>_mask.png); inspect-folder does without them"
        )
    return tests
