"""Training pictures as a data set on disk: one folder a class, a manifest, and a sheet to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.training.synth.stream import CHUNK, Batch, PictureSettings, Stream

MANIFEST, SETTINGS_FILE, SHEET = "manifest.jsonl", "settings.json", "sheet.png"
SHEET_COLUMNS, SHEET_ROWS, SHEET_PX = 8, 6, 128


def write_dataset(
    settings: PictureSettings,
    count: int,
    folder: Path,
    processes: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """At least `count` pictures as CLASS/NUMBER.png, their targets as CLASS/NUMBER.target.png; goes on after a cut.

    Returns:
        The sheet of the first pictures.

    Raises:
        ValueError: the folder holds pictures of other settings. CadError: a file that cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _same_settings(settings, folder / SETTINGS_FILE)
    for name in settings.classes:
        (folder / name).mkdir(exist_ok=True)
    manifest = folder / MANIFEST
    done = _whole_lines(manifest) // CHUNK
    wanted = -(-count // CHUNK)
    progress(done * CHUNK)
    if done < wanted:
        with Stream(settings, processes) as stream, manifest.open("a", encoding="utf-8") as lines:
            for number, batch in enumerate(stream.batches(wanted - done, first=done * CHUNK), done):
                written = _write(batch, number * CHUNK, settings, folder)
                lines.write("".join(json.dumps(line) + "\n" for line in written))
                lines.flush()
                progress((number + 1) * CHUNK)
    return _sheet(folder)


def _write(batch: Batch, first: int, settings: PictureSettings, folder: Path) -> list[dict[str, Any]]:
    lines = []
    for k, label in enumerate(batch.labels):
        name = settings.classes[label]
        line = {"image": f"{name}/{first + k:06d}.png", "label": name, "seed": settings.seed, "number": first + k}
        cv2.imwrite(str(folder / line["image"]), batch.images[k][..., ::-1])
        if settings.target_size:
            line["target"] = f"{name}/{first + k:06d}.target.png"
            cv2.imwrite(str(folder / line["target"]), batch.targets[k][..., 0])
        lines.append(line)
    return lines


def _whole_lines(manifest: Path) -> int:
    """How many pictures whole chunks hold; what a cut left of the next one is taken away."""
    if not manifest.is_file():
        return 0
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    kept = whole[: len(whole) // CHUNK * CHUNK]
    if kept != lines:
        manifest.write_text("".join(kept), encoding="utf-8")
    return len(kept)


def _same_settings(settings: PictureSettings, path: Path) -> None:
    """Writes what the pictures are of, or compares."""
    text = json.dumps(asdict(settings), indent=2, default=str) + "\n"
    if not path.is_file():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path}: the folder holds pictures of other settings; name another folder")


def _sheet(folder: Path) -> Path:
    lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()[: SHEET_COLUMNS * SHEET_ROWS]
    tiles: list[NDArray[Any]] = []
    for line in lines:
        picture = cv2.imread(str(folder / json.loads(line)["image"]))
        tiles.append(
            np.zeros((SHEET_PX, SHEET_PX, 3), np.uint8)
            if picture is None
            else np.asarray(cv2.resize(picture, (SHEET_PX, SHEET_PX), interpolation=cv2.INTER_AREA))
        )
    tiles += [np.zeros((SHEET_PX, SHEET_PX, 3), np.uint8)] * (-len(tiles) % SHEET_COLUMNS)
    rows = [np.hstack(tiles[k : k + SHEET_COLUMNS]) for k in range(0, len(tiles), SHEET_COLUMNS)]
    cv2.imwrite(str(folder / SHEET), np.vstack(rows))
    return folder / SHEET
