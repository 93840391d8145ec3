"""The commands `parts` and `show`, on a recorded part with a defect, and the picture they draw."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_parts import END, inspect, make_verdict, new_plan, stored_results

from inspection_cell.cli.record_commands import CommandError, add_parsers
from inspection_cell.core.check import Outcome
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.decision.verdict import decide
from inspection_cell.records.picture import COLUMNS, GREEN, RED, TILE_WIDTH, draw_record
from inspection_cell.records.store import RecordStore

BOX = (16, 12, 20, 16)  # in a view of 64 x 48


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    parsed = parser.parse_args(arguments)
    return parsed.run(parsed)


def record_defective(store: RecordStore, number: int) -> str:
    """A part whose clip is missing, in a box of view g1_v1, with a heat map hot in the lower right corner of g1_v2."""
    plan = new_plan(number, serial="bad")
    store.open_inspection(plan)
    heat = np.zeros((24, 32), np.uint8)
    heat[12:, 16:] = 255
    png = cv2.imencode(".png", heat)[1].tobytes()
    results = []
    for result in stored_results(store.images, plan):
        if result.check_id.startswith("presence/clip/"):
            box = BOX if result.view_id == "g1_v1" else result.box
            result = replace(result, score=0.9, outcome=Outcome.DEFECT, box=box)
        if result.check_id == "anomaly/g1_v2":
            file = store.images.write(plan.inspection_id, "heat_g1_v2.png", png)
            result = replace(result, artifact=file.name, artifact_sha256=file.sha256)
        results.append(result)
    proposal = decide(plan, results, replace(END, inspection_id=plan.inspection_id), stamp_ns=5)
    assert proposal.verdict is Verdict.FAIL
    store.commit(make_verdict(plan, proposal, Disposition.REJECT_BIN), proposal, results=results)
    return plan.inspection_id


def test_the_picture_shows_verdict_boxes_and_heat(tmp_path: Path) -> None:
    store = RecordStore.in_folder(tmp_path)
    record = store.get(record_defective(store, 1))
    picture = draw_record(record, store.images)
    assert picture.shape[1] == COLUMNS * TILE_WIDTH
    assert tuple(picture[2, 2]) == RED
    scale = TILE_WIDTH / 64
    # Rows that are red over more than half the box: the banner's 56, then the box's upper edge.
    top = int(np.flatnonzero((picture[:, :TILE_WIDTH] == RED).all(2).sum(1) > BOX[2] * scale / 2)[56])
    corner = picture[top + 1, round(BOX[0] * scale) + 5]
    assert tuple(corner) == RED
    plain = draw_record(
        replace(record, results=tuple(r for r in record.results if "anomaly" not in r.check_id)), store.images
    )
    banner = top - round(BOX[1] * scale) + 1
    tile = (slice(banner, banner + round(48 * scale) - 2), slice(TILE_WIDTH, 2 * TILE_WIDTH))
    changed = np.abs(picture[tile].astype(int) - plain[tile]).max(2) > 8
    height, width = changed.shape
    assert changed[height * 3 // 4 :, width * 3 // 4 :].mean() > 0.9
    assert changed[: height // 3, : width // 3].mean() < 0.01


def test_damaged_images_are_shown_as_such_not_as_a_crash(tmp_path: Path) -> None:
    store = RecordStore.in_folder(tmp_path)
    inspection_id = record_defective(store, 1)
    for file in store.images.folder.rglob("*.*"):
        file.write_bytes(b"damaged")
    picture = draw_record(store.get(inspection_id), store.images)
    assert tuple(picture[2, 2]) == RED


def test_show_by_serial_takes_the_latest_and_writes_a_png(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = RecordStore.in_folder(tmp_path / "data" / "demo")
    record_defective(store, 1)
    latest = record_defective(store, 2)
    assert command("show", "bad") == 0
    assert "101 COMPONENT_MISSING clip" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / f"{latest}.png")).shape[1] == COLUMNS * TILE_WIDTH
    good = new_plan(3)
    inspect(store, good)
    out = tmp_path / "good.png"
    assert command("show", good.inspection_id, "--out", str(out)) == 0
    assert tuple(cv2.imread(str(out))[2, 2][::-1]) == GREEN


def test_show_of_an_unfinished_part(tmp_path: Path) -> None:
    store = RecordStore.in_folder(tmp_path)
    plan = new_plan(1)
    store.open_inspection(plan)
    store.note_step(plan.inspection_id, "view g1_v2", Disposition.GRIPPER)
    out = tmp_path / "x.png"
    assert command("show", plan.serial, "--data", str(tmp_path), "--out", str(out)) == 0
    assert out.is_file()


def test_parts_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    store = RecordStore.in_folder(tmp_path)
    inspect(store, new_plan(1, serial="4711"))
    record_defective(store, 2)
    store.open_inspection(new_plan(3))
    assert command("parts", "--data", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "4711" in out and "PASS" in out and "100.10" in out and "good bin" in out
    assert "FAIL" in out and "COMPONENT_MISSING" in out and "unfinished" in out
    assert command("parts", "--data", str(tmp_path), "--limit", "1") == 0
    assert "4711" not in capsys.readouterr().out


def test_errors_name_the_cure(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--data"):
        command("parts", "--data", str(tmp_path / "nowhere"))
    record_defective(RecordStore.in_folder(tmp_path), 1)
    with pytest.raises(CommandError, match="nobody"):
        command("show", "nobody", "--data", str(tmp_path))
    with pytest.raises(CommandError, match="cannot be written"):
        command("show", "bad", "--data", str(tmp_path), "--out", str(tmp_path / "no" / "x.png"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(CommandError, match="not a database"):
        command("parts", "--data", str(broken))
