"""What the classifier is shown, and training scenes: the classes show what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, make_pose
from inspection_cell.presence.expectation import SIZE_PX, expectation, image_crop, network_input
from inspection_cell.training.presence_data import turned
from inspection_cell.training.presence_scenes import PRESENT, SceneMaker, SceneSettings

ROOT = Path(__file__).parents[2]
STEP = ROOT / "models/parts/ring_housing/ring_housing.step"
CAMERA = CameraModel.pinhole(1600, 1200, 4300.0)


@pytest.fixture(scope="module")
def ring() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(load_assembly(STEP)) as renderer:
        yield renderer


def test_the_expectation_lies_on_the_picture(ring: GeometryRenderer) -> None:
    pose = inverse(look_at(ring.assembly.centre + (0.05, 0.12, 0.28), ring.assembly.centre))
    ids = ring.render(pose, CAMERA).ids
    for name in ("clip_left", "screw_3", "label_plate"):
        expected = expectation(ring, name, pose, CAMERA)
        assert expected is not None and 0.3 < expected.visible <= 1.0
        truth = ids == ring.assembly.index(name)
        assert expected.area_px == pytest.approx(np.count_nonzero(truth), rel=0.1)
        shown = image_crop((truth * 255).astype(np.uint8), expected.box) > 127
        assert np.count_nonzero(shown & expected.mask) > 0.85 * np.count_nonzero(shown | expected.mask)
        assert np.abs(expected.channels[1:4] - expected.channels[4:]).max() > 0.1
        beside = ~expected.mask
        assert np.abs(expected.channels[1:4] - expected.channels[4:])[:, beside].max() < 0.5


def test_nothing_to_expect_outside_the_image(ring: GeometryRenderer) -> None:
    assert expectation(ring, "clip_left", make_pose(None, (2.0, 0, 0.4)), CAMERA) is None
    assert expectation(ring, "clip_left", make_pose(None, (0, 0, -0.4)), CAMERA) is None


def test_input_does_not_depend_on_brightness_and_contrast() -> None:
    rng = np.random.default_rng(0)
    grey = rng.uniform(50, 200, (SIZE_PX, SIZE_PX)).astype(np.float32)
    channels = np.zeros((7, SIZE_PX, SIZE_PX), np.float32)
    assert np.allclose(network_input(grey, channels), network_input(grey * 0.7 + 20, channels), atol=0.05)


def test_mirrored_samples_are_what_a_mirrored_scene_gives() -> None:
    # A plane's normals: turning the picture must turn the vectors with it.
    inputs = np.zeros((1, 8, 64, 64), np.float32)
    inputs[0, 2], inputs[0, 3] = 0.5, -0.25
    for seed in range(8):
        out = turned(inputs, np.random.default_rng(seed))[0]
        x, y = out[2, 0, 0], out[3, 0, 0]
        assert sorted((abs(x), abs(y))) == [0.25, 0.5] and out.shape == (8, 64, 64)


def test_scenes_are_repeatable_and_show_all_classes() -> None:
    assembly = load_assembly(STEP)
    names = [n for n in assembly.names if n != "housing"]
    settings = SceneSettings(wrong_each=2)
    first, again = (SceneMaker(assembly, names, settings, 7) for _ in range(2))
    labels = set()
    for _ in range(8):
        (a,), (b,) = first.views(1), again.views(1)
        assert a.label == b.label and a.component == b.component and np.array_equal(a.grey, b.grey)
        assert a.grey.min() >= 0 and a.grey.max() <= 255 and a.expected.visible >= 0.35
        labels.add(a.label)
    assert PRESENT in labels and len(labels) >= 2
    first.renderer.close()
    again.renderer.close()
