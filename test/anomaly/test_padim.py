"""The lattice Gaussian against PaDiM written out plainly in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.padim import REGULARISATION, Accumulator, distance_map, to_cells


def make_features(rng, images, coarse=3, channels=(3, 4, 5)):
    """Correlated features of some images on grids of ratio 4:2:1."""
    common = rng.normal(size=(images, 1, 1, 1))
    grids = []
    for n, k in zip(channels, (4, 2, 1), strict=True):
        slope = rng.normal(size=(1, n, 1, 1))
        grids.append(
            (2 + common * slope + 0.4 * rng.normal(size=(images, n, k * coarse, k * coarse))).astype(np.float32)
        )
    return [tuple(grid[i] for grid in grids) for i in range(images)]


def plain_vectors(features):
    """PaDiM's embedding: the coarse layers upsampled by nearest neighbour and stacked, (channels, h, w) float64."""
    f1, f2, f3 = (f.astype(np.float64) for f in features)
    return np.concatenate([f1, f2.repeat(2, 1).repeat(2, 2), f3.repeat(4, 1).repeat(4, 2)])


def plain_distances(training, test):
    """PaDiM Eq. 1 and 2 at every position."""
    x = np.stack([plain_vectors(f) for f in training])
    y = plain_vectors(test)
    result = np.empty(x.shape[2:])
    for row, column in np.ndindex(*result.shape):
        samples = x[:, :, row, column]
        covariance = np.cov(samples, rowvar=False) + REGULARISATION * np.eye(x.shape[1])
        d = y[:, row, column] - samples.mean(0)
        result[row, column] = np.sqrt(d @ np.linalg.solve(covariance, d))
    return result


def shifted(features, rows, columns):
    """An image's features moved by whole coarse cells, its border repeated."""
    moved = []
    for grid, k in zip(features, (4, 2, 1), strict=True):
        cells = grid.reshape(grid.shape[0], grid.shape[1] // k, k, grid.shape[2] // k, k)
        take_rows = np.clip(np.arange(cells.shape[1]) + rows, 0, cells.shape[1] - 1)
        take_columns = np.clip(np.arange(cells.shape[3]) + columns, 0, cells.shape[3] - 1)
        moved.append(cells[:, take_rows][:, :, :, take_columns].reshape(grid.shape))
    return tuple(moved)


def fitted(images, tolerance=0):
    moments = Accumulator(to_cells(images[0]))
    moments.add([to_cells(f) for f in images])
    return moments.fit(3, 3, tolerance)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), images=st.integers(4, 30))
def test_same_distances_as_plain_padim(seed, images):
    *training, test = make_features(np.random.default_rng(seed), images + 1)
    expected = plain_distances(training, test)
    np.testing.assert_allclose(distance_map(fitted(training), test), expected, rtol=2e-4)


def test_tolerance_is_plain_padim_on_shifted_images():
    *training, test = make_features(np.random.default_rng(5), 9)
    everywhere = [shifted(f, r, c) for f in training for r in (-1, 0, 1) for c in (-1, 0, 1)]
    np.testing.assert_allclose(distance_map(fitted(training, 1), test), plain_distances(everywhere, test), rtol=2e-4)


def test_leaving_images_out_is_fitting_without_them():
    images = make_features(np.random.default_rng(1), 12)
    everything = Accumulator(to_cells(images[0]))
    everything.add([to_cells(f) for f in images])
    fold = everything.empty()
    fold.add([to_cells(f) for f in images[:4]])
    left = distance_map(everything.without(fold).fit(3, 3), images[0])
    np.testing.assert_allclose(left, distance_map(fitted(images[4:]), images[0]), rtol=1e-4)


def test_moments_do_not_depend_on_the_batches():
    images = [to_cells(f) for f in make_features(np.random.default_rng(2), 10)]
    whole, pieces = Accumulator(images[0]), Accumulator(images[0])
    whole.add(images)
    for start in range(0, 10, 3):
        pieces.add(images[start : start + 3])
    for a, b in zip(whole.products, pieces.products, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_one_image_is_refused():
    images = make_features(np.random.default_rng(3), 1)
    with pytest.raises(FitError, match="at least two"):
        fitted(images)
