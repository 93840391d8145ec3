"""The report on a model: a page with tables, curves and the images it was most wrong about, to read or to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspection_cell.anomaly.curves import roc, tpr_tnr
from inspection_cell.anomaly.evaluate import Decision, Evaluation, Judged, read_mask
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.otsu import Crop
from inspection_cell.anomaly.picture import overlay
from inspection_cell.anomaly.score import AnomalyModel
from inspection_cell.anomaly.thresholds import Limits, Normaliser
from inspection_cell.common.rates import Share
from inspection_cell.common.report_page import (
    AMBER,
    BLUE,
    KINDS,
    RED,
    html_figure,
    html_page,
    html_table,
    plot,
    share_text,
)

PAGE = "index.html"
_WORST = 6
"""So many false alarms, and so many misses, are shown."""
_SIDE = 480
"""The longer side of each picture on the page, pixels."""
_STYLE = 'img[src="roc.png"] { width: 26rem; }'

_EXPLAINED = (
    "Intervals: 95 %, exact (Clopper and Pearson). A score is 0 for a typical good part of the fit and 1 a robust "
    "standard deviation above it; the distance in parentheses is the raw Mahalanobis distance. D_T is the TNR at the "
    "highest threshold T that still finds every defect of this set; T was chosen on these very defects, so new ones "
    "may lie below it. Training images are counted apart: the model knows them, and new parts usually score higher. "
    "The limits were fitted for the maximum, so the other scores have no rates at them. Pixel AUROC and AUPRO are of "
    "the heat maps, in the square of {size} pixels that the network sees."
)

_HEAT = (
    "Right, with the heat map: clear below half the uncertain limit, red from the defect limit on. Of an image that "
    "scores less, the hottest spot is red, and what lies more than 1 below it is clear."
)


@dataclass(frozen=True)
class Subject:
    """What the report is about.

    Attributes:
        folder: of the data set.
        limits: by which images are judged; a recipe may have others than its model.
    """

    evaluation: Evaluation
    model: AnomalyModel
    limits: Limits
    folder: Path

    @property
    def normaliser(self) -> Normaliser:
        """From raw distances to scores."""
        return self.model.card.normaliser


def write_report(subject: Subject, out: Path) -> Path:
    """Writes the page and its pictures into a folder; returns the page's path.

    Raises:
        OSError: a file cannot be written.
        ImageError: an image of the data set has gone meanwhile.
    """
    out.mkdir(parents=True, exist_ok=True)
    _draw_histogram(subject).savefig(out / "histogram.png", dpi=130)
    _draw_roc(subject.evaluation).savefig(out / "roc.png", dpi=130)
    _draw_rates(subject).savefig(out / "rates.png", dpi=130)
    ordered = sorted(subject.evaluation.images, key=lambda judged: -judged.found.score)
    good = [judged for judged in ordered if judged.image.is_good and not judged.trained_on][:_WORST]
    bad = [judged for judged in reversed(ordered) if not judged.image.is_good][:_WORST]
    for name, chosen in {"false_alarm": good, "miss": bad}.items():
        for number, judged in enumerate(chosen, start=1):
            _write_picture(subject, judged, out / f"{name}_{number}.png")
    title = f"{subject.folder.resolve().name}: how well the model tells good from defective"
    page = out / PAGE
    page.write_text(html_page(title, _body(subject, good, bad), _STYLE), encoding="utf-8")
    return page


def _body(subject: Subject, good: Sequence[Judged], bad: Sequence[Judged]) -> list[str]:
    """What follows the page's title, in HTML; of the images, the worst good and the worst bad ones."""
    found, kept = _at(subject.evaluation.decisions[0], subject.limits.uncertain)
    alarms, misses = kept.rest, found.rest
    return [
        f"<p>{escape(_summary(subject))}</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in _notes(subject)),
        "<h2>Figures</h2>",
        html_table(table(subject)),
        f'<p class="small">{_EXPLAINED.format(size=subject.model.card.size)}</p>',
        "<h2>Scores</h2>",
        html_figure(
            "histogram.png", "Scores of the test images (maximum); what lies beyond the axis is in the last bar."
        ),
        "<h2>ROC curve</h2>",
        html_figure("roc.png", "Defects found against good images held back, over all thresholds."),
        "<h2>Rates over the threshold</h2>",
        html_figure(
            "rates.png", "TPR (full), TNR (dashed); T: the highest threshold that misses no defect of this set."
        ),
        "<h2>The worst false alarms</h2>",
        f"<p>Over the uncertain limit: {alarms.hits} of {alarms.of} good test images. These score highest. {_HEAT}</p>",
        _gallery(subject, "false_alarm", good),
        "<h2>The worst misses</h2>",
        f"<p>Not over it: {misses.hits} of {misses.of} defects. These score lowest; their masks are outlined.</p>",
        _gallery(subject, "miss", bad),
        "<h2>Model and data</h2>",
        html_table([("", ""), *_facts(subject)]),
    ]


