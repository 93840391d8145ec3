"""A data set of training pictures goes on where it was cut off, and is the same as without the cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inspection_cell.recipe.paths import share_folder
from inspection_cell.training.synth.dataset import write_dataset
from inspection_cell.training.synth.stream import CHUNK, PictureSettings, Subject

HOUSING = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
SETTINGS = PictureSettings((Subject(HOUSING, "clip_left"),), 48, target_size=32, seed=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


def test_a_cut_changes_nothing(tmp_path: Path) -> None:
    write_dataset(SETTINGS, 2 * CHUNK, tmp_path / "whole", 1)
    write_dataset(SETTINGS, CHUNK, tmp_path / "cut", 1)
    with (tmp_path / "cut" / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"image": "clip_left/0000')
    done: list[int] = []
    sheet = write_dataset(SETTINGS, 2 * CHUNK, tmp_path / "cut", 1, done.append)
    assert done == [CHUNK, 2 * CHUNK]
    assert sheet.is_file()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "cut" / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * CHUNK
    assert {line["label"] for line in lines} == {"clip_left", "background"}
    with pytest.raises(ValueError, match="other settings"):
        write_dataset(replace(SETTINGS, seed=3), CHUNK, tmp_path / "cut", 1)
