"""The three scores of a heat map."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from inspection_cell.anomaly.errors import ScoreError
from inspection_cell.anomaly.heat import cluster_pixels, cluster_score, heat_map, percentile_score, raw_score


@pytest.mark.parametrize(("shape", "size"), [((16, 16), 64), ((64, 64), 256), ((40, 40), 160)])
def test_the_map_is_opencvs_interpolation_and_blur(shape, size):
    distances = np.random.default_rng(0).random(shape).astype(np.float32)
    upsampled = cv2.resize(distances, (size, size), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heat_map(distances, size), cv2.GaussianBlur(upsampled, (33, 33), 4), rtol=2e-6)


def test_cluster_sizes_are_the_papers():
    # 0.5 mm on a field of view of 104 mm; the paper gives 131, 86 and 67 pixels.
    assert [cluster_pixels(0.5, 104 / size) for size in (1024, 512, 256)] == [131, 86, 67]


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_of_the_size_stands_above_the_score_and_none_much_higher(seed):
    rng = np.random.default_rng(seed)
    heat = ndimage.gaussian_filter(rng.normal(size=(80, 90)), 3).astype(np.float32)
    allowed = np.ones(heat.shape, bool)
    allowed[:, :30] = False
    found = cluster_score(heat, allowed, 40)

    def largest(threshold):
        labels, count = ndimage.label((heat > threshold) & allowed, np.ones((3, 3)))
        return np.bincount(labels.ravel())[1:].max(initial=0) if count else 0

    span = float(heat[allowed].max() - heat[allowed].min())
    assert largest(found) >= 40 > largest(found + 2e-3 * span)


def test_one_hot_pixel_moves_the_maximum_only():
    heat = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (200, 1))
    allowed = np.ones(heat.shape, bool)
    before = percentile_score(heat, allowed), cluster_score(heat, allowed, 60)
    heat[100, 50] = 9
    assert raw_score(heat, allowed) == 9
    assert percentile_score(heat, allowed) == pytest.approx(before[0], abs=0.01)
    assert cluster_score(heat, allowed, 60) == pytest.approx(before[1], abs=0.02)


def test_too_little_that_counts_is_refused():
    heat, allowed = np.zeros((8, 8), np.float32), np.zeros((8, 8), bool)
    with pytest.raises(ScoreError, match="leaves nothing"):
        cluster_score(heat, allowed, 4)
    allowed[0, :3] = True
    with pytest.raises(ScoreError, match="3 pixels count"):
        cluster_score(heat, allowed, 4)
