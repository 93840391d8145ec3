"""The area under the ROC curve, and data set folders."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.evaluate import auroc, labelled_images, read_mask, training_images


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_chance_of_a_right_order(pairs):
    good = [score for score, defective in pairs if not defective]
    bad = [score for score, defective in pairs if defective]
    found = auroc(*zip(*pairs, strict=True))
    if not good or not bad:
        assert np.isnan(found)
        return
    expected = np.mean([(b > g) + 0.5 * (b == g) for b in bad for g in good])
    assert found == pytest.approx(expected)


def test_auroc_refuses_nan():
    with pytest.raises(ValueError, match="finite"):
        auroc([1.0, float("nan")], [0, 1])


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def test_layout_with_masks_of_both_kinds(tmp_path):
    grey = np.full((16, 16), 90, np.uint8)
    mask = np.zeros((16, 16, 4), np.uint8)
    mask[4:8, 4:8] = (50, 160, 30, 255)
    mask[4, 8] = (50, 160, 30, 40)
    write(tmp_path / "train/good/0.png", grey)
    write(tmp_path / "test/good/1.png", grey)
    write(tmp_path / "test/crack/2.png", grey)
    write(tmp_path / "test/crack/3.png", grey)
    write(tmp_path / "ground_truth/crack/2_mask.png", mask)
    assert [p.name for p in training_images(tmp_path)] == ["0.png"]
    found = labelled_images(tmp_path)
    assert [(i.path.name, i.kind, i.is_good, i.mask is not None) for i in found] == [
        ("2.png", "crack", False, True),
        ("3.png", "crack", False, False),
        ("1.png", "good", True, False),
    ]
    assert read_mask(found[0].mask).sum() == 16, "the transparent edge does not count"


def test_empty_folders_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no image files"):
        labelled_images(tmp_path)
