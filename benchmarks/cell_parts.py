"""Parts shown to the simulated cell in teach mode and kept: what the anomaly benchmarks in the cell work on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspection_cell.anomaly.commission import good_image
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.fit_view import GoodImage
from inspection_cell.anomaly.station import Registrar
from inspection_cell.cli.commissioning import progress_bar
from inspection_cell.cli.simulated_line import SimulatedLine, derive_config
from inspection_cell.core.view import View
from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.paths import find_recipe_file, share_folder
from inspection_cell.recipe.recipe import Recipe, load_recipe
from inspection_cell.records.store import RecordStore
from inspection_cell.simulation.truth import DefectKind, PartTruth, make_part

SURFACE_KINDS = (
    DefectKind.SCRATCH,
    DefectKind.CRACK,
    DefectKind.DOTS,
    DefectKind.MISSING_GEOMETRY,
    DefectKind.DEFORMATION,
)
"""The paper's five."""


@dataclass(frozen=True)
class Shown:
    """One view of one part.

    Attributes:
        image: registered; `read` it.
        mm_per_pixel: of the part in the image.
    """

    image: GoodImage
    mm_per_pixel: float


@dataclass(frozen=True)
class ShownPart:
    """One part; kind is that of its defect, None for a good part."""

    serial: str
    kind: DefectKind | None
    views: dict[str, Shown]


def parts_of(good: int, of_each_kind: int, seed: int = 11) -> list[PartTruth]:
    """Good parts, then so many with one defect of each kind."""
    parts = [make_part(f"G{i + 1:03d}", seed * 1_000_003 + i) for i in range(good)]
    kinds = [kind for _ in range(of_each_kind) for kind in SURFACE_KINDS]
    return parts + [make_part(f"D{i + 1:03d}", seed * 2_000_003 + i, [kind]) for i, kind in enumerate(kinds)]


def show(parts: Sequence[PartTruth], data: Path, cell: str, recipe: str) -> None:
    """Has the cell look at every part that the data folder does not have yet; goes on where it was cut off."""
    config = derive_config(share_folder() / "config" / f"{cell}.yaml", data / "cell_teach.yaml", "teach", 200.0)
    missing = [part for part in parts if part.serial not in seen(data)]
    if not missing:
        return
    with progress_bar() as progress, SimulatedLine(config, data, recipe) as line:
        bar = progress.add_task("the cell looks at parts", total=len(missing))
        line.select()
        for part in missing:
            line.inspect(part)
            if line.cell.state is not None and line.cell.state.reasons:
                line.cell.reset()
            progress.advance(bar)


def shown_parts(parts: Sequence[PartTruth], data: Path, recipe_name: str) -> tuple[list[ShownPart], list[str]]:
    """The parts with all their views, and what is wrong with those that lack one."""
    config = load_cell_config(data / "cell_teach.yaml")
    path = find_recipe_file(recipe_name, data / "nowhere", config)
    recipe = load_recipe(path)
    store = RecordStore.in_folder(data)
    registrar = Registrar(recipe, path, config.tool_boxes, data / "cache")
    found, lost = [], []
    for part in parts:
        record = store.get(seen(data)[part.serial])
        views = {view.view_id: view for view in record.views}
        try:
            images = {view_id: good_image(store, record, view_id, registrar) for view_id in recipe.inspection_views}
        except FitError as error:
            lost.append(str(error))
            continue
        kind = part.defects[0].kind if part.defects else None
        shown = {v: Shown(image, _mm_per_pixel(recipe, views[v])) for v, image in images.items()}
        found.append(ShownPart(part.serial, kind, shown))
    return found, lost


def seen(data: Path) -> dict[str, str]:
    """Inspection ids by serial."""
    log = data / "truth.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return {line["serial"]: line["inspection_id"] for line in map(json.loads, lines)}


def _mm_per_pixel(recipe: Recipe, view: View) -> float:
    pose = next(point.T_part_camera for view_id, _, point, _ in recipe.all_views if view_id == view.view_id)
    # The part's origin lies in its middle: its distance along the camera's axis.
    depth = -float(pose[:3, 2] @ pose[:3, 3])
    return 1e3 * depth / float(view.camera.matrix[0, 0])
