"""Where the part is by a picture and by depth: both are asked alone, must agree, and are then joined."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.depth import NOISE, align_cloud, align_depth
from inspection_cell.alignment.depth_estimate import LIMITS as DEPTH_LIMITS
from inspection_cell.alignment.depth_estimate import DepthEstimate, DepthLimits
from inspection_cell.alignment.depth_fit import DepthNoise, PartSurface
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.finish import SAMPLES, Sight
from inspection_cell.alignment.judge import LIMITS, AlignmentLimits, Evidence, edge_fault
from inspection_cell.alignment.multiview import far_apart, joined
from inspection_cell.alignment.one_view import AlignmentEstimate, align
from inspection_cell.alignment.residual import refined_in_view
from inspection_cell.cad.assembly import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, transform


@dataclass(frozen=True)
class DepthView:
    """What was measured beside the picture.

    Attributes:
        depth: (h, w) metres along the optical axis of `camera`, as for `align_depth`; where there is no camera a cloud
            (n, 3), as for `align_cloud`.
        T_camera_depth: where the depth camera is in the picture's camera; the same place where depth was registered.
        noise: of the depth camera.
    """

    depth: NDArray[np.floating]
    camera: CameraModel | None
    T_camera_depth: Pose = field(default_factory=lambda: np.eye(4))
    noise: DepthNoise = NOISE


def align_with_depth(
    image: ArrayLike,
    camera: CameraModel,
    view: DepthView,
    part: PartEdges,
    surface: PartSurface,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    limits: AlignmentLimits = LIMITS,
    depth_limits: DepthLimits = DEPTH_LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> AlignmentEstimate:
    """Finds the part near a prior by its edges in the picture and by its surface in depth.

    One of them must be accepted. Where both found the part, accepted or not, they must agree by their covariances: the
    answer is then their information-weighted mean, a Gauss-Newton step on both normal equations; a direction that one
    of them does not know, it leaves to the other. Edges that are refused are looked for again where depth says: that
    may be what tells two poses apart.

    Args:
        image, camera, prior_bound, limits, hidden, occluders: as for `align`.

    Returns:
        Quality, sharpness and edges are the picture's where its edges were found; else quality is the depth's, and
        the edges are where the CAD's would be, none of them found.
    """
    edges = align(image, camera, part, T_camera_part_prior, prior_bound, limits, hidden, occluders)
    depth = estimate_by_depth(view, surface, T_camera_part_prior, prior_bound, depth_limits, hidden, occluders)
    if depth.accepted and not edges.accepted:
        by_depth = view.T_camera_depth @ depth.T_camera_part
        edges = refined_in_view(image, camera, part, by_depth, depth.covariance, occluders, hidden) or edges
    return fused(edges, depth, view.T_camera_depth, camera, part, limits, hidden, occluders)


def estimate_by_depth(
    view: DepthView,
    surface: PartSurface,
    T_camera_part_prior: ArrayLike,
    prior_bound: tuple[float, float],
    limits: DepthLimits = DEPTH_LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> DepthEstimate:
    """What depth alone says, in the depth camera's frame, near a prior in the picture's camera."""
    prior = np.asarray(T_camera_part_prior, float)
    # A prior that is no pose is handed on as it is: it is refused there.
    told = inverse(view.T_camera_depth) @ prior if prior.shape == (4, 4) else prior
    if view.camera is None:
        return align_cloud(view.depth, surface, told, prior_bound, view.noise, limits, hidden, occluders)
    return align_depth(view.depth, view.camera, surface, told, prior_bound, view.noise, limits, hidden, occluders)


def fused(
    edges: AlignmentEstimate,
    depth: DepthEstimate,
    T_camera_depth: Pose,
    camera: CameraModel,
    part: PartEdges,
    limits: AlignmentLimits = LIMITS,
    hidden: Collection[str] = (),
    occluders: Sequence[Component] = (),
) -> AlignmentEstimate:
    """The answer that two estimates of one part give together; see `align_with_depth`."""
    if not edges.accepted and not depth.accepted:
        return replace(edges, reason=f"edges: {edges.reason}; depth: {depth.reason}")
    if not depth.found:
        return edges
    by_depth = T_camera_depth @ depth.T_camera_part
    if not _found(edges, limits):
        pinhole = replace(camera, distortion=np.zeros(5))
        seen = Sight(part, pinhole, hidden, occluders).edges(by_depth, SAMPLES)
        pixels = camera.project(transform(by_depth, seen.points))
        lost = np.full(len(pixels), np.nan)
        return replace(
            edges,
            T_camera_part=by_depth,
            covariance=depth.covariance,
            quality=depth.quality,
            sharpness=0.0,
            agreement=0.0,
            residual_px=math.nan,
            accepted=True,
            reason="",
            edges=pixels,
            edge_residuals=lost,
        )
    poses = [edges.T_camera_part, by_depth]
    pose, covariance, disagreement = joined(poses, [edges.covariance, depth.covariance])
    if disagreement <= 1:
        return replace(edges, T_camera_part=pose, covariance=covariance, accepted=True, reason="")
    far, turned = far_apart(poses, part.assembly.centre)
    reason = (
        f"edges and depth put the part {far * 1e3:.2f} mm and {math.degrees(turned):.2f} deg apart, "
        f"{math.sqrt(disagreement):.1f} times what their uncertainty allows: check the cameras' calibration, "
        "the depth camera's place and its noise"
    )
    return replace(edges, accepted=False, reason=reason)


def _found(edges: AlignmentEstimate, limits: AlignmentLimits) -> bool:
    """Whether the part's edges are in the picture, although maybe more than one pose fits them."""
    missing = edge_fault(Evidence(edges.quality, edges.sharpness, edges.agreement), limits)
    return not missing and bool(np.all(np.isfinite(edges.covariance)))
