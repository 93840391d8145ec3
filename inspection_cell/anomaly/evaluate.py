"""How well scores tell defects from good parts: areas under the ROC curve, and folders of labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.images import IMAGE_SUFFIXES, image_files

GOOD = "good"


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
