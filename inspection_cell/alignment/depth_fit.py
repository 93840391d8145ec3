"""Robust point-to-plane Gauss-Newton: moves a pose until the CAD's visible surface lies on what was measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.alignment.depth_points import DepthPoints
from inspection_cell.alignment.refine import tukey
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

SAMPLES = 20_000
PICTURE_PX = 300
SLACK_M = 0.0002
FACING = 0.25
"""Cosine to the line of sight: flatter than 75 deg no depth camera measures well."""


@dataclass(frozen=True)
class DepthNoise:
    """How a depth camera errs. The defaults fit a stereo or structured-light camera as bought.

    Attributes:
        floor_m: standard deviation across the surface that is always there: the part is not quite its CAD.
        per_m2: what grows with the distance squared, metres at 1 m, as triangulation does (K. Khoshelham and S. Oude
            Elberink, "Accuracy and resolution of Kinect depth data", Sensors 12 (2012), who find 1.4 mm).
        patch_m: points of one patch of this size err together: matching windows, filters, the surface itself.
        patch_share: standard deviation of what a patch has in common, as a share of a point's.
        scale: standard deviation of the distance's scale, common to all points (0.001: 0.6 mm at 0.6 m). What is left
            of it after the camera's calibration; nothing in one picture can tell it.
    """

    floor_m: float = 0.0002
    per_m2: float = 0.001
    patch_m: float = 0.02
    patch_share: float = 0.25
    scale: float = 0.001

    def sigma(self, depth_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of a point at a distance, metres."""
        return np.hypot(self.floor_m, self.per_m2 * depth_m**2)


@dataclass(frozen=True)
class SurfaceSamples:
    """Points (n, 3) on the CAD's surface and its unit normals (n, 3) there, metres, part frame."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    def chosen(self, which: NDArray[np.bool_]) -> SurfaceSamples:
        """Those where `which` (n,) is true."""
        return SurfaceSamples(self.points[which], self.normals[which])


class PartSurface:
    """An assembly's surface as evenly spread samples, of which a pose shows some. Safe to use from any thread."""

    def __init__(self, assembly: Assembly) -> None:
        """Raises RuntimeError where the compiled loops are missing."""
        kernel.library()  # said here, before any view is waited for
        self.assembly = assembly
        rng = np.random.default_rng(0)
        meshes = [welded(component) for component in assembly.components]
        triangles = np.concatenate([mesh.triangles for mesh in meshes])
        # Smooth ones: the facets of a round surface would seem to tell how it is turned.
        corners = np.concatenate([corner_normals(mesh) for mesh in meshes])
        areas = np.concatenate([mesh.area_faces for mesh in meshes])
        owner = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
        # In random order, so that the first ones are spread as evenly as all.
        face = rng.choice(len(areas), SAMPLES, p=areas / areas.sum())
        share = rng.dirichlet((1.0, 1.0, 1.0), SAMPLES)
        normals = np.einsum("nk,nkc->nc", share, corners[face])
        self._points = np.einsum("nk,nkc->nc", share, triangles[face])
        self._normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self._owner = owner[face]
        self._meshes = [_drawable(component) for component in assembly.components]

    def visible(
        self,
        T_camera_part: Pose,
        count: int = SAMPLES,
        hidden: Collection[str] = (),
        occluders: Sequence[Component] = (),
    ) -> SurfaceSamples:
        """Those of the first `count` samples that face the camera and that nothing hides.

        Args:
            hidden: names of components that are not there. occluders: other things in the way, in the part frame.
        """
        points, normals = self._points[:count], self._normals[:count]
        seen = transform(T_camera_part, points)
        away = np.linalg.norm(seen, axis=1)
        facing = -np.einsum("nc,nc->n", normals @ T_camera_part[:3, :3].T, seen) / away
        absent = [self.assembly.index(name) for name in hidden]
        used = np.flatnonzero((facing > FACING) & ~np.isin(self._owner[:count], absent))
        camera = self._cover(T_camera_part)
        inverse = np.zeros((camera.height, camera.width), np.float32)
        there = [mesh for k, mesh in enumerate(self._meshes) if k not in absent]
        for vertices, faces in [*there, *map(_drawable, occluders)]:
            kernel.draw(T_camera_part, camera, vertices, faces, inverse)
        column, row = np.rint(camera.project(seen[used])).astype(int).T
        # A pixel's depth is that of its middle, up to 0.7 pixels from the sample, along the sample's own slope.
        slope = 0.7 * seen[used, 2] / camera.matrix[0, 0] * np.sqrt(1.0 / facing[used] ** 2 - 1.0)
        shown = inverse[row, column] * (seen[used, 2] - SLACK_M - slope) <= 1.0
        return SurfaceSamples(points[used[shown]], normals[used[shown]])

    def _cover(self, T_camera_part: Pose) -> CameraModel:
        """The pinhole camera whose picture the part fills."""
        low, high = self.assembly.bounds
        corners = transform(T_camera_part, np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T)
        across = corners[:, :2] / corners[:, 2:]
        start, size = across.min(axis=0), np.ptp(across, axis=0)
        focal = PICTURE_PX / float(size.max())
        width, height = (math.ceil(extent) + 3 for extent in focal * size)
        matrix = np.array([[focal, 0, 1 - focal * start[0]], [0, focal, 1 - focal * start[1]], [0, 0, 1.0]])
        return CameraModel(width, height, matrix)