def table(subject: Subject) -> list[tuple[str, ...]]:
    """The figures, row by row: the head first, then a label and one cell a decision, with line breaks in some."""
    evaluation, limits = subject.evaluation, subject.limits
    decisions = evaluation.decisions
    maximum, blank = decisions[0], ("",) * (len(decisions) - 1)
    rows = [("", *(decision.name for decision in decisions))]
    rows.append(("image AUROC", *(f"{decision.auroc:.3f}" for decision in decisions)))
    found = [decision.d_t() for decision in decisions]
    rows.append(("D_T, new good images", *(share_text(share) for share, _ in found)))
    rows.append(("its T (distance)", *(f"{t:.2f} ({_raw(subject, t):.1f})" for _, t in found)))
    if len(maximum.trained):
        seen = [int((decision.trained <= t).sum()) for decision, (_, t) in zip(decisions, found, strict=True)]
        cells = (f"{count / len(maximum.trained):.3f} ({count} of {len(maximum.trained)})" for count in seen)
        rows.append(("TNR at T, training images", *cells))
    for name, limit in (("uncertain", limits.uncertain), ("defect", limits.defect)):
        over, kept = _at(maximum, limit)
        rows.append((f"TPR, {name} limit {limit:.2f}", share_text(over), *blank))
        rows.append((f"TNR, {name} limit {limit:.2f}", share_text(kept), *blank))
    rows.append(("pixel AUROC", f"{evaluation.pixel_auroc:.3f}", *blank))
    rows.append(("AUPRO up to FPR 0.3", f"{evaluation.aupro:.3f}", *blank))
    return rows


def _at(decision: Decision, threshold: float) -> tuple[Share, Share]:
    """Defects above a threshold, and good test images not above it."""
    over = Share(int((decision.bad > threshold).sum()), len(decision.bad))
    return over, Share(int((decision.good <= threshold).sum()), len(decision.good))


def _raw(subject: Subject, score: float) -> float:
    return subject.normaliser.centre + score * subject.normaliser.spread


def _judgement(subject: Subject, score: float) -> str:
    if score > subject.limits.defect:
        return "defect"
    return "uncertain" if score > subject.limits.uncertain else "good"


def _summary(subject: Subject) -> str:
    maximum = subject.evaluation.decisions[0]
    texts = []
    for name, scores in (("defective", maximum.bad), ("good", maximum.good)):
        counts = Counter(_judgement(subject, float(score)) for score in scores)
        judged = ", ".join(f"{counts[word]} judged {word}" for word in ("defect", "uncertain", "good"))
        texts.append(f"Of {len(scores)} {name} test images: {judged}.")
    return " ".join(texts)


