"""The report on a classifier: one page with its figures, curves and the images it was most wrong about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspection_cell.common.report_page import (
    BLUE,
    KINDS,
    embedded_picture,
    embedded_plot,
    html_page,
    html_table,
    plot,
    share_text,
)
from inspection_cell.presence.conformal import ABSTAIN
from inspection_cell.presence.evaluation import Evaluation

PAGE = "index.html"
ABSTAINED = "abstained"
_WORST = 24
_COLUMNS = 6
_FEW = 30
"""A class with fewer samples is named on the page."""

_EXPLAINED = (
    "Intervals: 95 %; of shares exact (Clopper and Pearson), of the macro F1 by bootstrap within each true class. Both "
    "count samples as independent: several frames of one part are not, and make them too narrow. Macro figures are "
    "plain means over the classes, a class that was never given counting as 0; an abstention is not a class, so it "
    "lowers recall and not precision. The calibration error (ECE) is the mean distance of confidence and accuracy over "
    "bins of equal mass; few samples make it too large. The Brier score goes from 0 to 2."
)


def write_report(
    evaluation: Evaluation,
    folder: Path,
    title: str,
    thumbnails: Sequence[NDArray[np.uint8]] | None = None,
    explained: Sequence[NDArray[np.uint8]] = (),
) -> Path:
    """Writes the page, with its pictures inside it; returns its path.

    Args:
        thumbnails: what the classifier was shown, sample by sample: (h, w) grey or (h, w, 3) RGB; None leaves the worst
            errors out.
        explained: pictures (h, w, 3) RGB of why some of the worst errors were made.

    Raises:
        ValueError: another number of thumbnails than samples, or one that is no image.
        OSError: the page cannot be written.
    """
    body = [
        *_notes(evaluation),
        "<h2>Figures</h2>",
        html_table(overall_table(evaluation)),
        f'<p class="small">{_EXPLAINED}</p>',
        "<h2>Classes</h2>",
        html_table(class_table(evaluation)),
        "<h2>Confusion</h2>",
        embedded_plot(draw_confusion(evaluation), "Samples by true and given class; colour: share of the true class."),
        "<h2>Reliability</h2>",
        embedded_plot(
            draw_reliability(evaluation), "How often the likeliest class is the true one; bars: 95 %, exact."
        ),
        "<h2>Probabilities</h2>",
        embedded_plot(
            draw_scores(evaluation), "Each class's probability, for samples of the class and for all others."
        ),
    ]
    if thumbnails is not None:
        body += ["<h2>The worst errors</h2>", _worst_section(evaluation, thumbnails)]
    if explained:
        body += ["<h2>Why</h2>", *(embedded_picture(picture, "") for picture in explained)]
    body.append(f'<p class="small">Written {datetime.now().astimezone().isoformat(" ", "seconds")}.</p>')
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text(html_page(title, body), encoding="utf-8")
    return page


def overall_table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The figures of all classes together, row by row: a blank head first, then a label and its value."""
    low, high = evaluation.macro_f1_interval
    decided = evaluation.right_of_decided
    return [
        ("", ""),
        ("macro F1", f"{evaluation.macro_f1:.3f}\n{low:.3f} to {high:.3f}"),
        ("macro precision", f"{evaluation.macro_precision:.3f}"),
        ("macro recall", f"{evaluation.macro_recall:.3f}"),
        ("accuracy", share_text(evaluation.right)),
        ("accuracy of the decided", share_text(decided) if decided.of else "none decided"),
        ("abstained", share_text(evaluation.abstained)),
        ("calibration error (ECE)", f"{evaluation.calibration_error:.4f}"),
        ("Brier score", f"{evaluation.brier:.4f}"),
    ]


