"""Where the part is in several views at once, and whether the views agree: if not, a camera or its place is not known.

One view cannot tell a wrong focal length from a part that lies a little farther away. Views from several sides can:
each puts the part somewhere else, along its own line of sight.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.judge import LIMITS, AlignmentLimits
from inspection_cell.alignment.one_view import AlignmentEstimate, align
from inspection_cell.cad.assembly import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, perturb, rotation_angle, transform, twist_between

FALSE_ALARM = 1e-3
"""How often views that agree, with errors as their covariances say, are said not to."""


@dataclass(frozen=True)
class PartView:
    """One picture of the part.

    Attributes:
        image: (h, w) or (h, w, 3), as for `align`.
        T_world_camera: where the camera was, in a frame in which the part did not move between the views.
    """

    image: NDArray[Any]
    camera: CameraModel
    T_world_camera: Pose


@dataclass(frozen=True)
class JointEstimate:
    """The part's pose from several views.

    Attributes:
        T_world_part: the estimate; the prior where no view was accepted.
        covariance: (6, 6), of a twist (m, m, m, rad, rad, rad) in the part frame; infinite where there is none.
        views: what each view says alone, in the given order; the accepted ones count.
        disagreement: how far the views are apart by their covariances, in parts of what chance allows; 0 for one view.
        accepted: only an accepted estimate may be used; `reason` says why not.
    """

    T_world_part: Pose
    covariance: NDArray[np.float64]
    views: tuple[AlignmentEstimate, ...]
    disagreement: float
    accepted: bool
    reason: str


def align_views(
    views: Sequence[PartView],
    part: PartEdges,
    T_world_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    limits: AlignmentLimits = LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> JointEstimate:
    """Aligns every view near the same prior and joins what they say, weighted by their covariances.

    Args:
        prior_bound, limits, hidden, occluders: as for `align`.

    Raises:
        ValueError: no views.
    """
    prior = np.asarray(T_world_part_prior, float)
    found = [
        align(v.image, v.camera, part, inverse(v.T_world_camera) @ prior, prior_bound, limits, hidden, occluders)
        for v in views
    ]
    return join([v.T_world_camera for v in views], found, prior, part.assembly.centre)


def join(
    T_world_cameras: Sequence[Pose],
    found: Sequence[AlignmentEstimate],
    T_world_part_prior: Pose,
    centre: NDArray[np.float64],
) -> JointEstimate:
    """What views say together that were aligned one by one; those that were not accepted are left out.

    Args:
        T_world_cameras: of each view.
        centre: (3,) of the part, metres, part frame: where distances are told.

    Raises:
        ValueError: no views.
    """
    if not found:
        raise ValueError("no views to align")
    pairs = zip(T_world_cameras, found, strict=True)
    taken = [(T_world_camera @ e.T_camera_part, e) for T_world_camera, e in pairs if e.accepted]
    if not taken:
        nothing = np.diag(np.full(6, np.inf))
        reason = f"no view was accepted; the first: {found[0].reason}"
        return JointEstimate(T_world_part_prior, nothing, tuple(found), 0.0, False, reason)
    poses = [pose for pose, _ in taken]
    pose, covariance, disagreement = joined(poses, [estimate.covariance for _, estimate in taken])
    reason = "" if disagreement <= 1 else _disagree(poses, centre)
    return JointEstimate(pose, covariance, tuple(found), disagreement, not reason, reason)


def joined(
    poses: Sequence[Pose], covariances: Sequence[NDArray[np.float64]]
) -> tuple[Pose, NDArray[np.float64], float]:
    """The information-weighted mean of independent estimates of one pose, which lie near each other.

    Args:
        covariances: (6, 6) each, of a twist in the part frame.

    Returns:
        The pose, its covariance, and how far the estimates are apart by their covariances, in parts of what chance
        allows (chi-squared, once in 1000); 0 for one.
    """
    twists = np.stack([twist_between(poses[0], pose) for pose in poses])
    information = np.linalg.inv(np.stack(covariances))
    covariance = np.linalg.inv(information.sum(axis=0))
    mean = covariance @ np.einsum("vij,vj->i", information, twists)
    off = twists - mean
    apart = float(np.einsum("vi,vij,vj->", off, information, off))
    freedom = 6 * (len(poses) - 1)
    return perturb(poses[0], mean), covariance, apart / float(chi2.ppf(1 - FALSE_ALARM, freedom)) if freedom else 0.0


def far_apart(poses: Sequence[Pose], centre: NDArray[np.float64]) -> tuple[float, float]:
    """The largest distance between the part's centres, metres, and the largest angle between the poses, radians."""
    places = [transform(pose, centre[None])[0] for pose in poses]
    far = max(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2))
    return far, max(rotation_angle(a[:3, :3].T @ b[:3, :3]) for a, b in combinations(poses, 2))


def _disagree(poses: Sequence[Pose], centre: NDArray[np.float64]) -> str:
    far, turned = far_apart(poses, centre)
    return (
        f"the views put the part {far * 1e3:.2f} mm and {np.degrees(turned):.2f} deg apart, more than their "
        "uncertainty allows: check the cameras' calibration and the hand-eye calibration"
    )
