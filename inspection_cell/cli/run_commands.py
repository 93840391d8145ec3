"""`up` (the whole cell without launch), `simulate` (its surroundings), `present` (a part), `schema` (for editors)."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import Recipe

DEFECTS = (
    "scratch",
    "crack",
    "dots",
    "missing_geometry",
    "deformation",
    "missing_component",
    "wrong_component",
    "wrong_weight",
)


def default_config() -> Path:
    """The demo cell."""
    return share_folder() / "config" / "demo_cell.yaml"


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module."""
    up = commands.add_parser("up", help="start the cell, without launch; Ctrl-C stops it")
    up.add_argument("--config", type=Path, help="the cell's configuration (default: the demo cell)")
    up.add_argument("--data", type=Path, help="folder of records, images and models (default: as configured)")
    up.add_argument("--separate", action="store_true", help="one process a node, instead of as configured")
    up.set_defaults(run=_up)
    simulate = commands.add_parser("simulate", help="the simulated surroundings of a cell (launch starts it)")
    simulate.add_argument("--config", type=Path, required=True)
    simulate.add_argument("--data", type=Path)
    simulate.set_defaults(run=_simulate)
    present = commands.add_parser("present", help="put a part on the infeed of a running simulated cell")
    present.add_argument("serial")
    present.add_argument("--data", type=Path, required=True, help="the running cell's data folder")
    present.add_argument("--seed", type=int, default=1, help="decides how the part differs from others")
    present.add_argument("--defect", action="append", default=[], choices=DEFECTS, help="what is wrong with it")
    present.set_defaults(run=_present)
    schema = commands.add_parser("schema", help="write the JSON Schema of recipe and cell configuration")
    schema.add_argument("--out", type=Path, default=Path("config/schema"))
    schema.set_defaults(run=_schema)


def _up(given: argparse.Namespace) -> int:
    from inspection_cell.cli.supervisor import Supervisor

    path = (given.config or default_config()).resolve()
    config = load_cell_config(path)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    data = (given.data or config.data_folder).expanduser().resolve()
    with Supervisor(config, path, data, separate=given.separate) as supervisor:
        print(f"cell {config.name} in namespace {config.namespace}, data in {data}; Ctrl-C stops it", flush=True)
        while not stop.wait(0.5):
            supervisor.watch()
        print("stopping", flush=True)
    return 0


def _simulate(given: argparse.Namespace) -> int:
    from inspection_cell.simulation.serve import serve_cell

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    config = load_cell_config(given.config)
    serve_cell(config, given.config, (given.data or config.data_folder).expanduser(), stop)
    return 0


def _present(given: argparse.Namespace) -> int:
    from inspection_cell.simulation.client import WorldClient
    from inspection_cell.simulation.link import socket_path
    from inspection_cell.simulation.truth import make_part

    part = make_part(given.serial, given.seed, given.defect)
    world = WorldClient(socket_path(given.data), connect_timeout_s=3.0)
    world.present_part(part)
    world.close()
    said = ", ".join(f"{d.kind.value} {d.place}".strip() for d in part.defects) or "good"
    print(f"part {part.serial} lies at the infeed: {said}, {part.mass_kg * 1000:.2f} g")
    return 0


def _schema(given: argparse.Namespace) -> int:
    given.out.mkdir(parents=True, exist_ok=True)
    for name, model in (("recipe", Recipe), ("cell", CellConfig)):
        file = given.out / f"{name}.schema.json"
        file.write_text(json.dumps(model.model_json_schema(), indent=2) + "\n", encoding="utf-8")
        print(file)
    return 0
