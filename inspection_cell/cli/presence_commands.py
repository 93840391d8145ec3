"""`inspection-cell train-presence`, `synth`, `evaluate-presence`: presence models from CAD, and what they are worth."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import numpy as np

from inspection_cell.cad.alike import groups_of_alike
from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cli.commissioning import progress_bar
from inspection_cell.core.joined import is_held_back, joined_score
from inspection_cell.presence.classify import CLASSES, PresenceModel
from inspection_cell.training.needs_torch import load_torch
from inspection_cell.training.presence_scenes import judged_names
from inspection_cell.training.synth.appearance import AppearanceRanges, ShadingModel
from inspection_cell.training.synth.dataset import write_dataset
from inspection_cell.training.synth.scene import SceneRanges
from inspection_cell.training.synth.stream import PictureSettings, Subject

UNITS = ("m", "mm", "inch")
EXPLAINED = 6
"""Of the worst errors."""


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module; `run(namespace)` gives the exit code."""
    train = subparsers.add_parser("train-presence", help="train the presence check of a part from its CAD file alone")
    _add_cad(train)
    train.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the model goes")
    train.add_argument("--samples", type=int, default=18_000, help="renderings to train on")
    train.add_argument("--held-out", type=int, default=12_000, help="renderings to calibrate and measure on")
    train.add_argument("--epochs", type=int, default=18, help="how often each rendering is learned from")
    train.add_argument(
        "--photos", type=Path, metavar="MANIFEST", help="photographs to learn from too, as evaluate-presence takes them"
    )
    train.add_argument("--int8", action="store_true", help="a faster model in 8 bit, if it judges alike")
    train.add_argument("--work", type=Path, help="keeps what was made: a training that was cut off goes on from there")
    train.set_defaults(run=train_command)
    synth = subparsers.add_parser("synth", help="draw training pictures of a part's components, and of backgrounds")
    _add_cad(synth)
    synth.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the pictures go")
    synth.add_argument("--count", type=int, default=1000, help="pictures in all, of every class equally many")
    synth.add_argument("--size", type=int, default=256, help="pixels a side")
    synth.add_argument(
        "--target-size", type=int, default=0, help="side of a picture of the component alone (default: none)"
    )
    synth.add_argument("--shading", choices=get_args(ShadingModel), default="mixed", help="of the surfaces")
    synth.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="photographs (default: made by code)")
    synth.add_argument("--seed", type=int, default=0, help="the same seed gives the same pictures")
    synth.set_defaults(run=synth_command)
    check = subparsers.add_parser("evaluate-presence", help="how well a presence model does on pictures with a truth")
    check.add_argument("model", type=Path, help="the model's folder")
    check.add_argument("manifest", type=Path, help="the pictures: one JSON object a line, docs/presence.md says which")
    check.add_argument("--cad", type=Path, required=True, help="the part that the model was trained for")
    check.add_argument("--unit", choices=UNITS, help="of a mesh, which states none (default: m)")
    check.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the report goes")
    check.set_defaults(run=evaluate_command)


def _add_cad(command: argparse.ArgumentParser) -> None:
    command.add_argument("cad", type=Path, help="the part: .step, .stp, .stl, .ply, .obj or .glb")
    command.add_argument("--unit", choices=UNITS, help="of a mesh, which states none (default: m)")
    command.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="a component that is not judged, as the body"
    )
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many work side by side")


