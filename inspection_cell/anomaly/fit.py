"""Fitting the models of all viewpoints of a part from images of good parts, and the part's limits."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, Backbone, choose_channels
from inspection_cell.anomaly.backbone_card import write_card
from inspection_cell.anomaly.errors import FitError, ImageError
from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.heat import heat_map, raw_score
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.lattice import Lattice
from inspection_cell.anomaly.package import (
    ModelCard,
    check_view_id,
    halve_weights,
    keep_weights,
    open_weights,
    save_arrays,
    save_card,
)
from inspection_cell.anomaly.padim import Gaussians, distance_map, fit
from inspection_cell.anomaly.preprocess import Box, make_mapping
from inspection_cell.anomaly.score import BACKBONE_FOLDER, allowed_pixels
from inspection_cell.anomaly.thresholds import CRITICAL_FACTOR, Limits, fit_limits, fit_normaliser, outliers

Pixels = NDArray[np.uint8]
HALF_ERROR = 1e-3
"""Of a heat map's maximum."""
_COMPARED = 4
Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being done."""


@dataclass(frozen=True)
class GoodImage:
    """One image of a good part.

    Attributes:
        source: a file, the pixels, or a function that gives them when they are needed.
        crop: where the part is in it; None takes the viewpoint's crop.
        exclude: (h, w) true where it does not count.
    """

    source: Path | Pixels | Callable[[], Pixels]
    crop: Box | None = None
    exclude: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class FitSettings:
    """How to fit.

    Attributes:
        size: side of the square the backbone sees, pixels.
        channels: how many of the backbone's channels.
        seed: of the choice of channels and of the folds.
        folds: parts of the cross-fit.
        tolerance: see `padim`; 16 pixels of the square for each step.
        n: how many views over the limit prove a defect (of as many as there are).
        alpha: false-reject rate of the part at the uncertain limit.
        critical_factor: how far over the limit one view must be to count alone.
        storage: of the weights. "float16" takes half the space; where it would change a map by more than `HALF_ERROR`
            the fit keeps float32 and warns.
        threads: of the fit; the backbone has its own.
    """

    size: int = 256
    channels: int = 100
    seed: int = 0
    folds: int = 5
    tolerance: int = 1
    n: int = 2
    alpha: float = 0.02
    critical_factor: float = CRITICAL_FACTOR
    storage: Literal["float32", "float16"] = "float32"
    threads: int = 1


@dataclass(frozen=True)
class FitResult:
    """What a fit gave.

    Attributes:
        limits: of the part.
        hashes: of each viewpoint's package, for the recipe.
        cross_fitted: (parts, views) normalised scores, each by a model that has not seen the part.
        warnings: what a person should look at: sizes that differ, outliers, too few parts for alpha.
    """

    limits: Limits
    hashes: dict[str, str]
    cross_fitted: NDArray[np.float64]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _View:
    """One viewpoint after its fit, before the part's limits are known."""

    raw: NDArray[np.float64]
    digests: dict[str, str]
    data_sha256: tuple[str, ...]
    warnings: tuple[str, ...]