def _drawable(component: Component) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    return np.ascontiguousarray(component.vertices, np.float64), np.ascontiguousarray(component.faces, np.int32)


@dataclass(frozen=True)
class DepthFit:
    """Surface samples matched at one pose.

    Attributes:
        residuals: (n,) float64, metres along the normals from the CAD to what was measured; NaN where nothing was.
        jacobian: (n, 6), of the residuals per twist (m, rad) of the part in its own frame.
        points: (n, 3), the samples in the camera frame.
        sigma: (n,) metres, what the noise makes of a residual.
        lever: (n,) metres, of a residual per scale of the distance.
    """

    residuals: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    points: NDArray[np.float64]
    sigma: NDArray[np.float64]
    lever: NDArray[np.float64]

    def matched(self, sigmas: float) -> NDArray[np.bool_]:
        """(n,) whether a point was measured within so many standard deviations."""
        return np.abs(np.nan_to_num(self.residuals, nan=np.inf)) < sigmas * self.sigma


def fit_at(T_camera_part: Pose, samples: SurfaceSamples, measured: DepthPoints, noise: DepthNoise) -> DepthFit:
    """Matches each sample to what was measured at its pixel.

    Projective association: R. Newcombe et al., "KinectFusion: real-time dense surface mapping and tracking", ISMAR
    2011.
    """
    in_camera = transform(T_camera_part, samples.points)
    normals = samples.normals @ T_camera_part[:3, :3].T
    residuals = np.einsum("nc,nc->n", normals, measured.at(in_camera) - in_camera)
    # d(R(p + t + w x p)): a small rotation w moves p by w x p, so its row is p x n.
    jacobian = np.column_stack([samples.normals, np.cross(samples.points, samples.normals)])
    lever = np.einsum("nc,nc->n", normals, in_camera)
    return DepthFit(residuals, jacobian, in_camera, noise.sigma(in_camera[:, 2]), lever)


@dataclass(frozen=True)
class DepthInformation:
    """What a fit and the prior together know about the twist in the part frame.

    Attributes:
        covariance: (6, 6) of the pose after the step.
        step: (6,) the Gauss-Newton step, from the pose of the fit.
    """

    covariance: NDArray[np.float64]
    step: NDArray[np.float64]


def information_of(
    fit: DepthFit,
    width_m: float,
    noise: DepthNoise,
    to_prior: NDArray[np.float64],
    prior_information: NDArray[np.float64],
) -> DepthInformation:
    """Joins the surface's normal equations and the prior.

    The surface's own covariance is cluster-robust as `refine.covariance`: scores are summed over patches first, each
    patch may be off by a bias, and all together by the distance's scale. The prior is weighed against that, not against
    the number of points: else noise would turn a round part about its axis.

    Args:
        width_m: of the Tukey weight.
        to_prior, prior_information: twist from the fit's pose to the prior, and (6, 6) how well that is known.
    """
    weighted = fit.jacobian * (tukey(fit.residuals, width_m) / fit.sigma**2)[:, None]
    cell = np.floor(fit.points[:, :2] / noise.patch_m).astype(np.int64)
    patch = np.unique(cell, axis=0, return_inverse=True)[1].reshape(-1)
    scores = weighted * np.nan_to_num(fit.residuals)[:, None]
    biases = weighted * (noise.patch_share * fit.sigma)[:, None]
    by_patch = np.column_stack([np.bincount(patch, column) for column in np.hstack([scores, biases]).T])
    of_scale = noise.scale * (weighted.T @ fit.lever)
    spread = by_patch[:, :6].T @ by_patch[:, :6] + by_patch[:, 6:].T @ by_patch[:, 6:]
    spread += np.outer(of_scale, of_scale) + prior_information
    hessian = weighted.T @ fit.jacobian
    # The surface says H^-1 b with covariance H^-1 S H^-1; written so that H need not have an inverse.
    trusted = np.linalg.solve(spread, hessian).T
    covariance = np.linalg.inv(trusted @ hessian + prior_information)
    step = covariance @ (trusted @ scores.sum(axis=0) + prior_information @ to_prior)
    return DepthInformation(np.asarray((covariance + covariance.T) / 2, float), step)
