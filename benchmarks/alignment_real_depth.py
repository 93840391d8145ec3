"""What depth adds on the real pictures that come with it: the pose by edges, by depth, by both, and what speaks for it.

Part of alignment_real.py. The bottle's frames start from its first pose, those of the rendered tea-box from the true
pose of the frame before. Nobody knows the bottle's true pose; there these judge:

- surface: median distance of what was measured from the CAD's visible surface: the depth sees it, the edges do not;
- outline: intersection over union of the CAD's projection and of what is orange in the picture: neither sees it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from alignment_real_sets import Frame, RealSequence
from common import print_table
from numpy.typing import NDArray

from inspection_cell.alignment.depth_fit import DepthNoise, PartSurface, fit_at
from inspection_cell.alignment.depth_points import from_picture
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.fusion import DepthView, align_with_depth, estimate_by_depth
from inspection_cell.alignment.metrics import add
from inspection_cell.alignment.multiview import far_apart
from inspection_cell.alignment.one_view import align
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.poses import Pose, inverse

ORANGE = ((3, 150, 90), (20, 255, 255))
"""Hue (of 180), saturation and value."""
BOTTLE_SENSOR = DepthNoise(floor_m=0.002, per_m2=0.005, patch_m=0.02, patch_share=0.9, scale=0.003)
"""A stereo camera on smooth plastic: residuals of 2.3 mm in waves, whose correlation integrates to 20 mm patches."""
RENDERED_SENSOR = DepthNoise(per_m2=0.0002, scale=0.0)
"""The tea-box's depth is exact."""
WHO = ("edges", "depth", "both")
TILE_PX = 480


@dataclass(frozen=True)
class Told:
    """What one of them says about one frame; NaN where it is not known.

    Attributes:
        add_m: from the true pose. apart: from the edges' pose, metres and radians.
        sigma: largest standard deviation, metres and radians. surface_m, outline: see above.
    """

    frame: str
    accepted: bool
    reason: str
    add_m: float
    apart: tuple[float, float]
    sigma: tuple[float, float]
    surface_m: float
    outline: float


def show_depth(sequence: RealSequence, bound: tuple[float, float], frames: int, sheet: Path) -> bool:
    """Prints the table of one sequence, and where no true pose is known writes a picture; whether nothing accepted is
    known to be wrong.
    """
    assert sequence.depth_camera is not None and sequence.T_camera_depth is not None
    part, surface = PartEdges(sequence.assembly), PartSurface(sequence.assembly)
    prior, told, tiles = sequence.T_camera_part_first, [], []
    with GeometryRenderer(sequence.assembly) as renderer:
        for number, frame in enumerate(sequence.read()):
            if number >= frames or frame.depth is None:
                break
            noise = BOTTLE_SENSOR if frame.T_camera_part is None else RENDERED_SENSOR
            view = DepthView(frame.depth, sequence.depth_camera, sequence.T_camera_depth, noise)
            edges = align(frame.image, sequence.camera, part, prior, bound)
            depth = estimate_by_depth(view, surface, prior, bound)
            both = align_with_depth(frame.image, sequence.camera, view, part, surface, prior, bound)
            poses = (edges.T_camera_part, view.T_camera_depth @ depth.T_camera_part, both.T_camera_part)
            for who, estimate, pose in zip(WHO, (edges, depth, both), poses, strict=True):
                of_known_truth = frame.T_camera_part is not None
                told.append(
                    Told(
                        frame=who if of_known_truth else f"{number}, {who}",
                        accepted=estimate.accepted,
                        reason=estimate.reason,
                        add_m=_add(sequence, pose, frame.T_camera_part),
                        apart=far_apart([poses[0], pose], sequence.assembly.centre),
                        sigma=_largest(estimate.covariance),
                        surface_m=_surface_off(surface, view, pose),
                        outline=math.nan if of_known_truth else _outline(sequence, renderer, frame, pose),
                    )
                )
                if not of_known_truth:
                    tiles.append(_tile(sequence, renderer, frame, pose, told[-1]))
            prior = prior if frame.T_camera_part is None else frame.T_camera_part
    names = list(dict.fromkeys(t.frame for t in told))
    columns = ("who", "accepted", "ADD mm", "from edges mm / deg", "sigma mm / deg", "surface mm", "outline")
    rows = [_row(name, [t for t in told if t.frame == name]) for name in names]
    print_table(f"{sequence.name}, by edges, by depth and by both, medians", columns, rows)
    refusals = [f"  {t.frame}: {t.reason}" for t in told if not t.accepted]
    print("\n".join(["Refused:", *refusals[:6]]) if refusals else "Nothing was refused.")
    if tiles:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        lines = [np.hstack(tiles[i : i + len(WHO)]) for i in range(0, len(tiles), len(WHO))]
        cv2.imwrite(str(sheet), np.ascontiguousarray(np.vstack(lines)[..., ::-1]))
        print(f"Picture: {sheet}")
    return not any(t.accepted and t.add_m > 0.002 for t in told)


