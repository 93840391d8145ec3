"""The lattice Gaussian against PaDiM written out plainly in float64."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspection_cell.anomaly import kernel, padim
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.feature_bank import FeatureBank
from inspection_cell.anomaly.kernel import compiled
from inspection_cell.anomaly.kernel_numpy import NumpyKernel
from inspection_cell.anomaly.lattice import Lattice
from inspection_cell.anomaly.padim import REGULARISATION, Prior, distance_map, fit
from inspection_cell.core.compiled import VARIANTS


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


def bank_of(images, folder, border=0):
    f1, f2, f3 = images[0]
    lattice = Lattice((len(f1), len(f2), len(f3)), *f3.shape[1:])
    bank = FeatureBank(folder, len(images), lattice, border)
    for i, features in enumerate(images):
        bank.put(i, features)
    return bank


def fitted(images, folder, tolerance=0):
    return fit(bank_of(images, folder, tolerance), tolerance, leave_out=False).model


@pytest.fixture(params=["numpy", *(name for name in VARIANTS)])
def implementation(request, monkeypatch):
    """Each implementation of the kernel that this processor can run."""
    if request.param == "numpy":
        chosen = NumpyKernel()
    else:
        chosen = compiled(request.param)
        if chosen is None:
            pytest.skip(f"{request.param} was not built, or this processor cannot run it")
    monkeypatch.setattr(padim, "kernel", lambda: chosen)
    monkeypatch.setattr(kernel, "kernel", lambda: chosen)
    return chosen


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    images=st.integers(4, 30),
    coarse=st.integers(1, 5),
    channels=st.tuples(*[st.integers(1, 9)] * 3),
)
def test_same_distances_as_plain_padim(implementation, tmp_path, seed, images, coarse, channels):
    *training, test = make_features(np.random.default_rng(seed), images + 1, coarse, channels)
    expected = plain_distances(training, test)
    np.testing.assert_allclose(distance_map(fitted(training, tmp_path), test), expected, rtol=1e-5)


def test_wide_grids_several_tiles_and_threads(implementation, tmp_path):
    *training, test = make_features(np.random.default_rng(8), 12, 35, (2, 3, 5))
    found = fit(bank_of(training, tmp_path), threads=2, leave_out=False).model
    for threads in (1, 3):
        np.testing.assert_allclose(distance_map(found, test, threads), plain_distances(training, test), rtol=1e-5)


def test_as_many_channels_and_images_as_in_practice(implementation, tmp_path):
    images = make_features(np.random.default_rng(7), 61, 16, (20, 40, 40))
    lattice = Lattice((20, 40, 40), 16, 16)
    found = fit(bank_of(images[:60], tmp_path), threads=2, leave_out=False).model
    assert found.lattice == lattice and np.isfinite(found.weights).all()
    # plain PaDiM at some positions; all would take minutes
    vectors = np.stack([plain_vectors(f)[:, ::9, ::11] for f in images[:60]])
    test, expected = plain_vectors(images[60])[:, ::9, ::11], distance_map(found, images[60])[::9, ::11]
    for row, column in np.ndindex(*expected.shape):
        samples = vectors[:, :, row, column]
        covariance = np.cov(samples, rowvar=False) + REGULARISATION * np.eye(100)
        d = test[:, row, column] - samples.mean(0)
        assert expected[row, column] == pytest.approx(np.sqrt(d @ np.linalg.solve(covariance, d)), rel=1e-5)


def test_tolerance_is_plain_padim_on_shifted_images(implementation, tmp_path):
    *training, test = make_features(np.random.default_rng(5), 9)
    everywhere = [shifted(f, r, c) for f in training for r in (-1, 0, 1) for c in (-1, 0, 1)]
    expected = plain_distances(everywhere, test)
    np.testing.assert_allclose(distance_map(fitted(training, tmp_path, 1), test), expected, rtol=1e-5)


@pytest.mark.parametrize("tolerance", [0, 1])
@pytest.mark.parametrize("count", [4, 12])
def test_left_out_distances_are_those_of_a_fit_without_the_image(implementation, tmp_path, tolerance, count):
    images = make_features(np.random.default_rng(count), count, coarse=4)
    found = fit(bank_of(images, tmp_path, tolerance), tolerance)
    for i in range(count):
        (tmp_path / str(i)).mkdir()
        without = fitted([*images[:i], *images[i + 1 :]], tmp_path / str(i), tolerance)
        np.testing.assert_allclose(found.left_out[i], distance_map(without, images[i]), rtol=2e-4)


def test_left_out_with_more_dimensions_than_images(implementation, tmp_path):
    images = make_features(np.random.default_rng(9), 14, 16, (14, 29, 57))
    found = fit(bank_of(images, tmp_path))
    (tmp_path / "without").mkdir()
    expected = distance_map(fitted(images[1:], tmp_path / "without"), images[0])
    np.testing.assert_allclose(found.left_out[0], expected, rtol=2e-3)


@pytest.mark.parametrize("tolerance", [0, 1])
def test_learning_on_from_a_model_is_fitting_all_images(implementation, tmp_path, tolerance):
    images = make_features(np.random.default_rng(6), 20, coarse=4)
    for name in ("all", "first", "rest"):
        (tmp_path / name).mkdir()
    first = Prior(fitted(images[:13], tmp_path / "first", tolerance), 13)
    found = fit(bank_of(images[13:], tmp_path / "rest", tolerance), tolerance, prior=first)
    at_once = fit(bank_of(images, tmp_path / "all", tolerance), tolerance)
    for features in images[:3]:
        expected = distance_map(at_once.model, features)
        np.testing.assert_allclose(distance_map(found.model, features), expected, rtol=1e-5)
    np.testing.assert_allclose(found.left_out, at_once.left_out[13:], rtol=1e-4)


def test_half_precision_stays_close(implementation, tmp_path):
    *training, test = make_features(np.random.default_rng(4), 20, 6, (6, 8, 12))
    exact = fitted(training, tmp_path)
    half = replace(exact, weights=exact.weights.astype(np.float16))
    expected = distance_map(exact, test)
    assert 0 < np.abs(distance_map(half, test) / expected - 1).max() < 1e-3


def test_wrong_banks_and_features_are_refused(tmp_path):
    images = make_features(np.random.default_rng(3), 4)
    with pytest.raises(FitError, match="at least two"):
        fit(bank_of(images[:1], tmp_path), leave_out=False)
    with pytest.raises(FitError, match="one more to leave one out"):
        fit(bank_of(images[:2], tmp_path))
    model = fitted(images, tmp_path)
    with pytest.raises(FitError, match="for a model of"):
        distance_map(model, images[0][::-1])
    images[1][2][0, 0, 0] = np.nan
    with pytest.raises(FitError, match="not positive definite"):
        fitted(images, tmp_path)
