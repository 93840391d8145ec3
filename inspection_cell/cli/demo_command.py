"""`demo`: a cell that inspects parts, from nothing to verdicts; `commission`: fits a simulated cell's models."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from inspection_cell.cli.commissioning import commission_recorded, commission_simulated, is_commissioned, progress_bar
from inspection_cell.cli.contact_sheet import write_contact_sheet
from inspection_cell.cli.run_commands import default_config
from inspection_cell.cli.simulated_line import (
    DEFECTS,
    RESOLUTIONS,
    Inspected,
    SimulatedLine,
    derive_config,
    mixed_parts,
)
from inspection_cell.core.verdict import Verdict
from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.paths import find_recipe_file
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.records.store import RecordStore
from inspection_cell.simulation.truth import DefectKind

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNCERTAIN: "yellow", Verdict.ERROR: "magenta"}
TEACH_SPEED = 100.0


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module."""
    for name, text, run in (
        ("demo", "a simulated cell inspects parts; the first run commissions it", _demo),
        ("commission", "show a simulated cell good parts and fit its models", _commission),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=Path, help="cell configuration (default: the demo cell)")
        command.add_argument("--data", type=Path, help="folder of records and models (default: data/demo)")
        command.add_argument("--recipe", default="ring_housing")
        command.add_argument("--resolution", choices=["2mp", *RESOLUTIONS], default="2mp", help="of the camera")
        command.add_argument("--good-parts", type=int, default=50, help="shown when commissioning")
        command.add_argument("--verbose", action="store_true", help="print the nodes' logs")
        command.add_argument("--seed", type=int, default=1, help="decides the parts")
        command.set_defaults(run=run)
        if name == "commission":
            text = "fit to the good parts that the cell inspected in teach mode, instead of showing simulated ones"
            command.add_argument("--from-records", action="store_true", help=text)
        if name == "demo":
            command.add_argument("--speed", type=float, default=20.0, help="of the arm; 1 is real time")
            command.add_argument("--good", type=int, default=8, help="good parts")
            command.add_argument("--defective", type=int, default=4, help="defective parts, each of another kind")


def _configs(given: argparse.Namespace, speed: float) -> tuple[Path, Path]:
    if given.data is None:  # other images need other models
        given.data = Path("data/demo" if given.resolution == "2mp" else f"data/demo-{given.resolution}")
    source = (given.config or default_config()).resolve()
    resolution = None if given.resolution == "2mp" else given.resolution
    teach = derive_config(source, given.data / "cell_teach.yaml", "teach", TEACH_SPEED, resolution)
    run = derive_config(source, given.data / "cell.yaml", "simulation", speed, resolution)
    return teach, run


def _commission(given: argparse.Namespace) -> int:
    if given.from_records:
        config = (given.config or default_config()).resolve()
        data = given.data or load_cell_config(config).data_folder
        _say_fit(Console(), commission_recorded(given.recipe, config, data))
        return 0
    teach, _ = _configs(given, TEACH_SPEED)
    done = commission_simulated(
        given.recipe, teach, given.data, given.good_parts, 7 + given.seed, quiet=not given.verbose
    )
    _say_fit(Console(), done)
    return 0


def _say_fit(console: Console, done) -> None:  # type: ignore[no-untyped-def]
    limits = done.fit.limits
    low, high = limits.rate_interval
    console.print(
        f"{len(done.fit.hashes)} viewpoint models from {limits.parts} good parts: a part is suspicious above "
        f"{limits.uncertain:.2f} (false rejects stated {limits.alpha_reached:.1%}, 95 % interval {low:.1%} to "
        f"{high:.1%}), defective above {limits.defect:.2f}; recipe in {done.path}"
    )
    for warning in done.fit.warnings:
        console.print(f"note: {warning}")
    for name, component in done.presence.items():
        if component.moved:
            console.print(
                f"note: {name}: good parts score up to {max(component.good):.3f} here, more than renderings do; its "
                f"limits are {component.uncertain:.3f} and {component.defect:.3f}"
            )
        if component.held_back:
            console.print(
                f"note: {name}: {component.held_back} of {len(component.good)} good parts do not pass by it even so; "
                "higher limits might accept missing components. Train the model with --photos of good parts"
            )


