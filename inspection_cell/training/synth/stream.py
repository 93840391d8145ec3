"""Training pictures in any number, by several processes, always the same for a seed, without touching the disk."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.component import Component
from inspection_cell.training.synth.context import context_solids
from inspection_cell.training.synth.scene import EVEN, Example, PictureMaker, SceneRanges, Weights
from inspection_cell.training.synth.views import Viewpoints, ViewRange, viewpoints

CHUNK = 32
AHEAD = 3
"""Chunks that each process may be ahead of who takes them."""


@dataclass(frozen=True)
class Subject:
    """A class: one component of a CAD file.

    Attributes:
        cad: the file. unit: of a mesh, None for metres and STEP. component: its name in the file.
        views: from where it is looked at.
    """

    cad: Path
    component: str
    unit: str | None = None
    views: ViewRange = field(default_factory=ViewRange)


@dataclass(frozen=True)
class Batch:
    """Examples as arrays.

    Attributes:
        images: (n, size, size, 3) uint8. targets: (n, target_size, target_size, 3) uint8. labels: (n,) int64.
        bins: (n, 3) int64, of viewpoint, light and texture.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    labels: NDArray[np.int64]
    bins: NDArray[np.int64]


@dataclass(frozen=True)
class PictureSettings:
    """What the pictures show.

    Attributes:
        subjects: the classes in their order; the background comes after them.
        size: pixels a side. target_size: of the autoencoder's targets; 0 for none.
        seed: the picture number i follows from the seed and i alone.
    """

    subjects: tuple[Subject, ...]
    size: int
    target_size: int = 0
    ranges: SceneRanges = field(default_factory=SceneRanges)
    seed: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, the background last."""
        return (*(subject.component for subject in self.subjects), "background")


def subject_parts(settings: PictureSettings) -> tuple[list[Component], list[Viewpoints]]:
    """The components and from where each is seen.

    Raises:
        CadError: a file that cannot be used. ValueError: a component that is not in its file or seen from nowhere.
    """
    components, views = [], []
    for subject in settings.subjects:
        assembly = load_assembly(subject.cad, subject.unit)
        if subject.component not in assembly.names:
            raise ValueError(f"{subject.cad}: has no {subject.component!r}; it has {', '.join(assembly.names)}")
        components.append(assembly.components[assembly.index(subject.component)])
        views.append(viewpoints(assembly, subject.component, settings.ranges.distance_m, subject.views))
    return components, views


class Stream:
    """Makes batches; use it in a `with`.

    Every class comes equally often: picture i is of class i modulo their number.
    """

    def __init__(self, settings: PictureSettings, processes: int | None = None) -> None:
        """Raises as `subject_parts`."""
        self.settings = settings
        self._processes = processes or os.cpu_count() or 1
        context = multiprocessing.get_context("spawn")
        # In a process of its own: who takes the pictures may have PyTorch, which a renderer does not get on with.
        with ProcessPoolExecutor(1, context) as once:
            components, views = once.submit(subject_parts, settings).result()
        arguments = (settings, components, views)
        self._pool = ProcessPoolExecutor(self._processes, context, initializer=_begin, initargs=arguments)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; what is being drawn is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def batches(
        self, count: int, size: int = CHUNK, first: int = 0, weights: Callable[[], Weights] = lambda: EVEN
    ) -> Iterator[Batch]:
        """`count` batches, from picture number `first` on.

        Args:
            weights: asked for each batch when its drawing begins, some batches before it is taken: how often each
                bin comes. With others than even ones the pictures depend on how fast they are taken too.
        """
        waiting: deque[Future[Batch]] = deque()
        for number in range(count):
            waiting.append(self._pool.submit(_draw, first + number * size, size, weights()))
            if len(waiting) > AHEAD * self._processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_MAKER: list[tuple[PictureMaker, PictureSettings]] = []
"""Of this process."""


def _begin(settings: PictureSettings, components: list[Component], views: list[Viewpoints]) -> None:
    # A software renderer starts threads of its own, which only get in each other's way here.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    import cv2

    cv2.setNumThreads(1)
    solids = context_solids(settings.seed)
    _MAKER.append(
        (PictureMaker(components, solids, views, settings.ranges, settings.size, settings.target_size), settings)
    )


def _draw(first: int, count: int, weights: Weights) -> Batch:
    maker, settings = _MAKER[0]
    return stacked([example(maker, settings, first + k, weights) for k in range(count)])


def example(maker: PictureMaker, settings: PictureSettings, number: int, weights: Weights = EVEN) -> Example:
    """Picture `number` of a settings."""
    rng = np.random.default_rng((settings.seed, number))
    return maker.example(rng, number % len(settings.classes), weights)


def stacked(examples: Sequence[Example]) -> Batch:
    """Examples as one batch."""
    return Batch(
        np.stack([e.image for e in examples]),
        np.stack([e.target for e in examples]),
        np.array([e.label for e in examples], np.int64),
        np.stack([e.bins for e in examples]),
    )
