"""The shipped feature extractor: what its filters measure, and the essence of a trained network beside them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.preprocess import make_mapping
from inspection_cell.recipe.paths import share_folder
from inspection_cell.training.appearance_filters import ENERGIES, FILTERS, LINEAR, energy_filters, linear_filters
from inspection_cell.training.compose_backbone import DEVIATION, TRAINED, compose, main, whitening
from inspection_cell.training.procedural_images import make_sample


@pytest.fixture(scope="module")
def shipped():
    return load_backbone(share_folder() / "models" / "backbone")


def features(backbone, picture):
    size = len(picture)
    everything = [np.arange(output.channels) for output in backbone.card.outputs]
    return backbone.features(picture, make_mapping(size, size, size), everything)


def blurred_pyramid(picture, backbone, levels):
    """The filters' input, written with OpenCV."""
    level = (picture.astype(np.float64) / 255 - backbone.card.mean) / backbone.card.std
    bell = np.exp(-(np.arange(-3, 4.0) ** 2) / 2)
    bell /= bell.sum()
    for _ in range(levels):
        level = cv2.sepFilter2D(level, -1, bell, bell, borderType=cv2.BORDER_CONSTANT)[::2, ::2]
    return level


def correlated(level, kernel):
    """(3, 7, 7) over (h, w, 3)."""
    return sum(cv2.filter2D(level[..., k], -1, kernel[k], borderType=cv2.BORDER_CONSTANT) for k in range(3))


@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_filters_are_colours_slopes_bends_and_energies_of_a_blurred_pyramid(shipped, seed):
    picture = make_sample(np.random.default_rng(seed), 128).image
    found = features(shipped, picture)
    kernels = linear_filters()
    for stride, levels in ((1, 3), (2, 4)):
        level = blurred_pyramid(picture, shipped, levels)
        for channel, kernel in enumerate(kernels):
            assert_same_but_for_scale(found[stride][channel], correlated(level, kernel))
    for stride, levels in ((0, 1), (1, 2), (2, 3)):
        level = blurred_pyramid(picture, shipped, levels)
        first = FILTERS[stride] - ENERGIES
        for channel, kernel in enumerate(energy_filters()):
            size = np.abs(correlated(level, kernel))
            average = cv2.blur(size, (3, 3), borderType=cv2.BORDER_CONSTANT)[::2, ::2]
            assert_same_but_for_scale(found[stride][first + channel], average)


def assert_same_but_for_scale(found, wanted):
    """The channels' own scale is folded into the network."""
    scale = (found * wanted).sum() / (wanted**2).sum()
    assert scale > 0
    # What sums in float32 round: some pictures come to 2.07e-5.
    np.testing.assert_allclose(found, scale * wanted, atol=4e-5 * np.abs(found).max())


def test_all_channels_vary_alike_on_pictures_it_has_not_seen(shipped):
    rng = np.random.default_rng(77)
    pictures = [features(shipped, make_sample(rng, 256).image) for _ in range(20)]
    for layers in zip(*pictures, strict=True):
        deviations = np.concatenate([grid.reshape(len(grid), -1) for grid in layers], 1).std(axis=1)
        assert (deviations > DEVIATION / 3).all()
        assert (deviations < DEVIATION * 3).all()


def test_it_has_the_hundred_channels_that_padim_takes(shipped):
    assert [output.channels for output in shipped.card.outputs] == [
        n + kept for n, kept in zip(FILTERS, TRAINED, strict=True)
    ]
    assert sum(output.channels for output in shipped.card.outputs) == 100
    assert len(linear_filters()) == LINEAR
    assert all(output.origin == 0 for output in shipped.card.outputs)


@given(seed=st.integers(0, 1000), channels=st.integers(2, 12), data=st.data())
@settings(max_examples=20, deadline=None)
def test_whitened_components_are_uncorrelated(seed, channels, data):
    kept = data.draw(st.integers(1, channels))
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(400, channels)) @ rng.normal(size=(channels, channels))
    whitened = samples @ whitening(samples, kept).T
    np.testing.assert_allclose(np.cov(whitened.T).reshape(kept, kept), np.eye(kept), atol=1e-6)


def test_a_user_who_names_the_wrong_file_is_told(tmp_path):
    with pytest.raises(SystemExit, match="train one with"):
        main([str(tmp_path / "nothing.onnx"), "--out", str(tmp_path)])
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    with pytest.raises(SystemExit, match=r"text\.onnx"):
        main([str(text), "--out", str(tmp_path / "out")])
    with pytest.raises(ModelError):
        compose(text, tmp_path / "out")
