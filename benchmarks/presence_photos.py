"""Claim: photographs of good components, even one of each, make a model trained on renderings alone better.

The path-traced pictures of the demo part stand in for photographs. 0, 1, 5 and 20 pictures of each component, present
and as it should be, are learned from among the renderings as `train-presence --photos` does it; what is then judged are
the other pictures, the same ones for every row. Each row begins with the same training on renderings, which is taken
from --work (a folder that `train-presence --work` left).
- AUC: of the score, missing against present, and wrong against present.
- held back: present ones over the limit that lets one of a hundred missing ones pass.
Run: python benchmarks/presence_photos.py --pictures FOLDER --work FOLDER [--quick]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from common import finish, machine, parser, print_table
from numpy.typing import NDArray
from rich.progress import track

from inspection_cell.training.needs_torch import load_torch

load_torch()

import torch  # noqa: E402
from presence_accuracy import PART  # noqa: E402

from inspection_cell.cad.assembly import load_assembly  # noqa: E402
from inspection_cell.presence.calibration import probabilities  # noqa: E402
from inspection_cell.presence.conformal import present_limit  # noqa: E402
from inspection_cell.presence.manifest import load_manifest  # noqa: E402
from inspection_cell.training.presence_data import Samples, chosen  # noqa: E402
from inspection_cell.training.presence_fit import FitSettings, fit, logits, tune  # noqa: E402
from inspection_cell.training.presence_photos import photo_samples  # noqa: E402
from inspection_cell.training.presence_render import gathered  # noqa: E402
from inspection_cell.training.presence_scenes import MISSING, PRESENT, WRONG, judged_names  # noqa: E402

COUNTS = (0, 1, 5, 20)
FIRST = max(COUNTS)
LIMIT_RATE = 0.01


def rank_of_good(samples: Samples) -> NDArray[np.int64]:
    """(n,) the how manieth present picture of its component it is; a large number for all others."""
    rank = np.full(len(samples.labels), 1_000_000)
    for component in np.unique(samples.components):
        own = np.flatnonzero((samples.components == component) & (samples.labels == PRESENT))
        rank[own] = np.arange(len(own))
    return rank


def auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """The chance that a bad one has the higher score."""
    return float(np.mean((bad[:, None] > good[None]) + 0.5 * (bad[:, None] == good[None])))


def row(name: str, score: NDArray[np.float64], labels: NDArray[np.int64]) -> list[str]:
    """One line of the table."""
    good, missing, wrong = (score[labels == label] for label in (PRESENT, MISSING, WRONG))
    limit = present_limit(missing, LIMIT_RATE).limit
    figures = [auc(good, missing), auc(good, wrong), float((good > limit).mean()), float((wrong <= limit).mean())]
    return [name, f"{figures[0]:.4f}", f"{figures[1]:.4f}", f"{100 * figures[2]:.1f} %", f"{100 * figures[3]:.1f} %"]


def main() -> int:
    """Runs it; the exit code."""
    arguments = parser(__doc__, "one photograph only")
    arguments.add_argument("--pictures", type=Path, required=True, help="the path-traced set")
    arguments.add_argument("--work", type=Path, required=True, help="what train-presence --work left")
    given = arguments.parse_args()
    print(machine(), f"PyTorch {torch.__version__}")
    assembly = load_assembly(PART)
    names = judged_names(assembly, ("housing",))
    (checkpoint,) = given.work.glob("epochs*.pt")
    how = FitSettings(int(checkpoint.stem.removeprefix("epochs")), os.cpu_count() or 1)
    rendered = gathered(sorted((given.work / "train").glob("*.npz")))
    pictures = load_manifest(given.pictures / "manifest.jsonl")
    photos = photo_samples(pictures, given.pictures, assembly, names)
    rank = rank_of_good(photos)
    judged = chosen(photos, (rank >= FIRST) | (photos.labels != PRESENT))
    rows: list[list[str]] = []
    for count in track(COUNTS[:2] if given.quick else COUNTS, "learning"):
        network = fit(rendered, how, checkpoint)
        if count:
            tune(network, rendered, chosen(photos, rank < count), how)
        score = 1 - probabilities(logits(network, judged), 1.0)[:, PRESENT]
        rows.append(row(f"{count} of each component", score, judged.labels))
    columns = ("photographs", "AUC missing", "AUC wrong", "present held back", "wrong accepted")
    print_table(f"{len(judged.labels)} pictures, 1 % of the missing accepted", columns, rows)
    better = [r[0] for r in rows[1:] if all(float(r[k]) > float(rows[0][k]) for k in (1, 2))]
    return finish(
        len(better) == len(rows) - 1, f"both AUC better than without photographs: {', '.join(better) or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(main())
