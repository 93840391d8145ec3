"""From a CAD file to a presence model: renders, trains, calibrates on unseen renderings, exports, reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, load_assembly
from inspection_cell.common.rates import Share
from inspection_cell.core.joined import joined_score
from inspection_cell.presence.calibration import probabilities
from inspection_cell.presence.classify import CLASSES
from inspection_cell.presence.evaluation import evaluate
from inspection_cell.presence.manifest import load_manifest
from inspection_cell.presence.package import MODEL_FILE, PresenceCard, package_hash, write_card
from inspection_cell.presence.report import write_report
from inspection_cell.training.presence_data import LEVELS, Samples, chosen
from inspection_cell.training.presence_fit import (
    Calibration,
    FitSettings,
    calibrate,
    fit,
    logits,
    measured_views,
    tune,
    views_of_parts,
)
from inspection_cell.training.presence_int8 import MOST_CHANGED, answers, write_int8
from inspection_cell.training.presence_network import export
from inspection_cell.training.presence_photos import photo_samples
from inspection_cell.training.presence_render import RenderJob, gathered, render_shards
from inspection_cell.training.presence_scenes import LEAST_AREA_PX, LEAST_VISIBLE, PRESENT, SceneSettings

LARGEST_MARGIN_PX = 6.0
TRAIN_SEED, HELD_OUT_SEED = 1, 2
VIEWS = 4
"""Of each held-out part."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class TrainingSettings:
    """What is trained on what, and for how long.

    Attributes:
        cad: the file. unit: of a mesh, None for metres and STEP. names: of the components to be judged.
        samples, held_out: how many are rendered to train on, and to calibrate and measure on. epochs: over the samples.
        processes: that render, and threads that train.
        photos: manifest of photographs to learn from too, as `evaluate-presence` takes it; None for renderings alone.
        int8: whether the model is published in 8 bit, if it passes its gate.
    """

    cad: Path
    unit: str | None
    names: tuple[str, ...]
    samples: int
    held_out: int
    epochs: int
    processes: int
    photos: Path | None = None
    int8: bool = False


@dataclass(frozen=True)
class Trained:
    """What came out.

    Attributes:
        model_hash: for the recipe. report: the page to look at.
        changed: held-out components that the network in 8 bit judges otherwise; None where none was asked for.
    """

    model_hash: str
    calibration: Calibration
    report: Path
    changed: Share | None = None


def train_presence(settings: TrainingSettings, out: Path, work: Path, progress: Progress) -> Trained:
    """Writes model.onnx, card.json and the report into `out`.

    Args:
        work: keeps samples and what was learned: a training that was cut off goes on from there. The caller removes it.

    Raises:
        CadError, ValueError: the file, the components, the photographs or the work folder cannot be used.
    """
    assembly = load_assembly(settings.cad, settings.unit)
    photos = _photos(settings, assembly)
    samples = _rendered(settings, settings.samples, 1, TRAIN_SEED, work / "train", "rendering", progress)
    unseen = _rendered(
        settings, settings.held_out, VIEWS, HELD_OUT_SEED, work / "held_out", "rendering to measure on", progress
    )
    how = FitSettings(settings.epochs, settings.processes)
    network = fit(
        samples,
        how,
        work / f"epochs{settings.epochs}.pt",
        lambda done, of, loss: progress(f"training, loss {loss:.2f}", done, of),
    )
    if photos is not None:
        told = f"{len(photos.labels)} photographs"
        tune(network, samples, photos, how, lambda done, of, loss: progress(f"{told}, loss {loss:.2f}", done, of))
    raw = logits(network, unseen)
    calibration = calibrate(raw, unseen)
    out.mkdir(parents=True, exist_ok=True)
    export(network, calibration.temperature, out / MODEL_FILE)
    changed = _in_int8(samples, unseen, calibration, out / MODEL_FILE) if settings.int8 else None
    _publish(calibration, assembly, settings, out)
    report = _report(raw, unseen, calibration, out)
    return Trained(package_hash(out), calibration, report, changed)


def _photos(settings: TrainingSettings, assembly: Assembly) -> Samples | None:
    if settings.photos is None:
        return None
    return photo_samples(load_manifest(settings.photos), settings.photos.parent, assembly, settings.names)


def _rendered(
    settings: TrainingSettings, count: int, views: int, seed: int, folder: Path, text: str, progress: Progress
) -> Samples:
    job = RenderJob(settings.cad, settings.unit, settings.names, SceneSettings(), seed, views)
    return gathered(render_shards(job, count, folder, settings.processes, lambda done: progress(text, done, count)))


def _in_int8(samples: Samples, unseen: Samples, calibration: Calibration, model: Path) -> Share:
    """Replaces the model by one in 8 bit where that judges alike; how many components it judges otherwise."""
    quantised = model.with_suffix(".int8.onnx")
    write_int8(model, samples, quantised)
    own, limits = chosen(unseen, measured_views(unseen)), [calibration.limit_uncertain, calibration.limit_defect]
    outcomes = []
    for file in (model, quantised):
        views, _ = views_of_parts(1 - answers(file, own)[:, PRESENT], own, np.ones(len(own.labels), bool))
        outcomes.append(np.digitize([joined_score(scores, calibration.correlation) for scores in views], limits))
    changed = Share(int(np.count_nonzero(outcomes[0] != outcomes[1])), len(outcomes[0]))
    if changed.value <= MOST_CHANGED:
        quantised.replace(model)
    else:
        quantised.unlink()
    return changed


def _publish(calibration: Calibration, assembly: Assembly, settings: TrainingSettings, folder: Path) -> None:
    """Writes the card of the model that is there."""
    card = PresenceCard(
        part=folder.name,
        cad_sha256=assembly.sha256,
        components=settings.names,
        correlation=calibration.correlation,
        limit_uncertain=calibration.limit_uncertain,
        limit_defect=calibration.limit_defect,
        limit_missing=calibration.limit_missing,
        least_visible=LEAST_VISIBLE,
        least_area_px=LEAST_AREA_PX,
        largest_margin_px=LARGEST_MARGIN_PX,
        model_sha256=hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        held_out={key: round(value, 5) for key, value in calibration.held_out.items()},
    )
    write_card(card, folder)


def _report(raw: NDArray[np.float64], unseen: Samples, calibration: Calibration, folder: Path) -> Path:
    """On the held-out samples by which nothing was set; `raw` (n, 3) logits of all of them."""
    own = measured_views(unseen)
    p = probabilities(raw[own], calibration.temperature)
    crops = unseen.inputs[own, 0].astype(np.float32)
    pictures = list(((crops / LEVELS + 1) * 127.5).astype(np.uint8))
    return write_report(evaluate(unseen.labels[own], p, CLASSES), folder / "report", folder.name, pictures)