def _notes(subject: Subject) -> list[str]:
    """What keeps the figures from being what they seem."""
    images, card = subject.evaluation.images, subject.model.card
    notes = [f"Warning of the fit: {text}" for text in card.warnings]
    seen = Counter(judged.image.is_good for judged in images if judged.trained_on)
    if seen[True]:
        notes.append(f"The model was fitted on {seen[True]} of the good test images; they count as training images.")
    if seen[False]:
        notes.append(f"The model was fitted on {seen[False]} of the defective test images, as good ones: fit again.")
    bare = sum(judged.truth is None for judged in images)
    if bare:
        notes.append(f"{bare} defective images have no mask and do not count in pixel AUROC and AUPRO.")
    outside = sum(judged.image.mask is not None and not np.any(judged.truth) for judged in images)
    if outside:
        notes.append(
            f"{outside} defects lie wholly outside the crop: the model cannot see them, no pixel figure has them."
        )
    if (subject.limits.uncertain, subject.limits.defect) != (card.limits.uncertain, card.limits.defect):
        notes.append("The recipe's limits are not those of the fit.")
    return notes


def _facts(subject: Subject) -> list[tuple[str, ...]]:
    card, limits, maximum = subject.model.card, subject.limits, subject.evaluation.decisions[0]
    kinds = Counter(judged.image.kind for judged in subject.evaluation.images if not judged.image.is_good)
    masks = sum(judged.truth is not None for judged in subject.evaluation.images if not judged.image.is_good)
    low, high = card.limits.rate_interval
    return [
        ("data set", str(subject.folder)),
        ("good test images", f"{len(maximum.good)} that the model has not seen"),
        ("defective test images", ", ".join(f"{kind} {n}" for kind, n in kinds.items()) + f"; {masks} with a mask"),
        ("training images", f"{card.images} in the fit, {len(maximum.trained)} of them found in the data set"),
        ("limits", f"uncertain {limits.uncertain:.2f}, defect {limits.defect:.2f} (normalised score)"),
        (
            "of the fit",
            f"uncertain {card.limits.uncertain:.2f} for a false-reject rate of {card.limits.alpha_reached:.3f} "
            f"(95 %: {low:.3f} to {high:.3f}); defect {card.limits.defect:.2f}, extrapolated",
        ),
        ("model", f"view {card.view_id}, sha256 {subject.model.sha256}, fitted {card.created}"),
        ("backbone", f"{card.backbone}, sha256 {card.backbone_sha256}"),
        ("runs on", f"{subject.model.provider}, {card.precision}"),
        ("square", f"{card.size} pixels a side, tolerance {card.tolerance} x 16 pixels"),
        ("crop", _crop(card.crop)),
        ("time", f"{1e3 * subject.evaluation.seconds:.0f} ms an image (median)"),
        ("written", datetime.now().astimezone().isoformat(" ", "seconds")),
    ]


def _crop(crop: Crop | None) -> str:
    if crop is None:
        return "none, the whole image"
    return f"{crop}, found in each image" if isinstance(crop, str) else "x {}, y {}, {} x {} pixels".format(*crop)


def _gallery(subject: Subject, name: str, chosen: Sequence[Judged]) -> str:
    figures = [
        html_figure(
            f"{name}_{number}.png",
            f"{judged.image.kind}/{judged.image.path.name}: score {judged.found.score:.2f}, "
            f"judged {_judgement(subject, judged.found.score)}",
        )
        for number, judged in enumerate(chosen, start=1)
    ]
    return '<div class="pair">' + "\n".join(figures) + "</div>"


