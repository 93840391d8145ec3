"""The shipped model on renderings it has not seen, its refusals, and damaged packages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.shading import Light, Material, Shading
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import Outcome
from inspection_cell.core.poses import inverse, look_at, make_pose
from inspection_cell.core.reasons import Code
from inspection_cell.presence.classify import PresenceModel
from inspection_cell.presence.package import PresenceModelError, package_hash

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models/presence/ring_housing"
CAMERA = CameraModel.pinhole(1600, 1200, 4300.0)
SURE = np.diag([3e-5] * 3 + [5e-4] * 3) ** 2


@pytest.fixture(scope="module")
def ring() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(load_assembly(ROOT / "models/parts/ring_housing/ring_housing.step")) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def model() -> PresenceModel:
    return PresenceModel.load(FOLDER, package_hash(FOLDER))


def pose_from(ring: GeometryRenderer, azimuth: float) -> np.ndarray:
    direction = np.array([0.57 * np.cos(azimuth), 0.57 * np.sin(azimuth), 0.82])
    return inverse(look_at(ring.assembly.centre + 0.32 * direction, ring.assembly.centre))


def picture(ring: GeometryRenderer, pose: np.ndarray, seed: int, hidden: tuple[str, ...] = ()) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ring_light = tuple(Light((0.05 * np.cos(a), 0.05 * np.sin(a), 0.0), 0.25) for a in (0.5, 2.1, 3.7, 5.3))
    surfaces = {n: Material(rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.4)) for n in ring.assembly.names}
    light, _ = ring.shade(pose, CAMERA, Shading(ring_light, 0.1, (0, -0.1, 0), surfaces), hidden)
    return np.clip(light * 170 + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)


def test_tells_missing_from_present(ring: GeometryRenderer, model: PresenceModel) -> None:
    wrong_alarms, found, judged_missing = 0, 0, 0
    for seed, azimuth in enumerate((0.2, 1.8, 3.4, 5.0)):
        pose = pose_from(ring, azimuth)
        whole, bare = picture(ring, pose, seed), picture(ring, pose, seed, model.card.components)
        for name in model.card.components:
            good = model.judge(whole, CAMERA, ring, pose, SURE, name)
            gone = model.judge(bare, CAMERA, ring, pose, SURE, name)
            assert (good.outcome is Outcome.NOT_APPLICABLE) == (gone.outcome is Outcome.NOT_APPLICABLE)
            if good.outcome is Outcome.NOT_APPLICABLE:
                continue
            wrong_alarms += good.outcome is Outcome.DEFECT
            judged_missing += 1
            found += gone.outcome is Outcome.DEFECT
            assert sum(gone.probabilities.values()) == pytest.approx(1.0, abs=1e-4)
            if gone.outcome is Outcome.DEFECT:
                assert gone.reason is not None
                assert gone.reason.code in (Code.COMPONENT_MISSING, Code.COMPONENT_WRONG)
    assert judged_missing >= 16
    assert wrong_alarms == 0
    assert found >= 0.7 * judged_missing


def test_what_is_hidden_is_not_judged(ring: GeometryRenderer, model: PresenceModel) -> None:
    pose = pose_from(ring, 0.2)
    image = picture(ring, pose, 0)
    below = inverse(look_at((0, 0.01, -0.3), ring.assembly.centre, (0, 1, 0)))
    hidden = model.judge(picture(ring, below, 0), CAMERA, ring, below, SURE, "screw_1")
    outside = model.judge(image, CAMERA, ring, make_pose(None, (1.0, 0, 0.3)), SURE, "screw_1")
    unsure = model.judge(image, CAMERA, ring, pose, SURE * 1e4, "screw_1")
    for answer in (hidden, outside, unsure):
        assert answer.outcome is Outcome.NOT_APPLICABLE and np.isnan(answer.score) and answer.reason is not None


def test_broken_input_is_invalid_never_nothing_found(ring: GeometryRenderer, model: PresenceModel) -> None:
    pose = pose_from(ring, 0.2)
    image = picture(ring, pose, 0)
    nan_pose = pose.copy()
    nan_pose[0, 0] = np.nan
    for arguments in (
        (image[:500], CAMERA, ring, pose, SURE),
        (image.astype(float), CAMERA, ring, pose, SURE),
        (image, CAMERA, ring, nan_pose, SURE),
        (image, CAMERA, ring, pose, SURE * np.nan),
        (image, CAMERA, ring, pose, np.diag(np.full(6, np.inf))),
    ):
        answer = model.judge(*arguments, "screw_1")
        assert answer.outcome is Outcome.INVALID and np.isnan(answer.score)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_that_shows_nothing_is_invalid(ring: GeometryRenderer, model: PresenceModel, level: int) -> None:
    noise = np.random.default_rng(0).normal(0, 1.5, (1200, 1600))
    image = np.clip(level + noise, 0, 255).astype(np.uint8)
    pose = pose_from(ring, 0.2)
    for name in model.card.components:
        answer = model.judge(image, CAMERA, ring, pose, SURE, name)
        assert answer.outcome in (Outcome.INVALID, Outcome.NOT_APPLICABLE) and np.isnan(answer.score)


def test_refuses_a_component_or_assembly_it_was_not_made_for(ring: GeometryRenderer, model: PresenceModel) -> None:
    pose = pose_from(ring, 0.2)
    with pytest.raises(PresenceModelError, match="'housing' is unknown; it knows clip_left"):
        model.judge(picture(ring, pose, 0), CAMERA, ring, pose, SURE, "housing")
    other = load_assembly(ROOT / "models/parts/ring_housing/clip_wrong.step")
    with GeometryRenderer(other) as renderer, pytest.raises(PresenceModelError, match="another CAD file"):
        model.judge(np.zeros((1200, 1600), np.uint8), CAMERA, renderer, pose, SURE, "clip_left")


def test_damaged_packages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PresenceModelError, match=r"model.onnx: cannot be read"):
        PresenceModel.load(tmp_path, None)
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    with pytest.raises(PresenceModelError, match=r"is not the recipe's 00"):
        PresenceModel.load(folder, "00")
    card = json.loads((folder / "card.json").read_text())
    for change, message in [
        ({"limit_defect": float("nan")}, "not a finite number"),
        ({"limit_uncertain": 0.99, "limit_defect": 0.5}, "uncertain <= defect"),
        ({"format": "presence-9"}, "format"),
        ({"extra": 1}, "is not a card"),
        ({"model_sha256": "0" * 64}, "is not the file its card describes"),
    ]:
        (folder / "card.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(PresenceModelError, match=message):
            PresenceModel.load(folder, None)
