"""Features of many images in a scratch file, so that a fit reads them twice and runs the backbone once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from inspection_cell.anomaly.backbone import Features


class FeatureStore:
    """A file of feature grids; memory does not grow with the number of images."""

    def __init__(self, folder: Path, images: int, channels: tuple[int, ...], coarse: int) -> None:
        """Room for `images` images with so many channels at strides 4, 8, 16; `coarse` positions a side at the last."""
        self._shapes = [(n, coarse * k, coarse * k) for n, k in zip(channels, (4, 2, 1), strict=True)]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._cuts = np.cumsum(sizes)[:-1]
        self._values = open_memmap(folder / "features.npy", "w+", np.float32, (images, sum(sizes)))

    def put(self, index: int, features: Features) -> None:
        """Writes one image's features."""
        self._values[index] = np.concatenate([grid.ravel() for grid in features])

    def get(self, index: int) -> Features:
        """Reads one image's features."""
        parts = np.split(self._values[index], self._cuts)
        f1, f2, f3 = (part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True))
        return f1, f2, f3
