"""One picture of many parts: for each its most suspicious views with heat maps, truth and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cli.simulated_line import Inspected
from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CheckKind
from inspection_cell.core.verdict import Verdict
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.records.images import ImageDamaged
from inspection_cell.records.record import InspectionRecord, view_image
from inspection_cell.records.store import RecordStore

VIEWS = 4
TILE = (280, 210)
TEXT_WIDTH = 330
COLOURS = {
    Verdict.PASS: (60, 170, 60),
    Verdict.FAIL: (210, 50, 50),
    Verdict.UNCERTAIN: (215, 165, 30),
    Verdict.ERROR: (170, 60, 170),
}


def write_contact_sheet(store: RecordStore, inspected: Sequence[Inspected], path: Path) -> Path:
    """Draws and writes the sheet; returns its path."""
    rows = [_row(store, item) for item in inspected]
    sheet = np.concatenate(rows) if rows else np.zeros((TILE[1], TEXT_WIDTH, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(sheet[..., ::-1]))
    return path


def _row(store: RecordStore, item: Inspected) -> NDArray[np.uint8]:
    text = np.full((TILE[1], TEXT_WIDTH, 3), 24, np.uint8)
    truth = ", ".join(d.kind.value for d in item.truth.defects) or "good"
    text[:, :10] = COLOURS[item.verdict.verdict]
    lines = [item.truth.serial, f"truth: {truth}", item.verdict.verdict.name]
    lines += [f"{r.code.name} {r.subject}" for r in item.verdict.reasons[:4]]
    for i, line in enumerate(lines):
        size = 0.7 if i in (0, 2) else 0.42
        cv2.putText(text, line, (20, 28 + 26 * i), cv2.FONT_HERSHEY_SIMPLEX, size, (235, 235, 235), 1, cv2.LINE_AA)
    record = store.get(item.verdict.inspection_id)
    scored = [r for r in record.results if r.kind is CheckKind.ANOMALY and np.isfinite(r.score)]
    worst = sorted(scored, key=lambda r: -r.score)[:VIEWS]
    tiles = [_tile(store, record, result) for result in worst]
    tiles += [np.full((TILE[1], TILE[0], 3), 24, np.uint8)] * (VIEWS - len(tiles))
    return np.concatenate([text, *tiles], axis=1)


def _tile(store: RecordStore, record: InspectionRecord, result: CheckResult) -> NDArray[np.uint8]:
    stored = view_image(record, result.view_id)
    inspection_id = record.summary.inspection_id
    tile: NDArray[np.uint8] = np.full((TILE[1], TILE[0], 3), 24, np.uint8)
    if stored is None:
        return tile
    try:
        image, encoding = store.images.read_view(inspection_id, stored.artifact, stored.artifact_sha256)
        tile = np.asarray(cv2.resize(to_rgb(image, encoding), TILE, interpolation=cv2.INTER_AREA), np.uint8)
        if result.artifact:
            data = store.images.read(inspection_id, result.artifact, result.artifact_sha256)
            grey = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
            heat = cv2.resize(grey, TILE, interpolation=cv2.INTER_LINEAR)
            colour = cv2.applyColorMap(heat, cv2.COLORMAP_TURBO)[..., ::-1]
            weight = np.clip((heat.astype(np.float32) - 64) / 128, 0, 0.6)[..., None]
            tile = (tile * (1 - weight) + colour * weight).astype(np.uint8)
    except ImageDamaged as error:
        cv2.putText(tile, str(error)[:40], (6, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 60, 60), 1)
    label = f"{result.view_id} {result.score:.1f}"
    cv2.putText(tile, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
