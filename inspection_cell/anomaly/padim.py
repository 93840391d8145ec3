"""PaDiM's Gaussian at every position, exact (Defard et al. 2021, Sec. III), tile by tile: fitted, left out, scored.

The features of all images lie in a bank on disk; what is in memory at a time is one tile of them (see `lattice`), so it
does not grow with the size of the heat map, and a fit of everything costs little more than reading the bank once.

Parts never lie exactly alike. With a tolerance of t, a position's Gaussian is also fitted from its neighbours up to t
coarse cells away, as if every image had been shown shifted by that much: the same formulas, on (2t + 1)^2 times as many
samples.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.kernel import kernel, score
from inspection_cell.anomaly.lattice import LANES, STEPS, Features, Lattice, pad_columns
from inspection_cell.anomaly.recover import moments_of

Doubles = NDArray[np.float64]
REGULARISATION = 0.01
"""Added to the covariance's diagonal (PaDiM Sec. III-A)."""
_SAMPLES = 48
"""Taken together: enough that a product is long, few enough that a tile of them stays in the cache."""


@dataclass(frozen=True)
class Gaussians:
    """The fitted model of one viewpoint.

    Attributes:
        lattice: its size.
        weights: (tiles, vectors, 16) float32, or float16 where it is stored so.
        means: a layer each, (channels, rows k, padded columns k) float32.
    """

    lattice: Lattice
    weights: NDArray[Any]
    means: Features


@dataclass(frozen=True)
class Prior:
    """A model to learn on from, and how many images are behind it."""

    model: Gaussians
    images: int


@dataclass(frozen=True)
class Fitted:
    """A model of all images, and each image of the bank's distances by a model of all the others.

    Attributes:
        left_out: (images, 4 rows, 4 columns) float32; nothing where it was not asked for.
    """

    model: Gaussians
    left_out: NDArray[np.float32]


def distance_map(model: Gaussians, features: Features, threads: int = 1) -> NDArray[np.float32]:
    """The Mahalanobis distance at each position of the finest grid, (4 rows, 4 columns) of the coarse one.

    Raises:
        FitError: features of another size than the model's.
    """
    lattice = model.lattice
    shapes = [(n, k * lattice.rows, k * lattice.columns) for n, k in zip(lattice.channels, STEPS, strict=True)]
    if [grid.shape for grid in features] != shapes:
        raise FitError(f"features of {[grid.shape for grid in features]} for a model of {shapes}")
    beyond = lattice.padded - lattice.columns
    f1, f2, f3 = (
        np.ascontiguousarray(pad_columns(grid, k, 0, beyond), np.float32)
        for grid, k in zip(features, STEPS, strict=True)
    )
    return score(lattice, model.weights, model.means, (f1, f2, f3), threads)[:, : STEPS[0] * lattice.columns]


def fit(
    bank: FeatureBank,
    tolerance: int = 0,
    weights: NDArray[np.float32] | None = None,
    prior: Prior | None = None,
    threads: int = 1,
    leave_out: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """The Gaussians of all images of a bank, and how far each image is from those of all the others.

    Args:
        tolerance: coarse cells to each side whose samples count too; at most the bank's border.
        weights: where the model's weights go, e.g. a file that is mapped; None makes an array.
        prior: what was learned before, with the same tolerance: the result is that of all its images and the bank's.
        leave_out: whether the second answer is wanted.
        progress: called with tiles done and in all.

    Raises:
        FitError: too few images, or a feature that is not finite.
    """
    lattice = bank.lattice
    total = bank.images + (prior.images if prior else 0)
    if total - leave_out < 2:
        raise FitError(f"{total} image(s): a covariance needs at least two" + ", one more to leave one out" * leave_out)
    if weights is None:
        weights = np.empty((lattice.tiles, lattice.order.vectors, LANES), np.float32)
    m1, m2, m3 = (
        np.empty((n, k * lattice.rows, k * lattice.padded), np.float32)
        for n, k in zip(lattice.channels, STEPS, strict=True)
    )
    model = Gaussians(lattice, weights, (m1, m2, m3))
    left_out = np.empty((bank.images * leave_out, STEPS[0] * lattice.rows, STEPS[0] * lattice.padded), np.float32)
    offsets = bank.offsets()
    places = list(lattice.places())

    def fit_one(place: tuple[int, int, int]) -> None:
        second, first = _tile_moments(bank, tolerance, offsets, place, prior)
        count = total * (2 * tolerance + 1) ** 2
        _fit_tile(model, offsets, place, second, first, count)
        if leave_out:
            _leave_out_tile(bank, tolerance, offsets, place, second, first, count, left_out)

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(fit_one, places), start=1):
            progress(done, len(places))
    return Fitted(model, left_out[:, :, : STEPS[0] * lattice.columns])


