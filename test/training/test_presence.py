"""From a CAD file to a model by one command, and on from where it was cut off."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection_cell.training.needs_torch import load_torch

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
load_torch()  # when tests are collected: before one of them renders

from inspection_cell.cad.assembly import load_assembly  # noqa: E402
from inspection_cell.cad.render import GeometryRenderer  # noqa: E402
from inspection_cell.cad.shading import Shading  # noqa: E402
from inspection_cell.cli.main import main  # noqa: E402
from inspection_cell.core.camera_model import CameraModel  # noqa: E402
from inspection_cell.core.poses import inverse, look_at  # noqa: E402
from inspection_cell.presence.classify import PresenceModel  # noqa: E402
from inspection_cell.recipe.paths import share_folder  # noqa: E402
from inspection_cell.training.presence_data import load_samples  # noqa: E402
from inspection_cell.training.presence_render import RenderJob, render_shards  # noqa: E402
from inspection_cell.training.presence_scenes import SceneSettings  # noqa: E402

CAD = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"


def test_one_command_makes_a_model_and_goes_on_after_a_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, out = tmp_path / "work", tmp_path / "ring"
    command = ["train-presence", str(CAD), "--without", "housing", "--out", str(out), "--work", str(work)]
    command += ["--samples", "500", "--held-out", "500", "--epochs", "1", "--processes", "2"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr().out
    assert ended.value.code == 0, said
    model = PresenceModel.load(out, None)
    assert model.card.components[:2] == ("clip_left", "clip_right")
    assert "housing" not in model.card.components
    assert model.model_hash in said
    assert (out / "report" / "index.html").is_file()
    rendered = (work / "train" / "00000.npz").stat().st_mtime_ns
    with pytest.raises(SystemExit) as again:
        main(command)
    assert again.value.code == 0
    assert PresenceModel.load(out, None).model_hash == model.model_hash
    assert (work / "train" / "00000.npz").stat().st_mtime_ns == rendered
    capsys.readouterr()
    with pytest.raises(SystemExit) as tuned:
        main([*command, "--photos", str(photographs(tmp_path / "photos")), "--int8"])
    said = capsys.readouterr().out
    assert tuned.value.code == 0 and "in 8 bit: judges " in said
    assert PresenceModel.load(out, None).model_hash != model.model_hash


def photographs(folder: Path) -> Path:
    """A manifest of one picture of a clip that is there."""
    folder.mkdir()
    camera = CameraModel.pinhole(800, 600, 2000.0)
    assembly = load_assembly(CAD)
    pose = inverse(look_at(assembly.centre + np.array([0.1, 0.1, 0.3]), assembly.centre))
    with GeometryRenderer(assembly) as renderer:
        light, _ = renderer.shade(pose, camera, Shading())
    cv2.imwrite(str(folder / "clip.png"), np.clip(light * 200, 0, 255).astype(np.uint8))
    line = {
        "image": "clip.png",
        "component": "clip_left",
        "label": "present",
        "camera": {"width": 800, "height": 600, "matrix": camera.matrix.tolist()},
        "T_camera_part_aligned": pose.tolist(),
    }
    (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    return folder / "manifest.jsonl"


def test_a_lost_file_is_rendered_as_it_was(tmp_path: Path) -> None:
    job = RenderJob(CAD, None, ("clip_left", "screw_1"), SceneSettings(wrong_each=7), 3)
    (path,) = render_shards(job, 1, tmp_path, 1)
    before = load_samples(path)
    path.unlink()
    after = load_samples(render_shards(job, 1, tmp_path, 1)[0])
    np.testing.assert_array_equal(before.inputs, after.inputs)
    np.testing.assert_array_equal(before.labels, after.labels)
    other = RenderJob(CAD, None, ("clip_left",), SceneSettings(wrong_each=7), 3)
    with pytest.raises(ValueError, match=r"samples\.json: holds samples of another"):
        render_shards(other, 1, tmp_path, 1)


def test_an_unknown_component_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train-presence", str(CAD), "--without", "hosing", "--out", str(tmp_path / "x")])
    assert ended.value.code == 2
    assert "has no component 'hosing' to leave out; it has " in capsys.readouterr().err
