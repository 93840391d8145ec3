"""One picture of an inspection: views with components' boxes and heat maps, scores against limits, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CameraRole, CheckKind, ExpectedCheck, ExpectedView
from inspection_cell.core.verdict import Verdict
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.records.images import ImageDamaged, ImageStore
from inspection_cell.records.record import InspectionRecord, view_image

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

TILE_WIDTH = 480
COLUMNS = 4
LINE = 18  # pixels from one text line to the next
MARGIN = 6
MAX_REASONS = 8

WHITE, GREY, DARK = (255, 255, 255), (150, 150, 150), (28, 30, 34)
GREEN, AMBER, RED, VIOLET = (70, 190, 90), (240, 170, 40), (225, 60, 50), (170, 110, 230)
OUTCOME_COLOUR: dict[Outcome, Colour] = {
    Outcome.NOTHING_FOUND: GREEN,
    Outcome.UNCERTAIN: AMBER,
    Outcome.DEFECT: RED,
    Outcome.NOT_APPLICABLE: GREY,
    Outcome.INVALID: VIOLET,
}
VERDICT_COLOUR: dict[Verdict | None, Colour] = {
    Verdict.PASS: GREEN,
    Verdict.UNCERTAIN: AMBER,
    Verdict.FAIL: RED,
    Verdict.ERROR: VIOLET,
    None: GREY,
}


def draw_record(record: InspectionRecord, images: ImageStore) -> Image:
    """The inspection as an (h, w, 3) uint8 RGB picture. Views that were not stored are shown as such."""
    views = [v for v in record.plan.views if v.role is CameraRole.INSPECTION] or list(record.plan.views)
    tiles = [_tile(record, view, images) for view in views]
    rows = [_row(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack([_banner(record), *rows])


def _banner(record: InspectionRecord) -> Image:
    summary, verdict = record.summary, record.summary.part_verdict
    reasons = verdict.reasons if verdict else ()
    lines = [f"{int(r.code)} {r.code.name} {r.subject}: {r.text}" for r in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        lines.append(f"and {len(reasons) - MAX_REASONS} more reasons")
    banner = _blank(COLUMNS * TILE_WIDTH, 92 + LINE * len(lines))
    banner[:56] = VERDICT_COLOUR[summary.verdict]
    title = summary.verdict.name if summary.verdict else f"UNFINISHED at {summary.step}"
    _write(banner, f"{title}   part {summary.serial}", (14, 40), WHITE, 1.1, 2)
    facts = [summary.inspection_id, f"recipe {summary.recipe}", f"{summary.mode.name}", summary.disposition.name]
    if summary.simulated:
        facts.append("SIMULATED")
    if verdict and math.isfinite(verdict.mass_kg):
        facts.append(f"{verdict.mass_kg * 1e3:.2f} g")
    _write(banner, "   ".join(facts), (14, 78), WHITE)
    for i, line in enumerate(lines):
        _write(banner, line, (14, 78 + LINE * (i + 1)), WHITE)
    return banner


def _tile(record: InspectionRecord, view: ExpectedView, images: ImageStore) -> Image:
    """One view with everything that was found in it, TILE_WIDTH wide."""
    limits = {check.check_id: check for check in record.plan.checks}
    results = [r for r in record.results if r.view_id == view.view_id and r.check_id in limits]
    image, problem = _load(record, view.view_id, images)
    scale = TILE_WIDTH / image.shape[1]
    size = (TILE_WIDTH, max(1, round(image.shape[0] * scale)))
    picture: Image = np.array(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    lines = [(f"{view.view_id}  {problem}", VIOLET if problem else WHITE)]
    for result in results:
        if result.kind is CheckKind.ANOMALY and result.artifact:
            picture, problem = _blend(picture, record, result, images)
            if problem:
                lines.append((problem, VIOLET))
    for result in results:
        if result.kind in (CheckKind.PRESENCE, CheckKind.ANOMALY):
            _draw_box(picture, result, scale)
            lines.append((_score_line(limits[result.check_id], result), OUTCOME_COLOUR[result.outcome]))
    strip = _blank(TILE_WIDTH, LINE * len(lines) + 2 * MARGIN)
    for i, (text, colour) in enumerate(lines):
        _write(strip, text, (MARGIN, LINE * (i + 1)), colour)
    return np.vstack([picture, strip])


def _load(record: InspectionRecord, view_id: str, images: ImageStore) -> tuple[Image, str]:
    """The view's picture, RGB, or a dark one with what is wrong."""
    blank = _blank(TILE_WIDTH, TILE_WIDTH * 3 // 4)
    stored = view_image(record, view_id)
    if stored is None:
        return blank, "no image was stored"
    try:
        pixels, encoding = images.read_view(record.summary.inspection_id, stored.artifact, stored.artifact_sha256)
    except ImageDamaged:
        return blank, "the stored image is damaged or gone"
    return to_rgb(pixels, encoding), ""


def _blend(picture: Image, record: InspectionRecord, result: CheckResult, images: ImageStore) -> tuple[Image, str]:
    """The picture with the heat map (8-bit grey, of the whole view, any size) over it: the hotter, the more opaque."""
    try:
        data = images.read(record.summary.inspection_id, result.artifact, result.artifact_sha256)
    except ImageDamaged:
        return picture, "the heat map is damaged or gone"
    heat = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if heat is None:
        return picture, "the heat map is no picture"
    heat = cv2.resize(heat, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    opacity = (0.75 / 255) * heat[..., None].astype(np.float32)
    return np.asarray(picture * (1 - opacity) + colours * opacity, np.uint8), ""


def _draw_box(picture: Image, result: CheckResult, scale: float) -> None:
    x, y, width, height = (round(value * scale) for value in result.box)
    if width > 0 and height > 0:
        found = result.outcome in (Outcome.DEFECT, Outcome.UNCERTAIN)
        cv2.rectangle(picture, (x, y), (x + width, y + height), OUTCOME_COLOUR[result.outcome], 3 if found else 1)


def _score_line(check: ExpectedCheck, result: CheckResult) -> str:
    name = check.component or check.kind.name.lower()
    if result.outcome is Outcome.NOT_APPLICABLE:
        return f"{name}: cannot be seen here"
    late = f", {result.lateness_s:.2g} s late" if result.lateness_s > 0 else ""
    reason = f" {result.reason.code.name}" if result.reason and result.outcome is not Outcome.NOTHING_FOUND else ""
    return f"{name}: {result.score:.3g} (limits {check.limit_uncertain:.3g}, {check.limit_defect:.3g}){late}{reason}"


def _row(tiles: Sequence[Image]) -> Image:
    """Tiles side by side, filled up to COLUMNS and to the same height."""
    height = max(tile.shape[0] for tile in tiles)
    row = _blank(COLUMNS * TILE_WIDTH, height)
    for i, tile in enumerate(tiles):
        row[: tile.shape[0], i * TILE_WIDTH : (i + 1) * TILE_WIDTH] = tile
    return row


def _blank(width: int, height: int) -> Image:
    return np.full((height, width, 3), DARK, np.uint8)


def _write(
    picture: Image, text: str, at: tuple[int, int], colour: Colour, size: float = 0.45, thickness: int = 1
) -> None:
    """Text with its base line at `at`; OpenCV's font has ASCII only."""
    ascii_text = text.encode("ascii", "replace").decode()
    cv2.putText(picture, ascii_text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)
