"""The three computations on tiles, compiled for this processor (lattice.c), or in numpy where that was not built."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly import kernel_numpy
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.lattice import LANES, STEPS, Features, Lattice
from inspection_cell.core.compiled import VARIANTS, open_library, pointer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
VERSION = 1
"""Of lattice.c."""


class Kernel(Protocol):
    """What both implementations do."""

    name: str

    def score(
        self, lattice: Lattice, weights: NDArray[Any], means: Features, features: Features, rows: range, out: Floats
    ) -> None:
        """Writes the distances of some coarse rows.

        Args:
            weights: (tiles, vectors, 16) float32 or float16.
            means, features: (channels, rows k, padded columns k) float32, contiguous.
            out: (4 rows, 4 padded columns).
        """

    def moments(
        self,
        lattice: Lattice,
        bank: Features,
        samples: NDArray[np.int64],
        offsets: Features,
        moments: Doubles,
        sums: Doubles,
    ) -> None:
        """Adds the second and first moments, about the offsets, of samples of one tile.

        Args:
            bank: (images, channels, rows k, columns k) float32 a layer.
            samples: (n, 3) image, coarse row and first coarse column of each sample.
            offsets: (channels,) float32 a layer.
            moments: (vectors, 16) float64. sums: (sums, 16) float64.
        """

    def gram(
        self, lattice: Lattice, bank: Features, samples: NDArray[np.int64], weights: Floats, means: Features
    ) -> Floats:
        """The products y_j . y_k of the samples' whitened deviations at each position of a tile.

        Args:
            samples: (n, 3), as in `moments`.
            weights: (vectors, 16) of the tile. means: (n1, 4, 64), (n2, 2, 32), (n3, 1, 16).

        Returns:
            (n (n + 1) / 2, 4, 64), for k <= j at j (j + 1) / 2 + k.
        """

    def whiten(
        self, lattice: Lattice, moments: Doubles, sums: Doubles, count: int, regularisation: float, weights: Floats
    ) -> Floats:
        """Writes a tile's model to `weights` (vectors, 16).

        Returns:
            What to add to the offsets for the means, (sums, 16).

        Raises:
            FitError: a covariance is not positive definite.
        """


class CompiledKernel:
    """`lattice.c`."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._library = library
        self.name = name

    def score(
        self, lattice: Lattice, weights: NDArray[Any], means: Features, features: Features, rows: range, out: Floats
    ) -> None:
        function = self._library.lattice_score_half if weights.dtype == np.float16 else self._library.lattice_score
        function(
            pointer(weights), _channels(lattice), lattice.padded, _pointers(features), _pointers(means),
            rows.start, rows.stop, lattice.rows, pointer(out),
        )  # fmt: skip

    def moments(
        self,
        lattice: Lattice,
        bank: Features,
        samples: NDArray[np.int64],
        offsets: Features,
        moments: Doubles,
        sums: Doubles,
    ) -> None:
        n1, n2, n3 = lattice.channels
        addresses, strides = _addresses(bank, samples)
        scratch = np.empty((3 * n3 + 2 * n2 + n1) * len(samples) * LANES)
        self._library.lattice_moments(
            _channels(lattice), len(samples), pointer(addresses), pointer(strides),
            _pointers(offsets), pointer(scratch), pointer(moments), pointer(sums),
        )  # fmt: skip

    def gram(
        self, lattice: Lattice, bank: Features, samples: NDArray[np.int64], weights: Floats, means: Features
    ) -> Floats:
        (n1, n2, n3), count = lattice.channels, len(samples)
        pairs = count * (count + 1) // 2
        addresses, strides = _addresses(bank, samples)
        mean_strides = np.array([[k * k * LANES, k * LANES] for k in STEPS], np.int64)
        scratch = np.empty(((7 * n3 + 2 * n2 + max(n1, n2, n3) + 1) * count + 3 * pairs, LANES), np.float32)
        out = np.empty((pairs, STEPS[0], STEPS[0] * LANES), np.float32)
        self._library.lattice_gram(
            pointer(weights), _channels(lattice), count, pointer(addresses), pointer(strides),
            _pointers(means), pointer(mean_strides), pointer(scratch), pointer(out),
        )  # fmt: skip
        return out

    def whiten(
        self, lattice: Lattice, moments: Doubles, sums: Doubles, count: int, regularisation: float, weights: Floats
    ) -> Floats:
        deviations = np.empty((lattice.order.sums, LANES), np.float32)
        scratch = np.empty((self._library.lattice_scratch(_channels(lattice)), LANES))
        failed = self._library.lattice_whiten(
            _channels(lattice), pointer(moments), pointer(sums), ctypes.c_double(count),
            ctypes.c_double(regularisation), pointer(scratch), pointer(weights), pointer(deviations),
        )  # fmt: skip
        if failed:
            raise FitError("a covariance is not positive definite; is a feature not a finite number?")
        return deviations


def _addresses(bank: Features, samples: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Where each sample begins in each layer, (n, 3); floats from channel to channel and row to row, (3, 2)."""
    addresses, strides = np.empty((len(samples), 3), np.uint64), np.empty((3, 2), np.int64)
    for layer, (grid, step) in enumerate(zip(bank, STEPS, strict=True)):
        image, channel, row, _ = grid.strides
        addresses[:, layer] = grid.ctypes.data + samples @ np.array([image, step * row, step * grid.itemsize])
        strides[layer] = channel // grid.itemsize, row // grid.itemsize
    return addresses, strides


@lru_cache(maxsize=1)
def kernel() -> Kernel:
    """The fastest implementation that this processor can run."""
    for name in VARIANTS:
        if (found := compiled(name)) is not None:
            return found
    logging.getLogger(__name__).warning(
        "lattice.c is not built: scoring is slow; install the package with a C compiler"
    )
    return kernel_numpy.NumpyKernel()


def compiled(name: str) -> CompiledKernel | None:
    """`lattice.c` for one of VARIANTS; None where it was not built, is out of date, or the processor cannot run it."""
    library = open_library(Path(__file__).parent, "lattice", name, VERSION)
    if library is None:
        return None
    library.lattice_scratch.restype = ctypes.c_int64
    return CompiledKernel(library, name)


def score(lattice: Lattice, weights: NDArray[Any], means: Features, features: Features, threads: int) -> Floats:
    """Distances (4 rows, 4 padded columns); see Kernel.score."""
    out = np.empty((STEPS[0] * lattice.rows, STEPS[0] * lattice.padded), np.float32)
    chosen = kernel()
    if threads == 1:
        chosen.score(lattice, weights, means, features, range(lattice.rows), out)
        return out
    cuts = np.linspace(0, lattice.rows, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        parts = [range(a, b) for a, b in pairwise(cuts)]
        list(pool.map(lambda rows: chosen.score(lattice, weights, means, features, rows, out), parts))
    return out


def _channels(lattice: Lattice) -> Any:
    return (ctypes.c_int * 3)(*lattice.channels)


def _pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    return (ctypes.c_void_p * 3)(*(pointer(array) for array in arrays))
