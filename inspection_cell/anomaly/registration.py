"""Brings a view to where its viewpoint would show a part that sat exactly as the recipe says.

The paper on robot-assisted PaDiM inspection cut the part out by its contour, which failed on some parts, and wishes
for a registration instead (its discussion). With the CAD alignment each pixel of the planned picture shows a known
point of the part, which is looked up where the aligned pose puts it: also where a tilt moves near surfaces against far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from inspection_cell.anomaly.preprocess import Box
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.render import OCCLUDER, GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, transform

MARGIN_M = 0.002
# How far around the gripper nothing is judged: its edges reach into the features beside it. The other grasp shows what
# it hides.
GRIPPER_MARGIN_M = 0.003
POINTS = 400
SURFACE_PX = 400


@dataclass(frozen=True)
class Nominal:
    """A viewpoint's picture of a part that sits exactly as planned.

    Attributes:
        box: x, y, width, height of the part with a margin, in the image; may reach beyond it.
        outside: (height, width) bool of the box, true where nothing is judged: no part, or a gripper may be near.
        points: (n, 3) points of the part, metres, part frame.
        pixels: (n, 2) where they appear.
        surface: (h, w, 3) the part's point that each place of the box shows, at most 400 pixels wide or high; beside
            the part, a point at the depth of its nearest edge. Metres, part frame.
    """

    box: Box
    outside: NDArray[np.bool_]
    points: NDArray[np.float64]
    pixels: NDArray[np.float64]
    surface: NDArray[np.float64]


def nominal_view(
    renderer: GeometryRenderer,
    camera: CameraModel,
    T_part_camera: Pose,
    gripper: Sequence[Component] = (),
    stray_m: float = 0.0,
) -> Nominal:
    """How a viewpoint shows the part.

    Args:
        gripper: in the part frame, as the grasp nominally holds it.
        stray_m: how far from there it may be.
    """
    points = _surface_points(renderer.assembly)
    T_camera_part = inverse(T_part_camera)
    pixels = camera.project(transform(T_camera_part, points))
    depth = float(T_camera_part[2, 3])
    margin = int(np.ceil(MARGIN_M * camera.matrix[0, 0] / depth))
    low = np.floor(pixels.min(axis=0)).astype(int) - margin
    high = np.ceil(pixels.max(axis=0)).astype(int) + margin
    box = (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    # The silhouette is wanted to a margin only: a small picture does.
    small = camera.cropped(*box)
    scale = min(1.0, 400 / max(box[2:]))
    small = small.resized(max(8, round(box[2] * scale)), max(8, round(box[3] * scale)))
    ids = renderer.render(T_camera_part, small, occluders=gripper).ids
    px_per_m = camera.matrix[0, 0] / depth * scale
    judged = _grown(ids >= 0, MARGIN_M * px_per_m) & ~_grown(ids == OCCLUDER, (GRIPPER_MARGIN_M + stray_m) * px_per_m)
    outside = cv2.resize(judged.astype(np.uint8), (box[2], box[3]), interpolation=cv2.INTER_NEAREST) == 0
    return Nominal(box, outside, points, pixels, _surface(renderer, camera.cropped(*box), T_part_camera))


def _surface(renderer: GeometryRenderer, camera: CameraModel, T_part_camera: Pose) -> NDArray[np.float64]:
    """(h, w, 3) what each place of the camera's picture shows, as `Nominal` has it."""
    scale = min(1.0, SURFACE_PX / max(camera.width, camera.height))
    small = camera.resized(max(8, round(camera.width * scale)), max(8, round(camera.height * scale)))
    drawn = renderer.render(inverse(T_part_camera), small)
    nearest = distance_transform_edt(drawn.ids < 0, return_distances=False, return_indices=True)
    depth = drawn.depth[tuple(nearest)].astype(float)
    places = np.stack(np.meshgrid(np.arange(small.width), np.arange(small.height)), axis=-1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(places.astype(np.float64), small.matrix, small.distortion).reshape(*depth.shape, 2)
    points = np.concatenate([rays * depth[..., None], depth[..., None]], axis=2)
    return transform(T_part_camera, points.reshape(-1, 3)).reshape(points.shape)


def actual_from_nominal(nominal: Nominal, camera: CameraModel, T_camera_part: Pose) -> NDArray[np.float64]:
    """(2, 3) affine that takes pixels of the nominal box to about where they are in the view, for the aligned pose."""
    actual = camera.project(transform(T_camera_part, nominal.points))
    local = nominal.pixels - nominal.box[:2]
    solution, *_ = np.linalg.lstsq(np.column_stack([local, np.ones(len(local))]), actual, rcond=None)
    return np.asarray(solution.T, float)


def registered(
    image: NDArray[np.uint8], nominal: Nominal, camera: CameraModel, T_camera_part: Pose
) -> NDArray[np.uint8]:
    """The part as the viewpoint would show it, (height, width) of the box; edge pixels repeat beyond the image."""
    places = camera.project(transform(T_camera_part, nominal.surface.reshape(-1, 3))).astype(np.float32)
    small, size = nominal.surface.shape[:2], nominal.box[2:]
    x, y = (cv2.resize(places[:, i].reshape(small), size, interpolation=cv2.INTER_LINEAR) for i in range(2))
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def to_original(
    values: NDArray[np.float32], affine: NDArray[np.float64], width: int, height: int, scale: float
) -> NDArray[np.float32]:
    """A map over the nominal box put back into the view's coordinates, at `scale` of its size; 0 elsewhere."""
    forward = affine * scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.warpAffine(values, forward, size, flags=cv2.INTER_LINEAR), np.float32)


def _grown(mask: NDArray[np.bool_], reach_px: float) -> NDArray[np.bool_]:
    reach = max(1, round(reach_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def _surface_points(assembly: Assembly) -> NDArray[np.float64]:
    """Some hundred vertices spread over the assembly, always the same."""
    vertices = np.concatenate([component.vertices for component in assembly.components])
    return np.asarray(vertices[np.linspace(0, len(vertices) - 1, min(POINTS, len(vertices))).astype(int)], float)
