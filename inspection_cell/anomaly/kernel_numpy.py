"""The three computations on tiles (see kernel.Kernel) in numpy: slower, and what lattice.c is tested against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.lattice import LANES, STEPS, Features, Lattice

Doubles = NDArray[np.float64]
_LANE = np.arange(LANES)


class NumpyKernel:
    """Matrices are (lanes, rows, columns) here, one for each of 16 neighbouring positions."""

    name = "numpy"

    def score(
        self,
        lattice: Lattice,
        weights: NDArray[Any],
        means: Features,
        features: Features,
        rows: range,
        out: NDArray[np.float32],
    ) -> None:
        for number, row, column in lattice.places():
            if row not in rows:
                continue
            cut = [(slice(None), slice(k * row, k * (row + 1)), slice(k * column, k * (column + LANES))) for k in STEPS]
            d1, d2, d3 = (x[c] - mean[c] for x, mean, c in zip(features, means, cut, strict=True))
            list_ = np.asarray(weights[number], np.float32)
            order, n = lattice.order, lattice.channels
            y3 = _times(triangle(list_, order.c33, n[2]), d3[:, 0].T)
            squares3 = (y3 * y3).sum(-1)
            for place2 in range(4):
                row2, half = divmod(place2, 2)
                above = 8 * half + _LANE // 2
                x2 = d2[:, row2, LANES * half : LANES * (half + 1)].T
                y2 = _times(triangle(list_, order.c22[place2], n[1]), x2)
                y2 += _times(matrix(list_, order.c23[place2]), y3[above])
                squares2 = squares3[above] + (y2 * y2).sum(-1)
                for place1 in below(place2):
                    row1, quarter = divmod(place1, 4)
                    above3, above2 = 4 * quarter + _LANE // 4, 8 * (quarter % 2) + _LANE // 2
                    x1 = d1[:, row1, LANES * quarter : LANES * (quarter + 1)].T
                    y1 = _times(triangle(list_, order.c11[place1], n[0]), x1)
                    y1 += _times(matrix(list_, order.c13[place1]), y3[above3])
                    y1 += _times(matrix(list_, order.c12[place1]), y2[above2])
                    left = STEPS[0] * column + LANES * quarter
                    distance = np.sqrt(squares2[above2] + (y1 * y1).sum(-1))
                    out[STEPS[0] * row + row1, left : left + LANES] = distance

    def moments(
        self,
        lattice: Lattice,
        bank: Features,
        samples: NDArray[np.int64],
        offsets: Features,
        moments: Doubles,
        sums: Doubles,
    ) -> None:
        order = lattice.order

        def deviations(layer: int) -> Doubles:
            grid, k = bank[layer], STEPS[layer]
            cut = [grid[i, :, k * r : k * (r + 1), k * c : k * (c + LANES)] for i, r, c in samples]
            return np.asarray(np.stack(cut).astype(np.float64) - offsets[layer][:, None, None], np.float64)

        d1, d2, d3 = deviations(0), deviations(1), deviations(2)
        x3 = d3[:, :, 0].T  # lanes, channels, samples
        firsts = [x3]
        moments[order.c33] += flat_triangle(x3 @ x3.swapaxes(1, 2))
        firsts1: list[Doubles] = [x3] * 16
        for place2 in range(4):
            row2, half = divmod(place2, 2)
            x2 = d2[:, :, row2, LANES * half : LANES * (half + 1)].T
            above = x3[8 * half + _LANE // 2]
            firsts.append(x2)
            moments[order.c23[place2]] += np.moveaxis(x2 @ above.swapaxes(1, 2), 0, -1)
            moments[order.c22[place2]] += flat_triangle(x2 @ x2.swapaxes(1, 2))
            for place1 in below(place2):
                row1, quarter = divmod(place1, 4)
                x1 = d1[:, :, row1, LANES * quarter : LANES * (quarter + 1)].T
                above3, above2 = x3[4 * quarter + _LANE // 4], x2[8 * (quarter % 2) + _LANE // 2]
                firsts1[place1] = x1
                moments[order.c13[place1]] += np.moveaxis(x1 @ above3.swapaxes(1, 2), 0, -1)
                moments[order.c12[place1]] += np.moveaxis(x1 @ above2.swapaxes(1, 2), 0, -1)
                moments[order.c11[place1]] += flat_triangle(x1 @ x1.swapaxes(1, 2))
        sums += np.concatenate([x.sum(-1).T for x in (*firsts, *firsts1)])

    def gram(
        self,
        lattice: Lattice,
        bank: Features,
        samples: NDArray[np.int64],
        weights: NDArray[np.float32],
        means: Features,
    ) -> NDArray[np.float32]:
        order, n, sides = lattice.order, lattice.channels, np.tril_indices(len(samples))
        out = np.empty((len(sides[0]), STEPS[0], STEPS[0] * LANES), np.float32)

        def deviations(layer: int) -> Doubles:
            """(samples, channels, rows, columns)"""
            grid, k = bank[layer], STEPS[layer]
            cut = [grid[i, :, k * r : k * (r + 1), k * c : k * (c + LANES)] for i, r, c in samples]
            return np.asarray(np.stack(cut).astype(np.float64) - means[layer], np.float64)

        d1, d2, d3 = deviations(0), deviations(1), deviations(2)
        y3 = triangle(weights, order.c33, n[2]) @ d3[:, :, 0].T  # lanes, channels, samples
        for place2 in range(4):
            row2, half = divmod(place2, 2)
            above = y3[8 * half + _LANE // 2]
            y2 = triangle(weights, order.c22[place2], n[1]) @ d2[:, :, row2, LANES * half : LANES * (half + 1)].T
            y2 += matrix(weights, order.c23[place2]) @ above
            for place1 in below(place2):
                row1, quarter = divmod(place1, STEPS[0])
                cut = slice(LANES * quarter, LANES * (quarter + 1))
                up3, up2 = y3[4 * quarter + _LANE // 4], y2[8 * (quarter % 2) + _LANE // 2]
                y1 = triangle(weights, order.c11[place1], n[0]) @ d1[:, :, row1, cut].T
                y1 += matrix(weights, order.c13[place1]) @ up3 + matrix(weights, order.c12[place1]) @ up2
                y = np.concatenate([up3, up2, y1], 1)
                products = y.swapaxes(1, 2) @ y
                out[:, row1, cut] = products[:, sides[0], sides[1]].T
        return out

    def whiten(
        self,
        lattice: Lattice,
        moments: Doubles,
        sums: Doubles,
        count: int,
        regularisation: float,
        weights: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        order, (n1, n2, n3) = lattice.order, lattice.channels
        s3, rest2, rest1 = np.split(sums, [n3, n3 + 4 * n2])
        first3 = s3.T
        first2 = [part.T for part in np.split(rest2, 4)]
        first1 = [part.T for part in np.split(rest1, 16)]

        def covariance(product: Doubles, left: Doubles, right: Doubles) -> Doubles:
            return (product - left[:, :, None] * right[:, None, :] / count) / (count - 1)

        def inverse_factor(matrix: Doubles) -> Doubles:
            try:
                factor = np.linalg.cholesky(matrix + regularisation * np.eye(matrix.shape[-1]))
            except np.linalg.LinAlgError as error:
                text = "a covariance is not positive definite; is a feature not a finite number?"
                raise FitError(text) from error
            return np.tril(np.linalg.inv(factor))

        w33 = inverse_factor(covariance(_symmetric(moments, order.c33, n3), first3, first3))
        weights[order.c33] = flat_triangle(w33)
        for place2 in range(4):
            half, mine = place2 % 2, first2[place2]
            above = 8 * half + _LANE // 2
            g23 = covariance(matrix(moments, order.c23[place2]), mine, first3[above]) @ w33[above].swapaxes(1, 2)
            c22 = covariance(_symmetric(moments, order.c22[place2], n2), mine, mine)
            w22 = inverse_factor(c22 - g23 @ g23.swapaxes(1, 2))
            weights[order.c23[place2]] = np.moveaxis(-w22 @ g23, 0, -1)
            weights[order.c22[place2]] = flat_triangle(w22)
            for place1 in below(place2):
                quarter, own = place1 % 4, first1[place1]
                above3, above2 = 4 * quarter + _LANE // 4, 8 * (quarter % 2) + _LANE // 2
                c13 = covariance(matrix(moments, order.c13[place1]), own, first3[above3])
                g13 = c13 @ w33[above3].swapaxes(1, 2)
                c12 = covariance(matrix(moments, order.c12[place1]), own, mine[above2])
                g12 = (c12 - g13 @ g23[above2].swapaxes(1, 2)) @ w22[above2].swapaxes(1, 2)
                c11 = covariance(_symmetric(moments, order.c11[place1], n1), own, own)
                w11 = inverse_factor(c11 - g13 @ g13.swapaxes(1, 2) - g12 @ g12.swapaxes(1, 2))
                weights[order.c13[place1]] = np.moveaxis(-w11 @ g13, 0, -1)
                weights[order.c12[place1]] = np.moveaxis(-w11 @ g12, 0, -1)
                weights[order.c11[place1]] = flat_triangle(w11)
        return np.asarray(sums / count, np.float32)


def below(place2: int) -> list[int]:
    """The places in layer 1 (4 row + quarter) under a place in layer 2 (2 row + half)."""
    row, half = divmod(place2, 2)
    return [4 * fine + quarter for fine in (2 * row, 2 * row + 1) for quarter in (2 * half, 2 * half + 1)]


def _times(matrix: NDArray[Any], vector: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((matrix @ vector[..., None])[..., 0])


def matrix(list_: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """The matrix (16, rows, columns) that stands at these places (rows, columns) of a list."""
    return np.moveaxis(list_[places], -1, 0)


def triangle(list_: NDArray[Any], places: NDArray[np.int64], n: int) -> NDArray[Any]:
    """The lower triangular matrix (16, n, n) that stands at these places (n (n + 1) / 2,) of a list."""
    full = np.zeros((LANES, n, n), list_.dtype)
    full[:, *np.tril_indices(n)] = list_[places].T
    return full


def _symmetric(list_: NDArray[Any], places: NDArray[np.int64], n: int) -> NDArray[Any]:
    lower = triangle(list_, places, n)
    return np.asarray(lower + np.tril(lower, -1).swapaxes(1, 2))


def flat_triangle(square: NDArray[Any]) -> NDArray[Any]:
    """The lower triangles of (16, n, n) as a list, (n (n + 1) / 2, 16)."""
    return np.asarray(square[:, *np.tril_indices(square.shape[-1])].T)
