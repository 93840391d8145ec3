"""The picture of a judgement shows what decided it: the place of the component, not its surroundings."""

from __future__ import annotations

import numpy as np

from inspection_cell.presence.picture import CAPTION, TILE, draw_judgement, importance


def a_pattern_means_present(given: np.ndarray) -> np.ndarray:
    """A classifier that looks at one place of the image alone."""
    p = np.clip(given[:, 0, 24:32, 28:36].std(axis=(1, 2)), 0.01, 0.99)
    return np.stack([p, 1 - p, np.zeros_like(p)], axis=1)


def test_the_place_that_decides_weighs_most() -> None:
    given = np.zeros((8, 64, 64), np.float32)
    given[0] = np.indices((64, 64)).sum(axis=0) % 2
    weight = importance(a_pattern_means_present, given)
    assert weight.shape == (64, 64)
    assert weight[24:32, 28:36].min() > 0.2
    assert abs(weight[:8]).max() == abs(weight[50:]).max() == 0


def test_four_tiles_with_captions_are_drawn() -> None:
    rng = np.random.default_rng(0)
    given = rng.uniform(-1, 1, (8, 64, 64)).astype(np.float32)
    mask = np.zeros((64, 64), bool)
    mask[10:30, 20:50] = True
    picture = draw_judgement(given, mask, rng.normal(size=(64, 64)), "clip_left: present 0.03")
    assert picture.shape == (TILE + 2 * CAPTION, 4 * TILE, 3)
    outlined = picture[2 * CAPTION :, :TILE].reshape(-1, 3)
    assert (outlined == (70, 190, 90)).all(axis=1).sum() > 2 * (20 + 30)
