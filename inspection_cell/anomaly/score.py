"""Judging one view: how unlike the good parts an image is, and where."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import Backbone, load_backbone
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import ImageError, ModelError, ScoreError
from inspection_cell.anomaly.heat import heat_map, raw_score
from inspection_cell.anomaly.otsu import find_crop
from inspection_cell.anomaly.package import CARD_NAME, ModelCard, Package, load_package
from inspection_cell.anomaly.padim import distance_map
from inspection_cell.anomaly.preprocess import Box, Mapping, make_mapping

BACKBONE_FOLDER = "backbone"
"""Beside the packages of a fit lies the backbone that they need."""


@dataclass(frozen=True)
class AnomalyScore:
    """What was found in one view.

    Attributes:
        score: normalised, to compare with the limits of the part.
        raw: the heat map's maximum, a Mahalanobis distance.
        heat_map: (size, size) float32, distances in the square that the backbone saw.
        allowed: (size, size) true where it counts.
        mapping: between that square and the original image.
        seconds: wall time from image to score.
    """

    score: float
    raw: float
    heat_map: NDArray[np.float32]
    allowed: NDArray[np.bool_]
    mapping: Mapping
    seconds: float


class AnomalyModel:
    """One viewpoint's model, ready to score."""

    def __init__(self, package: Package, backbone: Backbone) -> None:
        if backbone.card.sha256 != package.card.backbone_sha256:
            raise ModelError(
                f"model of view {package.card.view_id} was fitted on backbone {package.card.backbone}, "
                f"not on {backbone.card.name} (sha256 differs); load the one it was fitted on or fit again"
            )
        if backbone.config.precision != package.card.precision:
            raise ModelError(
                f"model of view {package.card.view_id} was fitted on {package.card.precision} features, the "
                f"configuration asks for {backbone.config.precision}: set inference.precision or fit again"
            )
        self._package = package
        self._backbone = backbone
        backbone.load(package.channels)

    @property
    def card(self) -> ModelCard:
        """The package's card, with the limits."""
        return self._package.card

    @property
    def sha256(self) -> str:
        """The package's hash, which a recipe names."""
        return self._package.sha256

    @property
    def provider(self) -> str:
        """The execution provider that the backbone's session really has."""
        return self._backbone.provider

    def score(
        self, image: NDArray[np.generic], crop: Box | None = None, exclude: NDArray[np.bool_] | None = None
    ) -> AnomalyScore:
        """Judges an image.

        Args:
            image: (h, w) or (h, w, 3) RGB uint8, as the camera gave it.
            crop: x, y, width, height of the part in it; None takes the one the model was fitted with.
            exclude: (h, w) true where the image does not count (the gripper); None takes the mask that the model was
                fitted with, where it has one.

        Raises:
            ImageError: an image, crop or mask that cannot be used.
            ScoreError: the score is not a finite number.
            ModelError: the backbone gives features that are not finite.
        """
        start = time.perf_counter()
        height, width = image.shape[:2]
        mapping = make_mapping(width, height, self.card.size, crop or find_crop(self.card.crop, image))
        features = self._backbone.features(image, mapping, self._package.channels)
        heat = heat_map(distance_map(self._package.gaussians, features), self.card.size)
        ignored = exclude if exclude is not None else self._package.ignored
        allowed = allowed_pixels(mapping, ignored, (height, width))
        raw = raw_score(heat, allowed)
        score = self.card.normaliser(raw)
        if not np.isfinite(score):
            raise ScoreError(f"view {self.card.view_id}: the normalised score is not finite")
        seconds = time.perf_counter() - start
        return AnomalyScore(score, raw, heat, allowed, mapping, seconds)


def allowed_pixels(mapping: Mapping, exclude: NDArray[np.bool_] | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(size, size) true where the heat map counts: inside the image and not excluded.

    Raises:
        ImageError: the mask is not of the image's size.
    """
    inside = mapping.inside()
    if exclude is None:
        return inside
    if exclude.shape != shape:
        raise ImageError(f"exclusion mask of shape {exclude.shape} for an image of {shape}")
    return inside & ~mapping.mask_to_model(exclude)


def load_model(
    folder: Path, backbone: Backbone | None = None, expected_hash: str | None = None, engine: EngineConfig = CPU
) -> AnomalyModel:
    """Loads a viewpoint's model; without a backbone, the one that lies beside its folder.

    Raises:
        ModelError: package or backbone missing, damaged, foreign, or not the expected one.
    """
    package = load_package(folder, expected_hash)
    return AnomalyModel(package, backbone or load_backbone(folder.parent / BACKBONE_FOLDER, engine))


def load_models(folder: Path, engine: EngineConfig = CPU) -> dict[str, AnomalyModel]:
    """All the viewpoint models of a fit, sharing one backbone, by view id.

    Raises:
        ModelError: as `load_model`, or there is none.
    """
    backbone = load_backbone(folder / BACKBONE_FOLDER, engine)
    packages = [p.parent for p in sorted(folder.glob(f"*/{CARD_NAME}")) if p.parent.name != BACKBONE_FOLDER]
    if not packages:
        raise ModelError(f"{folder}: no model packages in it; fit them with `fit-anomaly`")
    models = [load_model(package, backbone) for package in packages]
    return {model.card.view_id: model for model in models}