def class_table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The figures of each class, row by row: the head first."""
    rows: list[tuple[str, ...]] = [("class", "recall", "precision", "F1")]
    for figures in evaluation.classes:
        precision = share_text(figures.precision) if figures.precision.of else "never given"
        rows.append((figures.name, share_text(figures.recall), precision, f"{figures.f1:.3f}"))
    return rows


def draw_confusion(evaluation: Evaluation) -> Figure:
    """The confusion matrix; the column of abstentions only where there are some."""
    columns = [*evaluation.names, *([ABSTAINED] if evaluation.abstained.hits else [])]
    counts = evaluation.confusion[:, : len(columns)]
    shares = counts / evaluation.confusion.sum(axis=1, keepdims=True)
    figure, (axis,) = plot(1.8 + 1.1 * len(columns), 1.4 + 0.8 * len(counts))
    axis.grid(visible=False)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        colour = "white" if share > 0.55 else "black"
        axis.text(column, row, f"{count}\n{share:.1%}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(counts)), evaluation.names)
    axis.set(xlabel="given", ylabel="true")
    return figure


def draw_reliability(evaluation: Evaluation) -> Figure:
    """Accuracy over confidence, bin by bin."""
    figure, (axis,) = plot(4.4, 4.2)
    confidence = np.array([one.confidence for one in evaluation.bins])
    accuracy = np.array([one.right.value for one in evaluation.bins])
    low, high = np.array([one.right.interval() for one in evaluation.bins]).T
    axis.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    axis.errorbar(confidence, accuracy, [accuracy - low, high - accuracy], color=BLUE, marker="o", ms=4, capsize=2)
    least = max(0.0, min(float(confidence.min()), float(low.min())) - 0.05)
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(least, 1.02), ylim=(least, 1.02))
    axis.set_aspect("equal")
    return figure


def draw_scores(evaluation: Evaluation) -> Figure:
    """Histograms of each class's probability, an axis a class."""
    figure, axes = plot(2.5 * len(evaluation.names), 2.8, len(evaluation.names))
    edges = np.linspace(0, 1, 31)
    for number, (axis, name) in enumerate(zip(axes, evaluation.names, strict=True)):
        p, of_class = evaluation.probabilities[:, number], evaluation.labels == number
        axis.hist(p[of_class], edges, color=BLUE, alpha=0.75, label="of the class")
        axis.hist(p[~of_class], edges, color=KINDS[0], histtype="step", linewidth=1.5, label="others")
        axis.set_yscale("symlog", linthresh=1)
        axis.set(xlabel=f"p({name})", xlim=(0, 1))
    axes[0].set_ylabel("samples")
    axes[0].set_ylim(bottom=0)
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def worst_errors(evaluation: Evaluation) -> NDArray[np.int64]:
    """Up to 24 samples that were given a wrong class, those first whose true class was the least likely."""
    wrong = np.flatnonzero((evaluation.predictions != evaluation.labels) & (evaluation.predictions != ABSTAIN))
    p_true = evaluation.probabilities[wrong, evaluation.labels[wrong]]
    return wrong[np.argsort(p_true, kind="stable")][:_WORST].astype(np.int64)


def draw_errors(evaluation: Evaluation, chosen: Sequence[int], thumbnails: Sequence[NDArray[np.uint8]]) -> Figure:
    """A contact sheet of samples; under each its true class and the one it was given, with their probabilities."""
    rows = math.ceil(len(chosen) / _COLUMNS)
    figure = Figure(figsize=(1.6 * _COLUMNS, 2.05 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis, sample in zip(axes, chosen, strict=False):
        axis.imshow(thumbnails[sample], cmap="gray", vmin=0, vmax=255)
        true, given = int(evaluation.labels[sample]), int(evaluation.predictions[sample])
        p = evaluation.probabilities[sample]
        text = f"true {evaluation.names[true]} {p[true]:.3f}\ngiven {evaluation.names[given]} {p[given]:.3f}"
        axis.set_xlabel(f"{text}\nsample {sample}", fontsize=7)
        axis.set(xticks=[], yticks=[])
    for axis in axes[len(chosen) :]:
        axis.set_visible(False)
    return figure


def _worst_section(evaluation: Evaluation, thumbnails: Sequence[NDArray[np.uint8]]) -> str:
    if len(thumbnails) != len(evaluation.labels):
        count = len(evaluation.labels)
        raise ValueError(f"thumbnails: {len(thumbnails)} for {count} samples; give one a sample, in the same order")
    chosen = worst_errors(evaluation).tolist()
    for sample in chosen:
        image = np.asarray(thumbnails[sample])
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise ValueError(f"thumbnails: number {sample} is {image.dtype} {image.shape}; give uint8, grey or RGB")
    if not chosen:
        return "<p>No sample was given a wrong class.</p>"
    wrong = evaluation.right_of_decided.rest.hits
    caption = f"{len(chosen)} of {wrong} samples with a wrong class, those first whose true class was least likely."
    return embedded_plot(draw_errors(evaluation, chosen, thumbnails), caption)


def _notes(evaluation: Evaluation) -> list[str]:
    """What keeps the figures from being what they seem."""
    few = [f"{c.name} ({c.recall.of})" for c in evaluation.classes if c.recall.of < _FEW]
    return [f'<p class="note">Few samples: {escape(", ".join(few))}; see the intervals.</p>'] if few else []
