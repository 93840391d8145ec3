"""Robust Gauss-Newton: moves a pose until the CAD's edges lie on the image's, and says how well that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.edges import EdgeSamples
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

CLUSTER_PX = 96.0


@dataclass(frozen=True)
class Fit:
    """Edges matched at one pose.

    Attributes:
        residuals: (n,) float64, pixels from each expected edge to the nearest found; NaN where none was found.
        jacobian: (n, 6), pixels along the normal per twist (m, rad) of the part in its own frame.
        pixels: (n, 2), where this pose puts the samples.
    """

    residuals: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    pixels: NDArray[np.float64]

    def score(self, width_px: float) -> float:
        """0 to 1: how well the edges lie on found ones, nearer ones counting more."""
        return float(np.mean(tukey(self.residuals, width_px)))

    def matched(self, within_px: float) -> float:
        """Fraction of all samples with an edge this near, 0 to 1."""
        return float(np.mean(np.abs(np.nan_to_num(self.residuals, nan=np.inf)) < within_px))

    def rms(self, within_px: float) -> float:
        """Root mean square of the residuals below this, pixels; NaN where there are none."""
        near = self.residuals[np.abs(np.nan_to_num(self.residuals, nan=np.inf)) < within_px]
        return float(np.sqrt(np.mean(near**2))) if len(near) else math.nan


def fit_at(T_camera_part: Pose, camera: CameraModel, samples: EdgeSamples, lines: NDArray[np.float64]) -> Fit:
    """Matches each sample to the nearest edge on its line (n, 4), see `search_lines`, for a pinhole camera.

    The lines stay where the samples' own pixels put them; the pose moves along them.
    """
    in_camera = transform(T_camera_part, samples.points)
    pixels = camera.project(in_camera)
    moved = np.einsum("nc,nc->n", pixels - samples.pixels, samples.normals)
    distance = lines - moved[:, None]
    nearest = np.argmin(np.where(np.isnan(distance), np.inf, np.abs(distance)), axis=1)
    residuals = distance[np.arange(len(distance)), nearest]
    z = in_camera[:, 2]
    focal = np.diag(camera.matrix)[:2]
    slope = samples.normals * focal / z[:, None]
    gradient = np.column_stack([slope, -np.einsum("nc,nc->n", slope, in_camera[:, :2]) / z])
    in_part = gradient @ T_camera_part[:3, :3]
    # d(R(p + t + w x p)): a small rotation w moves p by w x p, so its row is p x g.
    return Fit(residuals, np.column_stack([in_part, np.cross(samples.points, in_part)]), pixels)


def tukey(residuals: NDArray[np.float64], width_px: float) -> NDArray[np.float64]:
    """Tukey's biweight: 1 at 0, 0 from `width_px` on and where there is no residual."""
    ratio = np.nan_to_num(np.abs(residuals) / width_px, nan=1.0)
    return np.where(ratio < 1.0, (1.0 - np.minimum(ratio, 1.0) ** 2) ** 2, 0.0)


def refine(
    T_camera_part: Pose,
    camera: CameraModel,
    samples: EdgeSamples,
    lines: NDArray[np.float64],
    widths_px: NDArray[np.float64],
    prior_information: NDArray[np.float64],
) -> Pose:
    """Gauss-Newton steps, one for each robust width.

    Args:
        widths_px: falling widths of the Tukey weight.
        prior_information: (6, 6), damps directions that the edges do not fix.
    """
    return kernel.refine(
        T_camera_part, camera, samples.points, samples.pixels, samples.normals, lines, widths_px, prior_information
    )


def covariance(
    residuals: NDArray[np.float64],
    weights: NDArray[np.float64],
    jacobian: NDArray[np.float64],
    pixels: NDArray[np.float64],
    bias_px: float,
    prior_information: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(6, 6) covariance of the twist in the part frame.

    Neighbouring samples err together (one chamfer, one shadow), so the scores are summed over patches of the image
    first, and each patch may be off by a common bias: the cluster-robust form H^-1 (sum_c s_c s_c^T) H^-1 of
    C. White, "A heteroskedasticity-consistent covariance matrix estimator", Econometrica 48 (1980), on clusters.

    Args:
        residuals: (n,) pixels, NaN where there is none. weights: (n,). jacobian: (n, 6). pixels: (n, 2) of the samples.
        bias_px: standard deviation of what a whole patch is off by.
    """
    weighted = jacobian * weights[:, None]
    column, row = np.floor(np.nan_to_num(pixels) / CLUSTER_PX).astype(np.int64).T
    patch = np.unique(column + (row << 32), return_inverse=True)[1]
    scores = weighted * np.nan_to_num(residuals)[:, None]
    by_patch = np.column_stack([np.bincount(patch, column) for column in scores.T])
    lever = np.column_stack([np.bincount(patch, column) for column in weighted.T])
    spread = by_patch.T @ by_patch + bias_px**2 * lever.T @ lever + prior_information
    inverted = np.linalg.inv(weighted.T @ jacobian + prior_information)
    result: NDArray[np.float64] = inverted @ spread @ inverted
    return (result + result.T) / 2
