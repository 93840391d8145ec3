"""What a camera at a pose sees of the part's patches well enough to inspect them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.visibility import projected_box, scaled_crop
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform
from inspection_cell.viewplanning.patches import Patches

LONGEST_PX = 700
"""Of the depth picture that tells what is hidden."""
DEPTH_SLACK_M = 0.0002
EDGE_PX = 2.0
"""Of the image, in which nothing counts as seen."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Optics:
    """What a view must give a patch for it to count.

    Attributes:
        m_per_px: between two pixels on the surface at most, in the direction in which it is foreshortened.
        incidence_deg: between the ray and the patch's normal at most.
        in_focus_m: depth of the nearest and the farthest plane that is sharp.
        ring_m: inner and outer radius of a ring light around the lens, in the plane of the camera's centre; a patch
            that mirrors it into the camera is glare. None: no such light, or no part that mirrors.
    """

    m_per_px: float
    incidence_deg: float
    in_focus_m: tuple[float, float]
    ring_m: tuple[float, float] | None = None


def seen(
    patches: Patches,
    renderer: GeometryRenderer,
    T_camera_part: Pose,
    camera: CameraModel,
    optics: Optics,
    occluders: Sequence[Component] = (),
) -> Flags:
    """(n,) which patches are in the image, not hidden, sharp, fine enough, not too oblique, and without glare.

    Args:
        occluders: gripper or fixture, in the part frame.
    """
    points = transform(T_camera_part, patches.points)
    normals = patches.normals @ T_camera_part[:3, :3].T
    z = points[:, 2]
    distance = np.linalg.norm(points, axis=1)
    cosine = -np.sum(points * normals, axis=1) / distance
    near, far = optics.in_focus_m
    good = (cosine >= np.cos(np.radians(optics.incidence_deg))) & (z >= near) & (z <= far)
    focal = min(camera.matrix[0, 0], camera.matrix[1, 1])
    good &= z / focal <= optics.m_per_px * np.maximum(cosine, 1e-6)
    if optics.ring_m is not None:
        good &= ~_glares(points, normals, optics.ring_m)
    if not good.any():
        return np.asarray(good)
    pixels = np.full((len(points), 2), -1.0)
    pixels[good] = camera.project(points[good])
    last = (camera.width - 1 - EDGE_PX, camera.height - 1 - EDGE_PX)
    good &= np.all((pixels >= EDGE_PX) & (pixels <= last), axis=1)
    box = projected_box(renderer.assembly.corners, T_camera_part, camera, 2.0)
    if box is None or not good.any():
        return np.zeros(len(points), bool)
    crop = scaled_crop(camera, box, LONGEST_PX)
    depth = renderer.render(T_camera_part, crop, occluders=occluders).depth
    at = np.zeros((len(points), 2), int)
    at[good] = np.rint(crop.project(points[good])).astype(int)
    good &= np.all((at >= 0) & (at < (crop.width, crop.height)), axis=1)
    column, row = np.where(good[:, None], at, 0).T
    # Within a pixel an oblique surface changes its depth.
    slope = np.sqrt(np.maximum(1 - cosine**2, 0)) / np.maximum(cosine, 0.1)
    slack = DEPTH_SLACK_M + slope * z / crop.matrix[0, 0]
    front = depth[row, column]
    return np.asarray(good & (front > 0) & (z <= front + slack))


def _glares(points: NDArray[np.float64], normals: NDArray[np.float64], ring_m: tuple[float, float]) -> Flags:
    """Whether the ray from the camera, mirrored, meets the ring light in the plane z = 0 of the camera."""
    to_camera = -points / np.linalg.norm(points, axis=1, keepdims=True)
    mirrored = 2 * np.sum(to_camera * normals, axis=1, keepdims=True) * normals - to_camera
    towards = mirrored[:, 2] < -1e-6
    reach = np.where(towards, -points[:, 2] / np.where(towards, mirrored[:, 2], -1.0), 0.0)
    radius = np.linalg.norm(points[:, :2] + reach[:, None] * mirrored[:, :2], axis=1)
    return np.asarray(towards & (radius >= ring_m[0]) & (radius <= ring_m[1]))