def train_command(arguments: argparse.Namespace) -> int:
    """Trains and says what came out."""
    load_torch()
    from inspection_cell.training.presence import VIEWS, TrainingSettings, train_presence
    from inspection_cell.training.presence_int8 import MOST_CHANGED

    names = judged_names(load_assembly(arguments.cad, arguments.unit), tuple(arguments.without))
    settings = TrainingSettings(
        arguments.cad,
        arguments.unit,
        names,
        arguments.samples,
        arguments.held_out,
        arguments.epochs,
        arguments.processes,
        arguments.photos,
        arguments.int8,
    )
    with ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="presence-")))
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("", total=None)

        def progress(text: str, done: int, of: int) -> None:
            bar.update(task, description=text, completed=min(done, of), total=of)

        trained = train_presence(settings, arguments.out, work, progress)
    told = trained.calibration.held_out
    print(f"{arguments.out}: judges {', '.join(names)}")
    print(
        f"of components in renderings that it has not seen, each judged by {VIEWS} views, "
        f"{told['missing_over_uncertain']:.1%} of the missing and {told['wrong_over_uncertain']:.1%} of the wrong ones "
        f"are over the limit, and {told['present_over_uncertain']:.1%} of the good ones"
    )
    if trained.changed is not None:
        passed = trained.changed.value <= MOST_CHANGED
        otherwise = f"{trained.changed.hits} of {trained.changed.of} components otherwise"
        print(f"in 8 bit: judges {otherwise}; {'published' if passed else 'not published'} (gate: {MOST_CHANGED:.1%})")
    print(f"look at {trained.report}; for the settings: model_hash: {trained.model_hash}")
    return 0


def synth_command(arguments: argparse.Namespace) -> int:
    """Draws the pictures and says where to look at them."""
    assembly = load_assembly(arguments.cad, arguments.unit)
    groups = groups_of_alike(assembly, judged_names(assembly, tuple(arguments.without)))
    for first, *others in groups:
        if others:
            print(f"{first} stands for {', '.join(others)}, which look the same")
    appearance = AppearanceRanges(shading=arguments.shading)
    settings = PictureSettings(
        subjects=tuple(Subject(arguments.cad, group[0], arguments.unit) for group in groups),
        size=arguments.size,
        target_size=arguments.target_size,
        ranges=SceneRanges(appearance=appearance, backgrounds=arguments.backgrounds),
        seed=arguments.seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=arguments.count)
        sheet = write_dataset(
            settings,
            arguments.count,
            arguments.out,
            arguments.processes,
            lambda done: bar.update(task, completed=min(done, arguments.count)),
        )
    print(f"{arguments.out}: {', '.join(settings.classes)}; look at {sheet}")
    return 0


def evaluate_command(arguments: argparse.Namespace) -> int:
    """Judges the pictures and writes the report."""
    from inspection_cell.presence.evaluation import evaluate
    from inspection_cell.presence.judge_manifest import LABELS, asked, explained, judge_manifest, views_of_parts
    from inspection_cell.presence.manifest import load_manifest
    from inspection_cell.presence.report import overall_table, worst_errors, write_report

    model = PresenceModel.load(arguments.model, None)
    pictures = [p for p in load_manifest(arguments.manifest) if p.component in model.card.components]
    if not pictures:
        known = ", ".join(model.card.components)
        raise ValueError(f"{arguments.manifest}: shows no component of {arguments.model}, which knows {known}")
    folder, card = arguments.manifest.parent, model.card
    with GeometryRenderer(load_assembly(arguments.cad, arguments.unit)) as renderer, progress_bar() as bar:
        task = bar.add_task("judging", total=len(pictures))
        judged = judge_manifest(model, renderer, pictures, folder, lambda done: bar.update(task, completed=done))
        labels, p, names = asked(judged)
        found = evaluate(labels, p, names)
        worst = [judged.pictures[number] for number in worst_errors(found)[:EXPLAINED]]
        why = [explained(model, renderer, picture, folder) for picture in worst]
    for text in judged.refused[:10]:
        print(f"not judged: {text}")
    print(f"{len(judged.labels)} of {len(pictures)} pictures were judged")
    for name, value in overall_table(found)[1:]:
        print(f"{name}: {value}".replace("\n", ", "))
    views, truth = views_of_parts(judged)
    limits = (card.correlation, card.limit_uncertain, card.limit_defect)
    over = np.array([is_held_back(scores, *limits) for scores in views])
    defect = np.array([joined_score(scores, card.correlation) > card.limit_defect for scores in views])
    for name in CLASSES:
        if (own := truth == LABELS[name]).any():
            print(
                f"{name}: {over[own].mean():.1%} of {own.sum()} components over the limit, "
                f"{defect[own].mean():.1%} a defect"
            )
    print(f"look at {write_report(found, arguments.out, arguments.model.name, judged.crops, why)}")
    return 0
