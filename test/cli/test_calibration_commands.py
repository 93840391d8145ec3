"""Calibration by its commands: from pictures on disk to the section of the cell's configuration."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from inspection_cell.calibration.target import CharucoTarget, target_points
from inspection_cell.cli.main import main
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import (
    Pose,
    inverse,
    look_at,
    make_pose,
    perturb,
    quaternion_from_rotation,
    rotation_from_vector,
    twist_between,
)
from inspection_cell.recipe.cell_config import CalibrationSection
from inspection_cell.recipe.loading import validate
from inspection_cell.simulation.target_images import photographed

TARGET = CharucoTarget(kind="charuco", squares=(11, 8), square_m=0.015, marker_m=0.011, dictionary="4X4_100")
CAMERA = CameraModel(
    800, 600, np.array([[1500, 0, 410.0], [0, 1497, 290], [0, 0, 1]]), np.array([-0.12, 0.1, 3e-4, -2e-4, 0])
)
T_TOOL_CAMERA = make_pose(rotation_from_vector((0.4, -1.2, 0.3)), (0.05, -0.08, 0.03))
T_WORLD_TARGET = make_pose(rotation_from_vector((1.0, 0.2, -0.5)), (0.5, 0.1, -0.2))
COUNT, ARM_M, ARM_RAD = 14, 1e-4, 3e-4
HEAD = "image,x,y,z,qx,qy,qz,qw\n"


def pose_line(name: str, T: Pose) -> str:
    values = [*T[:3, 3], *quaternion_from_rotation(T[:3, :3])]
    return ",".join([name, *(f"{v:.9f}" for v in values)]) + "\n"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """target.yaml, images/ and poses.csv, as someone takes them at a real cell; one picture shows nothing."""
    folder = tmp_path_factory.mktemp("station")
    (folder / "target.yaml").write_text(yaml.safe_dump({"format": 1, "target": TARGET.model_dump(mode="json")}))
    (folder / "images").mkdir()
    rng, middle, lines = np.random.default_rng(1), target_points(TARGET).mean(axis=0), HEAD
    for k in range(COUNT):
        tilt, around = np.radians(rng.uniform(12, 35)), 2.4 * k
        away = np.array([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), -np.cos(tilt)])
        aim = middle + (0.03 * np.cos(1.3 * k), 0.03 * np.sin(1.3 * k), 0)
        T_camera_target = inverse(look_at(aim + rng.uniform(0.4, 0.5) * away, aim, rng.normal(size=3)))
        cv2.imwrite(str(folder / f"images/{k:02d}.png"), photographed(TARGET, CAMERA, T_camera_target, rng))
        T_world_tool = T_WORLD_TARGET @ inverse(T_TOOL_CAMERA @ T_camera_target)
        told = perturb(T_world_tool, rng.normal(size=6) * np.repeat([ARM_M, ARM_RAD], 3))
        lines += pose_line(f"{k:02d}.png", told)
    cv2.imwrite(str(folder / "images/nothing.png"), np.full((600, 800), 90, np.uint8))
    (folder / "poses.csv").write_text(lines)
    return folder


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_from_pictures_to_the_section_of_the_configuration(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (station / "images", "--target", station / "target.yaml")
    assert run("calibrate-camera", *common, "--out", station / "camera", "--id", "wide-1") == 0
    assert f"{COUNT} of {COUNT + 1} pictures" in capsys.readouterr().out
    hand_eye = ("--intrinsics", station / "camera/intrinsics.yaml", "--poses", station / "poses.csv")
    out = ("--mounting", "in_hand", "--out", station / "hand_eye", "--id", "wide-2")
    assert run("calibrate-hand-eye", *common, *hand_eye, *out) == 0
    content = yaml.safe_load((station / "hand_eye/calibration.yaml").read_text())["calibration"]
    section = validate(content, CalibrationSection, "calibration.yaml")
    off = twist_between(T_TOOL_CAMERA, section.pose.matrix)
    assert np.linalg.norm(off[:3]) < 0.6e-3 and np.linalg.norm(off[3:]) < 1.5e-3
    assert section.focal_px == pytest.approx((1500, 1497), rel=2e-3)
    for page in (station / "camera/index.html", station / "hand_eye/index.html"):
        text = page.read_text()
        assert text.count("data:image/png;base64") >= 3 and "nothing.png" in text


def test_a_view_tells_values_that_were_changed_under_the_same_id() -> None:
    content = {"id": "wide-1", "focal_px": [1500, 1500], "centre_px": [400, 300], "pose": {"xyz_m": [0, 0, 0.1]}}
    told = validate(content, CalibrationSection, "cell.yaml").told
    assert told.startswith("wide-1@")
    assert validate(content, CalibrationSection, "cell.yaml").told == told
    assert validate(content | {"focal_px": [1500, 1501]}, CalibrationSection, "cell.yaml").told != told


def test_a_users_slip_is_named(station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intrinsics = tmp_path / "intrinsics.yaml"
    values = {"id": "a", "width": 800, "height": 600, "focal_px": [1500, 1497], "centre_px": [410, 290]}
    intrinsics.write_text(yaml.safe_dump({"format": 1, "distortion": [-0.12, 0.1, 3e-4, -2e-4, 0], **values}))

    def told(poses: str, images: Path = station / "images") -> str:
        (tmp_path / "poses.csv").write_text(poses)
        files = ("--intrinsics", intrinsics, "--poses", tmp_path / "poses.csv", "--target", station / "target.yaml")
        assert run("calibrate-hand-eye", images, *files, "--mounting", "fixed", "--out", tmp_path / "out") == 2
        return capsys.readouterr().err

    lines = (station / "poses.csv").read_text().splitlines(keepends=True)
    assert "line 2: quaternion" in told(HEAD + "00.png,0,0,0,1,1,0,0\n")
    assert "line 2: has no qw" in told("image,x,y,z,qx,qy,qz\n00.png,0,0,0,1,0,0\n")
    assert "line 3: 00.png stands twice" in told(HEAD + lines[1] + lines[1])
    assert "has no pose for 13.png" in told("".join(lines[:-1]))
    assert "mounting (in_hand or fixed)" in told("".join(lines))
    (tmp_path / "mixed").mkdir()
    for name, size in (("a.png", (600, 800)), ("b.png", (600, 801))):
        cv2.imwrite(str(tmp_path / "mixed" / name), np.zeros(size, np.uint8))
    assert "b.png: is 801x600, a.png is 800x600" in told("".join(lines), tmp_path / "mixed")
    assert "holds no picture" in told("".join(lines), tmp_path / "out_of_the_way")


def test_a_target_is_drawn_as_large_as_it_is_said_to_be(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("draw-target", station / "target.yaml", "--out", station / "print/target.png") == 0
    assert "165.0 mm wide and 120.0 mm high" in capsys.readouterr().out
    assert cv2.imread(str(station / "print/target.png")).shape[1] > 165 / 25.4 * 600
