"""Fitting the models of all viewpoints of a part from images of good parts, and the part's limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, Backbone, choose_channels, load_backbone
from inspection_cell.anomaly.backbone_card import write_card
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.fit_view import Before, FitSettings, GoodImage, Pixels, ViewFit, fit_view
from inspection_cell.anomaly.otsu import Crop
from inspection_cell.anomaly.package import ModelCard, Package, check_view_id, load_package, save_card
from inspection_cell.anomaly.score import BACKBONE_FOLDER
from inspection_cell.anomaly.thresholds import LEAST_PARTS, Limits, fit_limits, fit_normaliser

__all__ = ["FitResult", "FitSettings", "GoodImage", "fit_views", "update_views"]

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being done."""


@dataclass(frozen=True)
class FitResult:
    """What a fit gave.

    Attributes:
        limits: of the part.
        hashes: of each viewpoint's package, for the recipe.
        left_out: (parts, views) normalised scores, each by a model that has not seen the part.
        warnings: what a person should look at: sizes that differ, outliers, too few parts for alpha.
        provider: what the network really ran on.
    """

    limits: Limits
    hashes: dict[str, str]
    left_out: NDArray[np.float64]
    warnings: tuple[str, ...]
    provider: str


def fit_views(
    images: Mapping[str, Sequence[GoodImage | Path | Pixels]],
    backbone: Backbone,
    out: Path,
    settings: FitSettings | None = None,
    crops: Mapping[str, Crop] | None = None,
    progress: Progress | None = None,
    work: Path | None = None,
    ignored: Mapping[str, NDArray[np.bool_]] | None = None,
) -> FitResult:
    """Fits one model a viewpoint and writes them, with the backbone, as packages under `out`.

    Args:
        images: for each view id the images of good parts; index i is the same part in every view.
        crops: for some views, where the part is in its images: a box for all, or "otsu" to find it in each.
        work: a folder for what was computed already: a fit that was cut off goes on from there. The caller removes it.
        ignored: for some views (h, w) of their images, true where nothing is judged, at fitting and at scoring.

    Raises:
        FitError: too few parts, views with different numbers of parts, the same image twice.
        ImageError: an image that cannot be used, by its name.
    """
    settings = settings or FitSettings()
    crops, ignored = crops or {}, ignored or {}
    counts = {view: len(items) for view, items in images.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < LEAST_PARTS:
        raise FitError(f"good images for each view: {counts}; needs the same number in each, at least {LEAST_PARTS}")
    channels = choose_channels(backbone.card, settings.channels, settings.seed)
    steps = _steps(images, progress)
    views = {
        view: fit_view(
            check_view_id(view), _good(items), crops.get(view), backbone, channels, out / view, settings, steps[view],
            work / view if work else None, ignored=ignored.get(view),
        )
        for view, items in images.items()
    }  # fmt: skip
    return _finish(views, backbone, out, settings, crops)


def update_views(
    images: Mapping[str, Sequence[GoodImage | Path | Pixels]],
    folder: Path,
    out: Path,
    engine: EngineConfig = CPU,
    progress: Progress | None = None,
) -> FitResult:
    """Learns more good parts: the models of `folder` and these images give those of all images together.

    The Gaussians are the same as those of a new fit. The limits come from the leave-one-out scores that the earlier
    images had then, and from the new ones' now.

    Raises:
        FitError: other views than the models', different numbers of parts, an image that was learned already, or models
            stored as float16, which are not exact enough to learn on from.
        ModelError: a model or its backbone is missing, damaged, or of another precision than the engine's.
    """
    packages = {view: load_package(folder / check_view_id(view)) for view in images}
    _check_update(images, packages, folder, out)
    first = next(iter(packages.values()))
    limits = first.card.limits
    settings = FitSettings(
        size=first.card.size,
        tolerance=first.card.tolerance,
        n=limits.n,
        alpha=limits.alpha,
        critical_factor=limits.critical_factor,
    )
    backbone = load_backbone(folder / BACKBONE_FOLDER, engine)
    crops: dict[str, Crop] = {v: package.card.crop for v, package in packages.items() if package.card.crop}
    steps = _steps(images, progress)
    views = {}
    for view, items in images.items():
        package = packages[view]
        before = Before(package.gaussians, package.card.scores, package.card.data_sha256)
        views[view] = fit_view(
            view, _good(items), crops.get(view), backbone, package.channels, out / view, settings, steps[view],
            before=before, ignored=package.ignored,
        )  # fmt: skip
    return _finish(views, backbone, out, settings, crops)


def _check_update(
    images: Mapping[str, Sequence[object]], packages: Mapping[str, Package], folder: Path, out: Path
) -> None:
    counts = {view: len(items) for view, items in images.items()}
    views = {path.parent.name for path in folder.glob(f"*/{CARD_NAME}")} - {BACKBONE_FOLDER}
    if set(images) != views or len(set(counts.values())) != 1 or not min(counts.values()):
        raise FitError(f"new images for each view: {counts}; needs the same number for each of {sorted(views)}")
    if out.resolve() == folder.resolve():
        raise FitError(f"{out}: the models there are still needed; name another folder for the new ones")
    for view, package in packages.items():
        if package.gaussians.weights.dtype != np.float32:
            raise FitError(f"view {view}: stored as float16, which is not exact enough to learn on from; fit again")


def _good(items: Sequence[GoodImage | Path | Pixels]) -> list[GoodImage]:
    return [item if isinstance(item, GoodImage) else GoodImage(item) for item in items]


def _steps(images: Mapping[str, Sequence[object]], progress: Progress | None) -> dict[str, Callable[[int], None]]:
    """For each view what it calls with its number of images looked at."""
    total, before = sum(len(items) for items in images.values()), 0
    steps: dict[str, Callable[[int], None]] = {}
    for view, items in images.items():

        def step(done: int, view: str = view, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total, f"view {view}")

        steps[view] = step
        before += len(items)
    return steps


def _finish(
    views: Mapping[str, ViewFit], backbone: Backbone, out: Path, settings: FitSettings, crops: Mapping[str, Crop]
) -> FitResult:
    """The part's limits, and the cards, which make the packages complete."""
    normalisers = {view: fit_normaliser(result.raw) for view, result in views.items()}
    normalised = np.column_stack(
        [(result.raw - normalisers[view].centre) / normalisers[view].spread for view, result in views.items()]
    )
    parts = len(normalised)
    limits = fit_limits(normalised, min(settings.n, len(views)), settings.alpha, settings.critical_factor)
    warnings = [f"view {view}: {text}" for view, result in views.items() for text in result.warnings]
    if limits.alpha_reached > settings.alpha:
        warnings.append(
            f"{parts} good parts allow a false-reject rate of {limits.alpha_reached:.3f}, not {limits.alpha}"
        )
    _write_backbone(backbone, out / BACKBONE_FOLDER)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    hashes = {}
    for view, result in views.items():
        card = ModelCard(
            view_id=view,
            backbone=backbone.card.name,
            backbone_sha256=backbone.card.sha256,
            precision=backbone.config.precision,
            size=settings.size,
            tolerance=settings.tolerance,
            images=parts,
            data_sha256=result.data_sha256,
            crop=crops.get(view),
            normaliser=normalisers[view],
            limits=limits,
            scores=tuple(float(score) for score in result.raw),
            warnings=result.warnings,
            created=created,
            arrays=result.digests,
        )
        hashes[view] = save_card(out / view, card)
    return FitResult(limits, hashes, normalised, tuple(warnings), backbone.provider)


def _write_backbone(backbone: Backbone, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ONNX_NAME).write_bytes(backbone.onnx_bytes)
    write_card(backbone.card, folder / CARD_NAME)
