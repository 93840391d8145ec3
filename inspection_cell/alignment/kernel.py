"""The inner loops of the alignment, compiled for this processor (edges.c), with numpy arrays at their border.

Poses are T_camera_part, cameras pinholes without distortion; arrays are float64 and contiguous unless said otherwise.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.compiled import VARIANTS, open_library, pointer
from inspection_cell.core.poses import Pose

Doubles = NDArray[np.float64]
VERSION = 6
"""Of edges.c."""
CANDIDATES = 4
"""Edges kept on a search line."""
MOST_OUTLINE = 257
"""Points of an outline: so many bytes add up in 16 bits."""
BLOCK = 32
"""Bytes that the coarse search may read beyond a row."""
WORKERS = min(4, os.cpu_count() or 1)
THREADS = ThreadPoolExecutor(WORKERS, "alignment")
"""For these functions: the compiled loops run without Python's lock."""
ACROSS = 0.7
"""Of a gradient, at least so much must be across the expected edge."""


class _Gradients(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("w", ctypes.c_int64),
        ("h", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("threshold", ctypes.c_double),
        ("least_across", ctypes.c_double),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The fastest one that this processor can run.

    Raises:
        RuntimeError: none was built.
    """
    for variant in VARIANTS:
        found = open_library(Path(__file__).parent, "edges", variant, VERSION)
        if found is not None:
            found.edges_visible.restype = ctypes.c_int64
            found.edges_widths.restype = ctypes.c_int64
            return found
    raise RuntimeError("alignment/edges.c was not built: install the package again where there is a C compiler")


def gradients(x: NDArray[np.float32], y: NDArray[np.float32], scale: float, threshold: float) -> Any:
    """Gradients (h, w) of one scale for the functions below; it does not keep the arrays."""
    h, w = x.shape
    return _Gradients(pointer(x), pointer(y), w, h, scale, threshold, ACROSS)


def draw(
    T: Pose,
    camera: CameraModel,
    vertices: Doubles,
    faces: NDArray[np.int32],
    inverse: NDArray[np.float32],
    closed: bool = False,
) -> None:
    """Draws a mesh into a picture (h, w) of 1 / depth, 0 where nothing is: what is nearer stays.

    `closed`: it encloses a body, and its faces turn anticlockwise seen from outside: half of them need not be drawn.
    """
    rows, scratch = rows_of(T), np.empty((len(vertices), 3), np.float32)
    h, w = inverse.shape
    library().edges_depth(
        pointer(rows), pinhole(camera), pointer(vertices), int64(len(vertices)), pointer(faces), int64(len(faces)),
        ctypes.c_int(closed), pointer(inverse), int64(w), int64(h), pointer(scratch),
    )  # fmt: skip


def visible(
    T: Pose,
    camera: CameraModel,
    edges: tuple[Doubles, Doubles, Doubles, NDArray[np.bool_], NDArray[np.bool_]],
    count: int,
    inverse: NDArray[np.float32],
    slack_m: float,
    slack_px: float,
    most_hiding: int,
) -> tuple[Doubles, Doubles, Doubles, NDArray[np.int64]]:
    """Samples on the edges that face the camera and are not hidden in a picture of 1 / depth.

    Args:
        edges: ends (e, 2, 3), normals (e, 2, 3), a point of their faces (e, 3), sharp (e,), used (e,).
        count: samples spread over all of them, hidden ones too.
        inverse: of the camera's whole image, at any size.
        slack_m, slack_px: how far behind a surface a sample still counts as on it: metres, pixels of `inverse`.
        most_hiding: of a sample's 3 x 3 pixels so many may be nearer.

    Returns:
        Points (n, 3), pixels (n, 2), unit normals in the image (n, 2), and the edge that each is on (n,).
    """
    ends, normals, anchors, sharp, used = edges
    rows, ruler, which = rows_of(T), np.empty(len(ends)), np.empty(len(ends), np.int64)
    points, pixels, across = np.empty((count, 3)), np.empty((count, 2)), np.empty((count, 2))
    edge = np.empty(count, np.int64)
    h, w = inverse.shape
    made = library().edges_visible(
        pointer(rows), pinhole(camera), pointer(ends), pointer(normals), pointer(anchors), pointer(sharp),
        pointer(used), int64(len(ends)), int64(count), pointer(inverse), int64(w), int64(h),
        ctypes.c_double(w / camera.width), ctypes.c_double(h / camera.height), ctypes.c_double(slack_m),
        ctypes.c_double(slack_px), int64(most_hiding), pointer(ruler), pointer(which), pointer(points),
        pointer(pixels), pointer(across), pointer(edge),
    )  # fmt: skip
    return points[:made], pixels[:made], across[:made], edge[:made]


def lines(field: Any, pixels: Doubles, across: Doubles, steps: int) -> Doubles:
    """The strongest edges within `steps` pixels of the scale: (n, 4) along the normals, image pixels, NaN for none."""
    offsets = np.empty((len(pixels), CANDIDATES))
    library().edges_lines(
        ctypes.byref(field), pointer(pixels), pointer(across), int64(len(pixels)), int64(steps), pointer(offsets)
    )
    return offsets


def refine(
    T: Pose,
    camera: CameraModel,
    points: Doubles,
    pixels: Doubles,
    across: Doubles,
    offsets: Doubles,
    widths: Doubles,
    information: Doubles,
) -> Pose:
    """Gauss-Newton steps, one for each width."""
    rows = rows_of(T)
    library().edges_refine(
        pointer(rows), pinhole(camera), pointer(points), pointer(pixels), pointer(across), pointer(offsets),
        int64(len(points)), pointer(widths), int64(len(widths)), pointer(information),
    )  # fmt: skip
    return np.vstack([rows.reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])


def normal_equations(
    T: Pose,
    camera: CameraModel,
    points: Doubles,
    pixels: Doubles,
    across: Doubles,
    offsets: Doubles,
    width: float,
) -> tuple[Doubles, Doubles]:
    """Hessian (6, 6) and right-hand side (6,) of a Gauss-Newton step, with Tukey's weights of a width in pixels."""
    rows, hessian, step = rows_of(T), np.zeros((6, 6)), np.zeros(6)
    library().edges_normal_equations(
        pointer(rows), pinhole(camera), pointer(points), pointer(pixels), pointer(across), pointer(offsets),
        int64(len(points)), ctypes.c_double(width), pointer(hessian), pointer(step),
    )  # fmt: skip
    return hessian + np.tril(hessian, -1).T, step


def hypotheses(
    poses: Doubles,
    camera: CameraModel,
    points: Doubles,
    across: Doubles,
    field: Any,
    reach: NDArray[np.int64],
    widths: Doubles,
    information: Doubles,
    score_width: float,
) -> tuple[Doubles, Doubles]:
    """Refines poses (k, 4, 4) in rounds; their scores (k,) are the samples' mean weights, 0 to 1.

    Args:
        reach: (rounds,) steps of the scale. widths: (rounds, steps) of the Tukey weight, image pixels.
    """
    rows, scores = np.ascontiguousarray(poses[:, :3]), np.empty(len(poses))
    pixels, offsets = np.empty((len(points), 2)), np.empty((len(points), CANDIDATES))
    library().edges_hypotheses(
        pointer(rows), pointer(scores), int64(len(rows)), pinhole(camera), pointer(points), pointer(across),
        int64(len(points)), ctypes.byref(field), pointer(reach), pointer(widths), int64(len(reach)),
        int64(widths.shape[1]), pointer(information), ctypes.c_double(score_width), pointer(pixels), pointer(offsets),
    )  # fmt: skip
    refined = np.array(poses)
    refined[:, :3] = rows
    return scores, refined


def widths(field: Any, least: float, most: int) -> NDArray[np.float32]:
    """(n,) of up to `most` places steeper than `least`: how steep it still is two pixels beside, as a fraction."""
    fractions = np.empty(most, np.float32)
    found = library().edges_widths(ctypes.byref(field), ctypes.c_double(least), int64(most), pointer(fractions))
    return fractions[:found]


def direction_maps(field: Any, directions: int, border: int) -> NDArray[np.uint8]:
    """(directions, h + 2 border, w + 2 border) bytes: how strongly the gradient is along each direction, 0 to 255."""
    maps = np.zeros((directions, field.h + 2 * border, field.w + 2 * border), np.uint8)
    library().edges_directions(ctypes.byref(field), int64(directions), int64(border), pointer(maps))
    return maps


def coarse(
    camera: CameraModel,
    outline: Doubles,
    across: Doubles,
    middle: Doubles,
    turns: Doubles,
    distances: Doubles,
    maps: NDArray[np.uint8],
    reach: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Lays an outline over maps of edge directions, turned and at several distances.

    Args:
        camera: of the maps without their border.
        outline: (n, 3) metres about the part's centre, optical frame, n at most 257. across: (n, 2) its normals in the
            image.
        middle: (3,) the centre. turns: (t, 3, 3). distances: (d,) as fractions of the centre's own.
        maps: (directions, h, w) with a border of reach + 1 pixels.

    Returns:
        Of the best shift of each: the mean under the outline (t, d), 0 to 1, and the shift (t, d, 2), columns and rows.
    """
    if len(outline) > MOST_OUTLINE:
        raise ValueError(f"an outline of {len(outline)} points, {MOST_OUTLINE} are the most")
    directions, h, w = maps.shape
    padded = np.concatenate([maps.reshape(-1), np.zeros(BLOCK, np.uint8)])
    best, shift = (
        np.empty((len(turns), len(distances)), np.float32),
        np.empty((len(turns), len(distances), 2), np.int32),
    )
    at = np.empty(len(outline), np.int64)
    library().edges_coarse(
        pinhole(camera), pointer(outline), pointer(across), int64(len(outline)), pointer(middle), pointer(turns),
        int64(len(turns)), pointer(distances), int64(len(distances)), pointer(padded), int64(directions), int64(w),
        int64(h), int64(reach), pointer(best), pointer(shift), pointer(at),
    )  # fmt: skip
    return best, shift


def rows_of(T: Pose) -> Doubles:
    return np.array(T[:3], np.float64).ravel()


def pinhole(camera: CameraModel) -> Any:
    k = camera.matrix
    return (ctypes.c_double * 5)(k[0, 0], k[0, 1], k[0, 2], k[1, 1], k[1, 2])


def int64(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
