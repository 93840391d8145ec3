"""Trains the presence classifier of one part on renderings of its CAD model, calibrates it and exports it to ONNX.

Run as: python -m inspection_cell.training.presence render|train ...
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from inspection_cell.cad.assembly import Assembly, load_assembly
from inspection_cell.presence.package import MODEL_FILE, PresenceCard, package_hash, write_card
from inspection_cell.training.presence_data import Samples, load_samples, render_samples, save_samples
from inspection_cell.training.presence_scenes import LEAST_AREA_PX, LEAST_VISIBLE, SceneMaker, SceneSettings

LARGEST_MARGIN_PX = 6.0


def render(assembly: Assembly, names: list[str], count: int, seed: int, out: Path) -> None:
    """Renders samples into a file; another seed gives other pictures and other wrong components."""
    save_samples(render_samples(SceneMaker(assembly, names, SceneSettings(), seed), count), out)


def train(assembly: Assembly, names: list[str], files: list[Path], held_out: Path, epochs: int, folder: Path) -> None:
    """Fits, calibrates and writes model.onnx and card.json."""
    from inspection_cell.training.presence_fit import calibrate, fit, logits
    from inspection_cell.training.presence_network import export

    parts = [load_samples(path) for path in files]
    samples = Samples(
        np.concatenate([p.inputs for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.components for p in parts]),
    )
    network = fit(samples, epochs, seed=1)
    unseen = load_samples(held_out)
    calibration = calibrate(logits(network, unseen), unseen.labels)
    folder.mkdir(parents=True, exist_ok=True)
    export(network, calibration.temperature, folder / MODEL_FILE)
    card = PresenceCard(
        part=folder.name,
        cad_sha256=assembly.sha256,
        components=tuple(names),
        limit_uncertain=round(calibration.limit_uncertain, 4),
        limit_defect=round(calibration.limit_defect, 4),
        least_visible=LEAST_VISIBLE,
        least_area_px=LEAST_AREA_PX,
        largest_margin_px=LARGEST_MARGIN_PX,
        model_sha256=hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        held_out={key: round(value, 5) for key, value in calibration.held_out.items()},
    )
    write_card(card, folder)
    print(f"temperature {calibration.temperature:.2f}, {card}\nhash {package_hash(folder)}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cad", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[], help="a component that is not judged (the body)")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("render", help="render samples into a file")
    one.add_argument("--count", type=int, required=True)
    one.add_argument("--seed", type=int, required=True)
    one.add_argument("--out", type=Path, required=True)
    two = commands.add_parser("train", help="train on rendered samples and write the model's folder")
    two.add_argument("--samples", type=Path, nargs="+", required=True)
    two.add_argument("--held-out", type=Path, required=True)
    two.add_argument("--epochs", type=int, default=12)
    two.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    assembly = load_assembly(arguments.cad)
    names = [name for name in assembly.names if name not in arguments.without]
    if arguments.command == "render":
        render(assembly, names, arguments.count, arguments.seed, arguments.out)
    else:
        train(assembly, names, arguments.samples, arguments.held_out, arguments.epochs, arguments.folder)


if __name__ == "__main__":
    main()
