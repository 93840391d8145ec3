"""Commissions a simulated cell: shows it good parts, fits its models, keeps them in the data folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from inspection_cell.anomaly.commission import Commissioned, commission
from inspection_cell.cli.simulated_line import SimulatedLine, good_parts
from inspection_cell.core.plan import Mode
from inspection_cell.core.verdict import Verdict
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.paths import find_recipe_file
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.records.store import RecordStore


def progress_bar() -> Progress:
    """The progress display of every long command."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )


def is_commissioned(recipe: str, config_path: Path, data: Path) -> bool:
    """Whether the data folder has the recipe with its models."""
    path = find_recipe_file(recipe, data, load_cell_config(config_path))
    return load_recipe(path).commissioned


def commission_simulated(
    recipe_name: str, teach_config: Path, data: Path, parts: int, seed: int, quiet: bool = True
) -> Commissioned:
    """Runs the cell in teach mode over good parts and fits the models to what it recorded.

    Raises:
        FitError: too few parts were recorded whole.
    """
    config = load_cell_config(teach_config)
    (data / "recipes" / f"{recipe_name}.yaml").unlink(missing_ok=True)
    with progress_bar() as progress:
        bar = progress.add_task("starting the cell in teach mode", total=parts)
        shown = []
        with SimulatedLine(teach_config, data, recipe_name, quiet) as line:
            progress.update(bar, description="planning the motions")
            line.select()
            progress.update(bar, description=f"showing {parts} good parts")
            for truth in good_parts(parts, seed, "GOOD"):
                found = line.inspect(truth)
                if found.verdict.verdict is Verdict.PASS:
                    shown.append(found.verdict.inspection_id)
                else:
                    said = "; ".join(r.text for r in found.verdict.reasons) or found.verdict.verdict.name
                    progress.console.print(f"{truth.serial} is left out: {said}")
                    line.select()
                progress.advance(bar)
        return _fit(recipe_name, config, data, shown, progress)


def commission_recorded(recipe_name: str, config_path: Path, data: Path) -> Commissioned:
    """Fits the models to the parts that passed in teach mode with this recipe: those are taken for good.

    Raises:
        FitError: too few of them.
    """
    config = load_cell_config(config_path)
    store = RecordStore.in_folder(data)
    try:
        taught = [
            s.inspection_id
            for s in reversed(store.find(limit=100_000))
            if s.recipe == recipe_name and s.mode is Mode.TEACH and s.verdict is Verdict.PASS
        ]
    finally:
        store.close()
    with progress_bar() as progress:
        return _fit(recipe_name, config, data, taught, progress)


def _fit(recipe_name: str, config: CellConfig, data: Path, taught: Sequence[str], progress: Progress) -> Commissioned:
    recipe_path = find_recipe_file(recipe_name, data / "nowhere", config)
    bar = progress.add_task("fitting", total=None)
    store = RecordStore.in_folder(data)
    try:
        return commission(
            load_recipe(recipe_path),
            recipe_path,
            store,
            taught,
            data,
            config.tool_boxes,
            config.inference,
            lambda done, total, text: progress.update(bar, completed=done, total=total, description=text),
        )
    finally:
        store.close()
