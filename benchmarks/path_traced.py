"""Makes the presence test set that no rasteriser drew: pictures path-traced by Mitsuba 3, with the truth of each.

The classifiers learn from OpenGL renderings of the CAD alone. How they do on pictures of another kind shall be known
before a camera is there. These pictures stand in for photographs, and are none: light is traced through measured
metals, plastics and prints, from lamps and rooms made by code, through a thin lens onto a noisy sensor, so that they
have what the training renderings lack (interreflection, soft shadows, glints, depth of field, clutter). Geometry is the
CAD's own, wear and dirt are not modelled: a gap measured here is a lower bound of the gap to photographs.

- "demo": small components of the ring housing, cut out as the cell cuts them out: half present, a quarter missing, a
  quarter wrong. In one of seven another component is missing or sits badly too. Three pictures each show one part from
  three sides: surfaces, lamps, surroundings and the error of the pose are the part's.
- "taskboard": the nine parts of the WRS taskboard, each alone ("present"), and for each a ninth as many pictures of the
  same kind of place without it ("background"), so that the background is one class as large as the others.

FOLDER gets PNG images and manifest.jsonl, one object a line: image, subject, component ("" for a background), label,
part (the same for all views of one; null where there is one view), camera {width, height, matrix}, T_camera_part,
T_camera_part_aligned (the truth and 0.12 mm, 0.002 rad of noise), hidden (other components that are missing; for a
background the part whose place it is, with that part's poses), seed (of this picture's random numbers), visible
(fraction of the component's projected area that nothing hides, were it there; 0 for a background). A run goes on where
an earlier one stopped.

A picture of 160 px takes 1.3 s of one core (48 paths a pixel) as compiled code, once the code of some dozen kinds of
scene is in Dr.Jit's cache, and 3 s as the plain program that runs by default: name an LLVM library for the former by
DRJIT_LIBLLVM_PATH (measured with 22; 15 aborts on Mitsuba 3.9.1). The two differ in the tracer's noise only.
--check compares the traced outline of every component with the rasteriser's mask.
Run: python benchmarks/path_traced.py --out FOLDER [--count N] [--size PX] [--subject demo|taskboard|both] [--seed N]
     [--taskboard FOLDER] [--workers N] [--sheet PNG] [--check]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("LP_NUM_THREADS", "1")

import cv2
import numpy as np
from common import finish
from path_traced_render import coverage, mitsuba, photographed, trace
from path_traced_scenes import DemoScenes, Scene, TaskboardScenes
from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
PART = ROOT / "models" / "parts" / "ring_housing"
TASKBOARD = ROOT.parent / "shared" / "data" / "wrs_taskboard"
MANIFEST = "manifest.jsonl"
DARKEST = 1e-4
SAMPLES = 48
VIEWS = 3
"""Of each part of the demo."""
LEAST_IOU = 0.97


@dataclass(frozen=True)
class Job:
    """One picture to be made; the same job gives the same picture."""

    subject: str
    component: str
    label: str
    index: int
    seed: int

    @property
    def image(self) -> str:
        """The file, relative to the folder."""
        return f"{self.subject}/{self.component}/{self.index:05d}_{self.label}.png"

    @property
    def what(self) -> int:
        """A number of what it shows."""
        return zlib.crc32(f"{self.subject}/{self.component}/{self.label}".encode())

    @property
    def sequence(self) -> np.random.SeedSequence:
        """Where its random numbers come from."""
        return np.random.SeedSequence((self.seed, self.what, self.index))


def main() -> int:
    """Makes the pictures that are not there yet, or checks the geometry."""
    options = _options()
    mitsuba()
    subjects = ["demo", "taskboard"] if options.subject == "both" else [options.subject]
    if "taskboard" in subjects and not (options.taskboard / "meshes").is_dir():
        print(f"SKIPPED: taskboard: {options.taskboard} has no meshes; name the folder with --taskboard")
        subjects.remove("taskboard")
    if options.check:
        return _check(subjects, options)
    options.out.mkdir(parents=True, exist_ok=True)
    known = _known(options.out)
    jobs = [job for s in subjects for job in _jobs(s, options) if job.image not in known]
    work = [(job, options.out, options.size, options.taskboard) for job in jobs]
    with (
        (options.out / MANIFEST).open("a", encoding="utf-8") as manifest,
        multiprocessing.get_context("spawn").Pool(options.workers, maxtasksperchild=500) as pool,
    ):
        for line in track(pool.imap_unordered(_make, work), "pictures", total=len(work)):
            manifest.write(json.dumps(line) + "\n")
            manifest.flush()
            os.fsync(manifest.fileno())
    if options.sheet:
        _sheet(options.out, options.sheet)
    return finish(True, f"{len(known) + len(jobs)} pictures in {options.out}, {len(jobs)} of them new")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where pictures and manifest go, or are already")
    parser.add_argument("--count", type=int, default=300, help="pictures of each component, part, and of backgrounds")
    parser.add_argument("--size", type=int, default=160, help="pixels a side")
    parser.add_argument("--subject", choices=("demo", "taskboard", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--taskboard", type=Path, default=TASKBOARD, metavar="FOLDER", help="with the STL in meshes/")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, one thread each")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="a contact sheet of some pictures of each kind")
    parser.add_argument("--check", action="store_true", help="compare outlines with the rasteriser's instead")
    options = parser.parse_args()
    if not options.out and not options.check:
        parser.error("name the folder of the pictures by --out")
    return options


@cache
def _scenes(subject: str, taskboard: Path) -> DemoScenes | TaskboardScenes:
    demo = DemoScenes(PART)
    return demo if subject == "demo" else TaskboardScenes(taskboard, demo.assembly)


def _jobs(subject: str, options: argparse.Namespace) -> list[Job]:
    """All components' first pictures come first, so that a part of the set is a fair one."""
    scenes = _scenes(subject, options.taskboard)
    each = range(options.count)
    if subject == "demo":
        return [Job(subject, n, scenes.labels[i // VIEWS % 4], i, options.seed) for i in each for n in scenes.names]
    backgrounds = -(-options.count // len(scenes.names))
    return [
        Job(subject, n, label, i, options.seed)
        for i in each
        for n in scenes.names
        for label in scenes.labels
        if label == "present" or i < backgrounds
    ]


def _make(work: tuple[Job, Path, int, Path]) -> dict[str, Any]:
    """Traces one picture, writes it, and returns its line of the manifest."""
    job, out, size, taskboard = work
    sequence = job.sequence
    for attempt in count():
        of_scene, of_camera, of_light = sequence.spawn(3)
        scene, part = _scene(job, size, taskboard, of_scene, attempt)
        light = trace(scene.stage, SAMPLES, int(of_light.generate_state(1)[0]))
        if np.percentile(light, 75) > DARKEST:  # else something stands before the lens, or the room is dark: once more
            break
    image = photographed(light, np.random.default_rng(of_camera))
    path = out / job.image
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp.png")
    cv2.imwrite(str(temporary), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    temporary.replace(path)
    camera = scene.stage.camera
    return {
        "image": job.image,
        "subject": job.subject,
        "component": "" if job.label == "background" else job.component,
        "label": job.label,
        "part": part,
        "camera": {"width": camera.width, "height": camera.height, "matrix": camera.matrix.tolist()},
        "T_camera_part": scene.T_camera_part.tolist(),
        "T_camera_part_aligned": scene.T_camera_part_aligned.tolist(),
        "hidden": list(scene.hidden),
        "seed": list(job.sequence.entropy),  # type: ignore[arg-type]
        "visible": round(scene.visible, 4),
    }


def _scene(
    job: Job, size: int, taskboard: Path, of_scene: np.random.SeedSequence, attempt: int
) -> tuple[Scene, str | None]:
    """What is traced, and the name of its part where there are other views of it."""
    scenes = _scenes(job.subject, taskboard)
    if isinstance(scenes, TaskboardScenes):
        return scenes.make(job.component, job.label, np.random.default_rng(of_scene), size), None
    group, own = divmod(job.index, VIEWS)
    views = [(job.seed, job.what, attempt, group * VIEWS + k) for k in range(VIEWS)]
    part = (job.seed, job.what, attempt, group, VIEWS)
    name = f"{job.component} {job.label} {group}" + (f".{attempt}" if attempt else "")
    return scenes.make(job.component, job.label, part, views, own, size), name


def _known(out: Path) -> set[str]:
    """The pictures that are there and in the manifest, which loses every other line, as one cut off by a crash."""
    path = out / MANIFEST
    if not path.is_file():
        return set()
    lines: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            image = json.loads(line)["image"]
        except ValueError:
            continue
        if (out / image).is_file():
            lines[image] = line
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
    temporary.replace(path)
    return set(lines)


def _check(subjects: Sequence[str], options: argparse.Namespace) -> int:
    """Whether what is traced lies where the poses and cameras of the manifest say."""
    rng, overlaps = np.random.default_rng(options.seed), []
    for subject in subjects:
        for stage, mask in _scenes(subject, options.taskboard).bare(rng, options.size):
            traced = coverage(stage) > 0.5
            overlaps.append(float((traced & mask).sum() / (traced | mask).sum()))
            print(f"{stage.bodies[0].shape.name:32s} IoU {overlaps[-1]:.4f}, {mask.sum()} px")
    worst = min(overlaps)
    return finish(worst > LEAST_IOU, f"traced and rasterised outlines overlap by {worst:.4f} at worst")


def _sheet(out: Path, sheet: Path, columns: int = 8, tile: int = 160) -> None:
    """A row of pictures of each component and label."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for line in (out / MANIFEST).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        kinds[f"{one['subject']} {one['component'] or Path(one['image']).parent.name} {one['label']}"].append(
            one["image"]
        )
    rng, rows = np.random.default_rng(0), []
    for kind, images in sorted(kinds.items()):
        chosen = rng.permutation(sorted(images))[:columns]
        row = np.zeros((tile + 18, columns * tile, 3), np.uint8)
        cv2.putText(row, kind, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        for k, image in enumerate(chosen):
            row[18:, k * tile : (k + 1) * tile] = cv2.resize(cv2.imread(str(out / image)), (tile, tile))
        rows.append(row)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(sheet), np.concatenate(rows))


if __name__ == "__main__":
    sys.exit(main())
