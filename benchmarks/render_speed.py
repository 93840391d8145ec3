"""Claim: 40 whole training pictures a second of 256 pixels and 15 of 500 are made on two cores without a GPU.

A whole picture: components and distractors rendered under random light, surfaces and textures, set before a background,
covered in parts, and spoiled as a camera does, as `inspection-cell synth` draws it, in as many processes as there are
cores. The components are the nine of --taskboard, or the demo part's where that folder is not there. With a target, the
picture for the autoencoder (the component alone, of the same size) is drawn too. The pixels are taken over by the
parent, as a training would.

The last column is one process alone, so that the rest of the machine may be judged.
Run: python benchmarks/render_speed.py [--quick] [--taskboard FOLDER]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from common import finish, machine, parser, print_table

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.recipe.paths import share_folder
from inspection_cell.training.synth.stream import CHUNK, PictureSettings, Stream, Subject

GOALS = {256: 40.0, 500: 15.0}
WARM_UP = 6
TASKBOARD = Path("../shared/data/wrs_taskboard")


def subjects(taskboard: Path) -> tuple[Subject, ...]:
    """The parts to draw."""
    meshes = sorted((taskboard / "meshes").glob("*.stl"))
    if meshes:
        return tuple(Subject(path, path.stem, "mm") for path in meshes)
    part = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
    return tuple(Subject(part, name) for name in load_assembly(part).names if name != "housing")


def a_second(settings: PictureSettings, processes: int, batches: int) -> float:
    """Pictures a second once all processes draw."""
    with Stream(settings, processes) as stream:
        for number, _ in enumerate(stream.batches(batches + WARM_UP)):
            if number == WARM_UP - 1:
                began = time.perf_counter()
        return batches * CHUNK / (time.perf_counter() - began)


def main() -> int:
    """Runs it; the exit code."""
    arguments = parser(__doc__, "fewer pictures")
    arguments.add_argument("--taskboard", type=Path, default=TASKBOARD, help="folder with meshes/*.stl")
    given = arguments.parse_args()
    print(machine())
    parts, cores = subjects(given.taskboard), os.cpu_count() or 1
    batches = 8 if given.quick else 30
    rows, reached = [], {}
    for size, target in ((128, 0), (128, 128), (256, 0), (256, 256), (500, 0)):
        settings = PictureSettings(parts, size, target)
        fast = a_second(settings, cores, batches)
        if not target:
            reached[size] = fast
        rows.append([f"{size}, {'with' if target else 'without'} target", f"{fast:.0f}", f"{GOALS.get(size, 0):.0f}"])
        rows[-1].append(f"{a_second(settings, 1, batches // 2):.0f}")
    print_table(f"{len(parts)} components", ("pixels", f"a second, {cores} processes", "goal", "one process"), rows)
    holds = all(reached[size] >= goal for size, goal in GOALS.items())
    return finish(
        holds, ", ".join(f"{reached[size]:.0f} a second of {size} px (goal {g:.0f})" for size, g in GOALS.items())
    )


if __name__ == "__main__":
    sys.exit(main())
