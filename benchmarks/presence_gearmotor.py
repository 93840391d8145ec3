"""Claim: a classifier that knows a gear motor from CAD renderings alone finds it in 28 real images: F1 0.95.

The images (--data, 1920 x 1080) show a gear motor in a gripper before a lit sheet of paper; its CAD is an STL. The
motor's place is found by its outline: the lowest tip of what hangs down dark before the paper; a square of 420 pixels
above it is the crop. Three crops of each image that do not touch it are the background: paper, the sheet's edge, the
gripper, metal cones below, in one image a hand. The classifier (small encoder, 128 pixels) learns from --count
renderings of the motor and of backgrounds, easy ones first (presence_curriculum.py); it has seen no photograph. 28
images of one motor in one place are one situation, not 28.
Run: python benchmarks/presence_gearmotor.py [--data FOLDER] [--work FOLDER] [--count N] [--quick]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from common import finish, machine, parser, print_table
from numpy.typing import NDArray
from presence_curriculum import curriculum
from presence_sets import drawn
from rich.progress import track

from inspection_cell.training.needs_torch import load_torch

load_torch()

import torch  # noqa: E402

from inspection_cell.cad.assembly import load_assembly  # noqa: E402
from inspection_cell.common.rates import Share  # noqa: E402
from inspection_cell.presence.calibration import probabilities  # noqa: E402
from inspection_cell.presence.evaluation import evaluate  # noqa: E402
from inspection_cell.presence.report import write_report  # noqa: E402
from inspection_cell.training.classifier_fit import ClassifierSettings, fit_classifier, logits_of  # noqa: E402
from inspection_cell.training.classifier_networks import Classifier, small_encoder  # noqa: E402
from inspection_cell.training.device import training_device  # noqa: E402
from inspection_cell.training.synth.stream import PictureSettings, Subject  # noqa: E402

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "gearmotor"
SIZE, TARGET, BATCH, STEPS, RATE = 128, 64, 32, 1900, 0.1
CROP, BELOW_TIP, BACKGROUNDS = 420, 30, 3
DARK, FRAME = 110, (400, 1560, 660)
"""Grey below it is the motor or the gripper, between these columns and above this row."""
F1_GOAL = 0.95
NAMES = ("gear motor", "background")
Image = NDArray[np.uint8]


def motor_crop(image: Image) -> tuple[int, int]:
    """Left upper corner of the motor's crop."""
    left, right, bottom = FRAME
    dark = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) < DARK
    dark[bottom:], dark[:, :left], dark[:, right:] = False, False, False
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8))
    hanging = [k for k in range(1, len(stats)) if stats[k, cv2.CC_STAT_TOP] < 60 and stats[k, cv2.CC_STAT_AREA] > 8000]
    rows, columns = np.nonzero(labels == max(hanging, key=lambda k: int(stats[k, 1] + stats[k, 3])))
    tip = int(rows.max())
    near = columns[rows > tip - 330]
    return int(near.min() + near.max() - CROP) // 2, max(0, tip + BELOW_TIP - CROP)


def crops(folder: Path) -> tuple[Image, NDArray[np.int64]]:
    """(n, SIZE, SIZE, 3) RGB and (n,) 0 for the motor, 1 for a background."""
    rng = np.random.default_rng(0)
    pictures, labels = [], []
    for path in sorted((folder / "look_action_images").glob("*.jpg")):
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)
        x, y = motor_crop(image)
        places = [(x, y)]
        while len(places) <= BACKGROUNDS:
            u, v = int(rng.integers(image.shape[1] - CROP)), int(rng.integers(image.shape[0] - CROP))
            if abs(u - x) >= CROP or abs(v - y) >= CROP:
                places.append((u, v))
        for number, (u, v) in enumerate(places):
            crop = image[v : v + CROP, u : u + CROP]
            pictures.append(cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
            labels.append(min(number, 1))
    return np.stack(pictures).astype(np.uint8), np.array(labels, np.int64)


def main() -> int:
    """Runs it; the exit code."""
    arguments = parser(__doc__, "few renderings and batches: only whether it runs")
    arguments.add_argument("--data", type=Path, default=DATA, help="with CAD/gearmotor.stl and look_action_images")
    arguments.add_argument("--work", type=Path, default=Path("data/presence"), help="keeps what was drawn")
    arguments.add_argument("--count", type=int, default=6000, help="renderings")
    arguments.add_argument("--report", type=Path, help="where a page with the figures and the worst errors goes")
    given = arguments.parse_args()
    cad = given.data / "CAD" / "gearmotor.stl"
    if not cad.is_file():
        print(f"SKIPPED: {cad} is not there; name the folder with --data")
        return 0
    print(machine(), f"PyTorch {torch.__version__}")
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    count, steps = (320, 10) if given.quick else (given.count, STEPS)
    settings = PictureSettings((Subject(cad, load_assembly(cad, "mm").names[0], "mm"),), SIZE, TARGET, seed=5)
    samples = drawn(settings, count, given.work, "drawing")
    began = time.monotonic()
    classifier = Classifier(small_encoder(SIZE), 2).to(training_device(), memory_format=torch.channels_last)
    learned_from = track(curriculum(samples, steps, BATCH, 1), "learning", steps)
    fit_classifier(classifier, learned_from, steps, ClassifierSettings(rate=RATE))
    pictures, labels = crops(given.data)
    found = evaluate(labels, probabilities(logits_of(classifier, pictures), 1.0), NAMES)
    rows = [[c.name, _text(c.recall), _text(c.precision), f"{c.f1:.3f}"] for c in found.classes]
    title = (
        f"{len(labels)} crops of {len(labels) // (1 + BACKGROUNDS)} real images; {count} renderings, {steps} batches"
    )
    print_table(f"{title}, {(time.monotonic() - began) / 60:.1f} minutes", ("class", "recall", "precision", "F1"), rows)
    if given.report:
        print(f"look at {write_report(found, given.report, 'gear motor', list(pictures))}")
    low, high = found.macro_f1_interval
    return finish(found.macro_f1 >= F1_GOAL, f"macro F1 {found.macro_f1:.3f} ({low:.3f} to {high:.3f}; goal {F1_GOAL})")


def _text(share: Share) -> str:
    return f"{share.hits}/{share.of}"


if __name__ == "__main__":
    sys.exit(main())
