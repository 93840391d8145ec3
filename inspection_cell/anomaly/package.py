"""A viewpoint's model on disk: a folder with one .npy a model array and a card that says what they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ModelError, ModelMissing, WrongHash
from inspection_cell.anomaly.padim import Gaussians
from inspection_cell.anomaly.thresholds import Limits, Normaliser

VERSION = 1
CARD_NAME = "card.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ModelCard:
    """What stands beside a viewpoint's arrays.

    Attributes:
        view_id: the viewpoint.
        backbone, backbone_sha256: name and hash of the network whose features it was fitted on.
        size: side of the square the backbone sees, pixels.
        tolerance: see `padim`.
        images: good images behind it.
        data_sha256: of each of them, in order.
        crop: x, y, width, height in the original image, or None for the whole image.
        normaliser: from raw to normalised scores.
        limits: of the part.
        cross_fitted: quantiles (0, 0.25, 0.5, 0.75, 1) of the good images' normalised cross-fitted scores.
        warnings: what a person should know about the data.
        created: ISO 8601, UTC.
        arrays: sha256 of each .npy file, by the array's name.
        version: of this format.
    """

    view_id: str
    backbone: str
    backbone_sha256: str
    size: int
    tolerance: int
    images: int
    data_sha256: tuple[str, ...]
    crop: tuple[int, int, int, int] | None
    normaliser: Normaliser
    limits: Limits
    cross_fitted: tuple[float, ...]
    warnings: tuple[str, ...]
    created: str
    arrays: Mapping[str, str]
    version: int = VERSION


@dataclass(frozen=True)
class Package:
    """A loaded package; the arrays are mapped from disk.

    Attributes:
        channels: for each of the backbone's outputs, the channels the model uses.
        sha256: the package's hash.
    """

    card: ModelCard
    gaussians: Gaussians
    channels: tuple[NDArray[np.int64], ...]
    sha256: str


def check_view_id(view_id: str) -> str:
    """The id itself, if it can name a folder.

    Raises:
        ModelError: it cannot.
    """
    if not _NAME.fullmatch(view_id):
        raise ModelError(f"view id {view_id!r}: use letters, digits, '_', '-' and '.' only")
    return view_id


def save_arrays(folder: Path, gaussians: Gaussians, channels: tuple[NDArray[np.int64], ...]) -> dict[str, str]:
    """Writes a model's arrays and returns their hashes for the card; without its card the folder does not load."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_NAME).unlink(missing_ok=True)
    digests = {}
    for name, array in [*gaussians.arrays(), *((f"channels{i + 1}", c) for i, c in enumerate(channels))]:
        file = folder / f"{name}.npy"
        file.unlink(missing_ok=True)  # a running cell may have the old file mapped: never write into it
        np.save(file, array)
        digests[name] = _sha256(file)
    return digests


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
        channels = tuple(np.asarray(arrays.pop(f"channels{i}")) for i in (1, 2, 3))
        return Package(card, Gaussians(**arrays), channels, found)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder}: its card lists other arrays than a model has ({error})") from error


def _read_card(path: Path) -> ModelCard:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.get("version") != VERSION:
            raise ModelError(f"{path}: version {values.get('version')}, this software reads {VERSION}; fit again")
        values["normaliser"] = Normaliser(**values["normaliser"])
        limits = values["limits"]
        values["limits"] = Limits(**{**limits, "rate_interval": tuple(limits["rate_interval"])})
        values["crop"] = tuple(values["crop"]) if values["crop"] else None
        for name in ("data_sha256", "cross_fitted", "warnings"):
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
