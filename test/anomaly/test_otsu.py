"""Thresholds against every possible choice, and the box around a part."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.otsu import multi_otsu, part_box


def between(histogram, thresholds):
    """The variance between the classes, up to a constant."""
    values, total = np.arange(len(histogram)), 0.0
    for low, high in itertools.pairwise([-1, *thresholds, len(histogram) - 1]):
        weight = histogram[low + 1 : high + 1].sum()
        if weight:
            total += (values[low + 1 : high + 1] * histogram[low + 1 : high + 1]).sum() ** 2 / weight
    return total


@settings(max_examples=60, deadline=None)
@given(
    histogram=st.lists(st.integers(0, 50), min_size=6, max_size=16),
    classes=st.integers(2, 4),
)
def test_no_other_thresholds_part_the_classes_better(histogram, classes):
    counts = np.array(histogram, float)
    if np.count_nonzero(counts) < classes:
        with pytest.raises(ImageError, match="different grey values"):
            multi_otsu(counts, classes)
        return
    found = multi_otsu(counts, classes)
    assert found == sorted(set(found)) and len(found) == classes - 1
    every = itertools.combinations(range(len(counts) - 1), classes - 1)
    assert between(counts, found) >= max(between(counts, choice) for choice in every) * (1 - 1e-12)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("scale", [1, 6])
def test_the_box_holds_the_part_and_little_else(colour, scale):
    rng = np.random.default_rng(0)
    image = rng.normal(20, 4, (480 * scale, 640 * scale))
    image[100 * scale : 300 * scale, 200 * scale : 500 * scale] = 120
    image[150 * scale : 200 * scale, 250 * scale : 350 * scale] = 220
    image[10 * scale : 14 * scale, 600 * scale : 604 * scale] = 250  # a speck
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    x, y, w, h = part_box(np.repeat(pixels[..., None], 3, -1) if colour else pixels)
    assert 185 * scale < x <= 200 * scale and 500 * scale <= x + w < 515 * scale
    assert 85 * scale < y <= 100 * scale and 300 * scale <= y + h < 315 * scale


def test_an_image_of_one_grey_value_is_refused():
    with pytest.raises(ImageError, match="1 different grey values"):
        part_box(np.full((64, 64), 7, np.uint8))
