"""What the alignment saw: the image with the CAD's projected edges, or with the components' regions, drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.components import ComponentOffset
from inspection_cell.alignment.one_view import MATCH_PX, AlignmentEstimate
from inspection_cell.alignment.roi import Roi

FOUND = (0, 220, 0)
OFF = (255, 200, 0)
LOST = (255, 40, 40)
SHIFT_BITS = 3
TOLD_M = 0.0003
"""A component that sits off by less is not named."""


def alignment_picture(
    image: NDArray[np.uint8], estimate: AlignmentEstimate, offsets: Sequence[ComponentOffset] = ()
) -> NDArray[np.uint8]:
    """The image (h, w) or (h, w, 3) as (h, w, 3) RGB with a dot for each expected edge.

    Green dots lie within a quarter of the matching distance of an edge, yellow ones within it, red ones found none.
    Components that clearly sit off are named, with how far.
    """
    picture = _darkened(image)
    distance = np.abs(np.nan_to_num(estimate.edge_residuals, nan=np.inf))
    for (u, v), off in zip(estimate.edges, distance, strict=True):
        colour = FOUND if off < MATCH_PX / 4 else OFF if off < MATCH_PX else LOST
        at = (round(float(u) * 2**SHIFT_BITS), round(float(v) * 2**SHIFT_BITS))
        cv2.circle(picture, at, 2 << SHIFT_BITS, colour, -1, cv2.LINE_AA, SHIFT_BITS)
    text = "accepted" if estimate.accepted else f"refused: {estimate.reason}"
    line = f"{text}; quality {estimate.quality:.2f}, sharpness {estimate.sharpness:.2f}"
    line += f", agreement {estimate.agreement:.2f}"
    scale = max(0.4, picture.shape[1] / 1600)
    cv2.putText(
        picture, line, (8, int(30 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA
    )
    for offset in offsets:
        if offset.found and offset.distance_m > TOLD_M:
            u, v = offset.at_px
            text, at = f"{offset.name} {1e3 * offset.distance_m:.1f} mm off", (int(u), int(v))
            cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, LOST, 1, cv2.LINE_AA)
    return picture


def roi_picture(image: NDArray[np.uint8], rois: Mapping[str, Roi]) -> NDArray[np.uint8]:
    """The image (h, w) or (h, w, 3) as (h, w, 3) RGB with each component's outline, box, name and visible share.

    Outlines are green where at least half of the component is visible, else yellow; red where nothing is.
    """
    picture = _darkened(image)
    scale = max(0.35, picture.shape[1] / 2000)
    for name, roi in rois.items():
        colour = FOUND if roi.visible >= 0.5 else OFF if roi.visible > 0.0 else LOST
        x, y, width, height = roi.box
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), colour, 1)
        if len(roi.polygon):
            cv2.polylines(picture, [np.rint(roi.polygon).astype(np.int32)], True, colour, 2, cv2.LINE_AA)
        text = f"{name} {100 * roi.visible:.0f} %"
        cv2.putText(picture, text, (x + 2, max(y - 4, 12)), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return picture


def _darkened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    return (picture * 0.7).astype(np.uint8)
