"""Whether an estimate may be used; if not, the sentence that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly
from inspection_cell.core.poses import Pose, inverse, is_pose, rotation_angle, transform

TIGHT_PX = 0.7
BETTER = 1.05


@dataclass(frozen=True)
class AlignmentLimits:
    """What an estimate must reach to be accepted.

    Attributes:
        quality: fraction of the visible edges found within 2 px.
        consistency: mean of agreement twice, sharpness, and the fraction of the visible edges within 0.7 px; with a CAD
            3 % longer than the part it reaches 0.52.
        doubtful: of the visible edges, if no more than this fraction is in its place, poses beyond the bound are tried.
        runner_up: a distinctly different pose must score less than this fraction of the best.
        bound_factor: how far beyond the prior's bound an estimate may lie.
        spread_of_bound: largest standard deviation, as a fraction of the prior's bound.
        blur_px: widest steps of a picture, standard deviation; where the part fills more than 1400 pixels, of those.
        spread_of_size: in a blurred picture, largest standard deviation of the place in any direction, as a fraction of
            the part's diameter: what blur adds is known less well than the rest.
    """

    quality: float = 0.3
    consistency: float = 0.525
    doubtful: float = 0.45
    runner_up: float = 0.9
    bound_factor: float = 1.25
    spread_of_bound: float = 0.4
    blur_px: float = 3.3
    spread_of_size: float = 0.0065


LIMITS = AlignmentLimits()


@dataclass(frozen=True)
class Evidence:
    """What the picture says about a pose; all 0 to 1, and as in AlignmentEstimate.

    Attributes:
        runner_up, beyond: the best scores of distinctly different poses within and beyond the prior's bound, as
            fractions of the pose's own; 0 where none was tried.
    """

    quality: float
    sharpness: float
    agreement: float
    runner_up: float = 0.0
    beyond: float = 0.0

    @property
    def tight(self) -> float:
        """Fraction of the visible edges in their place, within 0.7 px."""
        return self.quality * self.sharpness


def edge_fault(seen: Evidence, limits: AlignmentLimits) -> str:
    """What the picture says against a pose; empty for nothing."""
    consistency = (2 * seen.agreement + seen.sharpness + seen.tight) / 4
    if seen.quality < limits.quality:
        return f"only {seen.quality:.0%} of the visible edges were found, {limits.quality:.0%} are needed"
    if consistency < limits.consistency:
        return f"the found edges do not line up: consistency {consistency:.2f}, {limits.consistency:.2f} is needed"
    if seen.beyond > BETTER:
        return f"a pose beyond the prior's bound fits better: it scores {seen.beyond:.0%} of the best within"
    if seen.runner_up > limits.runner_up:
        return f"another pose fits as well: it scores {seen.runner_up:.0%} of the best"
    return ""


def prior_fault(prior: Pose, bound: tuple[float, float], centre: NDArray[np.float64], radius_m: float) -> str:
    """Why no part can be sought near a prior T_camera_part; empty where one can.

    Args:
        bound: metres, radians. centre, radius_m: of a ball around the part, part frame.
    """
    if not is_pose(prior):
        return "the prior is not a finite rigid pose"
    if not all(np.isfinite(bound)) or min(bound) <= 0:
        return f"the prior's bound {bound} is not positive and finite"
    in_front = float(transform(prior, centre[None])[0, 2]) > radius_m
    return "" if in_front else "the prior puts the part behind or around the camera"


def prior_information(bound: tuple[float, float]) -> NDArray[np.float64]:
    """(6, 6) of a twist (m, m, m, rad, rad, rad): half the bound, metres and radians, is one standard deviation."""
    return np.diag([(2.0 / bound[0]) ** 2] * 3 + [(2.0 / bound[1]) ** 2] * 3)


def pose_fault(
    pose: Pose,
    covariance: NDArray[np.float64],
    prior: Pose,
    centre: NDArray[np.float64],
    bound: tuple[float, float],
    bound_factor: float,
    spread_of_bound: float,
    evidence: str = "the edges",
) -> str:
    """What the pose and its covariance say against it; empty for nothing.

    Args:
        covariance: (6, 6) of a twist in the part frame. centre: of the part, in its frame. bound: metres, radians.
        bound_factor, spread_of_bound: as in AlignmentLimits.
    """
    if not is_pose(pose, 1e-6) or not np.all(np.isfinite(covariance)):
        return "the estimate is not finite"
    moved = float(np.linalg.norm(transform(pose, centre[None]) - transform(prior, centre[None])))
    turned = rotation_angle(inverse(prior)[:3, :3] @ pose[:3, :3])
    if moved > bound_factor * bound[0] or turned > bound_factor * bound[1]:
        return (
            f"{moved * 1000:.2f} mm and {math.degrees(turned):.2f} deg from the prior, "
            f"beyond its bound of {bound[0] * 1000:.2f} mm and {math.degrees(bound[1]):.2f} deg: "
            "check how the part is held and the camera's calibration"
        )
    spread = covariance_at(covariance, centre)
    place, turn = (math.sqrt(max(float(part.trace()) / 3, 0.0)) for part in (spread[:3, :3], spread[3:, 3:]))
    if place > spread_of_bound * bound[0] or turn > spread_of_bound * bound[1]:
        return f"{evidence} do not fix the pose: {place * 1000:.2f} mm, {math.degrees(turn):.2f} deg"
    return ""


def blur_fault(sigma_px: float, covariance: NDArray[np.float64], assembly: Assembly, limits: AlignmentLimits) -> str:
    """What speaks against an estimate from a picture that is not sharp; empty for nothing.

    Args:
        sigma_px: how wide the picture's steps are.
    """
    if sigma_px > limits.blur_px:
        return f"the picture is blurred: its edges are {sigma_px:.1f} px wide, {limits.blur_px:.1f} px at most are used"
    most = limits.spread_of_size * 2 * assembly.radius
    worst = math.sqrt(max(float(np.linalg.eigvalsh(covariance_at(covariance, assembly.centre)[:3, :3])[-1]), 0.0))
    if worst <= most:
        return ""
    return f"the picture is blurred: the place is known to {worst * 1e3:.2f} mm only, {most * 1e3:.2f} mm are needed"


def covariance_at(covariance: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6, 6) of the twist about a point of the part frame, where the twist's translation is then meant."""
    x, y, z = centre
    shift = np.eye(6)
    shift[:3, 3:] = -np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    moved: NDArray[np.float64] = shift @ covariance @ shift.T
    return moved
