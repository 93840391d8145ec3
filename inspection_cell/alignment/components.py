"""How far each component sits from where the aligned part has it: "this clip is 0.6 mm off"."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.finish import Sight
from inspection_cell.alignment.gradients import GradientImage, gradient_image, search_lines
from inspection_cell.alignment.refine import tukey
from inspection_cell.cad.assembly import Component
from inspection_cell.cad.distortion import undistorted_crop
from inspection_cell.cad.visibility import projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

SAMPLES = 6000
FEWEST_LINES = 25
GRID_PX = 0.5
WIDTH_PX = 1.0
FOUND = 0.35
"""Of a component's lines, so much must agree on the shift."""
BEST_ALIKE = 0.9
FAR_PX = 3.0
LEAST_ACROSS = 0.15
FAR_DOUBT = 0.2


@dataclass(frozen=True)
class ComponentOffset:
    """One component against the rest of the part, across the line of sight.

    Attributes:
        shift_m: (x, y) metres along the camera's axes from where the pose puts the component to where it is.
        agreement: 0 to 1, share of its visible edges that lie there.
        lines: how many edges were asked.
        found: whether the edges say it clearly: enough agree, in both directions, and on no other place as well.
        at_px: (u, v) the middle of its edges in the image, where the pose puts them.
    """

    name: str
    shift_m: tuple[float, float]
    agreement: float
    lines: int
    found: bool
    at_px: tuple[float, float]

    @property
    def distance_m(self) -> float:
        """How far it sits off."""
        return math.hypot(*self.shift_m)


def component_offsets(
    image: NDArray[np.generic],
    camera: CameraModel,
    part: PartEdges,
    T_camera_part: Pose,
    reach_m: float = 0.0015,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> list[ComponentOffset]:
    """Offsets of the components that are seen well enough, in the part's order.

    What is absent has no offset: `found` is then mostly False, but only a check of presence tells.

    Args:
        image: (h, w) grey, 0 to 255, of the camera's size.
        T_camera_part: an accepted pose.
        reach_m: how far a component may sit off.

    Raises:
        ValueError: the pose puts the part outside the image.
    """
    px_per_m = camera.matrix[0, 0] / float(transform(T_camera_part, part.assembly.centre[None])[0, 2])
    box = projected_box(part.assembly.corners, T_camera_part, camera, reach_m * px_per_m + 8)
    if box is None:
        raise ValueError("the pose puts the part outside the image")
    crop, pinhole = undistorted_crop(image, camera, *box)
    gradients = gradient_image(np.asarray(crop, np.float32), 1.0)
    samples = Sight(part, pinhole, hidden, occluders).edges(T_camera_part, SAMPLES)
    offsets = []
    for index, name in enumerate(part.assembly.names):
        own = samples.at(samples.owners == index)
        if len(own) >= FEWEST_LINES:
            offsets.append(_offset(name, own, gradients, T_camera_part, pinhole, reach_m, box[:2]))
    return offsets


def _offset(
    name: str,
    own: EdgeSamples,
    gradients: GradientImage,
    pose: Pose,
    camera: CameraModel,
    reach_m: float,
    corner: tuple[int, int],
) -> ComponentOffset:
    """`corner`: the crop's first pixel in the image."""
    m_per_px = float(np.median(transform(pose, own.points)[:, 2])) / camera.matrix[0, 0]
    reach_px = math.ceil(reach_m / m_per_px)
    lines = search_lines(gradients, own.pixels, own.normals, reach_px + WIDTH_PX)
    steps = np.arange(-reach_px, reach_px + GRID_PX / 2, GRID_PX)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    # Most components sit where they should: a place farther away must fit better to be believed.
    doubt = 1.0 - FAR_DOUBT * np.linalg.norm(grid, axis=1) / reach_px
    score = np.array([_score(shift, own, lines) for shift in grid]) * doubt
    best = grid[int(np.argmax(score))]
    elsewhere = np.linalg.norm(grid - best, axis=1) > FAR_PX
    rival = float(score[elsewhere].max(initial=0.0))
    for _ in range(5):
        residual = _residuals(best, own, lines)
        weight = tukey(residual, WIDTH_PX)
        across = (own.normals * weight[:, None]).T @ own.normals + 1e-6 * np.eye(2)
        best = best + np.linalg.solve(across, own.normals.T @ (weight * np.nan_to_num(residual)))
    agreement = _score(best, own, lines)
    weakest = float(np.linalg.eigvalsh(across)[0]) / max(float(weight.sum()), 1e-9)
    found = agreement >= FOUND and rival < BEST_ALIKE * agreement and weakest > LEAST_ACROSS
    shift_m = float(best[0] * m_per_px), float(best[1] * m_per_px)
    u, v = own.pixels.mean(axis=0)
    return ComponentOffset(name, shift_m, agreement, len(own), found, (float(u) + corner[0], float(v) + corner[1]))


def _residuals(shift: NDArray[np.float64], own: EdgeSamples, lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) pixels from each shifted edge to the nearest found one; NaN where there is none."""
    distance = lines - (own.normals @ shift)[:, None]
    nearest = np.argmin(np.where(np.isnan(distance), np.inf, np.abs(distance)), axis=1)
    return np.asarray(distance[np.arange(len(distance)), nearest], float)


def _score(shift: NDArray[np.float64], own: EdgeSamples, lines: NDArray[np.float64]) -> float:
    return float(np.mean(tukey(_residuals(shift, own, lines), WIDTH_PX)))
