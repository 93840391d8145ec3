"""Answers with a stated error rate: sets of classes that hold the true one, and limits of the cell's score.

Both are split conformal prediction: new samples are compared with held-out ones, and nothing is assumed of the
classifier. What is assumed is that the new samples are exchangeable with the held-out ones of their class: the same
kind of pictures, and none of them used for training or for the temperature. Source: V. Vovk, A. Gammerman, G. Shafer,
"Algorithmic Learning in a Random World", 2005, Sec. 4.5 (Mondrian); V. Vovk, "Conditional validity of inductive
conformal predictors", 2012.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.common.rates import Share, conformal_limit
from inspection_cell.presence.arrays import checked_labels, checked_probabilities, checked_scores

ABSTAIN = -1
"""Instead of a class: the set of classes that may be true does not have exactly one."""


@dataclass(frozen=True)
class ConformalSets:
    """Which classes may be true. For samples of each class, the true one is left out with a probability <= alpha.

    So a single class that is wrong is decided for at most alpha of each class's samples.

    Attributes:
        thresholds: (k,) the largest 1 - p(class) with which the class is in the set.
        alpha: stated error rate.
        samples: (k,) held-out samples of each class behind it.
    """

    thresholds: tuple[float, ...]
    alpha: float
    samples: tuple[int, ...]

    def prediction_sets(self, p: ArrayLike) -> NDArray[np.bool_]:
        """(n, k) true for the classes that may be true, from (n, k) probabilities.

        Raises:
            ValueError: probabilities that are none, or of another number of classes.
        """
        given = checked_probabilities(p)
        if given.shape[1] != len(self.thresholds):
            raise ValueError(f"probabilities: {given.shape[1]} classes; the sets were fitted to {len(self.thresholds)}")
        return np.asarray(1 - given <= np.array(self.thresholds))

    def decide(self, p: ArrayLike) -> NDArray[np.int64]:
        """(n,) the class, or ABSTAIN where none or several may be true.

        Raises:
            ValueError: as `prediction_sets`.
        """
        sets = self.prediction_sets(p)
        return np.where(sets.sum(axis=1) == 1, sets.argmax(axis=1), ABSTAIN).astype(np.int64)

    def coverage(self, p: ArrayLike, labels: ArrayLike) -> tuple[Share, ...]:
        """For each class, how many of its samples have it in their set, on samples that the sets were not fitted to.

        Raises:
            ValueError: as `prediction_sets`, or labels that do not fit.
        """
        sets = self.prediction_sets(p)
        truth = checked_labels(labels, *sets.shape)
        columns = (sets[truth == c, c] for c in range(sets.shape[1]))
        return tuple(Share(int(held.sum()), len(held)) for held in columns)


@dataclass(frozen=True)
class ScoreLimit:
    """A limit of the cell's score 1 - p(present), with the rate of errors that it makes.

    Attributes:
        limit: the score; over it means what the cell means everywhere, greater than it.
        alpha: the rate asked for.
        alpha_reached: what the limit's rank among the samples stands for, at most alpha.
        rate_interval: where this limit's true rate lies with 95 %, over draws of the samples. Equal scores among the
            samples make the true rate smaller.
        samples: held-out samples behind it.
    """

    limit: float
    alpha: float
    alpha_reached: float
    rate_interval: tuple[float, float]
    samples: int


def fit_conformal(p: ArrayLike, labels: ArrayLike, alpha: float) -> ConformalSets:
    """Class-conditional prediction sets; a class's nonconformity is 1 - p(class).

    A class's threshold is the k-th smallest of its n samples' nonconformities, k = ceil((n + 1)(1 - alpha)).

    Args:
        p: (n, k) probabilities of held-out samples; `labels` (n,) their true classes.
        alpha: stated error rate of each class, between 0 and 1.

    Raises:
        ValueError: a class has fewer than 1 / alpha - 1 samples; probabilities or labels that do not fit.
    """
    given = checked_probabilities(p)
    truth = checked_labels(labels, *given.shape)
    strange = [1 - given[truth == c, c] for c in range(given.shape[1])]
    for number, values in enumerate(strange):
        _check_enough(len(values), alpha, f"class {number}")
    thresholds = tuple(conformal_limit(values, alpha)[0] for values in strange)
    return ConformalSets(thresholds, alpha, tuple(len(values) for values in strange))


def present_limit(scores_not_present: ArrayLike, alpha: float) -> ScoreLimit:
    """The limit up to which a score means present: a missing or wrong component is accepted with a rate <= alpha.

    It is the largest number below the k-th smallest score, k = floor((n + 1) alpha): a card's `limit_uncertain`. The
    rate is that of the samples' mixture of missing and wrong; for each of them alone, take the smaller limit of two.

    Args:
        scores_not_present: (n,) 1 - p(present) of held-out components that are missing or wrong.
        alpha: between 0 and 1.

    Raises:
        ValueError: fewer than 1 / alpha - 1 scores, or one not from 0 to 1.
    """
    scores = checked_scores(scores_not_present, "scores of what is not present")
    _check_enough(len(scores), alpha, "what is not present")
    limit, reached, interval = conformal_limit(-scores, alpha)
    return ScoreLimit(float(np.nextafter(-limit, -np.inf)), alpha, reached, interval, len(scores))


def reject_limit(scores_present: ArrayLike, alpha: float) -> ScoreLimit:
    """The limit over which a score means missing or wrong: a present component is rejected with a rate <= alpha.

    It is the k-th smallest score, k = ceil((n + 1)(1 - alpha)): a card's `limit_defect`. Where it lies below
    `present_limit`, both rates hold for any limit between the two, and nothing need be uncertain.

    Args:
        scores_present: (n,) 1 - p(present) of held-out components that are there and right.
        alpha: between 0 and 1.

    Raises:
        ValueError: fewer than 1 / alpha - 1 scores, or one not from 0 to 1.
    """
    scores = checked_scores(scores_present, "scores of what is present")
    _check_enough(len(scores), alpha, "what is present")
    limit, reached, interval = conformal_limit(scores, alpha)
    return ScoreLimit(limit, alpha, reached, interval, len(scores))


def _check_enough(count: int, alpha: float, what: str) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha}: give an error rate between 0 and 1")
    needed = math.ceil(1 / alpha - 1 - 1e-9)
    if count < needed:
        raise ValueError(
            f"{what}: {count} held-out samples are too few for an error rate of {alpha}; "
            f"give {needed} at least, or a greater alpha"
        )
