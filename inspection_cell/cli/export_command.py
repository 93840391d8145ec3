"""`inspection-cell export-anomaly`: a fitted model as one ONNX graph for any runtime."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inspection_cell.anomaly.errors import AnomalyError
from inspection_cell.anomaly.export import export_model


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `export-anomaly`; `run(namespace)` gives the exit code."""
    export = subparsers.add_parser("export-anomaly", help="write a fitted model as one ONNX graph for any runtime")
    export.add_argument("model", type=Path, help="one viewpoint's model, e.g. my_model/view")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="where the graph goes")
    export.set_defaults(run=export_command)


def export_command(arguments: argparse.Namespace) -> int:
    """Writes the graph and says how well it agrees with the model; 2 where the input is wrong."""
    try:
        exported = export_model(arguments.model, arguments.out)
    except AnomalyError as error:
        print(f"export-anomaly: {error}", file=sys.stderr)
        return 2
    print(
        f"{arguments.out}: view {exported.view_id}, {exported.bytes / 1e6:.1f} MB; "
        f"on a picture of noise its heat map differs from the model's by {exported.difference:.1g} of the maximum"
    )
    print(f"input image (1, {exported.size}, {exported.size}, 3) float32; how to prepare it stands in its metadata")
    return 0
