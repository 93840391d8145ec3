"""The last refinement of a pose, to a small fraction of a pixel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import profiles
from inspection_cell.alignment.edges import EdgeSamples, PartEdges
from inspection_cell.alignment.gradients import GradientImage, search_lines
from inspection_cell.alignment.profiles import ProfileFit
from inspection_cell.alignment.refine import Fit, fit_at, refine
from inspection_cell.cad.assembly import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose

WIDTHS = ((4.0, 3.0, 2.0, 2.0), (3.0, 2.0, 1.5, 1.5, 1.5))
SAMPLES = 2000
DENSE = 3000
DEPTH_PX = 400
FEWEST_SAMPLES = 80
SEEN_ANEW_PX = 1.0


@dataclass(frozen=True)
class Sight:
    """What is looked at, and by which pinhole.

    Attributes:
        hidden: names of components that are not there. occluders: things in the way, in the part frame.
    """

    part: PartEdges
    camera: CameraModel
    hidden: Collection[str]
    occluders: Sequence[Component]

    def edges(self, T_camera_part: Pose, count: int) -> EdgeSamples:
        """At most `count` samples on the edges seen from a pose."""
        return self.part.visible(T_camera_part, self.camera, count, DEPTH_PX, self.hidden, self.occluders)


def finished(
    pose: Pose, sight: Sight, gradients: GradientImage, information: NDArray[np.float64]
) -> tuple[Pose, EdgeSamples, Fit] | None:
    """Refined on the steepest places, with the edges seen from the pose itself; None when too few are seen.

    Returns:
        The pose, samples on all edges seen from it or very near it, and how well some of them lie on steep places.
    """
    dense = sight.edges(pose, DENSE)
    for number, widths in enumerate(WIDTHS):
        seen = dense.seen_from(pose, sight.camera)
        if number and float(np.linalg.norm(seen.pixels - dense.pixels, axis=1).mean()) > SEEN_ANEW_PX:
            seen = sight.edges(pose, DENSE)
        dense = seen
        if len(dense) < FEWEST_SAMPLES:
            return None
        samples = dense.thinned(SAMPLES)
        lines = search_lines(gradients, samples.pixels, samples.normals, widths[0] / gradients.scale)
        pose = refine(pose, sight.camera, samples, lines, np.array(widths) / gradients.scale, information)
    return pose, dense, fit_at(pose, sight.camera, samples, lines)


def sharpened(
    pose: Pose,
    sight: Sight,
    dense: EdgeSamples,
    gradients: GradientImage,
    sigma: float,
    information: NDArray[np.float64],
) -> tuple[Pose, ProfileFit]:
    """Refined on whole profiles. `sigma`: of the picture's steps, pixels of its scale. The fit is in crop pixels."""
    height, width = gradients.smooth.shape
    camera, scale = sight.camera.resized(width, height), gradients.scale
    pose, fit = profiles.refine_profiles(pose, camera, dense, gradients.smooth, sigma, information)
    in_crop = replace(
        fit,
        shifts=fit.shifts / scale,
        variances=fit.variances / scale**2,
        jacobian=fit.jacobian / scale,
        pixels=fit.pixels / scale,
        sigma=fit.sigma / scale,
    )
    return pose, in_crop


def matched(pose: Pose, sight: Sight, dense: EdgeSamples, gradients: GradientImage) -> Fit:
    """The steepest places near the edges at a pose."""
    seen = dense.thinned(SAMPLES).seen_from(pose, sight.camera)
    lines = search_lines(gradients, seen.pixels, seen.normals, WIDTHS[-1][0] / gradients.scale)
    return fit_at(pose, sight.camera, seen, lines)
