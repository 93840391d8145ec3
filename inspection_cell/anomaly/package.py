"""A viewpoint's model on disk: a folder with one .npy a model array and a card that says what they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ModelError, ModelMissing, WrongHash
from inspection_cell.anomaly.lattice import LANES, STEPS, Lattice
from inspection_cell.anomaly.otsu import Crop
from inspection_cell.anomaly.padim import Gaussians
from inspection_cell.anomaly.thresholds import Limits, Normaliser

VERSION = 2
CARD_NAME = "card.json"
_HALF = "weights.half.npy"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ModelCard:
    """What stands beside a viewpoint's arrays.

    Attributes:
        view_id: the viewpoint.
        backbone, backbone_sha256: name and hash of the network whose features it was fitted on.
        precision: of the backbone's arithmetic: "float32" or "bfloat16".
        size: side of the square the backbone sees, pixels.
        tolerance: see `padim`.
        images: good images behind it.
        data_sha256: of each of them, in order.
        crop: x, y, width, height in the original image, "otsu" (see `otsu`), or None for the whole image.
        normaliser: from raw to normalised scores.
        limits: of the part.
        scores: of each good image, raw, by a model that had not seen it.
        warnings: what a person should know about the data.
        created: ISO 8601, UTC.
        arrays: sha256 of each .npy file, by the array's name.
        version: of this format.
    """

    view_id: str
    backbone: str
    backbone_sha256: str
    precision: str
    size: int
    tolerance: int
    images: int
    data_sha256: tuple[str, ...]
    crop: Crop | None
    normaliser: Normaliser
    limits: Limits
    scores: tuple[float, ...]
    warnings: tuple[str, ...]
    created: str
    arrays: Mapping[str, str]
    version: int = VERSION


@dataclass(frozen=True)
class Package:
    """A loaded package; the arrays are mapped from disk.

    Attributes:
        channels: for each of the backbone's outputs, the channels the model uses.
        ignored: (h, w) of the original images, true where nothing is judged (a gripper); None: all of it is.
        sha256: the package's hash.
    """

    card: ModelCard
    gaussians: Gaussians
    channels: tuple[NDArray[np.int64], ...]
    ignored: NDArray[np.bool_] | None
    sha256: str


def check_view_id(view_id: str) -> str:
    """The id itself, if it can name a folder.

    Raises:
        ModelError: it cannot.
    """
    if not _NAME.fullmatch(view_id):
        raise ModelError(f"view id {view_id!r}: use letters, digits, '_', '-' and '.' only")
    return view_id


def open_weights(folder: Path, lattice: Lattice) -> NDArray[np.float32]:
    """A new file for a model's weights, mapped: the largest array of a fit never is in memory as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_NAME).unlink(missing_ok=True)
    file = folder / "weights.npy"
    file.unlink(missing_ok=True)  # a running cell may have the old file mapped: never write into it
    return np.lib.format.open_memmap(file, "w+", np.float32, (lattice.tiles, lattice.order.vectors, LANES))


def halve_weights(folder: Path, gaussians: Gaussians) -> Gaussians:
    """A model whose weights are kept as float16, in a file beside its float32 ones; `keep_weights` chooses."""
    half = np.lib.format.open_memmap(folder / _HALF, "w+", np.float16, gaussians.weights.shape)
    for number, tile in enumerate(gaussians.weights):
        half[number] = tile
    return replace(gaussians, weights=half)


def keep_weights(folder: Path, half: bool) -> None:
    """Keeps the float16 weights instead of the float32 ones, or throws them away."""
    if half:
        (folder / _HALF).replace(folder / "weights.npy")
    else:
        (folder / _HALF).unlink()


def save_arrays(
    folder: Path,
    gaussians: Gaussians,
    channels: tuple[NDArray[np.int64], ...],
    ignored: NDArray[np.bool_] | None = None,
) -> dict[str, str]:
    """Writes a model's arrays beside its weights, which are from `open_weights`, and returns all their hashes."""
    arrays: dict[str, NDArray[Any]] = {f"means{i}": mean for i, mean in enumerate(gaussians.means, start=1)}
    arrays |= {f"channels{i}": chosen for i, chosen in enumerate(channels, start=1)}
    arrays |= {"ignored": ignored} if ignored is not None else {}
    (folder / "ignored.npy").unlink(missing_ok=True)  # of an earlier fit: the package's hash is over all files
    for name, array in arrays.items():
        (folder / f"{name}.npy").unlink(missing_ok=True)
        np.save(folder / f"{name}.npy", array)
    gaussians.weights.flush()  # type: ignore[attr-defined]  # a file of `open_weights`
    return {name: _sha256(folder / f"{name}.npy") for name in (*arrays, "weights")}


