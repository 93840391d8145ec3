"""Claim: one component in one view is judged in less than 10 ms on one processor core, without a GPU.

All of it: the CAD rendered in the component's place with and without it, the crop, the network. The view has 1600 x
1200 pixels; poses lie around the part. The parts of the time are measured on the same views.
Run: python benchmarks/presence_speed.py [--quick]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("LP_NUM_THREADS", "0")  # a software renderer with one thread

import numpy as np
from common import finish, machine, parser, print_table, spread

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.shading import Shading
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at
from inspection_cell.presence.classify import PresenceModel
from inspection_cell.presence.expectation import expectation, image_crop, network_input
from inspection_cell.recipe.paths import share_folder

PART = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
MODEL = share_folder() / "models" / "presence" / "ring_housing"
CAMERA = CameraModel.pinhole(1600, 1200, 4000.0)
GOAL_MS = 10.0
SURE = np.diag([3e-5] * 3 + [5e-4] * 3) ** 2


def main() -> int:
    """Runs it; the exit code."""
    given = parser(__doc__, "fewer views").parse_args()
    print(machine())
    assembly, model = load_assembly(PART), PresenceModel.load(Path(MODEL), None)
    rng = np.random.default_rng(0)
    whole: list[float] = []
    parts: dict[str, list[float]] = {"render with and without": [], "crop": [], "network": []}
    with GeometryRenderer(assembly) as renderer:
        print(renderer.device)
        for number in range(12 if given.quick else 60):
            around = rng.uniform(0, 2 * np.pi)
            eye = assembly.centre + 0.35 * np.array([0.6 * np.cos(around), 0.6 * np.sin(around), 0.8])
            pose = inverse(look_at(eye, assembly.centre))
            light, _ = renderer.shade(pose, CAMERA, Shading())
            image = np.clip(light * 200, 0, 255).astype(np.uint8)
            for component in model.card.components:
                began = time.perf_counter()
                answer = model.judge(image, CAMERA, renderer, pose, SURE, component)
                ended = time.perf_counter()
                if number and answer.probabilities:  # the first view warms up
                    whole.append(1e3 * (ended - began))
                    expected = expectation(renderer, component, pose, CAMERA)
                    assert expected is not None
                    times = [ended, time.perf_counter()]
                    crop = network_input(image_crop(image, expected.box), expected.channels)
                    times.append(time.perf_counter())
                    model.probabilities(crop[None])
                    times.append(time.perf_counter())
                    for name, milliseconds in zip(parts, 1e3 * np.diff(times), strict=True):
                        parts[name].append(float(milliseconds))
    rows = [[name, f"{spread(v).median:.2f}", f"{spread(v).p95:.2f}"] for name, v in [("whole", whole), *parts.items()]]
    print_table(f"{len(whole)} judgements", ("what", "median ms", "p95 ms"), rows)
    reached = spread(whole)
    return finish(
        reached.median < GOAL_MS, f"median {reached.median:.1f} ms, p95 {reached.p95:.1f} ms (goal {GOAL_MS:.0f})"
    )


if __name__ == "__main__":
    sys.exit(main())
