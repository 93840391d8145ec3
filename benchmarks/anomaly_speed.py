"""Claim: scoring an image is several times faster than the peer's PaDiM, exact or fast, and so is all around it.

Both sides get the same 8 bit image of the heat map's size, the same ResNet18 (random weights: speed does not depend on
them), the same 100 of 448 channels, and one thread (--threads), and end with a heat map and its maximum. Side by side:
- exact: our model in float32, the network by ONNX Runtime, by OpenVINO in float32 or by ncnn, the fastest here;
- fast: OpenVINO in bfloat16 and the model stored in float16;
- int8: the network in 8 bit by ONNX Runtime, the model in float16 (whether such a network may be used, its gate says,
  see `quantise-backbone`; here only its speed is measured);
- the peer (peer_padim.py) in PyTorch and as an OpenVINO export, in float32 and in bfloat16;
- the distance step alone; the Gaussian fit alone (features given), each in a process of its own with its peak memory;
- what happens to a frame of 20 megapixels before the network: Multi-Otsu box, crop, resize, pad, normalise, against
  the same written with scikit-image and numpy.
Runs alternate; medians. It needs torch, openvino, ncnn and scikit-image beside the cell's own packages.
Run: python benchmarks/anomaly_speed.py [--quick] [--threads N]   (--quick: 256 only, fewer runs)
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import finish, machine, memory_mb, parser, print_table
from numpy.typing import NDArray
from peer_padim import PeerPadim, ResNet18, openvino_export

from inspection_cell.anomaly.backbone import Backbone, choose_channels
from inspection_cell.anomaly.backbone_card import describe_backbone
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.fit import FitSettings, fit_views
from inspection_cell.anomaly.kernel import kernel
from inspection_cell.anomaly.lattice import Lattice
from inspection_cell.anomaly.otsu import part_box
from inspection_cell.anomaly.padim import distance_map, fit
from inspection_cell.anomaly.preprocess import make_mapping, preprocess
from inspection_cell.anomaly.quantise import quantised_network
from inspection_cell.anomaly.score import AnomalyModel, load_models

Pixels = NDArray[np.uint8]
CHANNELS, IMAGES, MEAN, STD = 100, 94, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What the exact and the fast form must reach at 1024, times faster than the peer.
CLAIMS = {"image, exact": 3.0, "image, fast": 5.5, "image, int8": 8.0,
          "image, exact, OpenVINO": 2.0, "image, fast, OpenVINO": 2.0,
          "distances, exact": 15.0, "distances, fast": 40.0, "fit": 15.0, "fit memory": 7.0, "20 MP": 5.0}  # fmt: skip


def median_ms(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


def picture(seed: int, size: int) -> Pixels:
    """Smooth noise and some grain."""
    rng = np.random.default_rng(seed)
    coarse = torch.tensor(rng.normal(size=(1, 3, 16, 16)), dtype=torch.float32)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0].permute(1, 2, 0).numpy()
    return np.clip(128 + 40 * smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def our_model(
    network: Path, size: int, folder: Path, config: EngineConfig, storage: str, int8: bool = False
) -> AnomalyModel:
    """A model fitted on a few images by the product's own code."""
    card = replace(describe_backbone(network), name="resnet18")
    backbone = Backbone(card, network.read_bytes(), config)
    if int8:
        channels = choose_channels(card, CHANNELS, 0)
        outputs = tuple(replace(o, channels=len(c)) for o, c in zip(card.outputs, channels, strict=True))
        quantised = quantised_network(backbone, [picture(i, size) for i in range(4)], size, channels)
        digest = hashlib.sha256(quantised).hexdigest()
        backbone = Backbone(replace(card, outputs=outputs, sha256=digest), quantised, config)
    settings = FitSettings(size=size, channels=CHANNELS, tolerance=0, n=1, storage=storage)  # type: ignore[arg-type]
    fit_views({"view": [picture(i, size) for i in range(8)]}, backbone, folder, settings)
    return load_models(folder, config)["view"]


