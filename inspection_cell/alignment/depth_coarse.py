"""Where the fine fit may start: many poses within the prior's bound, laid onto the measured surface all at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.depth_fit import SurfaceSamples
from inspection_cell.alignment.depth_points import DepthPoints
from inspection_cell.alignment.refine import tukey
from inspection_cell.core.poses import Pose, inverse, make_pose, perturb, rotation_from_vector, transform, twist_between

RING_RADII = 0.2
MOST_RINGS = 3
TURN_RAD = math.radians(12.0)
MOST_TURNS = 4
STEPS = 14
FIRST_SHARE = 0.5
DISTINCT_M = 0.002


def starts(prior: Pose, centre: NDArray[np.float64], radius: float, bound: tuple[float, float]) -> NDArray[np.float64]:
    """Poses (k, 4, 4) about the prior, shifted across the line of sight and turned about it.

    In these a surface pulls least and least far; distance and tilt find themselves.
    """
    middle = make_pose(None, transform(prior, centre[None])[0])
    line = middle[:3, 3] / np.linalg.norm(middle[:3, 3])
    aside = np.linalg.svd(line[None])[2][1:]
    rings = min(MOST_RINGS, math.ceil(bound[0] / (RING_RADII * radius)))
    shifts = [np.zeros(3)]
    for ring in range(1, rings + 1):
        angles = np.linspace(0, 2 * math.pi, 6 * ring, endpoint=False)
        shifts += list((ring - 0.3) / rings * bound[0] * (np.column_stack([np.cos(angles), np.sin(angles)]) @ aside))
    turns = min(MOST_TURNS, math.ceil(bound[1] / TURN_RAD))
    about = [math.copysign(abs(k) - 0.3, k) / turns * bound[1] if k else 0.0 for k in range(-turns, turns + 1)]
    around = [make_pose(rotation_from_vector(angle * line)) for angle in about]
    return np.stack(
        [make_pose(None, shift) @ middle @ turn @ inverse(middle) @ prior for shift in shifts for turn in around]
    )


def settled(
    poses: NDArray[np.float64],
    samples: SurfaceSamples,
    measured: DepthPoints,
    reach_m: float,
    finest_m: float,
    information: NDArray[np.float64],
) -> list[tuple[float, Pose]]:
    """Lets each pose (k, 4, 4) settle on the measured surface; scores, 0 to 1, and poses, best first, all distinct.

    Args:
        samples: what the prior shows, taken for all poses: so one jacobian serves them all.
        reach_m, finest_m: half of the first is where the Tukey weight's width begins, the second where it ends.
        information: (6, 6), damps directions that the surface does not fix.
    """
    jacobian = np.column_stack([samples.normals, np.cross(samples.points, samples.normals)])
    products = np.einsum("ni,nj->nij", jacobian, jacobian).reshape(len(jacobian), 36)
    for width in np.geomspace(max(FIRST_SHARE * reach_m, finest_m), finest_m, STEPS):
        residuals = _residuals(poses, samples, measured)
        weights = tukey(residuals, float(width))
        hessian = (weights @ products).reshape(-1, 6, 6) + information * finest_m**2
        twists = np.linalg.solve(hessian, ((weights * np.nan_to_num(residuals)) @ jacobian)[..., None])[..., 0]
        poses = np.stack([perturb(pose, twist) for pose, twist in zip(poses, twists, strict=True)])
    scores = tukey(_residuals(poses, samples, measured), 2 * finest_m).mean(axis=1)
    return distinct([(float(scores[k]), poses[k]) for k in np.argsort(-scores)], samples)


def distinct(ranked: list[tuple[float, Pose]], samples: SurfaceSamples) -> list[tuple[float, Pose]]:
    """Without the poses whose surface lies where a better one's does: a round part may turn about its axis."""
    jacobian = np.column_stack([samples.normals, np.cross(samples.points, samples.normals)])
    kept: list[tuple[float, Pose]] = []
    for score, pose in ranked:
        moves = [jacobian @ twist_between(better, pose) for _, better in kept]
        if all(np.sqrt(np.mean(move**2)) > DISTINCT_M for move in moves):
            kept.append((score, pose))
    return kept


def _residuals(poses: NDArray[np.float64], samples: SurfaceSamples, measured: DepthPoints) -> NDArray[np.float64]:
    """(k, n) metres along the normals from the samples to what was measured at their pixels; NaN where nothing was."""
    turned = np.swapaxes(poses[:, :3, :3], 1, 2)
    places = samples.points @ turned + poses[:, None, :3, 3]
    off = measured.at(places.reshape(-1, 3)).reshape(places.shape) - places
    return np.asarray(np.einsum("knc,knc->kn", samples.normals @ turned, off), float)
