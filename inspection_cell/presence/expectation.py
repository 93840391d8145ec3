"""What a classifier is shown of one component: the image's crop, and the CAD rendered there with and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Component
from inspection_cell.cad.render import Buffers, GeometryRenderer
from inspection_cell.cad.visibility import Box, inside_image, projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose

SIZE_PX = 64
SURROUNDINGS = 1.5
CHANNELS = 8
CONTRAST_FLOOR = 4.0


@dataclass(frozen=True)
class Expectation:
    """What the CAD says a component's surroundings look like in a view.

    Attributes:
        box: x, y, width, height of a square in the image's pixels; it may reach beyond the image.
        mask: (64, 64) bool, where the component is seen.
        channels: (7, 64, 64) float32, -1 to 1: the mask, the normals with the component, the normals without it.
        visible: fraction of the component's projected area that is in the image and not hidden.
        area_px: visible area in the image's pixels.
    """

    box: Box
    mask: NDArray[np.bool_]
    channels: NDArray[np.float32]
    visible: float
    area_px: float


def square_box(component: Component, T_camera_part: Pose, camera: CameraModel) -> Box | None:
    """The square about a component that the classifier is shown; None when it is not in front of the camera."""
    tight = projected_box(component.vertices, T_camera_part, camera, 0.0)
    if tight is None:
        return None
    side = max(8, round(SURROUNDINGS * max(tight[2], tight[3])))
    return round(tight[0] + (tight[2] - side) / 2), round(tight[1] + (tight[3] - side) / 2), side, side


def crop_camera(camera: CameraModel, box: Box, size: int) -> CameraModel:
    """The camera of a square box, `size` pixels wide."""
    return camera.cropped(*box).resized(size, size)


def expectation(
    renderer: GeometryRenderer,
    name: str,
    T_camera_part: Pose,
    camera: CameraModel,
    occluders: Sequence[Component] = (),
) -> Expectation | None:
    """Renders a component's surroundings; None when it is outside the image.

    Args:
        occluders: other things in the way, in the part frame (the gripper).
    """
    index = renderer.assembly.index(name)
    box = square_box(renderer.assembly.components[index], T_camera_part, camera)
    if box is None or box[2] > 4 * max(camera.width, camera.height):
        return None
    crop = crop_camera(camera, box, SIZE_PX)
    inside = inside_image(camera, box, (SIZE_PX, SIZE_PX))
    if not inside.any():
        return None
    others = [n for n in renderer.assembly.names if n != name]
    alone = int(np.count_nonzero(renderer.render(T_camera_part, crop, hidden=others).ids == index))
    with_it = renderer.render(T_camera_part, crop, occluders=occluders)
    without = renderer.render(T_camera_part, crop, [name], occluders)
    return made_of(with_it, without, index, alone, inside, box)


def made_of(
    with_it: Buffers, without: Buffers, index: int, alone_px: int, inside: NDArray[np.bool_], box: Box
) -> Expectation:
    """The expectation of component `index` from its renderings with and without it."""
    mask = (with_it.ids == index) & inside
    seen = int(np.count_nonzero(mask))
    channels = np.concatenate([mask[None], with_it.normals.transpose(2, 0, 1), without.normals.transpose(2, 0, 1)])
    area = seen * (box[2] / SIZE_PX) * (box[3] / SIZE_PX)
    return Expectation(box, mask, channels.astype(np.float32), seen / alone_px if alone_px else 0.0, area)


def image_crop(image: NDArray[Any], box: Box) -> NDArray[np.float32]:
    """(64, 64) float32 grey crop of an image (h, w) or (h, w, 3); outside the image its border is repeated."""
    x, y, width, height = box
    rows = np.clip(np.arange(y, y + height), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(x, x + width), 0, image.shape[1] - 1)
    crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) if crop.ndim == 3 else crop)
    whole = grey.astype(np.float32)[np.ix_(rows - rows[0], columns - columns[0])]
    shrink = cv2.INTER_AREA if width > SIZE_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(whole, (SIZE_PX, SIZE_PX), interpolation=shrink), np.float32)


def network_input(grey: NDArray[np.float32], channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(8, 64, 64) float32: the grey crop with its mean and contrast taken out, then the expectation's channels."""
    normalised = (grey - grey.mean()) / (grey.std() + CONTRAST_FLOOR)
    return np.concatenate([np.clip(normalised / 3.0, -1.0, 1.0)[None], channels]).astype(np.float32)