def image_and_distances(size: int, rounds: int, threads: int, folder: Path) -> dict[str, float]:
    """Milliseconds of a whole image and of the distances alone, ours and the peer's."""
    torch.manual_seed(0)
    net = ResNet18().eval()
    example = torch.zeros(1, 3, size, size)
    network = folder / f"resnet18_{size}.onnx"
    names = ["layer1", "layer2", "layer3"]
    torch.onnx.export(net, (example,), str(network), input_names=["image"], output_names=names, dynamo=False)
    forms: dict[str, tuple[EngineConfig, str, bool]] = {
        "ours, ONNX Runtime": (EngineConfig(threads=threads), "float32", False),
        "ours, OpenVINO float32": (EngineConfig(provider="openvino", threads=threads), "float32", False),
        "ours, ncnn": (EngineConfig(provider="ncnn", threads=threads), "float32", False),
        "ours, fast": (EngineConfig(provider="openvino", precision="bfloat16", threads=threads), "float16", False),
        "ours, int8": (EngineConfig(threads=threads), "float16", True),
    }
    ours = {n: our_model(network, size, folder / f"m{i}_{size}", *how) for i, (n, how) in enumerate(forms.items())}
    card = describe_backbone(network)
    starts = np.cumsum([0, *(output.channels for output in card.outputs)])[:3]
    chosen = np.concatenate([c + s for c, s in zip(choose_channels(card, CHANNELS, 0), starts, strict=True)])
    peer = PeerPadim(net, chosen, size).eval()
    peer.fill(size)
    exports = {precision: openvino_export(peer, size, precision, threads) for precision in ("f32", "bf16")}
    image = picture(99, size)

    def batch() -> NDArray[np.float32]:
        values = (image.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])

    candidates: dict[str, Callable[[], object]] = {n: (lambda m=m: m.score(image)) for n, m in ours.items()}
    candidates["peer, PyTorch"] = lambda: peer(torch.from_numpy(batch())).max()
    for precision, export in exports.items():
        candidates[f"peer, OpenVINO {precision}"] = lambda export=export: export(batch()).max()
    times = median_ms(candidates, rounds)
    gaussians = {n: ours[n]._package.gaussians for n in ("ours, ONNX Runtime", "ours, fast")}
    lattice = gaussians["ours, fast"].lattice
    rng = np.random.default_rng(0)
    f1, f2, f3 = (
        rng.normal(size=(n, k * lattice.rows, k * lattice.columns)).astype(np.float32)
        for n, k in zip(lattice.channels, (4, 2, 1), strict=True)
    )
    embedding = torch.randn(1, CHANNELS, size // 4, size // 4)
    heads: dict[str, Callable[[], object]] = {
        "distances, float32": lambda: distance_map(gaussians["ours, ONNX Runtime"], (f1, f2, f3), threads),
        "distances, float16": lambda: distance_map(gaussians["ours, fast"], (f1, f2, f3), threads),
        "distances, peer": lambda: peer.distances(embedding),
    }
    return times | median_ms(heads, rounds)


def frame_of_20_mp() -> Pixels:
    """A bright ring before something dark, 5472 x 3648."""
    y, x = np.mgrid[:3648, :5472].astype(np.float32)
    radius = np.hypot(x - 2700, y - 1800)
    grey = np.where(abs(radius - 1100) < 300, 150 + 40 * np.sin(radius / 60), 25).astype(np.float32)
    grey[(radius < 1300) & (y > 1700) & (y < 1900)] = 230
    grey += np.random.default_rng(0).normal(0, 4, grey.shape).astype(np.float32)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, -1)


def peer_preprocess(frame: Pixels, size: int) -> NDArray[np.float32]:
    """The paper's steps as scikit-image has them."""
    from skimage import color, filters, measure, transform

    grey = (color.rgb2gray(frame) * 255).astype(np.uint8)
    mask = grey > filters.threshold_multiotsu(grey, classes=3)[0]
    regions = measure.regionprops(measure.label(mask))
    top, left, bottom, right = max(regions, key=lambda region: region.area).bbox
    crop = frame[top:bottom, left:right]
    scale = size / max(crop.shape[:2])
    height, width = round(crop.shape[0] * scale), round(crop.shape[1] * scale)
    square = np.zeros((size, size, 3), np.float32)
    y, x = (size - height) // 2, (size - width) // 2
    square[y : y + height, x : x + width] = transform.resize(crop, (height, width), anti_aliasing=True)
    return np.asarray(((square - MEAN) / STD).transpose(2, 0, 1)[None], np.float32)


def our_preprocess(frame: Pixels, size: int) -> NDArray[np.float32]:
    """The same steps as the product does them."""
    mapping = make_mapping(frame.shape[1], frame.shape[0], size, part_box(frame))
    return preprocess(frame, mapping, np.array(MEAN, np.float32), np.array(STD, np.float32))


