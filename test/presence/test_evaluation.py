"""Figures of a classifier against values worked out by hand and scikit-learn's, and the report on them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.presence.conformal import ABSTAIN
from inspection_cell.presence.evaluation import Evaluation, evaluate
from inspection_cell.presence.report import draw_confusion, worst_errors, write_report

NAMES = ("present", "missing", "wrong <1>")
# All three classes among the labels; a prediction may be an abstention.
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), max_size=60).map(
    lambda pairs: np.array([(0, 0), (1, 2), (2, -1), *pairs])
)


def judged(pairs: np.ndarray, names: tuple[str, ...] = NAMES) -> Evaluation:
    return evaluate(pairs[:, 0], np.full((len(pairs), len(names)), 1 / len(names)), names, pairs[:, 1])


def test_figures_worked_out_by_hand() -> None:
    counts = {(0, 0): 8, (0, 1): 1, (0, -1): 1, (1, 1): 3, (1, 0): 2, (2, 0): 4, (2, -1): 1}
    found = judged(np.repeat(np.array(list(counts)), list(counts.values()), axis=0))
    assert found.confusion.tolist() == [[8, 1, 0, 1], [2, 3, 0, 0], [4, 0, 0, 1]]
    f1 = (2 * 8 / (10 + 14), 2 * 3 / (5 + 4), 0.0)
    assert [c.f1 for c in found.classes] == pytest.approx(f1) and found.macro_f1 == pytest.approx(sum(f1) / 3)
    assert found.macro_precision == pytest.approx((8 / 14 + 3 / 4 + 0) / 3)
    assert found.macro_recall == pytest.approx((8 / 10 + 3 / 5 + 0) / 3)
    assert (found.right.value, found.abstained.value, found.right_of_decided.value) == (11 / 20, 2 / 20, 11 / 18)
    low, high = found.macro_f1_interval
    assert 0.2 < low < found.macro_f1 < high < 0.65


@given(PAIRS)
def test_figures_are_those_of_scikit_learn(pairs: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = judged(pairs)
    expected = metrics.precision_recall_fscore_support(
        pairs[:, 0], pairs[:, 1], labels=[0, 1, 2], average="macro", zero_division=0
    )
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(expected[:3])


@given(PAIRS, st.permutations(range(3)), st.integers(0, 99))
def test_names_and_order_of_the_samples_do_not_matter(pairs: np.ndarray, order: list[int], seed: int) -> None:
    renamed = np.append(order, ABSTAIN)[np.random.default_rng(seed).permutation(pairs)]
    found, again = judged(pairs), judged(renamed)
    assert again.macro_f1 == pytest.approx(found.macro_f1) and again.right == found.right
    assert [again.classes[order[c]].f1 for c in range(3)] == pytest.approx([c.f1 for c in found.classes])


def test_the_bootstrap_interval_holds_the_true_macro_f1() -> None:
    """Of a classifier whose confusion is known, as often as it says."""
    rng = np.random.default_rng(0)
    chances = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    truth = float(np.mean(2 * np.diag(chances) / (1 + chances.sum(axis=0))))
    held = 0
    for _ in range(120):
        given_class = np.concatenate([rng.choice(3, 150, p=row) for row in chances])
        low, high = judged(np.column_stack([np.repeat(np.arange(3), 150), given_class])).macro_f1_interval
        held += low <= truth <= high
    assert 104 <= held <= 120


def test_without_decisions_the_likeliest_class_is_given() -> None:
    p = [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]]
    found = evaluate([0, 1, 1], p, NAMES[:2])
    assert found.predictions.tolist() == [0, 1, 0] and worst_errors(found).tolist() == [2]


@pytest.mark.parametrize(
    ("labels", "p", "names", "predictions", "message"),
    [
        ([0, 0], [[0.5, 0.5]] * 2, ("a", "b"), None, "no sample of b; add some"),
        ([0, 1], [[0.5, 0.5]] * 2, ("a", "a"), None, "names .* give 2 different ones"),
        ([0, 1], [[0.5, 0.5]] * 2, ("a", "b", "c"), None, "names"),
        ([0, 1], [[0.5, 0.5]] * 2, ("a", "b"), [0, -2], "predictions: number 1 is -2; give classes from -1 to 1"),
        ([0, 1], [[0.5, 0.5]] * 2, ("a", "b"), [0], "predictions: int64 of shape"),
        ([0, 1], [[0.5, np.inf]] * 2, ("a", "b"), None, "row 0 is not finite"),
        ([], np.zeros((0, 2)), ("a", "b"), None, r"shape \(0, 2\)"),
    ],
)
def test_wrong_input_is_named(labels, p, names, predictions, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        evaluate(labels, p, names, predictions)


@pytest.fixture(scope="module")
def judged_images() -> tuple[Evaluation, list[np.ndarray]]:
    """A middling classifier with abstentions, and what it was shown, grey and in colour."""
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    p = rng.dirichlet(np.ones(3), 90) * 0.5 + 0.5 * np.eye(3)[np.where(rng.uniform(size=90) < 0.7, labels, 0)]
    decided = np.where(p.max(axis=1) > 0.55, p.argmax(axis=1), ABSTAIN)
    images = [rng.integers(0, 255, (20, 30, 3) if i % 2 else (24, 24)).astype(np.uint8) for i in range(90)]
    return evaluate(labels, p, NAMES, decided), images


def test_the_report_is_one_file_with_every_figure(
    judged_images: tuple[Evaluation, list[np.ndarray]], tmp_path: Path
) -> None:
    evaluation, images = judged_images
    page = write_report(evaluation, tmp_path / "report", "rings & clips", images)
    assert [file.name for file in page.parent.iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == 4 == text.count("<img")
    for picture in pictures:
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None and min(decoded.shape[:2]) > 200 and decoded.std() > 5
    wanted = (
        "rings &amp; clips",
        "wrong &lt;1&gt;",
        f"{evaluation.macro_f1:.3f}",
        "Brier",
        "abstained",
        "worst errors",
    )
    assert all(piece in text for piece in wanted) and "wrong <1>" not in text and "://" not in text
    shown = [label.get_text() for label in draw_confusion(evaluation).axes[0].get_xticklabels()]
    assert shown == [*NAMES, "abstained"]


def test_the_report_does_without_images_errors_and_decisions(tmp_path: Path) -> None:
    p = np.repeat(np.eye(2), 40, axis=0)
    right = evaluate(np.repeat([0, 1], 40), p, NAMES[:2])
    text = write_report(right, tmp_path, "right", [np.zeros((8, 8), np.uint8)] * 80).read_text(encoding="utf-8")
    assert "No sample was given a wrong class" in text and "Few samples" not in text
    silent = evaluate([0, 1], p[[0, -1]], NAMES[:2], [ABSTAIN, ABSTAIN])
    text = write_report(silent, tmp_path, "silent").read_text(encoding="utf-8")
    assert "none decided" in text and "never given" in text and "Few samples: present (1), missing (1)" in text


def test_thumbnails_that_do_not_fit_are_named(
    judged_images: tuple[Evaluation, list[np.ndarray]], tmp_path: Path
) -> None:
    evaluation, images = judged_images
    with pytest.raises(ValueError, match="thumbnails: 89 for 90 samples"):
        write_report(evaluation, tmp_path, "title", images[:-1])
    with pytest.raises(ValueError, match=r"thumbnails: number \d+ is float64"):
        write_report(evaluation, tmp_path, "title", [image / 255 for image in images])
    assert not any(tmp_path.iterdir())
