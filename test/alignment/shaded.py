"""Shaded pictures of the ring housing, for the tests of the alignment."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.shading import Light, Material, Shading
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, perturb, rotation_angle, transform

CAMERA = CameraModel.pinhole(800, 600, 2150.0)


@lru_cache(maxsize=2)
def renderer_of(part: PartEdges) -> GeometryRenderer:
    return GeometryRenderer(part.assembly)


def viewpoint(part: PartEdges, azimuth: float, tilt: float) -> Pose:
    """T_camera_part, 0.32 m away, `tilt` off the ring's axis."""
    direction = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    centre = part.assembly.centre
    return inverse(look_at(centre + 0.32 * direction, centre))


def picture(part: PartEdges, pose: Pose, seed: int = 0, camera: CameraModel = CAMERA, hidden: tuple[str, ...] = ()):
    """A lit part before a soft background, with noise."""
    rng = np.random.default_rng(seed)
    lights = tuple(Light((*rng.normal(0, 0.12, 2), 0.0), rng.uniform(0.3, 0.6)) for _ in range(3))
    surfaces = {n: Material(rng.uniform(0.3, 0.8), rng.uniform(0, 0.4)) for n in part.assembly.names}
    light, covered = renderer_of(part).shade(pose, camera, Shading(lights, 0.15, (0.1, -0.1, 0), surfaces), hidden)
    coarse = rng.uniform(0, 0.15, (6, 8)).astype(np.float32)
    behind = cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    grey = cv2.GaussianBlur(np.where(covered, light, behind), (0, 0), 0.7) * 170
    return np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8)


def prior_of(part: PartEdges, truth: Pose, twist: np.ndarray) -> Pose:
    """The truth moved about the part's centre."""
    centre = make_pose(None, part.assembly.centre)
    return perturb(truth @ centre, twist) @ inverse(centre)


def errors(part: PartEdges, truth: Pose, found: Pose) -> tuple[float, float, float]:
    """Metres at the part's centre, of them across the camera's axis, and radians."""
    centre = part.assembly.centre[None]
    off = (transform(found, centre) - transform(truth, centre))[0]
    return float(np.linalg.norm(off)), float(np.hypot(*off[:2])), rotation_angle(truth[:3, :3].T @ found[:3, :3])
