"""Several views joined: alike views say what one says, independent ones multiply, and the data tell which they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.presence.calibration import probabilities
from inspection_cell.presence.combine import ComponentViews, combine, dependence_exponents, fit_correlation
from inspection_cell.presence.evaluation import evaluate

ROWS = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda row: np.array(row) / sum(row))


def gaussian(correlation: float, seed: int, components: int = 1500) -> tuple[ComponentViews, np.ndarray]:
    """Views, 1 to 6 a component, whose errors are Gaussian and correlated: the model is exact for them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=components)
    component = np.repeat(np.arange(components), rng.integers(1, 7, components))
    shared, own = rng.normal(size=(components, 3)), rng.normal(size=(len(component), 3))
    error = np.sqrt(correlation) * shared[component] + np.sqrt(1 - correlation) * own
    seen = np.eye(3)[labels][component] + error
    # The posterior of a unit vector's place in unit noise.
    return ComponentViews(probabilities(seen, 1.0), np.ones(len(component)), component), labels


@given(p=ROWS, n=st.integers(1, 9), visible=st.floats(0.01, 1))
def test_alike_views_with_exponent_one_nth_say_what_one_says(p: np.ndarray, n: int, visible: float) -> None:
    views = ComponentViews(np.tile(p, (n, 1)), np.full(n, visible), np.zeros(n, int))
    assert dependence_exponents(views, 1.0) == pytest.approx(1 / n)
    assert combine(views, 1.0)[0] == pytest.approx(p)
    product = p**n / (p**n).sum()
    assert combine(views, 0.0)[0] == pytest.approx(product)


@given(rows=st.lists(ROWS, min_size=1, max_size=6), r=st.floats(0, 1), seed=st.integers(0, 99))
def test_order_of_the_views_and_of_components_does_not_matter(rows: list[np.ndarray], r: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, visible = np.stack([*rows, *rows[::-1]]), rng.uniform(0.1, 1, 2 * len(rows))
    component = np.repeat([0, 1], len(rows))
    order = rng.permutation(len(p))
    found = combine(ComponentViews(p, visible, component), r)
    assert combine(ComponentViews(p[order], visible[order], 1 - component[order]), r) == pytest.approx(found[::-1])


@given(p=ROWS, other=ROWS, r=st.floats(0, 1))
def test_one_view_is_itself_and_one_that_shows_nothing_changes_nothing(
    p: np.ndarray, other: np.ndarray, r: float
) -> None:
    assert combine(ComponentViews(p[None], np.array([0.3]), np.array([0])), r)[0] == pytest.approx(p)
    hidden = ComponentViews(np.stack([p, other]), np.array([0.8, 1e-9]), np.array([0, 0]))
    assert combine(hidden, r)[0] == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_the_correlation_is_found_again_whatever_the_number_of_views(correlation: float) -> None:
    views, labels = gaussian(correlation, 1, 6000)
    assert fit_correlation(views, labels) == pytest.approx(correlation, abs=0.12)


def test_copies_of_one_view_are_found_out() -> None:
    single, labels = gaussian(0.0, 2, 300)
    first = np.unique(single.component, return_index=True)[1]
    p = np.repeat(single.p[first], 3, axis=0)
    copies = ComponentViews(p, np.ones(len(p)), np.repeat(np.arange(300), 3))
    assert fit_correlation(copies, labels) == pytest.approx(1.0, abs=0.25)
    right = single.p[first].argmax(axis=1)
    assert fit_correlation(copies, right) == 1.0, "nothing wrong: the cautious end"


def test_combined_is_better_than_frame_by_frame_and_as_honest() -> None:
    views, labels = gaussian(0.3, 3)
    names = ("present", "missing", "wrong")
    frames = evaluate(labels[views.component], views.p, names)
    joined = evaluate(labels, combine(views, fit_correlation(*gaussian(0.3, 4))), names)
    naive = evaluate(labels, combine(views, 0.0), names)
    assert joined.macro_f1 > frames.macro_f1 + 0.05 and joined.brier < min(naive.brier, frames.brier)
    assert joined.calibration_error < naive.calibration_error


def test_no_view_vetoes_a_class_by_rounding() -> None:
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = combine(ComponentViews(p, np.ones(2), np.array([0, 0])), 0.5)
    assert found[0] == pytest.approx([0.5, 0.5])


def test_wrong_input_is_named() -> None:
    p, ones, zeros = np.full((2, 2), 0.5), np.ones(2), np.zeros(2, int)
    for arguments, message in [
        ((p, np.array([1.0, 0.0]), zeros), "visible: give .* above 0"),
        ((p, np.array([1.0, np.nan]), zeros), "visible"),
        ((p, np.ones(3), zeros), r"visible: give \(2,\)"),
        ((p, ones, np.array([1, 1])), "component: 0 has no view"),
        ((p, ones, np.array([0, 2])), "component: number 1 is 2"),
        ((p * 2, ones, zeros), "probabilities of the views: row 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            ComponentViews(*arguments)
    views = ComponentViews(p, ones, zeros)
    with pytest.raises(ValueError, match=r"correlation 1\.5"):
        combine(views, 1.5)
    with pytest.raises(ValueError, match="1 of them with several views are too few"):
        fit_correlation(views, [0])