def _write_picture(subject: Subject, judged: Judged, path: Path) -> None:
    """The image as it is, and beside it with its heat map and the outline of its mask; colours as `_HEAT` says."""
    pixels = read_image(judged.image.path)
    limits, top = subject.limits, judged.found.score
    scale = replace(limits, uncertain=min(limits.uncertain, 2 * (top - 1)), defect=min(limits.defect, top))
    heat = overlay(pixels, judged.found, subject.normaliser, scale)
    if judged.image.mask:
        mask = read_mask(judged.image.mask).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(heat, outlines, -1, (255, 255, 255), max(1, heat.shape[1] // 250))
    plain = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
    scale = min(1.0, _SIDE / max(plain.shape[:2]))
    shown = [cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for part in (plain, heat)]
    gap: NDArray[np.uint8] = np.full((shown[0].shape[0], 6, 3), 255, np.uint8)
    path.write_bytes(cv2.imencode(".png", np.hstack([shown[0], gap, shown[1]])[..., ::-1])[1].tobytes())


def _draw_limits(axis: Axes, limits: Limits) -> None:
    for name, value, colour in (("uncertain", limits.uncertain, AMBER), ("defect", limits.defect, RED)):
        axis.axvline(value, color=colour, linestyle="-.", linewidth=1.2, label=f"{name} limit {value:.2f}")


def _range(subject: Subject) -> tuple[float, float]:
    """Of scores: all good images, the limits, and half of the defects at least, however far out the others are."""
    decisions, limit = subject.evaluation.decisions, subject.limits.defect
    good, bad = (np.concatenate([getattr(d, name) for d in decisions]) for name in ("good", "bad"))
    low, last = float(min(good.min(), bad.min())), float(max(good.max(), 1.1 * limit))
    high = max(last, min(float(bad.max()), float(max(1.5 * limit, 1.2 * np.median(bad)))))
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _draw_histogram(subject: Subject) -> Figure:
    maximum = subject.evaluation.decisions[0]
    low, high = _range(subject)
    groups = {"good": maximum.good}
    for judged in subject.evaluation.images:
        if not judged.image.is_good:
            scores = groups.get(judged.image.kind, np.empty(0))
            groups[judged.image.kind] = np.append(scores, judged.found.score)
    figure, (axis,) = plot(7.4, 3.2)
    edges = np.linspace(low, high, 41)
    colours = [BLUE, *(KINDS[i % len(KINDS)] for i in range(len(groups) - 1))]
    values = [np.minimum(scores, high) for scores in groups.values()]
    names = [f"{kind} ({len(scores)})" for kind, scores in groups.items()]
    axis.hist(values, edges, stacked=True, color=colours, label=names, edgecolor="white", linewidth=0.5)
    _draw_limits(axis, subject.limits)
    axis.set(xlabel="normalised score", ylabel="images", xlim=(low, high))
    axis.legend(frameon=False, fontsize=8)
    return figure


def _draw_roc(evaluation: Evaluation) -> Figure:
    figure, (axis,) = plot(4.4, 4.2)
    axis.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    for decision, colour, line in zip(evaluation.decisions, (BLUE, *KINDS), ("-", "--", ":"), strict=False):
        name = f"{decision.name}: {decision.auroc:.3f}"
        axis.plot(*roc(decision.good, decision.bad), color=colour, linestyle=line, linewidth=1.8, label=name)
    axis.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.set_aspect("equal")
    axis.legend(title="image AUROC", frameon=False, fontsize=8, title_fontsize=8, loc="lower right")
    return figure


def _draw_rates(subject: Subject) -> Figure:
    """As Figure 6 of the robot-assisted inspection paper; the upper axis has its unit."""
    decisions, normaliser = subject.evaluation.decisions, subject.normaliser
    figure, axes = plot(7.4, 3.2, len(decisions))
    low, high = _range(subject)
    thresholds = np.linspace(low, high, 1000)
    for axis, decision in zip(axes, decisions, strict=True):
        tpr, tnr = tpr_tnr(decision.good, decision.bad, thresholds)
        axis.plot(thresholds, tpr, color=KINDS[0], linewidth=1.8, label="TPR")
        axis.plot(thresholds, tnr, color=BLUE, linewidth=1.8, linestyle="--", label="TNR")
        axis.axvline(decision.d_t()[1], color="#555555", linestyle=":", linewidth=1.2, label="T")
        if decision is decisions[0]:
            _draw_limits(axis, subject.limits)
        top = axis.secondary_xaxis("top", functions=(lambda score: _raw(subject, score), normaliser))
        top.set_xlabel("distance", fontsize=8)
        top.tick_params(labelsize=8)
        axis.set_title(decision.name, fontsize=9)
        axis.set(xlabel="threshold, normalised score", xlim=(low, high), ylim=(-0.02, 1.02))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure
