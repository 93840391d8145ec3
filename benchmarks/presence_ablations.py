"""Claim: the ablations of the conformity check by augmented autoencoders, with a small encoder on path-traced pictures.

The paper (Tables 2 to 10) trains InceptionV3 on 15,000 to 110,000 renderings of three supports at 256 pixels and tests
on photographs. Here: the nine parts of the taskboard and a background, an encoder of 2.0 million weights at 128 pixels,
--count renderings, and the path-traced pictures as the test (path_traced.py), which are no photographs. There are no
ImageNet weights here, so the rows without an autoencoder begin with random weights; all are shown easy pictures first
(presence_curriculum.py). Every row learns from equally many batches. One seed a row: differences of a few hundredths
say nothing (the interval is the bootstrap's over the test pictures).

Rows, all with macro F1 over the test set:
- shading: Phong, Cook and Torrance, both together (twice as many pictures).
- amount: a quarter, half, all of the pictures.
- beginning: random, autoencoder on Phong without and with distractors, autoencoder on Cook and Torrance.
- frozen: with the autoencoder on Phong with distractors, so many blocks are trained.
- adaptive sampling: the row of Cook and Torrance goes on with newly drawn pictures; the training loss steers what is
  drawn, against even sampling.
- binary: one classifier a part, part against background, mean of their F1, against the multiclass one on these pairs.
- views: three pictures of a part combined, against each alone.
It takes about two hours on two cores; what was drawn and learned stays in --data.
Run: python benchmarks/presence_ablations.py --pictures FOLDER [--data FOLDER] [--count N] [--quick]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import finish, machine, parser, print_table
from numpy.typing import NDArray
from presence_curriculum import curriculum
from presence_sets import drawn, first, merged, of_classes, path_traced
from render_speed import TASKBOARD, subjects
from rich.progress import track

from inspection_cell.training.needs_torch import load_torch

load_torch()

import torch  # noqa: E402

from inspection_cell.presence.calibration import probabilities  # noqa: E402
from inspection_cell.presence.combine import ComponentViews, combine  # noqa: E402
from inspection_cell.presence.evaluation import evaluate  # noqa: E402
from inspection_cell.training.adaptive import AdaptiveSampler, AdaptiveSettings  # noqa: E402
from inspection_cell.training.classifier_fit import (  # noqa: E402
    AutoencoderSettings,
    ClassifierSettings,
    fit_autoencoder,
    fit_classifier,
    logits_of,
)
from inspection_cell.training.classifier_networks import Classifier, Decoder, Encoder, small_encoder  # noqa: E402
from inspection_cell.training.device import training_device  # noqa: E402
from inspection_cell.training.synth.appearance import AppearanceRanges, ShadingModel  # noqa: E402
from inspection_cell.training.synth.scene import SceneRanges  # noqa: E402
from inspection_cell.training.synth.stream import Batch, PictureSettings, Stream  # noqa: E402

SIZE, TARGET, BATCH = 128, 64, 32
STEPS, AUTOENCODER_STEPS, BINARY_STEPS, STREAMED_STEPS = 1900, 1000, 300, 200
"""Batches: of a classifier, of an autoencoder, of a classifier with two classes, of newly drawn pictures."""
RATE, LATER_RATE = 0.1, 0.02
"""Of gradient descent: from random weights, and where a trained classifier goes on."""
VIEWS = 3
Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Bench:
    """What all rows share."""

    settings: PictureSettings
    count: int
    data: Path
    test: tuple[Pictures, Labels]
    steps: int
    autoencoder_steps: int
    binary_steps: int
    streamed_steps: int

    def pictures(self, shading: ShadingModel, distractors: int = 4) -> Batch:
        """Drawn ones; each kind has a seed of its own."""
        ranges = replace(SceneRanges(), appearance=AppearanceRanges(shading=shading), distractors=distractors)
        seed = {"phong": 1, "cook_torrance": 2, "mixed": 3}[shading] + 10 * distractors
        settings = replace(self.settings, ranges=ranges, seed=seed)
        return drawn(settings, self.count, self.data, f"drawing {shading}, {distractors} distractors")

    def kept(self, what: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Weights that were learned once."""
        steps = (self.steps, self.autoencoder_steps, self.binary_steps, self.streamed_steps)
        told = json.dumps([what, repr(self.settings), self.count, steps]).encode()
        path = self.data / f"{hashlib.sha256(told).hexdigest()[:16]}.pt"
        if not path.is_file():
            torch.save(make(), path)
        weights: dict[str, torch.Tensor] = torch.load(path, map_location=training_device(), weights_only=True)
        return weights


def autoencoder(bench: Bench, shading: ShadingModel, distractors: int) -> dict[str, torch.Tensor]:
    """An encoder's weights."""

    def make() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        encoder, decoder = (n.to(training_device()) for n in (small_encoder(SIZE), Decoder(TARGET)))
        samples = bench.pictures(shading, distractors)
        count = bench.autoencoder_steps
        given = curriculum(samples, count, BATCH, 0)
        text = f"autoencoder, {shading}, {distractors} distractors"
        fit_autoencoder(encoder, decoder, track(given, text, count), count, AutoencoderSettings())
        return encoder.state_dict()

    return bench.kept(f"autoencoder {shading} {distractors}", make)


def learned(
    bench: Bench, name: str, samples: Batch, begin: dict[str, torch.Tensor] | None, trained_blocks: int | None = None
) -> Classifier:
    """A classifier trained on samples, from an autoencoder's encoder or from random weights."""
    classes = int(samples.labels.max()) + 1
    count = bench.steps if classes > 2 else bench.binary_steps

    def make() -> dict[str, torch.Tensor]:
        classifier = beginning(classes, begin)
        given = track(curriculum(samples, count, BATCH, 1), name, count)
        fit_classifier(classifier, given, count, ClassifierSettings(rate=RATE, trained_blocks=trained_blocks))
        return classifier.state_dict()

    classifier = beginning(classes, None)
    classifier.load_state_dict(bench.kept(name, make))
    return classifier


def beginning(classes: int, weights: dict[str, torch.Tensor] | None) -> Classifier:
    """An untrained classifier."""
    torch.manual_seed(0)
    encoder: Encoder = small_encoder(SIZE)
    if weights is not None:
        encoder.load_state_dict(weights)
    return Classifier(encoder, classes).to(training_device(), memory_format=torch.channels_last)


def streamed(bench: Bench, name: str, begin: dict[str, torch.Tensor], adaptive: bool) -> Classifier:
    """A trained classifier that goes on with pictures drawn while it does, each once."""

    def make() -> dict[str, torch.Tensor]:
        classifier = beginning(len(bench.settings.classes), None)
        classifier.load_state_dict(begin)
        sampler = AdaptiveSampler(AdaptiveSettings(), 0)
        ranges = replace(SceneRanges(), appearance=AppearanceRanges(shading="cook_torrance"))
        count = bench.streamed_steps
        with Stream(replace(bench.settings, ranges=ranges, seed=77, target_size=0)) as stream:
            given = stream.batches(count, BATCH, weights=sampler.weights) if adaptive else stream.batches(count, BATCH)
            told = sampler.tell if adaptive else (lambda batch, losses: None)
            fit_classifier(classifier, track(given, name, count), count, ClassifierSettings(rate=LATER_RATE), told)
        return classifier.state_dict()

    classifier = beginning(len(bench.settings.classes), None)
    classifier.load_state_dict(bench.kept(name, make))
    return classifier


def figures(classifier: Classifier, test: tuple[Pictures, Labels], names: tuple[str, ...]) -> list[str]:
    """Macro precision, recall, F1 and its interval."""
    found = evaluate(test[1], probabilities(logits_of(classifier, test[0]), 1.0), names)
    low, high = found.macro_f1_interval
    return [
        *(f"{v:.2f}" for v in (found.macro_precision, found.macro_recall, found.macro_f1)),
        f"{low:.2f} to {high:.2f}",
    ]


def binary_rows(bench: Bench, samples: Batch, begin: dict[str, torch.Tensor], multi: Classifier) -> list[list[str]]:
    """One classifier a part against the background, and the multiclass one asked the same."""
    background = len(bench.settings.subjects)
    alone, together = [], []
    for k, subject in enumerate(bench.settings.subjects):
        own = np.isin(bench.test[1], (k, background))
        pictures, truth = bench.test[0][own], (bench.test[1][own] == background).astype(np.int64)
        two = learned(bench, f"binary, {subject.component}", of_classes(samples, (k, background)), begin)
        names = (subject.component, "background")
        alone.append(evaluate(truth, probabilities(logits_of(two, pictures), 1.0), names).macro_f1)
        both = probabilities(logits_of(multi, pictures)[:, [k, background]], 1.0)
        together.append(evaluate(truth, both, names).macro_f1)
    rows = []
    for name, scores in (("binary classifiers", alone), ("multiclass, the same question", together)):
        rows.append([name, "", "", f"{np.mean(scores):.2f}", f"worst {np.min(scores):.2f}"])
    return rows


def view_rows(classifier: Classifier, test: tuple[Pictures, Labels], names: tuple[str, ...]) -> list[list[str]]:
    """Three pictures of the same part (each with light and surface of its own) joined to one answer."""
    order = np.argsort(test[1], kind="stable")
    groups = [g[: len(g) // VIEWS * VIEWS] for g in (order[test[1][order] == c] for c in range(len(names)))]
    chosen = np.concatenate(groups)
    p = probabilities(logits_of(classifier, test[0][chosen]), 1.0)
    component = np.repeat(np.arange(len(chosen) // VIEWS), VIEWS)
    views = ComponentViews(p, np.ones(len(p)), component)
    rows = []
    for name, labels, given in (
        ("frame by frame", test[1][chosen], p),
        (f"{VIEWS} views combined", test[1][chosen][::VIEWS], combine(views, 0.0)),
    ):
        found = evaluate(labels, given, names)
        low, high = found.macro_f1_interval
        rows.append([name, f"{found.macro_precision:.2f}", f"{found.macro_recall:.2f}", f"{found.macro_f1:.2f}"])
        rows[-1].append(f"{low:.2f} to {high:.2f}")
    return rows


def main() -> int:
    """Runs it; the exit code."""
    arguments = parser(__doc__, "few pictures and batches: only whether it runs")
    arguments.add_argument("--pictures", type=Path, required=True, help="the path-traced set")
    arguments.add_argument("--data", type=Path, default=Path("data/presence"), help="keeps what was drawn and learned")
    arguments.add_argument("--count", type=int, default=4000, help="renderings of each kind")
    arguments.add_argument("--taskboard", type=Path, default=TASKBOARD, help="folder with meshes/*.stl")
    given = arguments.parse_args()
    print(machine(), f"PyTorch {torch.__version__}")
    torch.set_num_threads(os.cpu_count() or 1)
    began = time.monotonic()
    settings = PictureSettings(subjects(given.taskboard), SIZE, TARGET)
    names = settings.classes
    test = path_traced(given.pictures, names[:-1], SIZE, VIEWS)
    count = 320 if given.quick else given.count
    steps = (10, 10, 10, 10) if given.quick else (STEPS, AUTOENCODER_STEPS, BINARY_STEPS, STREAMED_STEPS)
    bench = Bench(settings, count, given.data, test, *steps)
    phong, cook = bench.pictures("phong"), bench.pictures("cook_torrance")
    rows: list[list[str]] = []

    def add(name: str, classifier: Classifier) -> float:
        rows.append([name, *figures(classifier, test, names)])
        print(f"{name}: F1 {rows[-1][3]}", flush=True)
        return float(rows[-1][3])

    add("Phong", learned(bench, "shading: Phong", phong, None))
    plain = learned(bench, "shading: Cook and Torrance", cook, None)
    random = add("Cook and Torrance", plain)
    add("both", learned(bench, "shading: both", merged(phong, cook), None))
    for share in (4, 2):
        name = f"Cook and Torrance, 1/{share} of the pictures"
        add(name, learned(bench, name, first(cook, count // share), None))
    weights: dict[str, torch.Tensor] = {}
    for shading, distractors in (("phong", 0), ("cook_torrance", 4), ("phong", 4)):
        weights = autoencoder(bench, shading, distractors)  # type: ignore[arg-type]
        name = f"autoencoder on {shading}, {'with' if distractors else 'without'} distractors"
        multi = learned(bench, name, cook, weights)
        best = add(name, multi)
    for share in (4, 2):
        name = f"the last, 1/{share} of the pictures"
        add(name, learned(bench, name, first(cook, count // share), weights))
    for blocks, text in ((0, "all frozen"), (1, "last block trained"), (2, "last two blocks trained")):
        add(f"the last autoencoder, {text}", learned(bench, f"frozen {blocks}", cook, weights, blocks))
    for adaptive in (False, True):
        name = f"Cook and Torrance, going on with {'adaptive' if adaptive else 'even'} sampling"
        add(name, streamed(bench, name, plain.state_dict(), adaptive))
    rows += binary_rows(bench, cook, weights, multi)
    rows += view_rows(multi, test, names)
    title = f"{len(test[1])} path-traced pictures, {count} renderings, {steps[0]} batches of {BATCH}, {SIZE} px"
    print_table(title, ("row", "precision", "recall", "F1", "95 %"), rows)
    hours = (time.monotonic() - began) / 3600
    return finish(hours <= 2.0, f"F1 {best:.2f} with the autoencoder, {random:.2f} without; {hours:.1f} hours (goal 2)")


if __name__ == "__main__":
    sys.exit(main())