def save_card(folder: Path, card: ModelCard) -> str:
    """Writes the card, which makes the package complete, and returns the package's hash."""
    text = json.dumps(asdict(card), indent=2, allow_nan=False) + "\n"
    (folder / CARD_NAME).write_text(text, encoding="utf-8")
    return package_hash(folder)


def package_hash(folder: Path) -> str:
    """sha256 over the card and every array as they are on disk; it changes with any byte of them.

    Raises:
        ModelError: no card in the folder.
    """
    card_file = folder / CARD_NAME
    if not card_file.is_file():
        raise ModelMissing(f"{folder}: not a model package ({CARD_NAME} is missing); fit it with `fit-anomaly`")
    total = hashlib.sha256(card_file.read_bytes())
    for file in sorted(folder.glob("*.npy")):
        total.update(f"{file.name} {_sha256(file)}\n".encode())
    return total.hexdigest()


def load_package(folder: Path, expected_hash: str | None = None) -> Package:
    """Reads and checks a package.

    Raises:
        ModelError: something is missing, damaged, not finite, or not the package with the expected hash.
    """
    found = package_hash(folder)
    if expected_hash is not None and found != expected_hash:
        raise WrongHash(f"{folder}: the package's hash is {found[:12]}..., expected {expected_hash[:12]}...")
    card = _read_card(folder / CARD_NAME)
    arrays = {name: _read_array(folder / f"{name}.npy", digest) for name, digest in card.arrays.items()}
    try:
        channels = tuple(np.asarray(arrays[f"channels{i}"]) for i in (1, 2, 3))
        m1, m2, m3 = (np.asarray(arrays[f"means{i}"]) for i in (1, 2, 3))
        weights, ignored = arrays["weights"], arrays.get("ignored")
    except KeyError as error:
        raise ModelError(f"{folder}: its card lists other arrays than a model has ({error} is missing)") from error
    n1, n2, n3 = (len(chosen) for chosen in channels)
    lattice = Lattice((n1, n2, n3), card.size // 16, card.size // 16)
    shapes = [(n, k * lattice.rows, k * lattice.padded) for n, k in zip(lattice.channels, STEPS, strict=True)]
    kinds = {m1.dtype, m2.dtype, m3.dtype} == {np.dtype(np.float32)} and weights.dtype in (np.float32, np.float16)
    wanted = (lattice.tiles, lattice.order.vectors, LANES)
    if not kinds or [m1.shape, m2.shape, m3.shape] != shapes or weights.shape != wanted:
        raise ModelError(f"{folder}: its arrays do not fit together (weights {weights.shape}, a model has {wanted})")
    if ignored is not None and (ignored.dtype != np.bool_ or ignored.ndim != 2):
        raise ModelError(f"{folder}: its mask of what is ignored is no mask ({ignored.dtype}, {ignored.shape})")
    return Package(card, Gaussians(lattice, weights, (m1, m2, m3)), channels, ignored, found)


def _read_card(path: Path) -> ModelCard:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.get("version") != VERSION:
            raise ModelError(f"{path}: version {values.get('version')}, this software reads {VERSION}; fit again")
        values["normaliser"] = Normaliser(**values["normaliser"])
        limits = values["limits"]
        values["limits"] = Limits(**{**limits, "rate_interval": tuple(limits["rate_interval"])})
        crop = values["crop"]
        values["crop"] = tuple(crop) if isinstance(crop, list) else crop
        for name in ("data_sha256", "scores", "warnings"):
            values[name] = tuple(values[name])
        card = ModelCard(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: not a model card ({error})") from error
    numbers = [*asdict(card.normaliser).values(), *(getattr(card.limits, f.name) for f in fields(Limits))]
    if not all(np.isfinite(number).all() for number in numbers) or card.normaliser.spread <= 0:
        raise ModelError(f"{path}: a limit or the normaliser is not a finite number")
    return card


def _read_array(path: Path, digest: str) -> NDArray[Any]:
    if not path.is_file():
        raise ModelError(f"{path}: the model's array is missing")
    if _sha256(path) != digest:
        raise ModelError(f"{path}: damaged, it is not the array that the card names (sha256 differs)")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not np.isfinite(array).all():
        raise ModelError(f"{path}: holds numbers that are not finite")
    return np.asarray(array)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
