"""PaDiM's Gaussian at every position, exact, fitted from a stream of images (Defard et al. 2021, Sec. III).

PaDiM upsamples the coarser layers to the finest grid with nearest neighbour, so at a position the vector is
[x3, x2, x1] where x3 (stride 16) is shared by 4 x 4 positions and x2 (stride 8) by 2 x 2. With the channels in this
order the Cholesky factor L of the covariance, and so the whitened vector y = L^-1 (x - mean), is shared alike:

    y3 = W33 d3;  y2 = W22 d2 - A23 y3;  y1 = W11 d1 - A13 y3 - A12 y2;   distance^2 = |y3|^2 + |y2|^2 + |y1|^2

It is the same number as the Mahalanobis distance with the whole covariance at each position (PaDiM Eq. 2), with a fifth
of the storage.

Parts never lie exactly alike. With a tolerance of t, a position's Gaussian is also fitted from its neighbours up to t
coarse cells away, as if every image had been shown shifted by that much: the same formulas, on (2t + 1)^2 times as many
samples. Cells are ordered as (coarse cells, 4 middle cells in each, 4 fine ones in each of those).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import Features
from inspection_cell.anomaly.errors import FitError

REGULARISATION = 0.01
"""Added to the covariance's diagonal (PaDiM Sec. III-A)."""

Floats = NDArray[np.float64]
Cells = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
"""One image's features by cell: (c, n3), (c, 4, n2), (c, 4, 4, n1) with c coarse cells."""


