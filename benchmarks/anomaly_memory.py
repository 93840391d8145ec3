"""Claim: a model takes a fifth of the memory of the peer's, a tenth as float16; sixteen stay resident; fits stay small.

- Bytes of a viewpoint's model at 256, 512 and 1024, float32 and float16, against the peer's mean and inverse covariance
  at every position (peer_padim.py; its size is arithmetic: (100 + 100^2) float32 a position).
- Sixteen viewpoints at the largest size, each in its own files, loaded and used once: what is resident then.
- Peak memory of the Gaussian fit for more and more images, against what the peer's needs for its embeddings alone.
Models of random numbers serve: sizes do not depend on them. Each measurement is a process of its own.
Run: python benchmarks/anomaly_memory.py [--quick]   (--quick: 256 only)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common import finish, machine, memory_mb, parser, print_table

from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.lattice import LANES, STEPS, Lattice
from inspection_cell.anomaly.padim import Gaussians, distance_map, fit

CHANNELS, VIEWS = (14, 29, 57), 16
# At 1024: what our model may be of the peer's, and the GB that sixteen may keep resident.
SHARES, RESIDENT_GB = {"float32": 1 / 5, "float16": 1 / 10}, {"float32": 8.5, "float16": 4.5}


def lattice_of(size: int) -> Lattice:
    """The lattice of a heat map's size with 100 of ResNet18's channels."""
    return Lattice(CHANNELS, size // 16, size // 16)


def peer_bytes(size: int) -> int:
    """Mean and inverse covariance at every position, float32."""
    channels = sum(CHANNELS)
    return 4 * (size // 4) ** 2 * (channels + channels**2)


def write_model(folder: Path, size: int, kind: str) -> int:
    """Writes the arrays of a model as a package has them; their bytes."""
    lattice, rng = lattice_of(size), np.random.default_rng(0)
    shape = (lattice.tiles, lattice.order.vectors, LANES)
    weights = np.lib.format.open_memmap(folder / "weights.npy", "w+", np.dtype(kind), shape)
    tile = rng.normal(0, 0.1, shape[1:])
    for number in range(lattice.tiles):
        weights[number] = tile
    weights.flush()
    for i, (n, k) in enumerate(zip(CHANNELS, STEPS, strict=True), start=1):
        np.save(folder / f"means{i}.npy", rng.normal(size=(n, k * lattice.rows, k * lattice.padded)).astype(np.float32))
    return sum(file.stat().st_size for file in folder.iterdir())


def resident_gb(size: int, kind: str, folder: Path) -> float:
    """In this process: maps sixteen models from their files, scores once with each; what is resident then."""
    lattice, models = lattice_of(size), []
    for view in range(VIEWS):
        place = folder / str(view)
        m1, m2, m3 = (np.load(place / f"means{i}.npy", mmap_mode="r") for i in (1, 2, 3))
        models.append(Gaussians(lattice, np.load(place / "weights.npy", mmap_mode="r"), (m1, m2, m3)))
    rng = np.random.default_rng(1)
    f1, f2, f3 = (
        rng.normal(size=(n, k * lattice.rows, k * lattice.columns)).astype(np.float32)
        for n, k in zip(CHANNELS, STEPS, strict=True)
    )
    for model in models:
        distance_map(model, (f1, f2, f3))
    return memory_mb("VmRSS") / 1e3


def fit_peak_mb(size: int, images: int, folder: Path) -> float:
    """In this process: fits so many images' features; peak memory beyond what it was before, files' pages included."""
    lattice, rng = lattice_of(size), np.random.default_rng(0)
    bank = FeatureBank(folder, images, lattice)
    for i in range(images):
        f1, f2, f3 = (
            rng.normal(size=(n, k * lattice.rows, k * lattice.columns)).astype(np.float32)
            for n, k in zip(CHANNELS, STEPS, strict=True)
        )
        bank.put(i, (f1, f2, f3))
    for grid in bank.grids:
        grid.flush()  # type: ignore[attr-defined]
    shape = (lattice.tiles, lattice.order.vectors, LANES)
    weights = np.lib.format.open_memmap(folder / "weights.npy", "w+", np.float32, shape)
    before = memory_mb("RssAnon")
    fit(bank, weights=weights, leave_out=False)
    return memory_mb("VmHWM") - before


def alone(*arguments: object) -> float:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--alone", json.dumps([str(a) for a in arguments])]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure_alone(words: list[str]) -> float:
    """What `alone` asked for."""
    what, size, number, folder = words[0], int(words[1]), words[2], Path(words[3])
    return resident_gb(size, number, folder) if what == "resident" else fit_peak_mb(size, int(number), folder)


def main() -> int:
    """Prints the tables; 0 where the claims hold."""
    arguments = parser(__doc__, "256 only")
    arguments.add_argument("--alone", help="(the benchmark calls itself)")
    given = arguments.parse_args()
    if given.alone:
        print(measure_alone(json.loads(given.alone)))
        return 0
    print(machine())
    sizes = [256] if given.quick else [256, 512, 1024]
    rows, shares = [], {}
    for size in sizes:
        for kind in ("float32", "float16"):
            with tempfile.TemporaryDirectory(prefix="anomaly_memory_") as folder:
                ours = write_model(Path(folder), size, kind)
            shares[kind] = ours / peer_bytes(size)
            times = f"1 / {peer_bytes(size) / ours:.2f}"
            rows.append([f"{size}, {kind}", f"{ours / 1e6:.1f}", f"{peer_bytes(size) / 1e6:.1f}", times])
    print_table("A viewpoint's model", ("heat map, weights", "ours MB", "peer MB", "share"), rows)
    size, resident = sizes[-1], {}
    for kind in ("float32", "float16"):
        with tempfile.TemporaryDirectory(prefix="anomaly_memory_") as folder:
            for view in range(VIEWS):
                (Path(folder) / str(view)).mkdir()
                write_model(Path(folder) / str(view), size, kind)
            resident[kind] = alone("resident", size, kind, folder)
    rows = [[kind, f"{gb:.2f}", f"{VIEWS * peer_bytes(size) / 1e9:.2f}"] for kind, gb in resident.items()]
    print_table(f"{VIEWS} viewpoints at {size}, used once", ("weights", "resident GB", "peer GB"), rows)
    rows, peaks = [], []
    for images in (12, 24, 47, 94):
        with tempfile.TemporaryDirectory(prefix="anomaly_memory_") as folder:
            peaks.append(alone("fit", size, images, folder))
        embeddings = 4 * images * sum(CHANNELS) * (size // 4) ** 2 / 1e6
        rows.append([str(images), f"{peaks[-1]:.0f}", f"{embeddings:.0f}"])
    columns = ("images", "ours, peak MB, mapped files' pages included", "the peer's embeddings alone MB")
    print_table(f"Gaussian fit at {size}", columns, rows)
    holds = all(shares[kind] <= SHARES[kind] for kind in SHARES)
    if size == 1024:
        holds &= all(resident[kind] <= RESIDENT_GB[kind] for kind in RESIDENT_GB)
    figure = ", ".join(
        f"{kind} 1 / {1 / shares[kind]:.2f} of the peer's, {resident[kind]:.2f} GB resident" for kind in SHARES
    )
    return finish(holds, f"at {size}: {figure}")


if __name__ == "__main__":
    sys.exit(main())
