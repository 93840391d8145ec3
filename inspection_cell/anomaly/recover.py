"""The moments behind a fitted tile, so that a model can learn from more images without the ones it has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.kernel_numpy import below, flat_triangle, matrix, triangle
from inspection_cell.anomaly.lattice import LANES, STEPS, Features, Lattice

Doubles = NDArray[np.float64]
_LANE = np.arange(LANES)


def moments_of(
    lattice: Lattice,
    weights: NDArray[np.float32],
    means: Features,
    offsets: Features,
    count: int,
    regularisation: float,
) -> tuple[Doubles, Doubles]:
    """Second and first moments about the offsets, as `Kernel.moments` adds them up.

    From W33 = L33^-1 and so on (see lattice.py): C33 = L33 L33^T, C23 = G23 L33^T with G23 = L22 A23,
    C22 = L22 L22^T + G23 G23^T, and the same for layer 1, each less the regularisation on its diagonal.

    Args:
        weights: (vectors, 16) of one tile. means: of this tile, (n1, 4, 64), (n2, 2, 32), (n3, 1, 16).
        count: samples behind the tile.

    Returns:
        (vectors, 16) and (sums, 16).
    """
    order, (n1, n2, n3) = lattice.order, lattice.channels
    numbers = weights.astype(np.float64)
    mean1, mean2, mean3 = (
        (mean.astype(np.float64) - offset[:, None, None]) for mean, offset in zip(means, offsets, strict=True)
    )
    second, firsts2, firsts1 = np.empty_like(numbers), [], {}

    def product(covariance: Doubles, left: Doubles, right: Doubles) -> Doubles:
        return (count - 1) * covariance + count * left[:, :, None] * right[:, None, :]

    def plain(square: Doubles) -> Doubles:
        return square - regularisation * np.eye(square.shape[-1])

    l33 = np.linalg.inv(triangle(numbers, order.c33, n3))
    first3 = mean3[:, 0].T
    second[order.c33] = flat_triangle(product(plain(l33 @ _t(l33)), first3, first3))
    for place2 in range(4):
        row2, half = divmod(place2, 2)
        above = 8 * half + _LANE // 2
        mine = mean2[:, row2, LANES * half : LANES * (half + 1)].T
        l22 = np.linalg.inv(triangle(numbers, order.c22[place2], n2))
        g23 = -l22 @ matrix(numbers, order.c23[place2])
        second[order.c23[place2]] = np.moveaxis(product(g23 @ _t(l33[above]), mine, first3[above]), 0, -1)
        second[order.c22[place2]] = flat_triangle(product(plain(l22 @ _t(l22) + g23 @ _t(g23)), mine, mine))
        firsts2.append(mine)
        for place1 in below(place2):
            row1, quarter = divmod(place1, STEPS[0])
            above3, above2 = 4 * quarter + _LANE // 4, 8 * (quarter % 2) + _LANE // 2
            own = mean1[:, row1, LANES * quarter : LANES * (quarter + 1)].T
            l11 = np.linalg.inv(triangle(numbers, order.c11[place1], n1))
            g13 = -l11 @ matrix(numbers, order.c13[place1])
            g12 = -l11 @ matrix(numbers, order.c12[place1])
            c13 = product(g13 @ _t(l33[above3]), own, first3[above3])
            c12 = product(g12 @ _t(l22[above2]) + g13 @ _t(g23[above2]), own, mine[above2])
            c11 = product(plain(l11 @ _t(l11) + g13 @ _t(g13) + g12 @ _t(g12)), own, own)
            second[order.c13[place1]] = np.moveaxis(c13, 0, -1)
            second[order.c12[place1]] = np.moveaxis(c12, 0, -1)
            second[order.c11[place1]] = flat_triangle(c11)
            firsts1[place1] = own
    firsts = [first3, *firsts2, *(firsts1[place] for place in range(16))]
    return second, count * np.concatenate([first.T for first in firsts])


def _t(values: Doubles) -> Doubles:
    return values.swapaxes(1, 2)
