"""Rendered samples as arrays and files, and their augmentation by mirroring and quarter turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
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


def network_inputs(samples: Samples, size: int = 256) -> Iterator[NDArray[np.float32]]:
    """The samples' inputs (size, 8, 64, 64) as the network takes them, in their order."""
    for start in range(0, len(samples.labels), size):
        yield samples.inputs[start : start + size].astype(np.float32) / np.float32(LEVELS)


def chosen(samples: Samples, which: NDArray[np.bool_]) -> Samples:
    """Those for which `which` (n,) is true."""
    return Samples(**{field.name: getattr(samples, field.name)[which] for field in fields(Samples)})


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
        soft = cv2.GaussianBlur(_marks(sample[1] > 0, rng), (0, 0), rng.uniform(0.3, 0.8))
        sample[0] = np.clip(sample[0] + rng.uniform(-1.0, 0.8) * soft * sample[1], -1.0, 1.0)


def _marks(place: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """(64, 64), 0 to 1: rows of letters, or of bars as in a bar code, over a place, mostly along it."""
    marks = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    points = np.argwhere(place)[:, ::-1].astype(float)
    if len(points) < 3:
        return marks
    middle = points.mean(axis=0)
    along = np.linalg.eigh(np.cov((points - middle).T))[1][:, 1]
    if rng.random() < 0.3:
        along = rng.normal(size=2)
        along /= np.linalg.norm(along)
    across = np.array([-along[1], along[0]]) * rng.choice([-1, 1])
    (left, right), (low, high) = (
        (np.min(p), np.max(p)) for p in ((points - middle) @ along, (points - middle) @ across)
    )
    height = float(np.clip((high - low) * rng.uniform(0.12, 0.5), 1.5, 10.0))
    at = low + rng.uniform(0, 0.4) * (high - low)
    for _ in range(rng.integers(1, 4)):
        bars, tone = rng.random() < 0.4, float(rng.uniform(0.5, 1.0))
        pitch = rng.uniform(1.2, 3.0) if bars else height * rng.uniform(0.6, 0.9) + 0.5
        start, end = left + rng.uniform(0, 0.5) * (right - left), right - rng.uniform(0, 0.5) * (right - left)
        for position in np.arange(start, end, pitch):
            foot = middle + position * along + at * across
            if bars:
                _stroke(marks, foot, foot + height * across, tone, int(rng.integers(1, 3)))
                continue
            grid = (
                foot
                + rng.integers(0, 3, (4, 1)) * 0.3 * height * along
                + rng.integers(0, 3, (4, 1)) / 2 * height * across
            )
            for one, other in pairwise(grid[: rng.integers(2, 5)]):
                _stroke(marks, one, other, tone, 1)
        at += height * rng.uniform(1.2, 1.8)
    return marks


def _stroke(
    marks: NDArray[np.float32], one: NDArray[np.float64], other: NDArray[np.float64], tone: float, thickness: int
) -> None:
    ends = np.rint([one, other]).astype(int)
    cv2.line(marks, ends[0].tolist(), ends[1].tolist(), tone, thickness)


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
