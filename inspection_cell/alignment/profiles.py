"""The last step of an alignment: grey levels across the edges, explained by all CAD edges that cross the line.

The steepest place of a picture is a biased answer where two edges are near each other, as at every chamfer. Here the
grey levels of each line are fitted by the blurred steps of all edges on it, with free levels, and only what they cannot
explain moves the pose (profiles.c names the method).
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.edges import EdgeSamples
from inspection_cell.alignment.kernel import int64, pinhole, rows_of
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.compiled import VARIANTS, open_library, pointer
from inspection_cell.core.poses import Pose

VERSION = 3
"""Of profiles.c."""
MOST_EDGES = 7
REACH = 4.3
NEIGHBOURS = 2.2
"""How far a line goes to either side, and how far beyond its ends edges reach into it with their blur: in widths of the
picture's steps."""
MOST_REACH_PX = 8
MERGED_PX = 0.2
ROUNDS = ((700, 2, 0.1, 1.25), (700, 2, 0.03, 0.8), (3000, 1, 0.03, 0.8))
"""How many lines at most, how many steps, the standard deviation that no line is thought to be better than, and Tukey's
width, both in pixels; each time the edges' places are computed anew."""
NOISE = 1.0
"""Grey levels: a fit that leaves less is not thought to be better for it."""
AGREEING, CERTAIN = 0.35, 0.7
"""How far a line that agrees may move the edges, and what none is thought to be better than: in widths of the steps."""


class _Picture(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("w", ctypes.c_int64),
        ("h", ctypes.c_int64),
        ("sigma", ctypes.c_double),
        ("noise", ctypes.c_double),
    )


@dataclass(frozen=True)
class ProfileFit:
    """What the lines say at a pose.

    Attributes:
        shifts: (m,) pixels of the picture, how far each line's edges are from where the pose puts them; NaN: unknown.
        variances: (m,) of the shifts, by what each line leaves unexplained.
        weights: (m,) 0 to 1.
        jacobian: (m, 6), pixels along the normal per twist (m, rad) of the part in its own frame.
        pixels: (m, 2) where the pose puts the samples, pixels of the picture.
        sigma: how wide the picture's steps are, pixels of the picture.
    """

    shifts: NDArray[np.float64]
    variances: NDArray[np.float64]
    weights: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    pixels: NDArray[np.float64]
    sigma: float

    def agreement(self) -> float:
        """0 to 1: the share of the lines, the better ones counting more, that leave the edges where they are."""
        told = np.isfinite(self.shifts)
        certainty = 1.0 / ((CERTAIN * self.sigma) ** 2 + self.variances[told])
        near = np.abs(self.shifts[told]) < AGREEING * self.sigma
        return float(np.average(near, weights=certainty)) if told.any() else 0.0


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The fastest one that this processor can run.

    Raises:
        RuntimeError: none was built.
    """
    for variant in VARIANTS:
        found = open_library(Path(__file__).parent, "profiles", variant, VERSION)
        if found is not None:
            return found
    raise RuntimeError("alignment/profiles.c was not built: install the package again where there is a C compiler")


def neighbours(
    samples: EdgeSamples, chosen: NDArray[np.int64], shape: tuple[int, int], reach_px: float
) -> NDArray[np.float64]:
    """Where the CAD's edges cross the lines of the chosen samples.

    Args:
        samples: densely on all visible edges, in pixels of the picture of `shape` (h, w).
        reach_px: to so far from the sample.

    Returns:
        (m, MOST_EDGES) signed pixels along the normals, nearest first; NaN where there are no more.
    """
    cell_px = math.ceil(reach_px) + 1
    columns, rows = shape[1] // cell_px + 1, shape[0] // cell_px + 1
    heads, following = np.empty(columns * rows, np.int64), np.empty(len(samples), np.int64)
    offsets = np.empty((len(chosen), MOST_EDGES))
    pixels, normals = (np.ascontiguousarray(a) for a in (samples.pixels, samples.normals))
    library().profiles_neighbours(
        pointer(pixels), pointer(normals), int64(len(samples)), pointer(chosen), int64(len(chosen)),
        ctypes.c_double(reach_px), ctypes.c_double(MERGED_PX), ctypes.c_double(cell_px), int64(columns),
        int64(rows), pointer(heads), pointer(following), pointer(offsets),
    )  # fmt: skip
    return offsets


def fit_profiles(
    T_camera_part: Pose,
    camera: CameraModel,
    samples: EdgeSamples,
    offsets: NDArray[np.float64],
    picture: NDArray[np.float32],
    sigma: float,
    reach_px: int,
    steps: int,
    floor_px: float,
    width_px: float,
    information: NDArray[np.float64],
) -> tuple[Pose, ProfileFit]:
    """Gauss-Newton steps on a pose.

    Args:
        camera: the pinhole of `picture`, grey levels with some noise smoothed. samples: (m), with their `neighbours`.
        sigma: of the picture's steps, pixels, what the smoothing adds included, as far as it is known.
        reach_px: how far the lines go to either side.
        steps, floor_px, width_px: of one of ROUNDS.
        information: (6, 6) of the twist, damps directions that no line fixes.

    Returns:
        The pose, and what the lines say there.
    """
    m = len(samples)
    pose, jacobian = rows_of(T_camera_part), np.empty((m, 6))
    shifts, variances, weights = np.empty((3, m))
    height, width = picture.shape
    field = _Picture(pointer(picture), width, height, sigma, NOISE)
    points, normals = (np.ascontiguousarray(a) for a in (samples.points, samples.normals))
    library().profiles_refine(
        pointer(pose), pinhole(camera), pointer(points), pointer(normals), pointer(offsets), int64(m),
        ctypes.byref(field), int64(reach_px), ctypes.c_double(floor_px), ctypes.c_double(width_px), int64(steps),
        pointer(information), pointer(shifts), pointer(variances), pointer(weights), pointer(jacobian),
    )  # fmt: skip
    moved = np.vstack([pose.reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
    return moved, ProfileFit(shifts, variances, weights, jacobian, samples.pixels, float(field.sigma))


def refine_profiles(
    T_camera_part: Pose,
    camera: CameraModel,
    dense: EdgeSamples,
    picture: NDArray[np.float32],
    sigma: float,
    information: NDArray[np.float64],
) -> tuple[Pose, ProfileFit]:
    """The pose to a small fraction of a pixel, from one that is right to about half a pixel.

    Args:
        dense: samples on all visible edges, two or three pixels apart.
        camera, picture, sigma, information: as for `fit_profiles`.
    """
    pose = T_camera_part
    for lines, steps, floor_px, width_px in ROUNDS:
        chosen = np.linspace(0, len(dense) - 1, min(lines, len(dense))).astype(np.int64)
        seen = dense.seen_from(pose, camera)
        reach_px = min(max(math.floor(REACH * sigma), 2), MOST_REACH_PX)
        offsets = neighbours(seen, chosen, picture.shape, reach_px + NEIGHBOURS * sigma)  # type: ignore[arg-type]
        pose, fit = fit_profiles(
            pose, camera, seen.at(chosen), offsets, picture, sigma, reach_px, steps, floor_px, width_px, information
        )
        sigma = fit.sigma
    return pose, fit
