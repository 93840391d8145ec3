"""Pictures of components with their truth and their pose, as lines of a manifest: what a model is evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, is_pose

Row = tuple[float, float, float, float]
Matrix = tuple[Row, Row, Row, Row]
Label = Literal["present", "missing", "wrong", "background"]


class ManifestError(ValueError):
    """A manifest that cannot be used; the text names the file, the line and the cure."""


def _rigid(matrix: Matrix) -> Matrix:
    if not is_pose(np.array(matrix)):
        raise ValueError("is not a rigid pose: a rotation and a translation in metres, last row 0 0 0 1")
    return matrix


class ManifestCamera(BaseModel):
    """A pinhole: the pixel centres are whole numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    matrix: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def camera(self) -> CameraModel:
        """As the alignment takes it."""
        return CameraModel(self.width, self.height, np.array(self.matrix), np.array(self.distortion))


class Picture(BaseModel):
    """One line of a manifest.

    Attributes:
        image: file, relative to the manifest.
        component: which one is asked for; empty for a background.
        part: pictures with the same one show the same part, from several viewpoints; None for a part of its own.
        T_camera_part: the aligned pose, as the cell would have it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    image: str
    component: str
    label: Label
    camera: ManifestCamera
    T_camera_part: Annotated[Matrix, AfterValidator(_rigid)] = Field(alias="T_camera_part_aligned")
    part: str | None = None

    def pose(self) -> Pose:
        """(4, 4)."""
        return np.array(self.T_camera_part)


def load_manifest(path: Path) -> list[Picture]:
    """Reads a manifest: one JSON object a line.

    Raises:
        ManifestError: the file cannot be read or is empty, a line is not as above, or its image is missing.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); name a manifest.jsonl") from error
    if not lines:
        raise ManifestError(f"{path}: is empty; it needs one JSON object a line")
    pictures = []
    for number, line in enumerate(lines, 1):
        try:
            picture = Picture.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ManifestError(f"{path}, line {number}: {field}: {first['msg']}") from error
        if not (path.parent / picture.image).is_file():
            raise ManifestError(
                f"{path}, line {number}: image {picture.image} is not there; put it beside the manifest"
            )
        pictures.append(picture)
    return pictures
