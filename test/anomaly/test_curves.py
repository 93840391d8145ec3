"""The curves' figures against plain, slow definitions, and against values worked out by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from inspection_cell.anomaly.curves import aupro, d_t, roc, tpr_tnr
from inspection_cell.anomaly.evaluate import auroc

SCORES = st.lists(st.integers(0, 8), min_size=1, max_size=20)


def plain_aupro(maps, masks, limit):
    """Threshold by threshold and region by region."""
    regions = []
    for heat, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [heat[labels == number] for number in range(1, count + 1)]
    clean = np.concatenate([heat[~mask] for heat, mask in zip(maps, masks, strict=True)])
    points = [(0.0, 0.0)]
    for threshold in sorted({value for heat in maps for value in heat.ravel()}, reverse=True):
        points.append((np.mean(clean >= threshold), np.mean([np.mean(region >= threshold) for region in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            return (area + (limit - x0) * (y0 + (y0 + (y1 - y0) * (limit - x0) / (x1 - x0))) / 2) / limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@pytest.mark.parametrize("levels", [4, 1000])
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_aupro_is_what_its_definition_says(seed, limit, levels):
    rng = np.random.default_rng(seed)
    shapes = [(12, 17), (9, 9), (20, 8)]
    masks = [ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.2 for shape in shapes[:2]]
    masks.append(np.zeros(shapes[2], bool))
    maps = [rng.integers(0, levels, mask.shape) + levels / 4 * mask for mask in masks]
    maps = [heat.astype(np.float32) for heat in maps]
    assert aupro(maps, masks, limit) == pytest.approx(plain_aupro(maps, masks, limit), abs=1e-12)


def test_aupro_by_hand():
    """Two regions of 1 and 4 pixels count alike; a missed region costs half."""
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[5:7, 5:7] = True
    heat = np.where(mask, 2.0, 1.0).astype(np.float32)
    assert aupro([heat], [mask], 0.3) == pytest.approx(1 - 0.0)
    heat[0, 0] = 0
    assert aupro([heat], [mask], 0.3) == pytest.approx(0.5)
    assert np.isnan(aupro([heat], [np.zeros_like(mask)])) and np.isnan(aupro([heat], [np.ones_like(mask)]))


@pytest.mark.parametrize("limit, heat", [(0.0, 1.0), (1.1, 1.0), (0.3, np.nan)])
def test_aupro_refuses_what_has_no_meaning(limit, heat):
    with pytest.raises(ValueError, match=r"limit|finite"):
        aupro([np.full((4, 4), heat, np.float32)], [np.eye(4, dtype=bool)], limit)


@given(SCORES, SCORES, st.integers(-1, 9))
def test_rates_are_counts_above_the_threshold(good, bad, threshold):
    tpr, tnr = tpr_tnr(good, bad, [threshold])
    assert tpr[0] == pytest.approx(np.mean([score > threshold for score in bad]))
    assert tnr[0] == pytest.approx(np.mean([score <= threshold for score in good]))


@given(SCORES, SCORES)
def test_d_t_is_the_last_threshold_that_misses_nothing(good, bad):
    share, threshold = d_t(good, bad)
    tpr, tnr = tpr_tnr(good, bad, [threshold, np.nextafter(threshold, np.inf)])
    assert tpr[0] == 1 and tpr[1] < 1
    assert share.value == tnr[0] == np.mean([score < min(bad) for score in good])


@given(SCORES, SCORES)
def test_the_area_under_the_roc_is_the_auroc(good, bad):
    rates, found = roc(good, bad)
    assert (rates[0], found[0], rates[-1], found[-1]) == (0, 0, 1, 1)
    positives = [False] * len(good) + [True] * len(bad)
    assert np.trapezoid(found, rates) == pytest.approx(auroc([*good, *bad], positives))


def test_empty_groups_are_refused():
    with pytest.raises(ValueError, match="good parts and of defects"):
        d_t([1.0], [])
