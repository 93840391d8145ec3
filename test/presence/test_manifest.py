"""Pictures with a truth: a manifest's errors are named; `evaluate-presence` tells what is there from what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.shading import Light, Shading
from inspection_cell.cli.main import main
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at
from inspection_cell.presence.manifest import ManifestError, load_manifest
from inspection_cell.recipe.paths import share_folder

CAD = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
MODEL = share_folder() / "models" / "presence" / "ring_housing"
CAMERA = CameraModel.pinhole(800, 600, 2000.0)


def a_line(**changed: Any) -> dict[str, Any]:
    camera = {"width": 800, "height": 600, "matrix": CAMERA.matrix.tolist()}
    pose = np.eye(4)
    pose[2, 3] = 0.5
    usual = {"image": "a.png", "component": "screw_1", "label": "present", "camera": camera}
    return {**usual, "T_camera_part_aligned": pose.tolist(), **changed}


def written(folder: Path, *lines: dict[str, Any] | str) -> Path:
    cv2.imwrite(str(folder / "a.png"), np.zeros((600, 800), np.uint8))
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_a_manifest_is_read(tmp_path: Path) -> None:
    (picture,) = load_manifest(written(tmp_path, a_line(seed=3)))
    assert picture.component == "screw_1"
    assert picture.camera.camera().matrix[0, 0] == 2000.0
    assert picture.pose()[2, 3] == 0.5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: the line: Invalid JSON"),
        (a_line(label="there"), "line 2: label: Input should be 'present'"),
        (a_line(image="gone.png"), "line 2: image gone.png is not there"),
        (a_line(T_camera_part_aligned=(2 * np.eye(4)).tolist()), "line 2: T_camera_part_aligned: .*not a rigid pose"),
        (a_line(camera={"width": 0, "height": 1, "matrix": np.eye(3).tolist()}), "line 2: camera.width"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: dict[str, Any] | str, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        load_manifest(written(tmp_path, a_line(), line))


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path / "manifest.jsonl")


def test_what_is_missing_is_told_from_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assembly = load_assembly(CAD)
    shading = Shading((Light((0.1, -0.1, 0.0), 0.7),), ambient=0.25)
    lines = []
    with GeometryRenderer(assembly) as renderer:
        for number, turn in enumerate(np.linspace(0, 2 * np.pi, 6, endpoint=False)):
            eye = assembly.centre + np.array([0.2 * np.cos(turn), 0.2 * np.sin(turn), 0.4])
            pose = inverse(look_at(eye, assembly.centre))
            for label, hidden in (("present", []), ("missing", ["screw_1"])):
                light, _ = renderer.shade(pose, CAMERA, shading, hidden)
                name = f"{label}{number}.png"
                cv2.imwrite(str(tmp_path / name), np.clip(light * 200, 0, 255).astype(np.uint8))
                part = f"part {number // 3}"
                lines.append(a_line(image=name, label=label, part=part, T_camera_part_aligned=pose.tolist()))
    command = ["evaluate-presence", str(MODEL), str(written(tmp_path, *lines)), "--cad", str(CAD)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "report")])
    said = capsys.readouterr().out
    assert ended.value.code == 0, said
    assert "12 of 12 pictures were judged" in said
    assert "missing: 100.0% of 2 components over the limit" in said
    assert "present: 0.0% of 2 components over the limit" in said
    assert (tmp_path / "report" / "index.html").is_file()
    # All that is not present is missing or wrong: with the other label they are asked the same.
    renamed = [{**line, "label": "wrong"} if line["label"] == "missing" else line for line in lines]
    command[2] = str(written(tmp_path, *renamed))
    with pytest.raises(SystemExit) as again:
        main([*command, "--out", str(tmp_path / "report")])
    assert again.value.code == 0
    assert "wrong: 100.0% of 2 components over the limit" in capsys.readouterr().out
    command[2] = str(written(tmp_path, *[line for line in lines if line["label"] == "present"]))
    with pytest.raises(SystemExit) as alone:
        main([*command, "--out", str(tmp_path / "report")])
    assert alone.value.code == 2
    assert "must show present components, and missing or wrong ones" in capsys.readouterr().err
