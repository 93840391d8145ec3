"""Pictures for the classifiers that see no CAD: drawn ones, kept on disk, and the path-traced ones to test on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from inspection_cell.training.synth.stream import CHUNK, Batch, PictureSettings, Stream


def drawn(settings: PictureSettings, count: int, folder: Path, text: str) -> Batch:
    """The settings's first `count` pictures, drawn once and kept in a file."""
    told = json.dumps([repr(settings), count]).encode()
    path = folder / f"{hashlib.sha256(told).hexdigest()[:16]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        chunks = -(-count // CHUNK)
        with Stream(settings) as stream:
            parts = list(track(stream.batches(chunks), text, chunks))
        arrays = {name: np.concatenate([getattr(p, name) for p in parts])[:count] for name in Batch.__annotations__}
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)
        unfinished.replace(path)
    with np.load(path) as store:
        return Batch(**{name: store[name] for name in Batch.__annotations__})


def batches(samples: Batch, count: int, size: int, seed: int) -> Iterator[Batch]:
    """So many shuffled batches, mirrored and turned by quarters at random; targets go along."""
    rng = np.random.default_rng(seed)
    order = np.zeros(0, np.int64)
    for _ in range(count):
        if len(order) < size:
            order = rng.permutation(len(samples.labels))
        chosen, order = np.sort(order[:size]), order[size:]
        images, targets = samples.images[chosen], samples.targets[chosen]
        if rng.random() < 0.5:
            images, targets = images[:, :, ::-1], targets[:, :, ::-1]
        turns = int(rng.integers(4))
        images, targets = (np.ascontiguousarray(np.rot90(a, turns, (1, 2))) for a in (images, targets))
        yield Batch(images, targets, samples.labels[chosen], samples.bins[chosen])


def merged(one: Batch, other: Batch) -> Batch:
    """Both."""
    return Batch(**{n: np.concatenate([getattr(one, n), getattr(other, n)]) for n in Batch.__annotations__})


def first(samples: Batch, count: int) -> Batch:
    """The first of them."""
    return Batch(**{n: getattr(samples, n)[:count] for n in Batch.__annotations__})


def of_classes(samples: Batch, classes: tuple[int, ...]) -> Batch:
    """Those of some classes, which become 0, 1, ... in this order."""
    number = np.full(int(samples.labels.max()) + 1, -1)
    number[list(classes)] = np.arange(len(classes))
    own = number[samples.labels] >= 0
    return Batch(samples.images[own], samples.targets[own], number[samples.labels[own]], samples.bins[own])


def path_traced(
    folder: Path, names: tuple[str, ...], size: int, least: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(n, size, size, 3) RGB pictures and (n,) classes of the set's taskboard: each name's, and the backgrounds last.

    Raises:
        FileNotFoundError: there is no such set. ValueError: it has fewer than `least` pictures of a class.
    """
    images, labels = [], []
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if one["subject"] != "taskboard" or (one["component"] and one["component"] not in names):
            continue
        picture = cv2.imread(str(folder / one["image"]), cv2.IMREAD_COLOR_RGB)
        images.append(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))
        labels.append(names.index(one["component"]) if one["label"] == "present" else len(names))
    for label, name in enumerate((*names, "background")):
        if labels.count(label) < least:
            raise ValueError(f"{folder}: {labels.count(label)} pictures of {name}, {least} are needed; trace more")
    return np.stack(images).astype(np.uint8), np.array(labels, np.int64)
