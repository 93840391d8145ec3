"""What is left of a grasp's pose error in one inspection view: the view is aligned itself, near the grasp's pose."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.one_view import AlignmentEstimate, align
from inspection_cell.cad.assembly import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose

SIGMAS = 3.0
LEAST_BOUND = (0.0005, 0.005)


def refined_in_view(
    image: ArrayLike,
    camera: CameraModel,
    part: PartEdges,
    T_camera_part: Pose,
    covariance: NDArray[np.float64],
    occluders: Sequence[Component] = (),
    hidden: Collection[str] = (),
) -> AlignmentEstimate | None:
    """The part's pose in this view; None where the view alone does not tell.

    A view from a steep angle, or one that the gripper fills, may not fix the pose: then the grasp's pose is the best
    there is. Whether the part is there at all was decided by the grasp's alignment.

    Args:
        T_camera_part, covariance: the accepted alignment of the grasp, carried into this view; the covariance is (6, 6)
            of the twist in the part frame.
    """
    if np.shape(covariance) != (6, 6) or not np.all(np.isfinite(covariance)):
        return None
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    bound = (
        max(LEAST_BOUND[0], SIGMAS * float(np.linalg.norm(sigma[:3]))),
        max(LEAST_BOUND[1], SIGMAS * float(np.linalg.norm(sigma[3:]))),
    )
    found = align(image, camera, part, T_camera_part, bound, hidden=hidden, occluders=occluders)
    return found if found.accepted else None
