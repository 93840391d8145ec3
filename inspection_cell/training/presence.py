"""From a CAD file to a presence model: renders, trains, calibrates on unseen renderings, exports, reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, load_assembly
from inspection_cell.presence.calibration import probabilities
from inspection_cell.presence.classify import CLASSES
from inspection_cell.presence.evaluation import evaluate
from inspection_cell.presence.package import MODEL_FILE, PresenceCard, package_hash, write_card
from inspection_cell.presence.report import write_report
from inspection_cell.training.presence_data import LEVELS, Samples
from inspection_cell.training.presence_fit import MEASURED, Calibration, FitSettings, calibrate, fit, logits
from inspection_cell.training.presence_network import PresenceNetwork, export
from inspection_cell.training.presence_render import RenderJob, gathered, render_shards
from inspection_cell.training.presence_scenes import LEAST_AREA_PX, LEAST_VISIBLE, SceneSettings

LARGEST_MARGIN_PX = 6.0
TRAIN_SEED, HELD_OUT_SEED = 1, 2

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class TrainingSettings:
    """What is trained on what, and for how long.

    Attributes:
        cad: the file. unit: of a mesh, None for metres and STEP. names: of the components to be judged.
        samples, held_out: how many are rendered to train on, and to calibrate and measure on. epochs: over the samples.
        processes: that render, and threads that train.
    """

    cad: Path
    unit: str | None
    names: tuple[str, ...]
    samples: int
    held_out: int
    epochs: int
    processes: int


@dataclass(frozen=True)
class Trained:
    """What came out: the model's hash for the recipe, its calibration, and the page to look at."""

    model_hash: str
    calibration: Calibration
    report: Path


def train_presence(settings: TrainingSettings, out: Path, work: Path, progress: Progress) -> Trained:
    """Writes model.onnx, card.json and the report into `out`.

    Args:
        work: keeps samples and what was learned: a training that was cut off goes on from there. The caller removes it.

    Raises:
        CadError, ValueError: the file, the components or the work folder cannot be used.
    """
    assembly = load_assembly(settings.cad, settings.unit)
    samples = _rendered(settings, settings.samples, TRAIN_SEED, work / "train", "rendering", progress)
    unseen = _rendered(
        settings, settings.held_out, HELD_OUT_SEED, work / "held_out", "rendering to measure on", progress
    )
    network = fit(
        samples,
        FitSettings(settings.epochs, settings.processes),
        work / f"epochs{settings.epochs}.pt",
        lambda done, of, loss: progress(f"training, loss {loss:.2f}", done, of),
    )
    raw = logits(network, unseen)
    calibration = calibrate(raw, unseen.labels)
    out.mkdir(parents=True, exist_ok=True)
    _publish(network, calibration, assembly, settings, out)
    report = _report(raw, unseen, calibration, out)
    return Trained(package_hash(out), calibration, report)


def _rendered(
    settings: TrainingSettings, count: int, seed: int, folder: Path, text: str, progress: Progress
) -> Samples:
    job = RenderJob(settings.cad, settings.unit, settings.names, SceneSettings(), seed)
    return gathered(render_shards(job, count, folder, settings.processes, lambda done: progress(text, done, count)))


def _publish(
    network: PresenceNetwork, calibration: Calibration, assembly: Assembly, settings: TrainingSettings, folder: Path
) -> None:
    export(network, calibration.temperature, folder / MODEL_FILE)
    card = PresenceCard(
        part=folder.name,
        cad_sha256=assembly.sha256,
        components=settings.names,
        limit_uncertain=calibration.limit_uncertain,
        limit_defect=calibration.limit_defect,
        least_visible=LEAST_VISIBLE,
        least_area_px=LEAST_AREA_PX,
        largest_margin_px=LARGEST_MARGIN_PX,
        model_sha256=hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        held_out={key: round(value, 5) for key, value in calibration.held_out.items()},
    )
    write_card(card, folder)


def _report(raw: NDArray[np.float64], unseen: Samples, calibration: Calibration, folder: Path) -> Path:
    """On the held-out samples by which nothing was set; `raw` (n, 3) logits of all of them."""
    p = probabilities(raw[MEASURED], calibration.temperature)
    crops = unseen.inputs[MEASURED, 0].astype(np.float32)
    pictures = list(((crops / LEVELS + 1) * 127.5).astype(np.uint8))
    return write_report(evaluate(unseen.labels[MEASURED], p, CLASSES), folder / "report", folder.name, pictures)
