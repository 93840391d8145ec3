"""Claim: held-out good images are rejected at the uncertain limit as often as the model states.

All good images of a set (train/good and test/good together) are shuffled and cut into three; each third in turn is
held out from a fit on the other two, so a partition judges every image once. The rate that a model states is that of
its limit's rank among the leave-one-out scores, (P + 1 - k) / (P + 1): at most the one asked for, unless there are too
few parts for it.

How the interval is taken: partitions share all their images, so counts of several do not add up to more evidence.
The exact interval (Clopper and Pearson 1934, 95 %) is that of the first partition alone, whose images are each
counted once; the claim holds when the stated rate lies in it on every set. The other partitions only show, without
an interval, how much hangs on the partition. The thirds of a partition are not independent either, but in the safe
direction: each third's limit comes from the other two, so counts spread less than binomial ones.

What the figures do not say:
- The sets are small: 1 rejected of 34 is still consistent with a rate of 15 %.
- In the cell a part has 16 views and two must be over the limit; there --cell judges the good parts that
  anomaly_study showed to the simulated cell, with its recipe's settings.
- Images of a cell that has changed since are not like the fitted ones. The second table shows such a case: fitted on
  train/good, judged on test/good, as the sets' makers separated them. It does not count for the claim.
Run: python benchmarks/anomaly_calibration.py [--quick] [--data FOLDER] [--cell FOLDER]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from anomaly_study import FULL
from cell_parts import parts_of, shown_parts
from common import finish, machine, parser, print_table
from numpy.typing import NDArray
from real_sets import SETS, RememberingBackbone, add_data, backbones, missing

from inspection_cell.anomaly.backbone import Backbone
from inspection_cell.anomaly.evaluate import GOOD, labelled_images, training_images
from inspection_cell.anomaly.fit import FitSettings, GoodImage, Pixels, fit_views
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.score import load_model
from inspection_cell.anomaly.station import model_name
from inspection_cell.anomaly.thresholds import fit_limits, part_statistic
from inspection_cell.common.rates import Share

ALPHAS = (0.02, 0.05)
THIRDS = 3
ONE_VIEW = FitSettings(n=1)
IN_THE_CELL = FitSettings(tolerance=0, n=2)  # as commissioning fits
Views = Mapping[str, Sequence[GoodImage]]
"""For each view the images of good parts, as pixels; index i is the same part in every view."""


@dataclass(frozen=True)
class HeldOut:
    """Parts judged by a model that has not seen them, for each of ALPHAS.

    Attributes:
        rejected: (alphas, parts).
        stated: (alphas, parts) the rate that the part's model states.
        fitted: parts that the smallest fit had.
    """

    rejected: NDArray[np.bool_]
    stated: NDArray[np.float64]
    fitted: int


def judge(
    views: Views, fitted: Sequence[int], held: Sequence[int], backbone: Backbone, settings: FitSettings
) -> HeldOut:
    """Fits on some parts and judges others; a part is rejected where n of its views are over the uncertain limit."""
    n = settings.n
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        good = {view: [items[i] for i in fitted] for view, items in views.items()}
        result = fit_views(good, backbone, out, replace(settings, alpha=ALPHAS[0]))
        models = {view: load_model(out / view, backbone) for view in views}
        scores = [[models[view].score(*_seen(items[i])).score for view, items in views.items()] for i in held]
    # alpha changes the limits alone, not the models
    limits = [fit_limits(result.left_out, n, alpha, settings.critical_factor) for alpha in ALPHAS]
    assert limits[0] == result.limits
    statistics = np.array([part_statistic(row, n, settings.critical_factor) for row in scores])
    return HeldOut(
        np.array([statistics > limit.uncertain for limit in limits]),
        np.array([[limit.alpha_reached] * len(held) for limit in limits]),
        len(fitted),
    )


def _seen(item: GoodImage) -> tuple[Pixels, None, NDArray[np.bool_] | None]:
    assert isinstance(item.source, np.ndarray)
    return item.source, None, item.exclude


def partition(views: Views, backbone: Backbone, settings: FitSettings, seed: int) -> HeldOut:
    """Every part held out once, in the order of the parts."""
    parts = len(next(iter(views.values())))
    order = np.random.default_rng(seed).permutation(parts)
    thirds = [order[k::THIRDS] for k in range(THIRDS)]
    found = [judge(views, np.setdiff1d(order, held).tolist(), held.tolist(), backbone, settings) for held in thirds]
    back = np.argsort(np.concatenate(thirds))
    rejected, stated = (
        np.concatenate([getattr(one, field) for one in found], 1)[:, back] for field in ("rejected", "stated")
    )
    return HeldOut(rejected, stated, min(one.fitted for one in found))


def good_images(folder: Path) -> tuple[list[GoodImage], int]:
    """The good images of a set, those of train/good first, and how many these are."""
    train = training_images(folder)
    test = [image.path for image in labelled_images(folder) if image.kind == GOOD]
    return [GoodImage(read_image(path)) for path in [*train, *test]], len(train)


def cell_views(data: Path) -> Views:
    """The views of the good parts that anomaly_study kept."""
    parts, lost = shown_parts(parts_of(FULL.good, 0), data, FULL.recipe)
    print(f"in the cell: {len(parts)} good parts; left out: {'; '.join(lost) or 'none'}")
    images = {view: [part.views[view].image for part in parts] for view in parts[0].views}
    # Read now: a remembering backbone knows an array again, not a function.
    return {model_name(v): [replace(i, source=i.source()) for i in some] for v, some in images.items()}  # type: ignore[operator]


def percent(value: float) -> str:
    """A rate as it is printed."""
    return f"{100 * value:.1f}"


def split_rows(name: str, found: Sequence[HeldOut], of_train: NDArray[np.bool_]) -> tuple[list[list[str]], bool]:
    """The rows of one set, and whether the stated rates lie in the first partition's intervals."""
    rows, holds = [], True
    for a, alpha in enumerate(ALPHAS):
        first, every = found[0].rejected[a], np.stack([one.rejected[a] for one in found])
        count, total, stated = int(first.sum()), len(first), float(found[0].stated[a].mean())
        low, high = Share(count, total).interval()
        inside = low <= stated <= high
        holds &= inside
        counts, by_part = every.sum(1), every.mean(0)
        rows.append(
            [
                name,
                percent(alpha),
                str(found[0].fitted),
                percent(stated),
                f"{count}/{total}",
                f"{percent(low)} - {percent(high)}",
                "yes" if inside else "NO",
                f"{percent(float(by_part.mean()))} ({counts.min()}-{counts.max()})",
                ", ".join(percent(float(by_part[some].mean())) for some in (of_train, ~of_train) if some.any()),
            ]
        )
    return rows, holds