def _row(name: str, told: Sequence[Told]) -> list[str]:
    def middle(values: Sequence[float], scale: float = 1e3, digits: int = 2) -> str:
        known = [v for v in values if math.isfinite(v)]
        return f"{scale * np.median(known):.{digits}f}" if known else "-"

    deg = 180 / math.pi
    return [
        name,
        f"{sum(t.accepted for t in told)} of {len(told)}",
        middle([t.add_m for t in told], digits=3),
        f"{middle([t.apart[0] for t in told])} / {middle([t.apart[1] for t in told], deg)}",
        f"{middle([t.sigma[0] for t in told])} / {middle([t.sigma[1] for t in told], deg)}",
        middle([t.surface_m for t in told]),
        middle([t.outline for t in told], 1.0, 3),
    ]


def _add(sequence: RealSequence, pose: Pose, truth: Pose | None) -> float:
    return (
        math.nan if truth is None else add(pose, truth, np.vstack([c.vertices for c in sequence.assembly.components]))
    )


def _largest(covariance: NDArray[np.float64]) -> tuple[float, float]:
    if not np.all(np.isfinite(covariance)):
        return math.inf, math.inf
    shift, turn = (math.sqrt(np.linalg.eigvalsh(covariance[k : k + 3, k : k + 3])[-1]) for k in (0, 3))
    return shift, turn


def _surface_off(surface: PartSurface, view: DepthView, T_camera_part: Pose) -> float:
    assert view.camera is not None
    pose = inverse(view.T_camera_depth) @ T_camera_part
    measured = from_picture(view.depth, view.camera, (0, 0, view.camera.width, view.camera.height))
    return float(np.nanmedian(np.abs(fit_at(pose, surface.visible(pose), measured, view.noise).residuals)))


def _outline(sequence: RealSequence, renderer: GeometryRenderer, frame: Frame, pose: Pose) -> float:
    """Of the largest patch that is orange, holes filled: the print on the label is not."""
    mask = cv2.inRange(cv2.cvtColor(frame.image, cv2.COLOR_RGB2HSV), *map(np.array, ORANGE))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(mask), [max(outlines, key=cv2.contourArea)], -1, 1, -1).astype(bool)
    drawn = renderer.render(pose, sequence.camera).depth > 0
    return float(np.sum(filled & drawn) / np.sum(filled | drawn))


def _tile(
    sequence: RealSequence, renderer: GeometryRenderer, frame: Frame, pose: Pose, told: Told
) -> NDArray[np.uint8]:
    """The picture around the part with the CAD's outline: green accepted, red refused."""
    drawn = (renderer.render(pose, sequence.camera).depth > 0).astype(np.uint8)
    colour = (0, 255, 0) if told.accepted else (255, 40, 40)
    outlines, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    centre = sequence.camera.project(pose[:3, 3] + sequence.assembly.centre @ pose[:3, :3].T)[0]
    side = int(2.4 * sequence.assembly.radius * sequence.camera.matrix[0, 0] / pose[2, 3])
    corner = np.clip(centre - side / 2, 0, np.maximum(np.array(drawn.shape[::-1]) - side, 0)).astype(int)
    crop = frame.image[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    scale = TILE_PX / max(crop.shape[:2])
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    large = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:TILE_PX, :TILE_PX]
    tile[: large.shape[0], : large.shape[1]] = large
    lines = [np.rint((line - corner + 0.5) * scale - 0.5).astype(np.int32) for line in outlines]
    cv2.polylines(tile, lines, True, colour, 1, cv2.LINE_AA)
    text = f"{told.frame}: outline {told.outline:.3f}, surface {1e3 * told.surface_m:.2f} mm"
    cv2.putText(tile, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return tile
