"""The features of many images in files: the backbone runs once an image, a fit reads only what it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from inspection_cell.anomaly.lattice import LANES, STEPS, Features, Lattice, pad_columns


class FeatureBank:
    """Feature grids of `images` images, in files that a later run may go on with.

    Args:
        key: says what the features depend on beside the image; files that were made with another one are begun anew.

    Attributes:
        grids: a layer each, (images, channels, rows k, columns k) float32, with `border` coarse cells more at the left
            and at least as many at the right, which are copies of the outermost ones.
    """

    def __init__(self, folder: Path, images: int, lattice: Lattice, border: int = 0, key: str = "") -> None:
        self.images = images
        self.lattice = lattice
        self.border = border
        self._index = folder / "images.json"
        self._key = [key, images, border, lattice.channels, lattice.rows, lattice.columns]
        self._digests = self._kept() or [""] * images
        mode = "r+" if any(self._digests) else "w+"
        width = lattice.padded + 2 * border
        f1, f2, f3 = (
            open_memmap(folder / f"layer{i}.npy", mode, np.float32, (images, n, k * lattice.rows, k * width))
            for i, (n, k) in enumerate(zip(lattice.channels, STEPS, strict=True), start=1)
        )
        self.grids: Features = (f1, f2, f3)

    def has(self, index: int, digest: str) -> bool:
        """Whether the features of this very image stand at this place already."""
        return digest != "" and self._digests[index] == digest

    def put(self, index: int, features: Features, digest: str = "") -> None:
        """Writes the features of an image with this digest."""
        after = self.lattice.padded - self.lattice.columns + self.border
        for grid, values, k in zip(self.grids, features, STEPS, strict=True):
            grid[index] = pad_columns(values, k, self.border, after)
        if digest:
            self._digests[index] = digest
            draft = self._index.with_suffix(".part")
            draft.write_text(json.dumps({"key": self._key, "digests": self._digests}), encoding="utf-8")
            draft.replace(self._index)

    def _kept(self) -> list[str]:
        """The digests that an earlier run left, where it was about the same thing."""
        try:
            found = json.loads(self._index.read_text(encoding="utf-8"))
            same = found["key"] == json.loads(json.dumps(self._key))
            files = all((self._index.parent / f"layer{i}.npy").is_file() for i in (1, 2, 3))
            return list(found["digests"]) if same and files else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def get(self, index: int) -> Features:
        """One image's features as they were put in."""
        f1, f2, f3 = (
            np.asarray(grid[index, :, :, k * self.border : k * (self.border + self.lattice.columns)])
            for grid, k in zip(self.grids, STEPS, strict=True)
        )
        return f1, f2, f3

    def offsets(self) -> Features:
        """A guess of each channel's mean: taken off before anything is squared, it keeps large sums small."""
        f1, f2, f3 = (grid[0].mean((1, 2), dtype=np.float64).astype(np.float32) for grid in self.grids)
        return f1, f2, f3

    def samples(self, images: Sequence[int], row: int, column: int, tolerance: int) -> NDArray[np.int64]:
        """Image, row and column in the grids of a tile and of its neighbours up to `tolerance` cells away, (n, 3).

        Raises:
            ValueError: the border is narrower than that.
        """
        if tolerance > self.border:
            raise ValueError(f"a tolerance of {tolerance} needs a border as wide, it is {self.border}")
        shifts = range(-tolerance, tolerance + 1)
        rows = [min(max(row + d, 0), self.lattice.rows - 1) for d in shifts]
        columns = [self.border + column + d for d in shifts]
        return np.array([(i, r, c) for i in images for r in rows for c in columns], np.int64).reshape(-1, 3)

    def tile(self, index: int, row: int, column: int) -> Features:
        """The features of one image in one tile."""
        left = self.border + column
        f1, f2, f3 = (
            np.ascontiguousarray(grid[index, :, k * row : k * (row + 1), k * left : k * (left + LANES)])
            for grid, k in zip(self.grids, STEPS, strict=True)
        )
        return f1, f2, f3
