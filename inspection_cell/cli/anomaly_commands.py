"""`inspection-cell fit-anomaly`, `inspect-folder`, `evaluate-anomaly`: models from good images, and what they say."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, load_backbone, with_measured_scales
from inspection_cell.anomaly.backbone_card import describe_backbone, write_card
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.anomaly.errors import AnomalyError, FitError
from inspection_cell.anomaly.evaluate import evaluate, read_mask, training_images
from inspection_cell.anomaly.fit import FitResult, FitSettings, fit_views, update_views
from inspection_cell.anomaly.heat import cluster_pixels
from inspection_cell.anomaly.inspect_folder import FolderResult, inspect_folder
from inspection_cell.anomaly.quantise import CORRELATION, quantise_backbone
from inspection_cell.anomaly.score import load_model
from inspection_cell.recipe.folder_recipe import FolderRecipe, load_folder_recipe, write_folder_recipe
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.recipe.paths import share_folder

DEFAULT_BACKBONE = share_folder() / "models" / "backbone"
VIEW_ID = "view"


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module; `run(namespace)` gives the exit code."""
    fit = subparsers.add_parser("fit-anomaly", help="fit an anomaly model from images of good parts")
    fit.add_argument("folder", type=Path, help="a folder of good images, or a data set with train/good")
    fit.add_argument("--backbone", type=Path, default=DEFAULT_BACKBONE, help="folder with card, or an ONNX file")
    fit.add_argument("--size", type=int, default=256, help="side of the square the network sees, pixels")
    fit.add_argument("--out", type=Path, help="where the model goes (default: FOLDER's name under ./models-fitted)")
    fit.add_argument("--alpha", type=float, default=0.02, help="share of good parts that may be held back")
    fit.add_argument(
        "--tolerance", type=int, default=1, help="how far parts lie apart, in steps of 16 pixels of the square"
    )
    fit.add_argument("--crop", choices=("none", "otsu"), default="none", help="otsu: to the part, by its brightness")
    fit.add_argument("--ignore", type=Path, metavar="MASK", help="a picture, white where nothing is judged: a gripper")
    fit.add_argument("--storage", choices=("float32", "float16"), default="float32", help="float16: half the space")
    fit.add_argument("--work", type=Path, help="keeps what was computed: a fit that was cut off goes on from there")
    fit.add_argument("--update", type=Path, metavar="MODELS", help="learn on from these: FOLDER's images are new ones")
    _add_engine(fit)
    fit.set_defaults(run=fit_anomaly)
    _add_describe(subparsers)
    _add_quantise(subparsers)
    inspect = subparsers.add_parser("inspect-folder", help="judge a folder of images with a fitted model")
    add_inspect_arguments(inspect)
    inspect.set_defaults(run=inspect_folder_command)
    _add_evaluate(subparsers)


def _add_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("evaluate-anomaly", help="report how well a fitted model tells good from defective")
    parser.add_argument("recipe", type=Path, help="the recipe.yaml that fit-anomaly wrote, or its folder")
    parser.add_argument("folder", type=Path, help="a data set with test/good, test/<kind> and ground_truth/<kind>")
    parser.add_argument("--out", type=Path, help="folder for the report (default: report beside RECIPE)")
    parser.add_argument(
        "--mm-per-pixel", type=_millimetres, help="of the heat map, not of the image; adds the cluster's score"
    )
    parser.add_argument(
        "--smallest-defect-mm", type=_millimetres, default=0.5, help="for the cluster's size (default: %(default)s)"
    )
    _add_engine(parser)
    parser.set_defaults(run=evaluate_anomaly)


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: needs a number of millimetres above 0")
    return value


def _add_engine(parser: argparse.ArgumentParser) -> None:
    for name, text in (("provider", "what runs the network"), ("precision", "bfloat16 needs openvino")):
        field = EngineConfig.model_fields[name]
        parser.add_argument(f"--{name}", choices=get_args(field.annotation), default=field.default, help=text)
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="1 to 64")


def _engine(arguments: argparse.Namespace) -> EngineConfig:
    return EngineConfig(provider=arguments.provider, precision=arguments.precision, threads=arguments.threads)


