"""Commissioning: from recorded good parts to fitted models, part limits and a recipe that names them by hash."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.fit import FitResult, FitSettings, GoodImage, Progress, fit_views
from inspection_cell.anomaly.station import Registrar, model_name
from inspection_cell.core.view import Alignment, View
from inspection_cell.motion.config import BoxConfig
from inspection_cell.presence.commission import ComponentLimits, commission_presence
from inspection_cell.presence.package import package_hash, read_card
from inspection_cell.recipe.loading import validate
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.records.record import InspectionRecord, view_image
from inspection_cell.records.store import RecordStore


@dataclass(frozen=True)
class Commissioned:
    """What commissioning gave: the recipe with models and limits, its file, the fit, and each component's limits."""

    recipe: Recipe
    path: Path
    fit: FitResult
    presence: dict[str, ComponentLimits]


def commission(
    recipe: Recipe,
    recipe_path: Path,
    store: RecordStore,
    inspection_ids: Sequence[str],
    data_folder: Path,
    tool_boxes: Sequence[BoxConfig] = (),
    engine: EngineConfig = CPU,
    progress: Progress | None = None,
) -> Commissioned:
    """Fits every inspection view of a recipe to recorded good parts and writes the finished recipe.

    Args:
        inspection_ids: of parts that are good, each with all its views and accepted alignments.
        tool_boxes: the gripper as boxes in the tool frame, as the cell's configuration has it.

    Raises:
        FitError: too few parts, or a part without a view or an alignment; it is named.
        ModelError, ConfigError: backbone or presence model missing.
    """
    if recipe.anomaly is None:
        raise FitError(f"{recipe_path}: has no anomaly section to commission")
    records = [store.get(inspection_id) for inspection_id in inspection_ids]
    folder = data_folder / "models" / recipe.name / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    registrar = Registrar(recipe, recipe_path, tool_boxes, data_folder / "cache")
    try:
        images = {
            model_name(view_id): [good_image(store, record, view_id, registrar) for record in records]
            for view_id in recipe.inspection_views
        }
        settings = FitSettings(
            size=recipe.anomaly.size,
            tolerance=0,  # the views are registered: each position has its own Gaussian, as the paper has it
            n=recipe.anomaly.views_to_fail,
            alpha=recipe.anomaly.false_reject_rate,
        )
        backbone = load_backbone(resolve(recipe.anomaly.backbone, recipe_path), engine)
        work = data_folder / "fitting" / recipe.name  # a commissioning that was cut off goes on from here
        fit = fit_views(images, backbone, folder, settings, progress=progress, work=work)
    finally:
        registrar.close()
    shutil.rmtree(work)
    presence = {}
    if recipe.presence is not None:
        cache = data_folder / "cache"
        presence = commission_presence(recipe, recipe_path, store, records, tool_boxes, cache, progress)
    finished = _finished(recipe, recipe_path, fit, presence, folder)
    path = data_folder / "recipes" / f"{recipe.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump(finished.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    draft.replace(path)
    return Commissioned(finished, path, fit, presence)


def good_image(store: RecordStore, record: InspectionRecord, view_id: str, registrar: Registrar) -> GoodImage:
    """A recorded view, registered when it is read. Raises FitError: not recorded, or no accepted alignment."""
    serial = record.summary.serial
    view = next((v for v in record.views if v.view_id == view_id), None)
    stored = view_image(record, view_id)
    if view is None or stored is None:
        raise FitError(f"part {serial} ({record.summary.inspection_id}): view {view_id} was not recorded")
    alignment = next((a for a in record.alignments if a.view_id == view_id and a.accepted), None)
    if alignment is None:
        raise FitError(f"part {serial} ({record.summary.inspection_id}): no accepted alignment of {view_id}")
    nominal = registrar.nominal(view_id, view.camera)
    read: Callable[[], NDArray[np.uint8]] = partial(
        _registered, store, registrar, view, alignment, stored.artifact, stored.artifact_sha256
    )
    return GoodImage(read, exclude=nominal.outside)


def _registered(
    store: RecordStore, registrar: Registrar, view: View, alignment: Alignment, artifact: str, sha256: str
) -> NDArray[np.uint8]:
    image, encoding = store.images.read_view(view.inspection_id, artifact, sha256)
    return registrar.register(view, image, encoding, alignment)[0]


def _finished(
    recipe: Recipe, recipe_path: Path, fit: FitResult, presence: Mapping[str, ComponentLimits], folder: Path
) -> Recipe:
    content = recipe.model_dump(mode="json")
    view_of = {model_name(view_id): view_id for view_id in recipe.inspection_views}
    limits = fit.limits
    content["anomaly"] |= {
        "folder": f"../models/{recipe.name}/{folder.name}",  # seen from the recipe: the data folder may be moved
        "models": {view_of[name]: sha256 for name, sha256 in fit.hashes.items()},
        "limits": {"uncertain": limits.uncertain, "defect": limits.defect, "critical": limits.critical},
    }
    if recipe.presence is not None:
        model = resolve(recipe.presence.model, recipe_path)
        card = read_card(model, None)
        content["presence"] |= {
            "model_hash": package_hash(model),
            "correlation": card.correlation,
            "limit_uncertain": card.limit_uncertain,
            "limit_defect": card.limit_defect,
        }
        for component in content["presence"]["components"]:
            limits_of = presence[component["name"]]
            if limits_of.moved:
                component["limits"] = {"uncertain": limits_of.uncertain, "defect": limits_of.defect}
    return validate(content, Recipe, str(recipe_path))