def fit_views(
    images: Mapping[str, Sequence[GoodImage | Path | Pixels]],
    backbone: Backbone,
    out: Path,
    settings: FitSettings | None = None,
    crops: Mapping[str, Box] | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Fits one model a viewpoint and writes them, with the backbone, as packages under `out`.

    Args:
        images: for each view id the images of good parts; index i is the same part in every view.
        crops: for some views, where the part is in all its images.

    Raises:
        FitError: too few parts, views with different numbers of parts, the same image twice.
        ImageError: an image that cannot be used, by its name.
    """
    settings = settings or FitSettings()
    report = progress or (lambda done, total, text: None)
    counts = {view: len(items) for view, items in images.items()}
    parts = min(counts.values(), default=0)
    if len(set(counts.values())) != 1 or parts < max(8, 2 * settings.folds):
        need = max(8, 2 * settings.folds)
        raise FitError(f"good images for each view: {counts}; needs the same number in each, at least {need}")
    channels = choose_channels(backbone.card, settings.channels, settings.seed)
    views = {}
    for index, (view, items) in enumerate(images.items()):
        good = [item if isinstance(item, GoodImage) else GoodImage(item) for item in items]
        crop = (crops or {}).get(view)

        def step(done: int, index: int = index, view: str = view) -> None:
            report(index * parts + done, len(images) * parts, f"view {view}")

        views[view] = _fit_view(check_view_id(view), good, crop, backbone, channels, out / view, settings, step)
    normalisers = {view: fit_normaliser(result.raw) for view, result in views.items()}
    normalised = np.column_stack(
        [(result.raw - normalisers[view].centre) / normalisers[view].spread for view, result in views.items()]
    )
    limits = fit_limits(normalised, min(settings.n, len(views)), settings.alpha, settings.critical_factor)
    warnings = [f"view {view}: {text}" for view, result in views.items() for text in result.warnings]
    if limits.alpha_reached > settings.alpha:
        warnings.append(
            f"{parts} good parts allow a false-reject rate of {limits.alpha_reached:.3f}, not {limits.alpha}"
        )
    _write_backbone(backbone, out / BACKBONE_FOLDER)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    hashes = {}
    for column, (view, result) in enumerate(views.items()):
        quantiles = tuple(float(q) for q in np.quantile(normalised[:, column], [0, 0.25, 0.5, 0.75, 1]))
        card = ModelCard(
            view_id=view,
            backbone=backbone.card.name,
            backbone_sha256=backbone.card.sha256,
            precision=backbone.config.precision,
            size=settings.size,
            tolerance=settings.tolerance,
            images=parts,
            data_sha256=result.data_sha256,
            crop=(crops or {}).get(view),
            normaliser=normalisers[view],
            limits=limits,
            cross_fitted=quantiles,
            warnings=result.warnings,
            created=created,
            arrays=result.digests,
        )
        hashes[view] = save_card(out / view, card)
    return FitResult(limits, hashes, normalised, tuple(warnings))


def _fit_view(
    view: str,
    items: Sequence[GoodImage],
    crop: Box | None,
    backbone: Backbone,
    channels: tuple[NDArray[np.int64], ...],
    folder: Path,
    settings: FitSettings,
    step: Callable[[int], None],
) -> _View:
    """Fits one viewpoint: the features of all images once into files, then tile by tile with each fold left out."""
    coarse = settings.size // 16
    hashes, sizes, allowed = [], [], []
    with tempfile.TemporaryDirectory(prefix="fit-anomaly-") as scratch:
        n1, n2, n3 = (len(chosen) for chosen in channels)
        bank = FeatureBank(Path(scratch), len(items), Lattice((n1, n2, n3), coarse, coarse), settings.tolerance)
        for i, item in enumerate(items):
            pixels, digest = _read(item, f"view {view}, image {i}")
            mapping = make_mapping(pixels.shape[1], pixels.shape[0], settings.size, item.crop or crop)
            bank.put(i, backbone.features(pixels, mapping, channels))
            allowed.append(allowed_pixels(mapping, item.exclude, (pixels.shape[0], pixels.shape[1])))
            hashes.append(digest)
            sizes.append(mapping.box[2:])
            step(i + 1)
        _refuse_copies(view, items, hashes)
        order = np.random.default_rng(settings.seed).permutation(len(items)).tolist()
        folds = [order[k :: settings.folds] for k in range(settings.folds)]
        found = fit(bank, folds, settings.tolerance, open_weights(folder, bank.lattice), settings.threads)
        maps = zip(found.held_out, allowed, strict=True)
        raw = np.array([raw_score(heat_map(distances, settings.size), counts) for distances, counts in maps])
        error = _store_halved(folder, found.model, bank, settings.size) if settings.storage == "float16" else 0.0
        digests = save_arrays(folder, found.model, channels)
    warnings = _warnings(items, sizes, raw)
    if error > HALF_ERROR:
        warnings.append(f"stored as float32: float16 would change its maps by {error:.1e}")
    return _View(raw, digests, tuple(hashes), tuple(warnings))


def _store_halved(folder: Path, model: Gaussians, bank: FeatureBank, size: int) -> float:
    """Keeps the weights as float16 where that does no harm; returns the largest change of a heat map, as a share of
    the map's maximum."""
    half = halve_weights(folder, model)
    changes = []
    for features in map(bank.get, range(min(_COMPARED, bank.images))):
        exact, rounded = (heat_map(distance_map(one, features), size) for one in (model, half))
        changes.append(np.abs(rounded - exact).max() / exact.max())
    error = float(max(changes))
    keep_weights(folder, error <= HALF_ERROR)
    return error


def _read(item: GoodImage, name: str) -> tuple[Pixels, str]:
    """The pixels of an image, and the sha256 of its file or, for pixels in memory, of these."""
    if isinstance(item.source, Path):
        pixels = read_image(item.source)
        return pixels, hashlib.sha256(item.source.read_bytes()).hexdigest()
    pixels = item.source() if callable(item.source) else item.source
    if pixels.ndim not in (2, 3):
        raise ImageError(f"{name}: shape {pixels.shape}; needs (h, w) or (h, w, 3)")
    return pixels, hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _name(items: Sequence[GoodImage], i: int) -> str:
    source = items[i].source
    return str(source) if isinstance(source, Path) else f"image {i}"


def _refuse_copies(view: str, items: Sequence[GoodImage], hashes: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        if digest in first:
            raise FitError(
                f"view {view}: {_name(items, i)} is a copy of {_name(items, first[digest])}; a copy in two folds would "
                "make the limits too tight: remove one"
            )
        first[digest] = i


def _warnings(items: Sequence[GoodImage], sizes: Sequence[tuple[int, ...]], raw: NDArray[np.float64]) -> list[str]:
    texts = []
    counted = Counter(sizes)
    if len(counted) > 1 and all(item.crop is None for item in items):
        listed = ", ".join(f"{w} x {h}: {n}" for (w, h), n in counted.most_common())
        texts.append(f"images of different sizes ({listed}), each resized by itself")
    texts += [f"{_name(items, i)} is unlike the others (score {raw[i]:.1f}): is it good?" for i in outliers(raw)]
    return texts


def _write_backbone(backbone: Backbone, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ONNX_NAME).write_bytes(backbone.onnx_bytes)
    write_card(backbone.card, folder / CARD_NAME)
