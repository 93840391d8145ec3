"""PaDiM's Gaussian at every position, exact (Defard et al. 2021, Sec. III), tile by tile: fitted, cross-fitted, scored.

The features of all images lie in a bank on disk; what is in memory at a time is one tile of them (see `lattice`), so it
does not grow with the size of the heat map, and a fit of everything costs little more than reading the bank once.

Parts never lie exactly alike. With a tolerance of t, a position's Gaussian is also fitted from its neighbours up to t
coarse cells away, as if every image had been shown shifted by that much: the same formulas, on (2t + 1)^2 times as many
samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class CrossFit:
    """A model of all images, and each image of the bank's distances by a model that has not seen it.

    Attributes:
        held_out: (images, 4 rows, 4 columns) float32; nothing without folds.
    """

    model: Gaussians
    held_out: NDArray[np.float32]


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
    folds: Sequence[Sequence[int]],
    tolerance: int = 0,
    weights: NDArray[np.float32] | None = None,
    prior: Prior | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CrossFit:
    """The Gaussians of all images of a bank.

    Args:
        folds: which images are left out together for the cross-fit; every image in exactly one of them. One fold of all
            images: no cross-fit.
        tolerance: coarse cells to each side whose samples count too; at most the bank's border.
        weights: where the model's weights go, e.g. a file that is mapped; None makes an array.
        prior: what was learned before, with the same tolerance: the result is that of all its images and the bank's.
        progress: called with tiles done and in all.

    Raises:
        FitError: fewer than two images in a fit, or a feature that is not finite.
    """
    lattice = bank.lattice
    images = sorted(i for fold in folds for i in fold)
    if images != list(range(bank.images)):
        raise FitError(f"the folds name images {images}, the bank has {bank.images}: name each once")
    before = prior.images if prior else 0
    least = before + bank.images - (max(map(len, folds)) if len(folds) > 1 else 0)
    if least < 2:
        raise FitError(f"{least} image(s): a covariance needs at least two")
    if weights is None:
        weights = np.empty((lattice.tiles, lattice.order.vectors, LANES), np.float32)
    m1, m2, m3 = (
        np.empty((n, k * lattice.rows, k * lattice.padded), np.float32)
        for n, k in zip(lattice.channels, STEPS, strict=True)
    )
    model = Gaussians(lattice, weights, (m1, m2, m3))
    cross = len(folds) > 1
    held_out = np.empty((bank.images * cross, STEPS[0] * lattice.rows, STEPS[0] * lattice.padded), np.float32)
    offsets = bank.offsets()
    places = list(lattice.places())

    def fit_one(place: tuple[int, int, int]) -> None:
        _fit_tile(bank, folds, tolerance, offsets, place, model, held_out, prior)

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(fit_one, places), start=1):
            progress(done, len(places))
    return CrossFit(model, held_out[:, :, : STEPS[0] * lattice.columns])


def _fit_tile(
    bank: FeatureBank,
    folds: Sequence[Sequence[int]],
    tolerance: int,
    offsets: Features,
    place: tuple[int, int, int],
    model: Gaussians,
    held_out: NDArray[np.float32],
    prior: Prior | None,
) -> None:
    """The model of one tile, and its part of the images' distances by the models without them."""
    chosen, lattice, (number, row, column) = kernel(), bank.lattice, place
    vectors, sums = lattice.order.vectors, lattice.order.sums
    second = np.zeros((len(folds), vectors, LANES))
    first = np.zeros((len(folds), sums, LANES))
    for fold, images in enumerate(folds):
        samples = bank.samples(images, row, column, tolerance)
        for start in range(0, len(samples), _SAMPLES):
            chosen.moments(lattice, bank.grids, samples[start : start + _SAMPLES], offsets, second[fold], first[fold])
    shifts = (2 * tolerance + 1) ** 2
    all_second, all_first, total = second.sum(0), first.sum(0), bank.images
    if prior is not None:
        total += prior.images
        tile_means = _cut(prior.model.means, row, column)
        known = moments_of(
            lattice, prior.model.weights[number], tile_means, offsets, prior.images * shifts, REGULARISATION
        )
        all_second += known[0]
        all_first += known[1]
    deviations = chosen.whiten(lattice, all_second, all_first, total * shifts, REGULARISATION, model.weights[number])
    means = _tile_means(lattice, deviations, offsets)
    for mean, part, k in zip(model.means, means, STEPS, strict=True):
        mean[:, k * row : k * (row + 1), k * column : k * (column + LANES)] = part
    if not len(held_out):
        return
    alone = Lattice(lattice.channels, 1, LANES)
    weights = np.empty((1, vectors, LANES), np.float32)
    for fold, images in enumerate(folds):
        count = (total - len(images)) * shifts
        deviations = chosen.whiten(
            lattice, all_second - second[fold], all_first - first[fold], count, REGULARISATION, weights[0]
        )
        means = _tile_means(lattice, deviations, offsets)
        distances = np.empty((STEPS[0], STEPS[0] * LANES), np.float32)
        for i in images:
            chosen.score(alone, weights, means, bank.tile(i, row, column), range(1), distances)
            held_out[i, STEPS[0] * row : STEPS[0] * (row + 1), STEPS[0] * column : STEPS[0] * (column + LANES)] = (
                distances
            )


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
