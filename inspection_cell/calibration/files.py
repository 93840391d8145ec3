"""The files of a calibration: what the target is, the pictures of it, the arm's poses, and what comes out."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from pydantic import Field

from inspection_cell.anomaly.images import IMAGE_SUFFIXES, read_image
from inspection_cell.calibration.hand_eye import HandEye
from inspection_cell.calibration.intrinsics import Intrinsics
from inspection_cell.calibration.target import Detection, Target, find
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_from_quaternion
from inspection_cell.motion.config import pose_config
from inspection_cell.recipe.loading import ConfigError, Strict, load_model

COLUMNS = ("image", "x", "y", "z", "qx", "qy", "qz", "qw")
UNIT_WITHIN = 1e-3
"""How far a quaternion's length may be from one: more is another order of columns, or other units."""
PositiveFloat = Annotated[float, Field(gt=0)]


class TargetFile(Strict):
    """What was printed."""

    format: Literal[1]
    target: Annotated[Target, Field(discriminator="kind")]


class IntrinsicsFile(Strict):
    """A camera's intrinsics, as `calibrate-camera` writes them; also bring such a file from elsewhere."""

    format: Literal[1]
    id: str = Field(min_length=1, description="which calibration this is")
    width: int = Field(ge=1, description="of the images, pixels")
    height: int = Field(ge=1, description="of the images, pixels")
    focal_px: tuple[PositiveFloat, PositiveFloat] = Field(description="fx, fy")
    centre_px: tuple[float, float] = Field(description="cx, cy; pixel centres at whole numbers")
    distortion: tuple[float, float, float, float, float] = Field(description="k1 k2 p1 p2 k3 as in OpenCV")

    @property
    def camera(self) -> CameraModel:
        """As the cell uses it."""
        (fx, fy), (cx, cy) = self.focal_px, self.centre_px
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        return CameraModel(self.width, self.height, matrix, np.array(self.distortion))


@dataclass(frozen=True)
class Seen:
    """What the pictures of a folder show of the target.

    Attributes:
        width, height: of every picture, pixels.
        found: name of a picture -> the points in it; in the order of the names.
        without: pictures that show too little of it.
    """

    width: int
    height: int
    found: Mapping[str, Detection]
    without: tuple[str, ...]


def load_target(path: Path) -> Target:
    """Reads the description of a target.

    Raises:
        ConfigError: naming file and field.
    """
    return load_model(path, TargetFile).target


def find_in_folder(target: Target, folder: Path, progress: Callable[[int, int], None] = lambda done, of: None) -> Seen:
    """Finds the target in all pictures of a folder.

    Raises:
        ConfigError: no pictures, or such as differ in size. ImageError: one that cannot be read.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ConfigError(f"{folder}: holds no picture ({', '.join(IMAGE_SUFFIXES)}); name the folder that does")
    found: dict[str, Detection] = {}
    size: tuple[int, int] | None = None
    for number, path in enumerate(paths, 1):
        picture = read_image(path)
        height, width = picture.shape[:2]
        if size is not None and size != (width, height):
            raise ConfigError(
                f"{path}: is {width}x{height}, {paths[0].name} is {size[0]}x{size[1]}; a calibration is of one size"
            )
        size = (width, height)
        detection = find(target, picture)
        if detection is not None:
            found[path.name] = detection
        progress(number, len(paths))
    assert size is not None
    return Seen(*size, found, tuple(p.name for p in paths if p.name not in found))


def load_poses(path: Path) -> dict[str, Pose]:
    """T_world_tool of each picture: CSV with the columns image, x, y, z (metres) and qx, qy, qz, qw.

    Raises:
        ConfigError: naming file, line and cure.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    poses: dict[str, Pose] = {}
    for number, row in enumerate(rows, 2):
        missing = [name for name in COLUMNS if row.get(name) in (None, "")]
        if missing:
            raise ConfigError(
                f"{path}, line {number}: has no {', '.join(missing)}; the first line must be {','.join(COLUMNS)}"
            )
        name = row["image"].strip()
        if name in poses:
            raise ConfigError(f"{path}, line {number}: {name} stands twice")
        poses[name] = _pose(row, f"{path}, line {number}")
    if not poses:
        raise ConfigError(f"{path}: holds no pose; after the line {','.join(COLUMNS)} comes one line a picture")
    return poses


def _pose(row: dict[str, str], where: str) -> Pose:
    try:
        values = [float(row[name]) for name in COLUMNS[1:]]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    length = math.hypot(*values[3:])
    if not all(map(math.isfinite, values)) or abs(length - 1) > UNIT_WITHIN:
        raise ConfigError(
            f"{where}: quaternion qx qy qz qw has the length {length:.4g} instead of 1; check the columns"
        )
    return make_pose(rotation_from_quaternion(values[3:]), values[:3])


def intrinsics_of(found: Intrinsics, name: str) -> IntrinsicsFile:
    """As a file holds them: to a thousandth of a pixel, which is finer than any calibration."""
    k = found.camera.matrix
    return IntrinsicsFile(
        format=1,
        id=name,
        width=found.camera.width,
        height=found.camera.height,
        focal_px=(round(float(k[0, 0]), 3), round(float(k[1, 1]), 3)),
        centre_px=(round(float(k[0, 2]), 3), round(float(k[1, 2]), 3)),
        distortion=tuple(round(float(d), 7) for d in found.camera.distortion),  # type: ignore[arg-type]
    )


def intrinsics_text(file: IntrinsicsFile) -> str:
    """YAML that `load_model` reads as `IntrinsicsFile`."""
    return _yaml(file.model_dump(mode="json"))


def section_text(intrinsics: IntrinsicsFile, found: HandEye, name: str) -> str:
    """YAML for `cameras.<role>.calibration` of the cell's configuration."""
    section = {
        "id": name,
        "focal_px": list(intrinsics.focal_px),
        "centre_px": list(intrinsics.centre_px),
        "distortion": list(intrinsics.distortion),
        "pose": pose_config(found.T_camera).model_dump(mode="json"),
    }
    return _yaml({"calibration": section})


def _yaml(content: dict[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110)
