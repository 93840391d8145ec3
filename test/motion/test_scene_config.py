"""The scene file: the demo's is right, wrong ones are refused with the field's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from motion_demo import SHARE

from inspection_cell.core.poses import make_pose, rotation_from_vector
from inspection_cell.motion.config import SceneConfig, SceneError, load_scene, pose_config


def test_demo_scene_has_two_grasps_and_every_view(scene: SceneConfig) -> None:
    assert [grasp.name for grasp in scene.grasps] == ["g1", "g2"]
    cameras = [viewpoint.camera for viewpoint in scene.viewpoints]
    assert cameras.count("inspection") == 8
    assert cameras.count("wide") == 1
    assert set(scene.stations) == {"infeed", "scale", "good", "reject", "rework"}


def test_viewpoints_look_at_the_part(scene: SceneConfig) -> None:
    centre = np.array([0, 0, 0.008])
    for viewpoint in scene.viewpoints:
        camera = viewpoint.viewpoint.T_part_camera
        to_part = centre - camera[:3, 3]
        assert camera[:3, 2] @ to_part / np.linalg.norm(to_part) > 0.9999, viewpoint.name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(spare=1), "spare"),
        (lambda s: s["gripper"].update(open_width_m=-0.01), "gripper.open_width_m"),
        (lambda s: s["stations"]["infeed"].update(rests_on="nothing"), "stations.infeed.rests_on"),
        (lambda s: s["grasps"].append(s["grasps"][0]), "g1 named twice"),
        (lambda s: s["cameras"].pop("wide"), "viewpoints.wide.camera"),
        (lambda s: s["obstacles"][0].update(size_m=[1, float("nan"), 1]), "obstacles.0.size_m"),
    ],
)
def test_wrong_files_name_file_and_field(tmp_path: Path, change: Any, said: str) -> None:
    content = yaml.safe_load((SHARE / "config" / "demo_scene.yaml").read_text())
    change(content)
    path = tmp_path / "scene.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SceneError, match=said) as refused:
        load_scene(path)
    assert str(path) in str(refused.value)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="cannot be read"):
        load_scene(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("arm: [")
    with pytest.raises(SceneError, match="not YAML"):
        load_scene(tmp_path / "broken.yaml")


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_pose_survives_the_file(values: list[float]) -> None:
    pose = make_pose(rotation_from_vector(values[:3]), values[3:])
    again = pose_config(pose).matrix
    assert np.allclose(again[:3, 3], pose[:3, 3], atol=1e-6)
    # Near 90 degrees of pitch, roll and yaw are one angle and its cosine is lost to rounding of the sine.
    assert np.allclose(again[:3, :3], pose[:3, :3], atol=1e-5)
