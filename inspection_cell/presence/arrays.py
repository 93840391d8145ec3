"""What the figures of this room are made from, checked where it enters: probabilities, labels, scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be off a sum of 1: what float32, written with five digits, needs."""


def checked_matrix(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """(n, k) finite numbers, at least one row and two classes.

    Raises:
        ValueError: anything else, with the first row that is wrong.
    """
    matrix = np.asarray(values, float)
    if matrix.ndim != 2 or matrix.shape[0] < 1 or matrix.shape[1] < 2:
        raise ValueError(f"{what}: shape {matrix.shape}; give (n, k), n samples of k classes, n >= 1, k >= 2")
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(wrong):
        row = matrix[wrong[0]].tolist()
        raise ValueError(f"{what}: row {wrong[0]} is not finite, {row}; leave out what the network could not judge")
    return matrix


def checked_probabilities(p: ArrayLike, what: str = "probabilities") -> NDArray[np.float64]:
    """(n, k) probabilities, each row with a sum of 1.

    Raises:
        ValueError: another shape, a row that is not finite, below 0 or of another sum.
    """
    matrix = checked_matrix(p, what)
    wrong = np.flatnonzero((matrix < 0).any(axis=1) | (np.abs(matrix.sum(axis=1) - 1) > _SUM_TOLERANCE))
    if len(wrong):
        row = matrix[wrong[0]].tolist()
        raise ValueError(f"{what}: row {wrong[0]} is {row}, not probabilities with a sum of 1; give softmax of logits")
    return matrix


def checked_labels(labels: ArrayLike, n: int, k: int, what: str = "labels", least: int = 0) -> NDArray[np.int64]:
    """(n,) whole numbers from `least` to k - 1.

    Raises:
        ValueError: another length, no whole numbers, or one out of range.
    """
    values = np.asarray(labels)
    if values.shape != (n,) or values.dtype.kind not in "iu":
        raise ValueError(f"{what}: {values.dtype} of shape {values.shape}; give ({n},) whole numbers, one a sample")
    wrong = np.flatnonzero((values < least) | (values >= k))
    if len(wrong):
        raise ValueError(f"{what}: number {wrong[0]} is {values[wrong[0]]}; give classes from {least} to {k - 1}")
    return values.astype(np.int64)


def checked_scores(scores: ArrayLike, what: str) -> NDArray[np.float64]:
    """(n,) scores 1 - p(present), 0 to 1.

    Raises:
        ValueError: another shape, or a score that is not finite or not from 0 to 1.
    """
    values = np.asarray(scores, float)
    if values.ndim != 1:
        raise ValueError(f"{what}: shape {values.shape}; give (n,), one score a sample")
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise ValueError(f"{what}: number {wrong[0]} is {values[wrong[0]]}; give 1 - p(present), from 0 to 1")
    return values