def bank_in(folder: Path, size: int) -> FeatureBank:
    """The features of IMAGES images, made or found there."""
    lattice = Lattice((14, 29, 57), size // 16, size // 16)
    bank, rng = FeatureBank(folder, IMAGES, lattice, key="speed"), np.random.default_rng(0)
    for i in range(IMAGES):
        if not bank.has(i, str(i)):
            shift = np.float32(rng.normal())
            f1, f2, f3 = (
                rng.normal(1, 0.3, (n, k * lattice.rows, k * lattice.columns)).astype(np.float32) + shift
                for n, k in zip(lattice.channels, (4, 2, 1), strict=True)
            )
            bank.put(i, (f1, f2, f3), str(i))
    return bank


def fit_alone(who: str, size: int, folder: Path) -> None:
    """In a process of its own: fits given features; prints seconds and the peak memory beyond the start, MB."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    bank, side = bank_in(folder, size), size // 4
    base = memory_mb("VmRSS")
    if who == "ours":
        shape = (bank.lattice.tiles, bank.lattice.order.vectors, 16)
        weights = np.lib.format.open_memmap(folder / "weights.npy", "w+", np.float32, shape)
        started = time.perf_counter()
        fit(bank, weights=weights, leave_out=False)
    else:
        # As anomalib has it: the embeddings of all images in memory, then one covariance a position.
        peer = PeerPadim(torch.nn.Identity(), np.arange(CHANNELS), size)
        embeddings = torch.empty(IMAGES, CHANNELS, side, side)
        for i in range(IMAGES):
            layers = [torch.from_numpy(np.array(grid[i])) for grid in bank.grids]
            layers = [layer.repeat_interleave(side // layer.shape[-1], -1) for layer in layers]
            layers = [layer.repeat_interleave(side // layer.shape[-2], -2) for layer in layers]
            embeddings[i] = torch.cat(layers)
        started = time.perf_counter()
        peer.fit(embeddings)
    seconds = time.perf_counter() - started
    print(seconds, memory_mb("VmHWM") - base)


def fits(size: int) -> dict[str, tuple[float, float]]:
    """Seconds and MB of our fit and of the peer's."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="anomaly_speed_") as folder:
        bank_in(Path(folder), size)
        for who in ("ours", "peer"):
            command = [sys.executable, __file__, "--fit-alone", who, "--size", str(size), "--folder", folder]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            found[who] = float(answer[-2]), float(answer[-1])
    return found


def main() -> int:
    """Prints the tables; 0 where every claim holds at the largest size that was measured."""
    arguments = parser(__doc__, "256 only, fewer runs")
    arguments.add_argument("--threads", type=int, default=1, help="of every side")
    arguments.add_argument("--fit-alone", choices=("ours", "peer"), help="(the benchmark calls itself)")
    arguments.add_argument("--size", type=int, default=1024, help="the largest heat map")
    arguments.add_argument("--folder", type=Path, help="(the benchmark calls itself)")
    given = arguments.parse_args()
    if given.fit_alone:
        fit_alone(given.fit_alone, given.size, given.folder)
        return 0
    torch.set_num_threads(given.threads)
    torch.set_grad_enabled(False)
    print(f"{machine()}, {given.threads} thread(s), kernel {kernel().name}, torch {torch.__version__}")
    sizes = [256] if given.quick else [size for size in (256, 512, 1024) if size <= given.size]
    reached: dict[str, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="anomaly_speed_") as folder:
            t = image_and_distances(size, 5 if given.quick else 9, given.threads, Path(folder))
        rows = [[name, f"{ms:.1f}", f"{t['peer, PyTorch'] / ms:.1f}"] for name, ms in t.items() if "dist" not in name]
        print_table(f"One image, {size} x {size}", ("who", "median ms", "times the PyTorch peer"), rows)
        rows = [[name, f"{ms:.2f}", f"{t['distances, peer'] / ms:.1f}"] for name, ms in t.items() if "dist" in name]
        print_table(f"Distances alone, {size} x {size}", ("who", "median ms", "times the peer"), rows)
        exact = min(t["ours, ONNX Runtime"], t["ours, OpenVINO float32"], t["ours, ncnn"])
        reached |= {
            "image, exact": t["peer, PyTorch"] / exact,
            "image, fast": t["peer, PyTorch"] / t["ours, fast"],
            "image, int8": t["peer, PyTorch"] / t["ours, int8"],
            "image, exact, OpenVINO": t["peer, OpenVINO f32"] / exact,
            "image, fast, OpenVINO": t["peer, OpenVINO bf16"] / t["ours, fast"],
            "distances, exact": t["distances, peer"] / t["distances, float32"],
            "distances, fast": t["distances, peer"] / t["distances, float16"],
        }
    for size in sizes:
        both = fits(size)
        (seconds, mb), (peer_seconds, peer_mb) = both["ours"], both["peer"]
        reached |= {"fit": peer_seconds / seconds, "fit memory": peer_mb / mb}
        rows = [[who, f"{s:.2f}", f"{m:.0f}"] for who, (s, m) in both.items()]
        print_table(f"Gaussian fit of {IMAGES} images, {size} x {size}, one thread", ("who", "s", "peak MB"), rows)
    frame, size = frame_of_20_mp(), sizes[-1]
    before = median_ms({"ours": lambda: our_preprocess(frame, size), "peer": lambda: peer_preprocess(frame, size)}, 3)
    reached["20 MP"] = before["peer"] / before["ours"]
    rows = [[who, f"{ms:.0f}"] for who, ms in before.items()]
    print_table("A frame of 20 MP before the network", ("who", "median ms"), rows)
    rows = []
    for name, times in reached.items():
        rows.append([name, f"{times:.1f}", f"{CLAIMS[name]:.1f}", "yes" if times >= CLAIMS[name] else "no"])
    print_table(f"Times better than the peer at {sizes[-1]}", ("what", "reached", "claimed", "held"), rows)
    short = [name for name, times in reached.items() if times < CLAIMS[name]]
    figure = ", ".join(f"{name} {times:.1f} x" for name, times in reached.items())
    return finish(not short, f"at {sizes[-1]}: {figure}")


if __name__ == "__main__":
    sys.exit(main())
