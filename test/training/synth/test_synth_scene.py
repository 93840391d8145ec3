"""Training pictures: where they look from, what they show, and that they are always the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.recipe.paths import share_folder
from inspection_cell.training.synth.context import context_solids
from inspection_cell.training.synth.scene import EVEN, PictureMaker, SceneRanges
from inspection_cell.training.synth.stream import PictureSettings, Stream, Subject, example, stacked, subject_parts
from inspection_cell.training.synth.views import VIEW_BINS, ViewRange, bins_of, sphere, viewpoints

HOUSING = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
SETTINGS = PictureSettings((Subject(HOUSING, "clip_left"), Subject(HOUSING, "label_plate")), 96, target_size=64, seed=5)


@pytest.fixture(scope="module")
def maker() -> PictureMaker:
    components, views = subject_parts(SETTINGS)
    return PictureMaker(components, context_solids(5), views, SETTINGS.ranges, SETTINGS.size, SETTINGS.target_size)


def test_directions_fill_every_bin_alike() -> None:
    counts = np.bincount(bins_of(sphere()), minlength=VIEW_BINS)
    assert counts.min() > 0.7 * counts.mean()
    assert counts.max() < 1.3 * counts.mean()


def test_a_component_is_not_looked_at_through_the_rest_of_the_part() -> None:
    found = viewpoints(load_assembly(HOUSING), "label_plate", 0.6)
    # It lies on the housing's top: hidden from below, seen from above.
    assert np.all(found.directions[:, 2] > -0.2)
    assert found.directions[:, 2].max() > 0.95
    with pytest.raises(ValueError, match="label_plate is seen from nowhere"):
        viewpoints(load_assembly(HOUSING), "label_plate", 0.6, ViewRange(polar=(150.0, 180.0)))


def test_weights_choose_the_bins() -> None:
    found = viewpoints(load_assembly(HOUSING), "label_plate", 0.6)
    wanted = int(np.bincount(found.bins).argmax())
    weights = np.where(np.arange(VIEW_BINS) == wanted, 1.0, 0.0)
    rng = np.random.default_rng(0)
    assert {found.draw(rng, weights)[1] for _ in range(20)} == {wanted}


def test_the_target_shows_the_component_alone_centred_and_large(maker: PictureMaker) -> None:
    for number in (0, 1, 3, 4):
        made = example(maker, SETTINGS, number)
        rows, columns = np.nonzero(made.target[..., 0])
        middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
        assert np.abs(np.array(middle) - 31.5).max() < 6
        assert max(np.ptp(rows), np.ptp(columns)) > 0.6 * 64
        assert made.image.std() > 2


def test_a_background_has_no_target_and_its_own_class(maker: PictureMaker) -> None:
    made = example(maker, SETTINGS, 2)
    assert made.label == 2
    assert not made.target.any()
    assert SETTINGS.classes == ("clip_left", "label_plate", "background")


def test_processes_give_the_same_pictures_as_one_maker(maker: PictureMaker) -> None:
    with Stream(SETTINGS, processes=2) as stream:
        first, second = stream.batches(2, size=6)
    expected = [stacked([example(maker, SETTINGS, k, EVEN) for k in range(start, start + 6)]) for start in (0, 6)]
    for got, want in zip((first, second), expected, strict=True):
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_array_equal(got.images, want.images)
        np.testing.assert_array_equal(got.targets, want.targets)


def test_photographs_lie_behind_the_part(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((80, 120, 3), (0, 0, 200), np.uint8))
    ranges = SceneRanges(backgrounds=tmp_path, distractors=0)
    components, views = subject_parts(SETTINGS)
    maker = PictureMaker(components, [], views, ranges, 64, 0)
    pictures = [maker.example(np.random.default_rng(seed), 2).image.astype(float) for seed in range(4)]
    # Some are made grey.
    assert max(p[..., 0].mean() / p[..., 2].mean() for p in pictures) > 3


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_folder_without_usable_backgrounds_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    components, views = subject_parts(SETTINGS)
    with pytest.raises(ValueError, match=r"no pictures|broken.png: cannot be read"):
        PictureMaker(components, [], views, SceneRanges(backgrounds=tmp_path), 64, 0).example(
            np.random.default_rng(0), 2
        )


def test_a_component_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="has no 'clip'; it has"):
        subject_parts(PictureSettings((Subject(HOUSING, "clip"),), 64))
