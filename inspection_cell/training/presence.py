"""Trains the presence classifier of one part on renderings of its CAD model, calibrates it and exports it to ONNX.

Run as: python -m inspection_cell.training.presence render|train ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.training.presence_data import render_samples, save_samples
from inspection_cell.training.presence_scenes import SceneMaker, SceneSettings


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="render samples into a file")
    render.add_argument("--cad", type=Path, required=True)
    render.add_argument("--without", nargs="*", default=[], help="components that are not judged (the body)")
    render.add_argument("--count", type=int, required=True)
    render.add_argument("--seed", type=int, required=True)
    render.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    assembly = load_assembly(arguments.cad)
    names = [name for name in assembly.names if name not in arguments.without]
    maker = SceneMaker(assembly, names, SceneSettings(), arguments.seed)
    save_samples(render_samples(maker, arguments.count), arguments.out)


if __name__ == "__main__":
    main()
