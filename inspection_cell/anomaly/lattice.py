"""PaDiM's lattice: which positions share which channels, and the order in which a model's numbers are kept.

PaDiM upsamples the coarser layers to the finest grid with nearest neighbour, so at a position the vector is
[x3, x2, x1] where x3 (stride 16) is shared by 4 x 4 positions and x2 (stride 8) by 2 x 2. With the channels in this
order the Cholesky factor L of the covariance, and so the whitened vector y = L^-1 (x - mean), is shared alike:

    y3 = W33 d3;  y2 = W22 d2 - A23 y3;  y1 = W11 d1 - A13 y3 - A12 y2;   distance^2 = |y3|^2 + |y2|^2 + |y1|^2

It is the same number as the Mahalanobis distance with the whole covariance at each position (Defard et al. 2021,
Eq. 2), with a fifth of the storage.

A tile is 16 coarse cells side by side: 16 positions of layer 3, 2 rows of 32 of layer 2, 4 rows of 64 of layer 1, cut
into vectors of 16 neighbouring positions. Its numbers are a list of such vectors, (vectors, 16), in the order in which
`lattice.c` uses them: row by row of the lower triangular matrices, first W33, then for each row and half of layer 2
[-A23, W22], then for each row and quarter of layer 1 [-A13, -A12, W11]. Covariances are listed alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

LANES = 16
STEPS = (4, 2, 1)
"""Positions of layers 1, 2, 3 along a coarse cell."""
Features = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Layers 1, 2, 3 of one image: (channels, rows, columns) each, in the ratio 4 : 2 : 1."""
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Lattice:
    """The size of a model.

    Attributes:
        channels: of layers 1, 2, 3.
        rows, columns: of the coarse grid.
    """

    channels: tuple[int, int, int]
    rows: int
    columns: int

    @property
    def across(self) -> int:
        """Tiles in a row; the last one may reach beyond the grid."""
        return -(-self.columns // LANES)

    @property
    def padded(self) -> int:
        """Columns of the tiles."""
        return self.across * LANES

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return self.rows * self.across

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Number, row and first column of each tile."""
        for number in range(self.tiles):
            yield number, number // self.across, number % self.across * LANES

    @cached_property
    def order(self) -> Order:
        """Where each matrix stands in a tile's list."""
        return Order(self.channels)


class Order:
    """Places in a tile's list of vectors.

    Attributes:
        vectors: length of the list.
        sums: length of the list of first moments: n3; for each row and half n2; for each row and quarter n1.
        c33: (n3 (n3 + 1) / 2,). c23, c22: for each place in layer 2 (2 row + half), (n2, n3) and the triangle's.
        c13, c12, c11: for each place in layer 1 (4 row + quarter), (n1, n3), (n1, n2) and the triangle's.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        n1, n2, n3 = channels
        self.c33 = _triangle(0, 0, n3)
        start = len(self.c33)
        size2, size1 = n2 * n3 + _count(n2), n1 * (n3 + n2) + _count(n1)
        starts2 = [start + place * size2 for place in range(4)]
        starts1 = [start + 4 * size2 + place * size1 for place in range(16)]
        self.c23 = [_rows(at, n3, n2, n3) for at in starts2]
        self.c22 = [_triangle(at + n3, n3, n2) for at in starts2]
        self.c13 = [_rows(at, n3 + n2, n1, n3) for at in starts1]
        self.c12 = [_rows(at + n3, n3 + n2, n1, n2) for at in starts1]
        self.c11 = [_triangle(at + n3 + n2, n3 + n2, n1) for at in starts1]
        self.vectors = start + 4 * size2 + 16 * size1
        self.sums = n3 + 4 * n2 + 16 * n1


def _count(n: int) -> int:
    return n * (n + 1) // 2


def _rows(start: int, step: int, rows: int, columns: int) -> Index:
    """Places (rows, columns) where row i begins at start + i step + i (i + 1) / 2."""
    i = np.arange(rows)[:, None]
    return np.asarray(start + i * step + i * (i + 1) // 2 + np.arange(columns), np.int64)


def _triangle(start: int, step: int, rows: int) -> Index:
    return _rows(start, step, rows, rows)[np.tril_indices(rows)]


def pad_columns(grid: NDArray[np.float32], step: int, before: int, after: int) -> NDArray[np.float32]:
    """A layer's grid (..., columns) with so many coarse cells more at its sides: copies of the outermost ones."""
    if not before and not after:
        return grid
    cells = grid.reshape(*grid.shape[:-1], -1, step)
    left, right = np.repeat(cells[..., :1, :], before, -2), np.repeat(cells[..., -1:, :], after, -2)
    return np.concatenate([left, cells, right], -2).reshape(*grid.shape[:-1], -1)
