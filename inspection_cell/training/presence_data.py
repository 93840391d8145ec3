"""Rendered samples as arrays and files, and their augmentation by mirroring and quarter turns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
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
        parts: (n,) int64, which part's view it is.
    """

    inputs: NDArray[np.int8]
    labels: NDArray[np.int64]
    components: NDArray[np.int64]
    parts: NDArray[np.int64]


def render_samples(maker: SceneMaker, count: int, views: int) -> Samples:
    """The maker's next `count` samples, `views` of each part."""
    inputs = np.zeros((count, CHANNELS, SIZE_PX, SIZE_PX), np.int8)
    labels, components = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rest = count
    while rest:
        for sample in maker.views(min(views, rest)):
            i = count - rest
            inputs[i] = np.rint(network_input(sample.grey, sample.expected.channels) * LEVELS)
            labels[i], components[i] = sample.label, maker.names.index(sample.component)
            rest -= 1
    return Samples(inputs, labels, components, np.arange(count) // views)


def save_samples(samples: Samples, path: Path) -> None:
    """Writes one .npz."""
    np.savez(path, **{field.name: getattr(samples, field.name) for field in fields(Samples)})


def load_samples(path: Path) -> Samples:
    """Reads what `save_samples` wrote."""
    with np.load(path) as store:
        return Samples(**{field.name: store[field.name] for field in fields(Samples)})


def printed(inputs: NDArray[np.float32], share: float, rng: np.random.Generator) -> None:
    """Draws print or wear over the component's place in a share of a batch: (n, 8, 64, 64), in place.

    What is printed on a component says nothing about whether it is the right one.
    """
    for i in np.flatnonzero(rng.random(len(inputs)) < share):
        sample = inputs[i]
        marks = np.zeros((SIZE_PX, SIZE_PX), np.float32)
        angle = rng.uniform(0, np.pi)
        for _ in range(rng.integers(1, 5)):
            # A row of strokes, as letters and bar codes are.
            at, along = rng.uniform(8, 56, 2), np.array([np.cos(angle), np.sin(angle)])
            pitch, height = rng.uniform(1.5, 5.0), rng.uniform(1.0, 9.0) * np.array([-along[1], along[0]])
            for k in range(rng.integers(2, 14)):
                foot = at + k * pitch * rng.uniform(0.8, 1.2) * along
                ends = np.rint([foot, foot + height * rng.uniform(0.5, 1.0)]).astype(int)
                cv2.line(marks, ends[0].tolist(), ends[1].tolist(), 1.0, int(rng.integers(1, 3)))
        soft = cv2.GaussianBlur(marks, (0, 0), rng.uniform(0.4, 1.0))
        sample[0] = np.clip(sample[0] + rng.uniform(-1.2, 0.8) * soft * sample[1], -1.0, 1.0)


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