def _tile_moments(
    bank: FeatureBank, tolerance: int, offsets: Features, place: tuple[int, int, int], prior: Prior | None
) -> tuple[Doubles, Doubles]:
    """Second and first moments of one tile, of the bank's images and those behind the prior."""
    lattice, (number, row, column) = bank.lattice, place
    second = np.zeros((lattice.order.vectors, LANES))
    first = np.zeros((lattice.order.sums, LANES))
    samples = bank.samples(range(bank.images), row, column, tolerance)
    for start in range(0, len(samples), _SAMPLES):
        kernel().moments(lattice, bank.grids, samples[start : start + _SAMPLES], offsets, second, first)
    if prior is not None:
        means, count = _cut(prior.model.means, row, column), prior.images * (2 * tolerance + 1) ** 2
        known = moments_of(lattice, prior.model.weights[number], means, offsets, count, REGULARISATION)
        second += known[0]
        first += known[1]
    return second, first


def _fit_tile(
    model: Gaussians, offsets: Features, place: tuple[int, int, int], second: Doubles, first: Doubles, count: int
) -> None:
    """Writes the model of one tile."""
    number, row, column = place
    deviations = kernel().whiten(model.lattice, second, first, count, REGULARISATION, model.weights[number])
    means = _tile_means(model.lattice, deviations, offsets)
    for mean, part, k in zip(model.means, means, STEPS, strict=True):
        mean[:, k * row : k * (row + 1), k * column : k * (column + LANES)] = part


def _leave_out_tile(
    bank: FeatureBank,
    tolerance: int,
    offsets: Features,
    place: tuple[int, int, int],
    second: Doubles,
    first: Doubles,
    count: int,
    left_out: NDArray[np.float32],
) -> None:
    """Writes each image's distances in one tile by the model of all the other images, without fitting those.

    Without the s samples of an image, deviations D from the mean of all n, the covariance is (see the tests)

        C_-A = (n - 1) / (n - s - 1) [C' - D B D^T / (n - 1)],  B = I + 1 1^T / (n - s),

    with C' the covariance of all and (n - s - 1) / (n - 1) of the regularisation; the image itself lies D v from the
    others' mean, v = 1 / (n - s) and 1 more at the sample that is not shifted. By Woodbury's identity its squared
    distance needs only the products G = D^T C'^-1 D:

        (n - s - 1) / (n - 1) [v^T G v + v^T G ((n - 1) (I - 1 1^T / n) - G)^-1 G v].
    """
    lattice, (_, row, column) = bank.lattice, place
    s = (2 * tolerance + 1) ** 2
    share = (count - s - 1) / (count - 1)
    weights = np.empty((lattice.order.vectors, LANES), np.float32)
    deviations = kernel().whiten(lattice, second, first, count, share * REGULARISATION, weights)
    means = _tile_means(lattice, deviations, offsets)
    lower = np.tril_indices(s)
    v = np.full(s, 1 / (count - s))
    v[s // 2] += 1
    rest = (count - 1) * (np.eye(s) - 1 / count)
    rows, columns = (slice(STEPS[0] * at, STEPS[0] * (at + n)) for at, n in ((row, 1), (column, LANES)))
    for image in range(bank.images):
        samples = bank.samples([image], row, column, tolerance)
        products = kernel().gram(lattice, bank.grids, samples, weights, means)
        gram = np.empty((*products.shape[1:], s, s))
        gram[..., lower[0], lower[1]] = gram[..., lower[1], lower[0]] = np.moveaxis(products, 0, -1)
        gv = gram @ v
        squared = share * (gv @ v + (gv * np.linalg.solve(rest - gram, gv[..., None])[..., 0]).sum(-1))
        left_out[image, rows, columns] = np.sqrt(np.maximum(squared, 0))


def _cut(grids: Features, row: int, column: int) -> Features:
    """A tile's part of means."""
    f1, f2, f3 = (
        grid[:, k * row : k * (row + 1), k * column : k * (column + LANES)]
        for grid, k in zip(grids, STEPS, strict=True)
    )
    return f1, f2, f3


def _tile_means(lattice: Lattice, deviations: NDArray[np.float32], offsets: Features) -> Features:
    """The means of one tile from a list of sums: (n1, 4, 64), (n2, 2, 32), (n3, 1, 16)."""
    cuts = np.split(deviations, [lattice.channels[2], lattice.channels[2] + 4 * lattice.channels[1]])
    grids = []
    for values, n, k, offset in zip(reversed(cuts), lattice.channels, STEPS, offsets, strict=True):
        grid = values.reshape(k, k, n, LANES).transpose(2, 0, 1, 3).reshape(n, k, k * LANES)
        grids.append(np.ascontiguousarray(grid + offset[:, None, None]))
    return grids[0], grids[1], grids[2]