@dataclass(frozen=True)
class Gaussians:
    """The fitted model of one viewpoint, float32.

    Attributes:
        grid: (2,) int64, rows and columns of the coarse grid; c is their product.
        mean3, mean2, mean1: (c, n3), (c, 4, n2), (c, 4, 4, n1).
        w33: (c, n3, n3). w22: (c, 4, n2, n2). w11: (c, 4, 4, n1, n1). Lower triangular.
        a23: (c, 4, n2, n3). a13: (c, 16 n1, n3). a12: (c, 4, 4 n1, n2).
    """

    grid: NDArray[np.int64]
    mean3: NDArray[np.float32]
    mean2: NDArray[np.float32]
    mean1: NDArray[np.float32]
    w33: NDArray[np.float32]
    w22: NDArray[np.float32]
    w11: NDArray[np.float32]
    a23: NDArray[np.float32]
    a13: NDArray[np.float32]
    a12: NDArray[np.float32]

    def arrays(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Name and value of each array."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)


def to_cells(features: Features) -> Cells:
    """The features of one image, grouped by coarse cell."""
    f1, f2, f3 = features
    n3, h, w = f3.shape
    if f2.shape[1:] != (2 * h, 2 * w) or f1.shape[1:] != (4 * h, 4 * w):
        raise FitError(f"feature grids {f1.shape[1:]}, {f2.shape[1:]}, {f3.shape[1:]} are not in the ratio 4:2:1")
    x3 = f3.reshape(n3, h * w).T
    x2 = f2.reshape(-1, h, 2, w, 2).transpose(1, 3, 2, 4, 0).reshape(h * w, 4, -1)
    x1 = f1.reshape(-1, h, 2, 2, w, 2, 2).transpose(1, 4, 2, 5, 3, 6, 0).reshape(h * w, 4, 4, -1)
    return np.ascontiguousarray(x3), x2, x1


def to_map(cells: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Values by fine cell (c, 4, 4) as a map (4 rows, 4 columns)."""
    return cells.reshape(rows, columns, 2, 2, 2, 2).transpose(0, 2, 4, 1, 3, 5).reshape(4 * rows, 4 * columns)


class Accumulator:
    """First and second moments of a stream of images; its size does not depend on how many there were.

    Moments are taken about a guess of the mean (`offset`), which keeps the differences of large sums small.
    Accumulators with the same offset can be subtracted, so a model without some of the images costs little.
    """

    def __init__(self, first: Cells) -> None:
        # the same offset for all coarse cells, so that their moments can be pooled
        self.offset: tuple[Floats, ...] = tuple(x.mean(0, keepdims=True, dtype=np.float64) for x in first)
        c, n3, n2, n1 = len(first[0]), *(x.shape[-1] for x in first)
        sums = ((c, n3), (c, 4, n2), (c, 4, 4, n1))
        products = (
            (c, n3, n3), (c, 4, n2, n2), (c, 4, 4, n1, n1), (c, 4, n2, n3), (c, 16 * n1, n3), (c, 4, 4 * n1, n2)
        )  # fmt: skip
        self.count = 0
        self.sums: tuple[Floats, ...] = tuple(np.zeros(shape) for shape in sums)
        self.products: tuple[Floats, ...] = tuple(np.zeros(shape) for shape in products)

    def empty(self) -> Accumulator:
        """One without images, about the same offset."""
        return self._with(0, [np.zeros_like(s) for s in self.sums], [np.zeros_like(p) for p in self.products])

    def _with(self, count: int, sums: Sequence[Floats], products: Sequence[Floats]) -> Accumulator:
        other = Accumulator.__new__(Accumulator)
        other.offset, other.count = self.offset, count
        other.sums, other.products = tuple(sums), tuple(products)
        return other

    def add(self, images: list[Cells]) -> None:
        """Adds images; several at once are faster."""
        stacked = [np.stack(layer, -1).astype(np.float64) for layer in zip(*images, strict=True)]
        x3, x2, x1 = (x - o[..., None] for x, o in zip(stacked, self.offset, strict=True))
        c, k = len(x3), len(images)
        self.count += k
        for total, x in zip(self.sums, (x3, x2, x1), strict=True):
            total += x.sum(-1)
        by_coarse, by_middle = x1.reshape(c, -1, k), x1.reshape(c, 4, -1, k)
        pairs = ((x3, x3), (x2, x2), (x1, x1), (x2, x3[:, None]), (by_coarse, x3), (by_middle, x2))
        for total, (left, right) in zip(self.products, pairs, strict=True):
            total += left @ right.swapaxes(-1, -2)

    def without(self, other: Accumulator) -> Accumulator:
        """The moments of the images that are not in `other`, which must be a part of this one."""
        sums = [a - b for a, b in zip(self.sums, other.sums, strict=True)]
        products = [a - b for a, b in zip(self.products, other.products, strict=True)]
        return self._with(self.count - other.count, sums, products)

    def fit(self, rows: int, columns: int, tolerance: int = 0) -> Gaussians:
        """The Gaussians of what was added, with `REGULARISATION`.

        Args:
            rows, columns: of the coarse grid.
            tolerance: coarse cells to each side whose samples count too.

        Raises:
            FitError: fewer than two images.
        """
        if self.count < 2:
            raise FitError(f"{self.count} image(s): a covariance needs at least two")
        count = self.count * (2 * tolerance + 1) ** 2
        s3, s2, s1 = (_pooled(total, rows, columns, tolerance) for total in self.sums)
        c, n3, n2, n1 = len(s3), s3.shape[-1], s2.shape[-1], s1.shape[-1]
        by_coarse, by_middle = s1.reshape(c, -1), s1.reshape(c, 4, -1)
        pairs = ((s3, s3), (s2, s2), (s1, s1), (s2, s3[:, None]), (by_coarse, s3), (by_middle, s2))
        c33, c22, c11, c23, c13, c12 = (
            (_pooled(product, rows, columns, tolerance) - left[..., :, None] * right[..., None, :] / count)
            / (count - 1)
            for product, (left, right) in zip(self.products, pairs, strict=True)
        )
        w33 = _whitening(c33)
        g23 = c23 @ w33.swapaxes(-1, -2)[:, None]
        w22 = _whitening(c22 - g23 @ g23.swapaxes(-1, -2))
        g13 = (c13 @ w33.swapaxes(-1, -2)).reshape(c, 4, 4 * n1, n3)
        g12 = (c12 - g13 @ g23.swapaxes(-1, -2)) @ w22.swapaxes(-1, -2)
        g13, g12 = g13.reshape(c, 4, 4, n1, n3), g12.reshape(c, 4, 4, n1, n2)
        w11 = _whitening(c11 - g13 @ g13.swapaxes(-1, -2) - g12 @ g12.swapaxes(-1, -2))
        means = [o + s / count for o, s in zip(self.offset, (s3, s2, s1), strict=True)]
        values = (*means, w33, w22, w11, w22 @ g23, (w11 @ g13).reshape(c, -1, n3), (w11 @ g12).reshape(c, 4, -1, n2))
        return Gaussians(np.array([rows, columns]), *(np.ascontiguousarray(v, np.float32) for v in values))


def _pooled(values: Floats, rows: int, columns: int, tolerance: int) -> Floats:
    """Sums over the coarse cells up to `tolerance` away; at the border the outermost cells count repeatedly."""
    grid = values.reshape(rows, columns, *values.shape[1:])
    for axis, length in enumerate((rows, columns) if tolerance else ()):
        shifts = [np.clip(np.arange(length) + d, 0, length - 1) for d in range(-tolerance, tolerance + 1)]
        grid = sum((np.take(grid, shift, axis) for shift in shifts[1:]), np.take(grid, shifts[0], axis))
    return grid.reshape(values.shape)


def _whitening(covariance: Floats) -> Floats:
    """The inverse of the Cholesky factor of regularised covariances (..., n, n)."""
    identity = np.eye(covariance.shape[-1])
    return np.tril(np.linalg.inv(np.linalg.cholesky(covariance + REGULARISATION * identity)))


def distance_map(model: Gaussians, features: Features) -> NDArray[np.float32]:
    """The Mahalanobis distance at each position of the finest grid, (size / 4, size / 4)."""
    x3, x2, x1 = to_cells(features)
    c, n1 = len(x3), x1.shape[-1]
    y3 = _apply(model.w33, x3 - model.mean3)
    y2 = _apply(model.w22, x2 - model.mean2) - _apply(model.a23, y3[:, None])
    y1 = _apply(model.w11, x1 - model.mean1) - _apply(model.a13, y3).reshape(c, 4, 4, n1)
    y1 -= _apply(model.a12, y2).reshape(c, 4, 4, n1)
    squared = (y1 * y1).sum(-1) + (y2 * y2).sum(-1)[..., None] + (y3 * y3).sum(-1)[:, None, None]
    rows, columns = (int(n) for n in model.grid)
    return np.sqrt(to_map(squared, rows, columns))


def _apply(matrices: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Matrices (..., m, n) times vectors (..., n)."""
    return (matrices @ vectors[..., None])[..., 0]
