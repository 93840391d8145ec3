"""Where a component, or the whole part, appears in a view: the CAD projected with the aligned pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.visibility import Box, inside_image, projected_box, scaled_crop
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, perturb, transform

CHI2_95_OF_2 = 5.991
MASK_PX = 256
MOST_PX = 8192
STEP_M = 1e-6
STEP_RAD = 1e-6


@dataclass(frozen=True)
class Roi:
    """A component's place in one image.

    Attributes:
        polygon: (n, 2) float64, pixels, convex outline of the visible surface; empty when nothing is visible.
        box: x, y, width, height in pixels, of the whole projection widened by the margin and cut at the image's border.
        mask: (height, width) bool, the visible surface in the box.
        visible: fraction of the component's projected area that is in the image and that nothing hides, 0 to 1.
        margin_px: how far the projection may be off, 95 %, from the alignment's covariance.
        mm_per_pixel: at the distance of the component's middle, across the line of sight.
    """

    polygon: NDArray[np.float64]
    box: Box
    mask: NDArray[np.bool_]
    visible: float
    margin_px: float
    mm_per_pixel: float


def margin_px(
    points: NDArray[np.float64], camera: CameraModel, T_camera_part: Pose, covariance: NDArray[np.float64]
) -> float:
    """Largest 95 % deviation, pixels, of the points' projections, to first order in the pose's covariance.

    Args:
        points: (n, 3) metres, part frame; the corners of their box are what is moved.
        covariance: (6, 6) of the twist in the part frame.
    """
    corners = np.stack(np.meshgrid(*np.stack([points.min(axis=0), points.max(axis=0)]).T), axis=-1).reshape(-1, 3)
    steps = np.diag([STEP_M] * 3 + [STEP_RAD] * 3)
    at = camera.project(transform(T_camera_part, corners))
    jacobian = np.stack(
        [(camera.project(transform(perturb(T_camera_part, s), corners)) - at) / s.sum() for s in steps], axis=2
    )
    if not (np.all(np.isfinite(jacobian)) and np.all(np.isfinite(covariance))):
        return float("inf")
    spread = jacobian @ covariance @ jacobian.transpose(0, 2, 1)
    return float(np.sqrt(CHI2_95_OF_2 * max(float(np.linalg.eigvalsh(spread).max()), 0.0)))


def project_component(
    renderer: GeometryRenderer,
    name: str,
    camera: CameraModel,
    T_camera_part: Pose,
    covariance: NDArray[np.float64],
    occluders: Sequence[Component] = (),
) -> Roi | None:
    """Projects a component into a view; None when it is outside the image or behind the camera.

    Source: the ROI projection of the CAD in a conformity check of assemblies, with the pose's covariance carried along.
    """
    index = renderer.assembly.index(name)
    vertices = renderer.assembly.components[index].vertices
    margin = margin_px(vertices, camera, T_camera_part, covariance)
    if not np.isfinite(margin) or margin > max(camera.width, camera.height):
        return None
    whole = projected_box(vertices, T_camera_part, camera, margin)
    box = _cut(whole, camera) if whole is not None else None
    if whole is None or box is None:
        return None
    wide = scaled_crop(camera, whole, MASK_PX)
    others = [n for n in renderer.assembly.names if n != name]
    alone = np.count_nonzero(renderer.render(T_camera_part, wide, hidden=others).ids == index)
    seen = renderer.render(T_camera_part, wide, occluders=occluders).ids == index
    seen &= inside_image(camera, whole, seen.shape)
    small = np.asarray(cv2.resize(seen.astype(np.uint8), (whole[2], whole[3]), interpolation=cv2.INTER_NEAREST))
    x, y = box[0] - whole[0], box[1] - whole[1]
    mask = small[y : y + box[3], x : x + box[2]] > 0
    found = cv2.findNonZero(mask.astype(np.uint8))
    outline = np.zeros((0, 2)) if found is None else cv2.convexHull(found)[:, 0].astype(float) + box[:2]
    middle = transform(T_camera_part, (vertices.min(axis=0) + vertices.max(axis=0))[None] / 2)[0]
    resolution = 1000.0 * float(middle[2]) / float(np.sqrt(camera.matrix[0, 0] * camera.matrix[1, 1]))
    return Roi(outline, box, mask, np.count_nonzero(seen) / alone if alone else 0.0, margin, resolution)


def crop_at(image: NDArray[Any], roi: Roi, mm_per_pixel: float) -> NDArray[Any]:
    """The ROI's box cut from its image, (h, w) or (h, w, channels), at a resolution the same for every distance.

    Args:
        mm_per_pixel: wanted at the distance of the component's middle; above 0.

    Raises:
        ValueError: the resolution is not above 0, or asks for more than MOST_PX pixels a side.
    """
    if not mm_per_pixel > 0.0:
        raise ValueError(f"mm_per_pixel {mm_per_pixel}: must be above 0")
    x, y, width, height = roi.box
    scale = roi.mm_per_pixel / mm_per_pixel
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if max(size) > MOST_PX:
        raise ValueError(f"mm_per_pixel {mm_per_pixel}: the crop would be {size[0]}x{size[1]} pixels; ask for less")
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image[y : y + height, x : x + width], size, interpolation=how))


def part_box(assembly: Assembly, camera: CameraModel, T_camera_part: Pose, margin: float = 0.0) -> Box | None:
    """x, y, width, height in pixels of the whole part's silhouette, cut at the image's border.

    None when the part is outside the image or reaches behind the camera.
    """
    vertices = np.vstack([component.vertices for component in assembly.components])
    box = projected_box(vertices, T_camera_part, camera, margin)
    return _cut(box, camera) if box is not None else None


def _cut(box: Box, camera: CameraModel) -> Box | None:
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], camera.width), min(box[1] + box[3], camera.height)
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None
