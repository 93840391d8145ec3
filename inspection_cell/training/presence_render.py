"""Renders training samples by several processes into files, and goes on where it was cut off."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from inspection_cell.cad.assembly import Assembly, load_assembly
from inspection_cell.training.presence_data import Samples, load_samples, render_samples, save_samples
from inspection_cell.training.presence_scenes import SceneMaker, SceneSettings

SHARD = 500
"""Samples a file. Each has wrong components of its own."""
JOB_FILE = "samples.json"


@dataclass(frozen=True)
class RenderJob:
    """What is rendered: the components to be judged of a CAD file, under random light.

    Attributes:
        unit: of a mesh, None for metres and STEP.
        views: of each part, one after the other.
    """

    cad: Path
    unit: str | None
    names: tuple[str, ...]
    settings: SceneSettings
    seed: int
    views: int = 1


def render_shards(
    job: RenderJob, count: int, folder: Path, processes: int, progress: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """At least `count` samples as files of SHARD each; files that are there already are kept.

    Args:
        progress: gets the number of samples that are there.

    Raises:
        ValueError: the folder holds samples of another job.
        CadError: the CAD file cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _same_job(job, load_assembly(job.cad, job.unit), folder)
    wanted = [folder / f"{number:05d}.npz" for number in range(-(-count // SHARD))]
    missing = [number for number, path in enumerate(wanted) if not path.is_file()]
    done = len(wanted) - len(missing)
    progress(done * SHARD)
    if not missing:
        return wanted
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(missing)), context, initializer=_begin) as pool:
        waiting = [pool.submit(_render, job, number, wanted[number]) for number in missing]
        try:
            for future in as_completed(waiting):
                future.result()
                done += 1
                progress(done * SHARD)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return wanted


def gathered(files: Sequence[Path]) -> Samples:
    """All samples of some files."""
    parts = [load_samples(path) for path in files]
    return Samples(
        np.concatenate([p.inputs for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.components for p in parts]),
        np.concatenate([k * SHARD + p.parts for k, p in enumerate(parts)]),
    )


def _begin() -> None:
    # A software renderer starts threads of its own, which only get in each other's way here.
    os.environ.setdefault("LP_NUM_THREADS", "0")


def _render(job: RenderJob, number: int, path: Path) -> None:
    assembly = load_assembly(job.cad, job.unit)
    maker = SceneMaker(assembly, list(job.names), job.settings, (job.seed, number))
    unfinished = path.with_suffix(".part.npz")
    save_samples(render_samples(maker, SHARD, job.views), unfinished)
    unfinished.replace(path)


def _same_job(job: RenderJob, assembly: Assembly, folder: Path) -> None:
    """Writes what the folder's samples are of, or compares."""
    told = {
        "cad_sha256": assembly.sha256,
        "components": list(job.names),
        "seed": job.seed,
        "views": job.views,
        "settings": asdict(job.settings),
    }
    text = json.dumps(told, indent=2, sort_keys=True) + "\n"
    path = folder / JOB_FILE
    if not path.is_file():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path}: holds samples of another CAD file, components or settings; name another work folder")
