"""How much of each component a view shows, and what hides the rest: pixels over those it has when drawn alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.cad.render import NOTHING, OCCLUDER, GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

Box = tuple[int, int, int, int]
SIZE_PX = 96


@dataclass(frozen=True)
class Visibility:
    """How a view shows one component; shares are of its projected area, 0 to 1.

    Attributes:
        fraction: what nothing hides and the image holds.
        hidden_by: what stands before it, components and occluders by name, with the share hidden, largest first. Where
            several things hide a point, the foremost is named.
        outside: what lies beyond the image.
    """

    fraction: float
    hidden_by: tuple[tuple[str, float], ...]
    outside: float


NOT_SEEN = Visibility(0.0, (), 1.0)


def projected_box(
    points: NDArray[np.float64], T_camera_part: Pose, camera: CameraModel, margin_px: float
) -> Box | None:
    """x, y, width, height in pixels of the points' (n, 3) bounding box, widened; it may reach beyond the image.

    None when a point is not in front of the camera.
    """
    pixels = camera.project(transform(T_camera_part, points))
    if not np.all(np.isfinite(pixels)):
        return None
    low = np.floor(pixels.min(axis=0) - margin_px).astype(int)
    high = np.ceil(pixels.max(axis=0) + margin_px).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)


def scaled_crop(camera: CameraModel, box: Box, longest_px: int) -> CameraModel:
    """The camera of a box, sampled so that its longer side has at most `longest_px` pixels."""
    x, y, width, height = box
    scale = min(1.0, longest_px / max(width, height))
    crop = camera.cropped(x, y, width, height)
    return crop.resized(max(1, round(width * scale)), max(1, round(height * scale)))


def inside_image(camera: CameraModel, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) bool: which pixels of a box, sampled with `shape`, lie in the camera's image."""
    x, y, width, height = box
    columns = x + (np.arange(shape[1]) + 0.5) * width / shape[1] - 0.5
    rows = y + (np.arange(shape[0]) + 0.5) * height / shape[0] - 0.5
    inside: NDArray[np.bool_] = ((rows > -0.5) & (rows < camera.height - 0.5))[:, None] & (
        (columns > -0.5) & (columns < camera.width - 0.5)
    )
    return inside


def visibility(
    renderer: GeometryRenderer,
    name: str,
    T_camera_part: Pose,
    camera: CameraModel,
    occluders: Sequence[Component] = (),
    hidden: Collection[str] = (),
) -> Visibility:
    """How much of a component a view shows, and what hides the rest. One behind the camera counts as all outside.

    Args:
        occluders: other things in the way, in the part frame (a gripper: `component.moved(T_part_tool)`).
        hidden: components taken as absent.
    """
    index = renderer.assembly.index(name)
    box = projected_box(renderer.assembly.components[index].vertices, T_camera_part, camera, 1.0)
    if box is None or box[2] > 20 * camera.width or box[3] > 20 * camera.height:
        return NOT_SEEN
    crop = scaled_crop(camera, box, SIZE_PX)
    others = [n for n in renderer.assembly.names if n != name]
    alone = renderer.render(T_camera_part, crop, hidden=others).ids == index
    whole = np.count_nonzero(alone)
    if not whole:
        return NOT_SEEN
    ids = renderer.render(T_camera_part, crop, hidden, occluders, occluders_apart=True).ids
    inside = inside_image(camera, box, ids.shape)
    seen = np.count_nonzero((ids == index) & inside)
    shares: dict[str, float] = {}
    in_front, counts = np.unique(ids[alone & inside & (ids != index) & (ids != NOTHING)], return_counts=True)
    for i, count in zip(in_front.tolist(), counts.tolist(), strict=True):
        who = renderer.assembly.names[i] if i >= 0 else occluders[OCCLUDER - i].name
        shares[who] = shares.get(who, 0.0) + count / whole
    return Visibility(
        float(seen / whole),
        tuple(sorted(shares.items(), key=lambda item: -item[1])),
        float(np.count_nonzero(alone & ~inside) / whole),
    )


def visible_fraction(
    renderer: GeometryRenderer,
    name: str,
    T_camera_part: Pose,
    camera: CameraModel,
    occluders: Sequence[Component] = (),
    hidden: Collection[str] = (),
) -> float:
    """`visibility`'s fraction alone."""
    return visibility(renderer, name, T_camera_part, camera, occluders, hidden).fraction


def visible_fractions(
    renderer: GeometryRenderer,
    T_camera_part: Pose,
    camera: CameraModel,
    occluders: Sequence[Component] = (),
    hidden: Collection[str] = (),
) -> dict[str, float]:
    """`visible_fraction` of every component, by name."""
    return {
        name: visible_fraction(renderer, name, T_camera_part, camera, occluders, hidden)
        for name in renderer.assembly.names
    }
