"""Several views of one component joined to one answer, as sure as views that err together allow.

The model. Component j is seen in views v = 1 .. V, each with probabilities p_v(c) of its classes and a visible
fraction s_v. A view weighs w_v = s_v / max(s), 1 for the best one, and

    log q_j(c) = e_j * sum over v of w_v log p_v(c) + constant
    e_j = 1 / (1 + (m_j - 1) r),  m_j = sum over v of w_v

m_j, from 1 to V, is how many whole views there are; e_j, in (0, 1], is the dependence exponent; r, from 0 to 1, the
views' correlation. Independent views have r = 0 and e = 1: their probabilities are multiplied. Views that always err
together have r = 1 and e = 1 / m: m alike views say what one of them says. Between them, m_j e_j is the number of
independent views that m_j views are worth, as the design effect of a clustered sample (L. Kish, "Survey Sampling",
1965). For equally visible views whose log odds have Gaussian errors, with the correlation r between any two, q is
exact. What is fitted is r and not e: an exponent of groups of three views would make sixteen far too sure and one too
unsure, while one view alone is itself with any r.

No view is believed to be surer of what a class is not than core/joined.py allows, which is the same for two classes and
views that count alike: what the cell's verdict is made by.

Multiplying assumes that the classes were equally frequent where the views' probabilities were calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from inspection_cell.core.joined import SUREST
from inspection_cell.presence.arrays import checked_labels, checked_probabilities

LEAST_COMPONENTS = 20


@dataclass(frozen=True)
class ComponentViews:
    """Views of g components, one row a view, in any order.

    Frame by frame, `p` itself is judged, with the labels `labels[component]`; combined, `combine` gives one row a
    component, with the labels `labels`. The same functions take both.

    Attributes:
        p: (v, k) calibrated probabilities of single views.
        visible: (v,) fraction of the component's projected area that the view shows, above 0, at most 1.
        component: (v,) which component a row shows, 0 to g - 1; each has a view at least.

    Raises:
        ValueError: on construction, where they do not fit.
    """

    p: NDArray[np.float64]
    visible: NDArray[np.float64]
    component: NDArray[np.int64]

    def __post_init__(self) -> None:
        given = checked_probabilities(self.p, "probabilities of the views")
        seen = np.asarray(self.visible, float)
        if seen.shape != (len(given),) or not np.all((seen > 0) & (seen <= 1)):
            raise ValueError(f"visible: give ({len(given)},) fractions above 0, at most 1; leave out views without any")
        which = checked_labels(self.component, len(given), len(given), "component")
        empty = np.flatnonzero(np.bincount(which) == 0)
        if len(empty):
            raise ValueError(f"component: {empty[0]} has no view; number the components that have one from 0")
        for name, value in (("p", given), ("visible", seen), ("component", which)):
            object.__setattr__(self, name, value)

    def weights(self) -> NDArray[np.float64]:
        """(v,) each view's weight, 1 for a component's best one."""
        best: NDArray[np.float64] = np.zeros(int(self.component.max()) + 1)
        np.maximum.at(best, self.component, self.visible)
        return np.asarray(self.visible / best[self.component], np.float64)


def dependence_exponents(views: ComponentViews, correlation: float) -> NDArray[np.float64]:
    """(g,) each component's e, in (0, 1].

    Raises:
        ValueError: a correlation that is not from 0 to 1.
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation {correlation}: give 0 (independent views) to 1 (they err together)")
    whole = np.bincount(views.component, views.weights())
    return np.asarray(1 / (1 + (whole - 1) * correlation), np.float64)


def combine(views: ComponentViews, correlation: float) -> NDArray[np.float64]:
    """(g, k) each component's probabilities from all of its views.

    Raises:
        ValueError: a correlation that is not from 0 to 1.
    """
    exponents = dependence_exponents(views, correlation)
    return np.asarray(softmax(exponents[:, None] * _evidence(views), axis=1), np.float64)


def fit_correlation(views: ComponentViews, labels: ArrayLike) -> float:
    """The correlation with the least negative log likelihood of the components' true classes.

    Where the combined answer is right for every component, the likelihood would call the views independent, whatever
    they are. Such components cannot say how sure is too sure, and the answer is 1, the cautious end.

    Args:
        views: of held-out components.
        labels: (g,) their true classes.

    Raises:
        ValueError: fewer than 20 components with several views, or labels that do not fit.
    """
    evidence = _evidence(views)
    truth = checked_labels(labels, *evidence.shape)
    several = int((np.bincount(views.component) > 1).sum())
    if several < LEAST_COMPONENTS:
        text = f"{several} of them with several views are too few for a correlation"
        raise ValueError(f"views of {len(evidence)} components, {text}; give {LEAST_COMPONENTS} at least")
    rows = np.arange(len(evidence))
    if np.all(evidence[rows, truth] >= evidence.max(axis=1)):
        return 1.0

    def loss(correlation: float) -> float:
        scaled = dependence_exponents(views, correlation)[:, None] * evidence
        return -float(log_softmax(scaled, axis=1)[rows, truth].mean())

    return float(minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-4}).x)


def _evidence(views: ComponentViews) -> NDArray[np.float64]:
    """(g, k) weighted sums of the views' log probabilities."""
    logs = views.weights()[:, None] * np.log(np.maximum(views.p, SUREST))
    return np.stack([np.bincount(views.component, column) for column in logs.T], axis=1)
