"""Brings a view to where its viewpoint would show a part that sat exactly as the recipe says.

The paper on robot-assisted PaDiM inspection cut the part out by its contour, which failed on some parts, and wishes
for a registration instead (its discussion). With the CAD alignment it is one affine warp: over a part that is small
against its distance, the difference of two near poses is affine in the image to well under a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.preprocess import Box
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.render import OCCLUDER, GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, transform

MARGIN_M = 0.002
# How far around the gripper nothing is judged: it never holds the part alike, and its edges reach into the features
# beside it. The other grasp shows what it hides.
GRIPPER_MARGIN_M = 0.003
POINTS = 400


@dataclass(frozen=True)
class Nominal:
    """A viewpoint's picture of a part that sits exactly as planned.

    Attributes:
        box: x, y, width, height of the part with a margin, in the image; may reach beyond it.
        outside: (height, width) bool of the box, true where nothing is judged: no part, or near the gripper.
        points: (n, 3) points of the part, metres, part frame.
        pixels: (n, 2) where they appear.
    """

    box: Box
    outside: NDArray[np.bool_]
    points: NDArray[np.float64]
    pixels: NDArray[np.float64]


def nominal_view(
    renderer: GeometryRenderer, camera: CameraModel, T_part_camera: Pose, gripper: Sequence[Component] = ()
) -> Nominal:
    """How a viewpoint shows the part; `gripper` in the part frame, as the grasp nominally holds it."""
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
    judged = _grown(ids >= 0, MARGIN_M * px_per_m) & ~_grown(ids == OCCLUDER, GRIPPER_MARGIN_M * px_per_m)
    outside = cv2.resize(judged.astype(np.uint8), (box[2], box[3]), interpolation=cv2.INTER_NEAREST) == 0
    return Nominal(box, outside, points, pixels)


def actual_from_nominal(nominal: Nominal, camera: CameraModel, T_camera_part: Pose) -> NDArray[np.float64]:
    """(2, 3) affine that takes pixels of the nominal box to pixels of the view, for the part's aligned pose."""
    actual = camera.project(transform(T_camera_part, nominal.points))
    local = nominal.pixels - nominal.box[:2]
    solution, *_ = np.linalg.lstsq(np.column_stack([local, np.ones(len(local))]), actual, rcond=None)
    return np.asarray(solution.T, float)


def registered(image: NDArray[np.uint8], nominal: Nominal, affine: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The part as the viewpoint would show it, (height, width) of the box; edge pixels repeat beyond the image."""
    warped = cv2.warpAffine(
        np.ascontiguousarray(image),
        affine,
        (nominal.box[2], nominal.box[3]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
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
