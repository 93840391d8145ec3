"""A presence model on disk: the ONNX graph with its card, and one hash that names both."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"
FORMAT = "presence-2"


class PresenceModelError(ValueError):
    """A model that must not judge; the text names the file, the field and the cure."""


class NoPresenceModel(PresenceModelError):
    """There is no model where one is named."""


class WrongPresenceModel(PresenceModelError):
    """The model is another one than the one named."""


@dataclass(frozen=True)
class PresenceCard:
    """What a model is, and how its answers are to be read.

    Attributes:
        part: name of the part it was made for.
        cad_sha256: of the assembly it was rendered from.
        components: names it may judge.
        correlation: of a component's views, by which their scores are joined (core/joined.py).
        limit_uncertain, limit_defect: of the joined score 1 - p(present), from held-out renderings.
        limit_missing: the largest limit_uncertain that accepts no more missing components than is stated.
        least_visible: fraction of a component that must be seen; below, the check does not apply.
        least_area_px: visible area in the image that must be seen.
        largest_margin_px: how far the alignment may put the component off, in pixels of the network's crop, at 95 %.
        model_sha256: of the ONNX file.
        held_out: figures measured on held-out renderings, for people.
    """

    part: str
    cad_sha256: str
    components: tuple[str, ...]
    correlation: float
    limit_uncertain: float
    limit_defect: float
    limit_missing: float
    least_visible: float
    least_area_px: float
    largest_margin_px: float
    model_sha256: str
    held_out: dict[str, float]
    format: str = FORMAT


def write_card(card: PresenceCard, folder: Path) -> None:
    """Writes card.json beside the model."""
    text = json.dumps(asdict(card), indent=2, sort_keys=True)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def package_hash(folder: Path) -> str:
    """SHA-256 of the model's bytes followed by the card's.

    Raises:
        PresenceModelError: a file is missing.
    """
    digest = hashlib.sha256()
    for name in (MODEL_FILE, CARD_FILE):
        digest.update(_bytes(folder / name))
    return digest.hexdigest()


def read_card(folder: Path, expected_hash: str | None) -> PresenceCard:
    """The card, after the package was found whole.

    Raises:
        PresenceModelError: a file is missing or damaged, or the hash is not the expected one.
    """
    found = package_hash(folder)
    if expected_hash is not None and found != expected_hash:
        raise WrongPresenceModel(
            f"{folder}: hash {found} is not the recipe's {expected_hash}; put the right model there, or name this one"
        )
    path = folder / CARD_FILE
    fields = _fields(path)
    if fields.get("format") != FORMAT:
        raise PresenceModelError(f"{path}: format {fields.get('format')!r} is not {FORMAT!r}; train the model anew")
    try:
        card = PresenceCard(**{**fields, "components": tuple(fields["components"])})
    except (TypeError, KeyError) as error:
        raise PresenceModelError(f"{path}: is not a card ({error}); train the model anew") from error
    limits = (
        card.limit_uncertain,
        card.limit_defect,
        card.limit_missing,
        card.correlation,
        card.least_visible,
        card.least_area_px,
        card.largest_margin_px,
    )
    if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in limits):
        raise PresenceModelError(f"{path}: a limit is not a finite number: {limits}; train the model anew")
    if not 0.0 < card.limit_uncertain <= card.limit_defect < 1.0:
        raise PresenceModelError(
            f"{path}: limit_uncertain {card.limit_uncertain} and limit_defect {card.limit_defect} "
            "must satisfy 0 < uncertain <= defect < 1"
        )
    if not card.limit_uncertain <= card.limit_missing < 1.0:
        raise PresenceModelError(
            f"{path}: limit_missing {card.limit_missing} must be from limit_uncertain {card.limit_uncertain} to below 1"
        )
    if not 0.0 <= card.correlation <= 1.0:
        raise PresenceModelError(f"{path}: correlation {card.correlation} must be from 0 to 1; train the model anew")
    model = hashlib.sha256(_bytes(folder / MODEL_FILE)).hexdigest()
    if model != card.model_sha256:
        raise PresenceModelError(f"{folder / MODEL_FILE}: is not the file its card describes; restore both together")
    return card


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(_bytes(path))
    except ValueError as error:
        raise PresenceModelError(f"{path}: is not a card ({error}); train the model anew") from error
    if not isinstance(fields, dict):
        raise PresenceModelError(f"{path}: is not a card (a {type(fields).__name__}); train the model anew")
    return fields


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoPresenceModel(f"{path}: cannot be read ({error.strerror}); check the recipe's model folder") from error
