"""Rendered samples as arrays and files, and their augmentation by mirroring and quarter turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.presence.expectation import CHANNELS, SIZE_PX, network_input
from inspection_cell.training.presence_scenes import SceneMaker

LEVELS = 127.0


@dataclass(frozen=True)
class Samples:
    """Network inputs and what they show.

    Attributes:
        inputs: (n, 8, 64, 64) int8, -127 to 127 for -1 to 1.
        labels: (n,) int64, 0 present, 1 missing, 2 wrong.
        components: (n,) int64, index of the component in the maker's names.
    """

    inputs: NDArray[np.int8]
    labels: NDArray[np.int64]
    components: NDArray[np.int64]


def render_samples(maker: SceneMaker, count: int) -> Samples:
    """The maker's next `count` samples."""
    inputs = np.zeros((count, CHANNELS, SIZE_PX, SIZE_PX), np.int8)
    labels, components = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for i in range(count):
        sample = maker.sample()
        inputs[i] = np.rint(network_input(sample.grey, sample.expected.channels) * LEVELS)
        labels[i], components[i] = sample.label, maker.names.index(sample.component)
        if (i + 1) % 500 == 0:
            print(f"rendered {i + 1} of {count}", flush=True)
    return Samples(inputs, labels, components)


def save_samples(samples: Samples, path: Path) -> None:
    """Writes one .npz."""
    np.savez(path, inputs=samples.inputs, labels=samples.labels, components=samples.components)


def load_samples(path: Path) -> Samples:
    """Reads what `save_samples` wrote."""
    with np.load(path) as store:
        return Samples(store["inputs"], store["labels"], store["components"])


def turned(inputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A batch (n, 8, 64, 64) mirrored and turned by quarters at random; the normals' x and y go along."""
    if rng.random() < 0.5:
        inputs = inputs[..., ::-1].copy()
        inputs[:, [2, 5]] *= -1
    if rng.random() < 0.5:
        inputs = inputs[..., ::-1, :].copy()
        inputs[:, [3, 6]] *= -1
    if rng.random() < 0.5:
        inputs = inputs.transpose(0, 1, 3, 2)[:, [0, 1, 3, 2, 4, 6, 5, 7]]
    return np.ascontiguousarray(inputs)