def _demo(given: argparse.Namespace) -> int:
    console = Console(width=None if sys.stdout.isatty() else 170)
    started = time.monotonic()
    teach, run = _configs(given, given.speed)
    if not is_commissioned(given.recipe, run, given.data):
        console.print("first run: the cell is commissioned on good parts")
        quiet = not given.verbose
        _say_fit(console, commission_simulated(given.recipe, teach, given.data, given.good_parts, 7, quiet))
    recipe = load_recipe(find_recipe_file(given.recipe, given.data, load_cell_config(run)))
    kinds = [kind for kind in DEFECTS if recipe.weight is not None or kind is not DefectKind.WRONG_WEIGHT]
    parts = mixed_parts(given.good, given.defective, given.seed, kinds)
    console.print(f"seed {given.seed}: {given.good} good and {given.defective} defective parts, arm {given.speed:g} x")
    inspected: list[Inspected] = []
    with progress_bar() as progress:
        bar = progress.add_task("starting the cell", total=len(parts))
        with SimulatedLine(run, given.data, given.recipe, quiet=not given.verbose) as line:
            line.select()
            for truth in parts:
                progress.update(bar, description=f"inspecting {truth.serial}")
                found = line.inspect(truth)
                if not inspected:
                    progress.console.print(f"first verdict {time.monotonic() - started:.0f} s after the start")
                inspected.append(found)
                colour = COLOURS[found.verdict.verdict]
                progress.console.print(f"{truth.serial}: [{colour}]{found.verdict.verdict.name}[/]")
                progress.advance(bar)
                if line.cell.state is not None and line.cell.state.reasons:
                    line.cell.reset()
    console.print(_table(inspected))
    store = RecordStore.in_folder(given.data)
    try:
        sheet = write_contact_sheet(store, inspected, given.data / f"contact_sheet_seed{given.seed}.png")
    finally:
        store.close()
    console.print(f"pictures: {sheet}")
    console.print(f"records: {given.data / 'records.sqlite'}; see: inspection-cell parts --data {given.data}")
    return _judge(console, inspected)


def _table(inspected: list[Inspected]) -> Table:
    table = Table(title="what the cell said")
    for name in ("serial", "truth", "verdict", "reasons", "weight g", "cycle s", "motion s", "capture s", "analysis s"):
        table.add_column(name, justify="right" if name.endswith((" s", " g")) else "left")
    table.add_column("record")
    for item in inspected:
        v, t = item.verdict, item.verdict.timings_s
        truth = ", ".join(d.kind.value for d in item.truth.defects) or "good"
        reasons = "; ".join(dict.fromkeys(f"{r.code.name} {r.subject}".strip() for r in v.reasons[:3]))
        table.add_row(
            v.serial,
            truth,
            f"[{COLOURS[v.verdict]}]{v.verdict.name}[/]",
            reasons,
            f"{v.mass_kg * 1000:.2f}",
            *(f"{t.get(name, 0.0):.1f}" for name in ("cycle", "motion", "capture", "analysis_wait")),
            v.inspection_id,
        )
    return table


def _judge(console: Console, inspected: list[Inspected]) -> int:
    passed = [i.truth.serial for i in inspected if not i.truth.good and i.verdict.verdict is Verdict.PASS]
    missed = [i.truth.serial for i in inspected if i.truth.good and i.verdict.verdict is Verdict.ERROR]
    rejected = [i.truth.serial for i in inspected if i.truth.good and i.verdict.verdict is not Verdict.PASS]
    if passed:
        console.print(f"[red]defective parts passed: {', '.join(passed)}[/]")
    if missed:
        console.print(f"[red]good parts were not inspected: {', '.join(missed)}[/]")
    good = sum(i.truth.good for i in inspected)
    console.print(f"{len(passed)} of {len(inspected) - good} defective parts passed")
    console.print(f"{good - len(rejected)} of {good} good parts passed")
    return 1 if passed or missed else 0
