"""How well a classifier tells the classes apart: confusion, precision, recall, F1, abstentions, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.common.rates import Share
from inspection_cell.presence.arrays import checked_labels, checked_probabilities
from inspection_cell.presence.calibration import Bin, brier_score, expected_calibration_error, reliability
from inspection_cell.presence.conformal import ABSTAIN

RESAMPLES = 2000


@dataclass(frozen=True)
class ClassFigures:
    """One class against all others.

    Attributes:
        recall: how many samples of the class were given it; an abstention did not give it.
        precision: how many of those given the class are of it.
        f1: 2 hits / (samples of the class + samples given it).
    """

    name: str
    recall: Share
    precision: Share
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """What a classifier is worth on n samples of k classes.

    Attributes:
        labels: (n,) true classes; `probabilities` (n, k); `predictions` (n,) class or ABSTAIN.
        confusion: (k, k + 1) samples by true class (row) and given class; the last column is abstentions.
        classes: figures of each class.
        macro_precision, macro_recall, macro_f1: means over the classes, a class that is never given counting as 0.
        macro_f1_interval: 95 %, by bootstrap.
        right: given the true class, of all samples; `abstained` of all samples.
        bins: reliability of the likeliest class; `calibration_error` over them; `brier` score.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    predictions: NDArray[np.int64]
    confusion: NDArray[np.int64]
    classes: tuple[ClassFigures, ...]
    macro_precision: float
    macro_recall: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    right: Share
    abstained: Share
    bins: tuple[Bin, ...]
    calibration_error: float
    brier: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return tuple(figures.name for figures in self.classes)

    @property
    def right_of_decided(self) -> Share:
        """Given the true class, of those given any."""
        return Share(self.right.hits, self.right.of - self.abstained.hits)


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, k: int) -> NDArray[np.int64]:
    """(k, k + 1) samples by true class (row) and given class (column); the last column is abstentions.

    Args:
        labels, predictions: (n,) classes 0 to k - 1; a prediction may be ABSTAIN.

    Raises:
        ValueError: they do not fit.
    """
    truth = checked_labels(labels, np.size(labels), k)
    given = checked_labels(predictions, len(truth), k, "predictions", least=ABSTAIN)
    column = np.where(given == ABSTAIN, k, given)
    return np.bincount(truth * (k + 1) + column, minlength=k * (k + 1)).reshape(k, k + 1)


def f1_scores(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(..., k) F1 of each class from (..., k, k + 1) confusion matrices; 0 for a class neither true nor given."""
    square = confusion[..., :-1]
    both = confusion.sum(axis=-1) + square.sum(axis=-2)
    return np.asarray(2 * np.diagonal(square, axis1=-2, axis2=-1) / np.maximum(both, 1), np.float64)


def macro_f1_interval(confusion: NDArray[np.int64]) -> tuple[float, float]:
    """Central 95 % of the macro F1 over samples drawn anew, with the same seed each time.

    They are drawn within each true class (a row, multinomial), because how many there are of each was chosen, not
    observed. Samples count as independent: frames of one part are not, so give it one row a component, combined.
    Without any error it is a point, and the classes' exact intervals say more.
    """
    rng = np.random.default_rng(0)
    rows = [rng.multinomial(row.sum(), row / row.sum(), size=RESAMPLES) for row in confusion]
    low, high = np.quantile(f1_scores(np.stack(rows, axis=1)).mean(axis=-1), [0.025, 0.975])
    return float(low), float(high)


def evaluate(labels: ArrayLike, p: ArrayLike, names: Sequence[str], predictions: ArrayLike | None = None) -> Evaluation:
    """All figures.

    Args:
        labels: (n,) true classes, each with a sample at least.
        p: (n, k) probabilities.
        names: of the k classes, for people.
        predictions: (n,) class or ABSTAIN, as `ConformalSets.decide` gives; None takes the likeliest class.

    Raises:
        ValueError: arrays that do not fit each other, or a class without a sample.
    """
    given = checked_probabilities(p)
    n, k = given.shape
    truth = checked_labels(labels, n, k)
    decided = checked_labels(given.argmax(axis=1) if predictions is None else predictions, n, k, "predictions", ABSTAIN)
    if len(names) != k or len(set(names)) != k:
        raise ValueError(f"names {list(names)}: give {k} different ones, one a column of the probabilities")
    empty = [name for name, count in zip(names, np.bincount(truth, minlength=k), strict=True) if not count]
    if empty:
        raise ValueError(f"labels: no sample of {', '.join(empty)}; add some, or leave the class out of the question")
    confusion = confusion_matrix(truth, decided, k)
    classes = _class_figures(confusion, names)
    bins = reliability(given, truth)
    return Evaluation(
        labels=truth,
        probabilities=given,
        predictions=decided,
        confusion=confusion,
        classes=classes,
        macro_precision=float(np.mean([c.precision.value if c.precision.of else 0.0 for c in classes])),
        macro_recall=float(np.mean([c.recall.value for c in classes])),
        macro_f1=float(np.mean([c.f1 for c in classes])),
        macro_f1_interval=macro_f1_interval(confusion),
        right=Share(int(np.trace(confusion)), n),
        abstained=Share(int(confusion[:, -1].sum()), n),
        bins=bins,
        calibration_error=expected_calibration_error(bins),
        brier=brier_score(given, truth),
    )


def _class_figures(confusion: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassFigures, ...]:
    of_class, given = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = f1_scores(confusion)
    hits = np.diagonal(confusion)
    return tuple(
        ClassFigures(name, Share(int(hits[c]), int(of_class[c])), Share(int(hits[c]), int(given[c])), float(f1[c]))
        for c, name in enumerate(names)
    )
