"""Fitting the model of one viewpoint: features of its good images, Gaussians, each image's leave-one-out score."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import Backbone
from inspection_cell.anomaly.errors import FitError, ImageError
from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.heat import heat_map, raw_score
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.lattice import Lattice
from inspection_cell.anomaly.otsu import Crop, find_crop
from inspection_cell.anomaly.package import halve_weights, keep_weights, open_weights, save_arrays
from inspection_cell.anomaly.padim import Gaussians, Prior, distance_map, fit
from inspection_cell.anomaly.preprocess import Box, make_mapping
from inspection_cell.anomaly.score import allowed_pixels
from inspection_cell.anomaly.thresholds import CRITICAL_FACTOR, outliers

Pixels = NDArray[np.uint8]
HALF_ERROR = 1e-3
"""Of a heat map's maximum."""
_COMPARED = 4


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
        seed: of the choice of channels.
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
    tolerance: int = 1
    n: int = 2
    alpha: float = 0.02
    critical_factor: float = CRITICAL_FACTOR
    storage: Literal["float32", "float16"] = "float32"
    threads: int = 1


@dataclass(frozen=True)
class ViewFit:
    """One viewpoint after its fit, before the part's limits are known.

    Attributes:
        raw: (images,) leave-one-out scores, of the images before (see `Before`) first.
        digests: sha256 of the written arrays, by name.
        data_sha256: of each image, in the order of `raw`.
        warnings: what a person should look at.
    """

    raw: NDArray[np.float64]
    digests: dict[str, str]
    data_sha256: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Before:
    """What a viewpoint's model knows already: the model, and its images' scores and hashes."""

    gaussians: Gaussians
    raw: tuple[float, ...]
    data_sha256: tuple[str, ...]


def fit_view(
    view: str,
    items: Sequence[GoodImage],
    crop: Crop | None,
    backbone: Backbone,
    channels: tuple[NDArray[np.int64], ...],
    folder: Path,
    settings: FitSettings,
    step: Callable[[int], None],
    work: Path | None = None,
    before: Before | None = None,
    ignored: NDArray[np.bool_] | None = None,
) -> ViewFit:
    """Fits one viewpoint: the features of all images once into files, then the Gaussians tile by tile.

    Args:
        folder: where the arrays go.
        step: called with the number of images looked at.
        work: a folder in which features stay: a fit that was cut off goes on from there.
        before: a model to learn on from.
        ignored: (h, w) of the images, true where nothing is judged; for those that have no `exclude` of their own.

    Raises:
        FitError: the same image twice.
        ImageError: an image that cannot be used, by its name.
        ModelError: the network cannot be loaded.
    """
    coarse = settings.size // 16
    hashes, sizes, allowed = [], [], []
    backbone.load(channels)  # a network that cannot be had is told before any image is read
    with ExitStack() as stack:
        scratch = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fit-anomaly-")))
        scratch.mkdir(parents=True, exist_ok=True)
        n1, n2, n3 = (len(chosen) for chosen in channels)
        lattice = Lattice((n1, n2, n3), coarse, coarse)
        key = _key(backbone, channels, settings, crop)
        bank = FeatureBank(scratch, len(items), lattice, settings.tolerance, key)
        for i, item in enumerate(items):
            pixels, digest = _read(item, f"view {view}, image {i}")
            try:
                box = item.crop or find_crop(crop, pixels)
                mapping = make_mapping(pixels.shape[1], pixels.shape[0], settings.size, box)
            except ImageError as wrong:
                raise ImageError(f"view {view}, {_name(items, i)}: {wrong}") from wrong
            exclude = item.exclude if item.exclude is not None else ignored
            stored = f"{digest} {item.crop}"
            if not bank.has(i, stored):
                bank.put(i, backbone.features(pixels, mapping, channels), stored)
            try:
                allowed.append(allowed_pixels(mapping, exclude, (pixels.shape[0], pixels.shape[1])))
            except ImageError as wrong:
                raise ImageError(f"view {view}, {_name(items, i)}: {wrong}") from wrong
            hashes.append(digest)
            sizes.append(mapping.box[2:])
            step(i + 1)
        known = before.data_sha256 if before else ()
        _refuse_copies(view, items, hashes, known)
        prior = Prior(before.gaussians, len(known)) if before else None
        weights = open_weights(folder, lattice)
        found = fit(bank, settings.tolerance, weights, prior, settings.threads)
        maps = zip(found.left_out, allowed, strict=True)
        raw = np.array([raw_score(heat_map(distances, settings.size), counts) for distances, counts in maps])
        error = _store_halved(folder, found.model, bank, settings.size) if settings.storage == "float16" else 0.0
        digests = save_arrays(folder, found.model, channels, ignored)
    warnings = _warnings(items, sizes, raw)
    if error > HALF_ERROR:
        warnings.append(f"stored as float32: float16 would change its maps by {error:.1e}")
    if before is not None:
        raw = np.concatenate([before.raw, raw])
    return ViewFit(raw, digests, (*known, *hashes), tuple(warnings))


def _key(backbone: Backbone, channels: Sequence[NDArray[np.int64]], settings: FitSettings, crop: Crop | None) -> str:
    """What features depend on beside the image."""
    chosen = hashlib.sha256(b"".join(c.tobytes() for c in channels)).hexdigest()
    return f"{backbone.card.sha256} {backbone.config.precision} {chosen} {settings.size} {crop}"


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


def _refuse_copies(view: str, items: Sequence[GoodImage], hashes: Sequence[str], known: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        if digest in known:
            raise FitError(f"view {view}: {_name(items, i)} is behind the model already: leave it out")
        if digest in first:
            raise FitError(
                f"view {view}: {_name(items, i)} is a copy of {_name(items, first[digest])}; a copy would "
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