def together(sets: Sequence[Sequence[HeldOut]]) -> list[HeldOut]:
    """The partitions of several sets as if they were one."""
    return [
        HeldOut(
            np.concatenate([one.rejected for one in same], 1),
            np.concatenate([one.stated for one in same], 1),
            min(one.fitted for one in same),
        )
        for same in zip(*sets, strict=True)
    ]


def apart_rows(name: str, found: HeldOut) -> list[list[str]]:
    """The rows of one set fitted on train/good and judged on test/good."""
    rows = []
    for a, alpha in enumerate(ALPHAS):
        count, total = int(found.rejected[a].sum()), found.rejected.shape[1]
        low, high = Share(count, total).interval()
        stated = percent(float(found.stated[a].mean()))
        cells = [f"{count}/{total}", f"{percent(low)} - {percent(high)}"]
        rows.append([name, percent(alpha), str(found.fitted), stated, *cells])
    return rows


def cell_table(data: Path, network: Backbone, seeds: Sequence[int]) -> tuple[list[list[str]], bool]:
    """Judges the good parts of the cell and prints their table; its rows, and whether the stated rates hold."""
    views, backbone = cell_views(data), RememberingBackbone(network)
    found = [partition(views, backbone, IN_THE_CELL, seed) for seed in seeds]
    rows, inside = split_rows("cell", found, np.ones(found[0].rejected.shape[1], bool))
    columns = ["set", "asked %", "parts", "stated", "rejected", "95 % interval", "in it", "partitions", "train, test"]
    print_table("ours: good parts in the simulated cell, 16 views, two to fail", columns, rows)
    return rows, inside


def main() -> int:
    """Prints the tables; 0 where the claim holds."""
    given = parser(__doc__, "one partition, our backbone alone")
    add_data(given)
    given.add_argument("--cell", type=Path, help="data folder of anomaly_study: judges its good parts too")
    arguments = given.parse_args()
    if lacking := missing(arguments.data):
        return finish(False, f"not measured, {arguments.data} lacks {lacking}")
    seeds = range(1) if arguments.quick else range(5)
    print(machine())
    start = time.perf_counter()
    networks = backbones(arguments.data)
    figures, holds = [], True
    for backbone_name in ["ours"] if arguments.quick else networks:
        rows, apart, sets, origins = [], [], [], []
        for name in SETS:
            backbone = RememberingBackbone(networks[backbone_name])
            images, train = good_images(arguments.data / name)
            views = {"view": images}
            sets.append([partition(views, backbone, ONE_VIEW, seed) for seed in seeds])
            origins.append(np.arange(len(images)) < train)
            more, inside = split_rows(name, sets[-1], origins[-1])
            rows += more
            holds &= inside
            numbers = range(len(images))
            apart += apart_rows(name, judge(views, numbers[:train], numbers[train:], backbone, ONE_VIEW))
        pooled, _ = split_rows("all (no claim)", together(sets), np.concatenate(origins))
        columns = ["set", "asked %", "parts", "stated", "rejected", "95 % interval", "in it"]
        columns += ["partitions", "train, test"]
        print_table(f"{backbone_name}: all good images; partitions: {len(seeds)}", columns, rows + pooled)
        columns = ["set", "asked %", "parts", "stated", "rejected", "95 % interval"]
        print_table(f"{backbone_name}: train/good against test/good, not for the claim", columns, apart)
        for alpha in ALPHAS:
            same = [f"{row[5]} (stated {row[3]} %)" for row in rows if row[1] == percent(alpha)]
            figures.append(f"{backbone_name}, asked {percent(alpha)} %: {', '.join(same)}")
    if arguments.cell:
        rows, inside = cell_table(arguments.cell, networks["ours"], seeds)
        holds &= inside
        figures.append(f"in the cell: {', '.join(f'{row[5]} (stated {row[3]} %)' for row in rows)}")
    print("rates in %; parts: of the smallest fit; partitions: mean over all (range of their counts);")
    print("train, test: over all partitions, of the images of train/good and of test/good")
    print(f"{time.perf_counter() - start:.0f} s")
    return finish(holds, f"good images rejected on {', '.join(SETS)}: {'; '.join(figures)}")


if __name__ == "__main__":
    sys.exit(main())