def _add_describe(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    describe = subparsers.add_parser("describe-backbone", help="write the card of an ONNX feature extractor")
    describe.add_argument("onnx", type=Path, help="the network; the card goes beside it")
    describe.add_argument("--outputs", nargs=3, metavar="TENSOR", help="tensors at strides 4, 8, 16 (default: found)")
    describe.add_argument("--provenance", default="unknown", help="where the weights come from, and their licence")
    describe.set_defaults(run=describe_command)


def _add_quantise(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    quantise = subparsers.add_parser("quantise-backbone", help="a faster backbone in 8 bit, if it judges alike")
    quantise.add_argument("folder", type=Path, help="images of good parts, or a data set with train/good and test")
    quantise.add_argument("--backbone", type=Path, default=DEFAULT_BACKBONE, help="folder with card, or an ONNX file")
    quantise.add_argument("--size", type=int, default=256, help="side of the square the network sees, pixels")
    quantise.add_argument("--out", type=Path, required=True, help="folder for the backbone; name it with --backbone")
    quantise.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="1 to 64")
    quantise.set_defaults(run=quantise_command)


def quantise_command(arguments: argparse.Namespace) -> int:
    """Writes the backbone and says how alike it judges; 1 where it does not pass, 2 where the input is wrong."""
    settings = FitSettings(size=arguments.size, n=1, threads=arguments.threads)
    try:
        backbone = load_backbone(arguments.backbone, EngineConfig(threads=arguments.threads))
        gate = quantise_backbone(backbone, arguments.folder, arguments.out, settings, show_progress)
    except AnomalyError as error:
        print(f"quantise-backbone: {error}", file=sys.stderr)
        return 2
    found = f"rank correlation of {gate.images} scores {gate.correlation:.4f}, at least {CORRELATION} is needed"
    if not gate.passed:
        print(f"not written: in 8 bit this backbone judges differently: {found}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {found}; next: inspection-cell fit-anomaly FOLDER --backbone {arguments.out}")
    return 0


def describe_command(arguments: argparse.Namespace) -> int:
    """Writes `<name>.card.json`, or card.json beside backbone.onnx; 2 where the input is wrong."""
    file: Path = arguments.onnx
    try:
        card = describe_backbone(file, tuple(arguments.outputs) if arguments.outputs else None, arguments.provenance)
        card = with_measured_scales(load_backbone(file, card=card))
    except (AnomalyError, OSError) as error:
        print(f"describe-backbone: {error}", file=sys.stderr)
        return 2
    target = file.parent / CARD_NAME if file.name == ONNX_NAME else file.with_suffix(".card.json")
    write_card(card, target)
    print(f"{target}: outputs {', '.join(output.name for output in card.outputs)}")
    return 0


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `inspect-folder`."""
    parser.add_argument("recipe", type=Path, help="the recipe.yaml that fit-anomaly wrote, or its folder")
    parser.add_argument("folder", type=Path, help="a folder of images, or a data set with test/<kind>")
    parser.add_argument("--sheet", type=Path, help="PNG of the worst images (default: worst.png beside RECIPE)")
    _add_engine(parser)


def fit_anomaly(arguments: argparse.Namespace) -> int:
    """Fits one model and prints its limits; 2 where the input is wrong."""
    out = arguments.out or Path("models-fitted") / arguments.folder.resolve().name
    try:
        images, engine = {VIEW_ID: training_images(arguments.folder)}, _engine(arguments)
        if arguments.update is not None:
            if arguments.ignore:
                raise FitError("--ignore with --update: models go on with the mask they were fitted with; leave it out")
            result = update_views(images, arguments.update, out, engine, show_progress)
        else:
            settings = FitSettings(
                size=arguments.size,
                alpha=arguments.alpha,
                tolerance=arguments.tolerance,
                n=1,
                storage=arguments.storage,
                threads=arguments.threads,
            )
            crops = {VIEW_ID: arguments.crop} if arguments.crop != "none" else {}
            ignored = {VIEW_ID: read_mask(arguments.ignore)} if arguments.ignore else {}
            backbone = load_backbone(arguments.backbone, engine)
            result = fit_views(images, backbone, out, settings, crops, show_progress, arguments.work, ignored)
        print(f"network on {result.provider}")
    except AnomalyError as error:
        print(f"fit-anomaly: {error}", file=sys.stderr)
        return 2
    _print_fit(result, out)
    return 0


def inspect_folder_command(arguments: argparse.Namespace) -> int:
    """Judges a folder with a one-view model; 2 where the input is wrong."""
    recipe_folder: Path = arguments.recipe if arguments.recipe.is_dir() else arguments.recipe.parent
    sheet = arguments.sheet or recipe_folder / "worst.png"
    try:
        recipe = load_folder_recipe(arguments.recipe)
        model = load_model(recipe_folder / recipe.model, None, recipe.model_hash, _engine(arguments))
        result = inspect_folder(model, arguments.folder, sheet, progress=show_progress)
    except (AnomalyError, ConfigError) as error:
        print(f"inspect-folder: {error}", file=sys.stderr)
        return 2
    print_folder(result, recipe)
    print(f"worst images: {sheet}")
    return 0


def evaluate_anomaly(arguments: argparse.Namespace) -> int:
    """Prints a one-view model's figures on a data set and writes the report; 2 where the input is wrong."""
    from inspection_cell.anomaly.report import Subject, table, write_report  # only this command needs matplotlib

    recipe_folder: Path = arguments.recipe if arguments.recipe.is_dir() else arguments.recipe.parent
    mm = arguments.mm_per_pixel
    cluster = None if mm is None else cluster_pixels(arguments.smallest_defect_mm, mm)
    try:
        recipe = load_folder_recipe(arguments.recipe)
        model = load_model(recipe_folder / recipe.model, None, recipe.model_hash, _engine(arguments))
        evaluation = evaluate(model, arguments.folder, cluster, show_progress)
        limits = replace(model.card.limits, uncertain=recipe.limit_uncertain, defect=recipe.limit_defect)
        subject = Subject(evaluation, model, limits, arguments.folder)
        page = write_report(subject, arguments.out or recipe_folder / "report")
    except (AnomalyError, ConfigError) as error:
        print(f"evaluate-anomaly: {error}", file=sys.stderr)
        return 2
    rows = table(subject)
    shown = Table(*rows[0], show_lines=True)
    for row in rows[1:]:
        shown.add_row(*row)
    console = Console(highlight=False)
    console.print(shown)
    console.print(f"report: {page}", markup=False, soft_wrap=True)
    return 0


def show_progress(done: int, total: int, text: str) -> None:
    """One line that fills up, on a terminal only."""
    if not sys.stderr.isatty():
        return
    filled = 30 * done // total
    end = "\n" if done == total else ""
    print(
        f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {text[:40]:<40}", end=end, file=sys.stderr, flush=True
    )


def print_folder(result: FolderResult, recipe: FolderRecipe) -> None:
    """A table of the images' scores and, where there are labels, how well they tell good from defective."""
    print(f"{'image':<40} {'truth':<16} {'score':>8}  judged")
    for image, score in zip(result.images, result.scores, strict=True):
        print(f"{image.path.name:<40} {image.kind or '-':<16} {score:8.2f}  {_judged(float(score), recipe)}")
    print(
        f"limits: uncertain {recipe.limit_uncertain:.2f}, defect {recipe.limit_defect:.2f}; "
        f"{1e3 * result.seconds:.0f} ms an image"
    )
    if not np.isnan(result.image_auroc):
        print(f"image AUROC {result.image_auroc:.3f}")
    if not np.isnan(result.pixel_auroc):
        print(f"pixel AUROC {result.pixel_auroc:.3f}, hottest spot on the defect in {100 * result.on_defect:.0f} %")


def _judged(score: float, recipe: FolderRecipe) -> str:
    if score > recipe.limit_defect:
        return "defect"
    return "uncertain" if score > recipe.limit_uncertain else "good"


def _print_fit(result: FitResult, out: Path) -> None:
    limits = result.limits
    low, high = limits.rate_interval
    print(f"{limits.parts} good images; model in {out}")
    print(
        f"uncertain above {limits.uncertain:.2f}: holds back {100 * limits.alpha_reached:.1f} % of good parts "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )
    print(f"defect above {limits.defect:.2f}: extrapolated from the good parts' tail, not observed")
    for warning in result.warnings:
        print(f"note: {warning}")
    recipe = FolderRecipe(
        format=1,
        model=VIEW_ID,
        model_hash=result.hashes[VIEW_ID],
        limit_uncertain=limits.uncertain,
        limit_defect=limits.defect,
    )
    print(f"recipe: {write_folder_recipe(recipe, out)}; next: inspection-cell inspect-folder {out} FOLDER")
