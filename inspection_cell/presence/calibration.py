"""Whether a stated probability is one: the temperature that makes it so, and figures that say how far it is off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata

from inspection_cell.common.rates import Share
from inspection_cell.presence.arrays import checked_labels, checked_matrix, checked_probabilities

LEAST_SAMPLES = 20
TEMPERATURES = (0.05, 20.0)
"""Where the temperature is sought: wide enough for logits that are cosines, and for a network that is far too sure."""
_BINS = 15
_LEAST_IN_BIN = 20


@dataclass(frozen=True)
class Bin:
    """Samples of similar confidence.

    Attributes:
        confidence: mean probability of the class they were given.
        right: for how many of them it is the true one.
    """

    confidence: float
    right: Share


def probabilities(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """(n, k) softmax of (n, k) logits over the temperature.

    Raises:
        ValueError: logits of another shape or not finite, or a temperature that is not above 0.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature {temperature}: give a finite number above 0")
    return np.asarray(softmax(checked_matrix(logits, "logits") / temperature, axis=1), np.float64)


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature with the least negative log likelihood; it changes no ranking of the classes.

    Where every sample is right, the likelihood has no minimum: the lower the temperature, the better. Such samples
    cannot say how sure is too sure, and the answer is 1, the logits as they are.

    Args:
        logits: (n, k) of samples that the network was not trained on.
        labels: (n,) true classes, 0 to k - 1.

    Raises:
        ValueError: fewer than 20 samples, logits that are not finite, or labels that do not fit.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017, Sec. 4.2.
    """
    raw = checked_matrix(logits, "logits")
    truth = checked_labels(labels, *raw.shape)
    if len(raw) < LEAST_SAMPLES:
        raise ValueError(f"logits: {len(raw)} samples are too few for a temperature; give {LEAST_SAMPLES} at least")
    rows = np.arange(len(raw))
    if np.all(raw[rows, truth] >= raw.max(axis=1)):
        return 1.0

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(raw / np.exp(log_temperature), axis=1)[rows, truth].mean())

    # The loss is convex in 1 / T, so it has one minimum in log T too.
    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def reliability(p: ArrayLike, labels: ArrayLike) -> tuple[Bin, ...]:
    """How often the likeliest class is the true one, by how likely it was said to be.

    The bins have equal mass, up to 15 bins of 20 samples and more, cut by the rank of the confidence, so that each says
    something where almost every confidence is near 1. Equal confidences stay together; many of them make fewer bins.

    Args:
        p: (n, k) probabilities; `labels` (n,) true classes.

    Returns:
        From the least confidence to the greatest; no bin is empty.

    Raises:
        ValueError: probabilities or labels that are none, or do not fit.
    """
    given = checked_probabilities(p)
    truth = checked_labels(labels, *given.shape)
    confidence, right = given.max(axis=1), given.argmax(axis=1) == truth
    count = int(np.clip(len(given) // _LEAST_IN_BIN, 1, _BINS))
    # The mean rank of equal confidences keeps them in one bin, and the others out of it.
    which = ((rankdata(confidence) - 0.5) * count // len(given)).astype(int)
    groups = (which == i for i in np.unique(which))
    return tuple(Bin(float(confidence[g].mean()), Share(int(right[g].sum()), int(g.sum()))) for g in groups)


def expected_calibration_error(bins: tuple[Bin, ...]) -> float:
    """Mean distance of confidence and accuracy over the samples of `reliability`'s bins, 0 to 1.

    Few samples make it too large: even a perfect classifier's bins are off by chance.

    Source: M. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """
    total = sum(one.right.of for one in bins)
    return sum(one.right.of * abs(one.right.value - one.confidence) for one in bins) / total


def brier_score(p: ArrayLike, labels: ArrayLike) -> float:
    """Mean squared distance of (n, k) probabilities to the truth over all classes, 0 to 2 (Brier 1950).

    Raises:
        ValueError: probabilities or labels that are none, or do not fit.
    """
    given = checked_probabilities(p)
    truth = checked_labels(labels, *given.shape)
    return float(((given - np.eye(given.shape[1])[truth]) ** 2).sum(axis=1).mean())
