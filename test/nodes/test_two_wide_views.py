"""A recipe with two wide views a grasp on a whole running cell: a good part passes, a wrong calibration does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from cell_support import Cell, record_of, told_anew
from held_part import two_wide_content

from inspection_cell.core.plan import CheckKind
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Verdict
from inspection_cell.simulation.truth import make_part

WRONG_FOCAL = 1.004


@pytest.fixture
def two_wide(cell: Cell) -> Iterator[Cell]:
    path = cell.data / "recipes" / "two_wide.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(two_wide_content()), encoding="utf-8")
    cell.plc.select_recipe("two_wide")
    yield cell
    cell.plc.select_recipe(cell.recipe)


def test_two_wide_views_are_one_alignment_and_a_wrong_focal_length_is_an_error(two_wide: Cell) -> None:
    cell, part = two_wide, make_part("TW1", 71)
    verdict = cell.line.inspect(part, timeout_s=240.0).verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons
    record = record_of(cell, verdict.inspection_id)
    grasps = {a.view_id for a in record.alignments if "wide" in a.view_id}
    assert grasps == {"g1/wide_090", "g2/wide_090"}
    checked = {c.view_id for c in record.plan.checks if c.kind is CheckKind.ALIGNMENT and "wide" in c.view_id}
    assert checked == grasps
    assert {v.view_id for v in record.views} >= {"g1/wide", "g1/wide_090", "g2/wide", "g2/wide_090"}
    try:
        told_anew(cell, "camera_wide", cameras={"wide": {"calibration": {"focal_px": [2500 * WRONG_FOCAL] * 2}}})
        cell.make_ready()
        verdict = cell.line.inspect(part, timeout_s=240.0).verdict
        assert verdict.verdict is Verdict.ERROR
        told = record_of(cell, verdict.inspection_id).views
        assert {v.camera.matrix[0, 0] for v in told if "wide" in v.view_id} == {2500 * WRONG_FOCAL}
        assert {Code.VIEWS_DISAGREE, Code.ALIGNMENT_REFUSED} & {r.code for r in verdict.reasons}, verdict.reasons
        assert any("calibration" in r.text for r in verdict.reasons), verdict.reasons
    finally:
        told_anew(cell, "camera_wide", cameras={"wide": {"calibration": {"focal_px": [2500, 2500]}}})
        cell.make_ready()
    verdict = cell.line.inspect(part, timeout_s=240.0).verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons
