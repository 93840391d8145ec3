"""Whatever fails on the way of a part: it never passes, the cause is named, and where the part is is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_in_cell import STEPS, Bench, codes, failed, is_error

from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict

CAPTURES = tuple(f"capture:{s.removeprefix('view:')}" for s in STEPS if s.startswith("view:"))


MISSING = {f"presence/clip_left/{view}": 0.95 for view in ("g1/top_000", "g2/top_180")}
ONE_VIEW = {"presence/clip_left/g1/top_000": 0.95}


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path)
    yield bench
    bench.controller.close()
    bench.store.close()


def part_before(place: str) -> Disposition:
    """Where the part is when a step or call fails without having moved it."""
    step = {f"capture:{s.removeprefix('view:')}": s for s in STEPS}.get(place, place)
    step = "weigh_pick:g2" if step == "weigh" else step
    if step == "pick:g1":
        return Disposition.INFEED
    return Disposition.SCALE if step == "weigh_pick:g2" else Disposition.GRIPPER


def test_a_good_part_passes_with_everything_reported(bench: Bench) -> None:
    bench.ready()
    verdict = bench.inspect()
    assert (verdict.verdict, verdict.reasons) == (Verdict.PASS, ())
    assert verdict.disposition is Disposition.GOOD_BIN
    assert bench.cell.calls[-2:] == ["place:good", "home"]
    record = bench.store.get(verdict.inspection_id)
    assert {r.check_id for r in record.results} == {c.check_id for c in record.plan.checks}
    assert len(record.views) == len(record.plan.views)
    assert verdict.timings_s["cycle"] >= 0 and verdict.mass_kg == pytest.approx(0.02226)


@pytest.mark.parametrize(
    ("scores", "expected", "code", "bin_"),
    [
        (MISSING, Verdict.FAIL, Code.COMPONENT_MISSING, Disposition.REJECT_BIN),
        (ONE_VIEW, Verdict.UNCERTAIN, Code.COMPONENT_UNCERTAIN, Disposition.REWORK_BIN),
        ({"anomaly/g1/top_000": 11.0}, Verdict.FAIL, Code.ANOMALY_CRITICAL, Disposition.REJECT_BIN),
        ({"weight": 0.0005}, Verdict.FAIL, Code.WEIGHT_HIGH, Disposition.REJECT_BIN),
        ({"weight": -0.0003}, Verdict.UNCERTAIN, Code.WEIGHT_UNCERTAIN, Disposition.REWORK_BIN),
        ({"anomaly/g1/top_000": float("nan")}, Verdict.ERROR, Code.CHECK_NOT_FINITE, Disposition.REWORK_BIN),
    ],
)
def test_the_part_goes_where_its_verdict_says(bench: Bench, scores, expected, code, bin_) -> None:
    bench.ready()
    bench.cell.scores = scores
    verdict = bench.inspect()
    assert (verdict.verdict, verdict.disposition) == (expected, bin_)
    assert code in codes(verdict)
    assert bench.controller.state is State.READY


@pytest.mark.parametrize("place", [*STEPS, *CAPTURES, "weigh"])
@pytest.mark.parametrize("arm_usable", [True, False])
def test_a_failed_step_is_an_error_with_its_cause(bench: Bench, place: str, arm_usable: bool) -> None:
    bench.ready()
    bench.cell.faults[place] = failed(Code.ARM_REFUSED, arm_usable)
    verdict = bench.inspect()
    assert is_error(verdict, Code.ARM_REFUSED)
    left_at = part_before(place)
    put_aside = arm_usable and left_at is Disposition.GRIPPER
    assert verdict.disposition is (Disposition.REWORK_BIN if put_aside else left_at)
    assert not any(call.startswith(("place:good", "place:reject")) for call in bench.cell.calls)
    blocked = not arm_usable or verdict.disposition is Disposition.SCALE
    assert bench.controller.state is (State.ERROR if blocked else State.READY)
    if not arm_usable:
        assert bench.cell.calls[-2:] == [place, "proposal"], "the arm was moved although it must not be"
    del bench.cell.faults[place]
    if blocked:
        assert bench.controller.reasons[0].code in (Code.ARM_REFUSED, Code.ARM_STOPPED)
        in_its_care = verdict.disposition in (Disposition.GRIPPER, Disposition.SCALE)
        now_at = Disposition.REWORK_BIN if in_its_care else verdict.disposition
        assert bench.controller.reset() is now_at, "a reset says where the part is now"
    assert bench.inspect("r2", "4712").verdict is Verdict.PASS


def test_a_lost_part_is_where_the_step_says(bench: Bench) -> None:
    bench.ready()
    bench.cell.faults["view:g1/top_000"] = failed(Code.PART_LOST, disposition=Disposition.UNKNOWN)
    verdict = bench.inspect()
    assert is_error(verdict, Code.PART_LOST) and verdict.disposition is Disposition.UNKNOWN
    assert bench.controller.state is State.ERROR
    assert "look after it" in bench.controller.reasons[0].text or bench.controller.reasons[0].code is Code.PART_LOST


def test_a_defect_that_is_proven_stays_proven_when_a_step_fails_later(bench: Bench) -> None:
    bench.ready()
    bench.cell.scores = {"anomaly/g1/top_000": 11.0}
    bench.cell.faults["capture:g2/top_180"] = failed(Code.CAMERA_TIMEOUT)
    verdict = bench.inspect()
    assert verdict.verdict is Verdict.FAIL
    assert {Code.ANOMALY_CRITICAL, Code.CAMERA_TIMEOUT} <= codes(verdict)


def test_without_an_answer_of_the_decision_nothing_passes(bench: Bench) -> None:
    bench.ready()
    bench.cell.faults["proposal"] = failed(Code.NODE_LOST)
    verdict = bench.inspect()
    assert is_error(verdict, Code.NODE_LOST) and verdict.disposition is Disposition.REWORK_BIN


@pytest.mark.parametrize("verdict_before", [Verdict.PASS, Verdict.UNCERTAIN])
def test_a_part_that_cannot_be_placed_has_not_passed(bench: Bench, verdict_before: Verdict) -> None:
    bench.ready()
    bench.cell.scores = {"weight": 0.0003} if verdict_before is Verdict.UNCERTAIN else {}
    where = "place:good" if verdict_before is Verdict.PASS else "place:rework"
    bench.cell.faults[where] = failed(Code.ARM_STOPPED, arm_usable=False)
    verdict = bench.inspect()
    assert is_error(verdict, Code.ARM_STOPPED) and verdict.disposition is Disposition.GRIPPER
    assert bench.controller.state is State.ERROR


def test_a_failing_part_that_cannot_be_placed_still_fails_and_says_so(bench: Bench) -> None:
    bench.ready()
    bench.cell.scores = {"weight": 0.001}
    bench.cell.faults["place:reject"] = failed(Code.ARM_STOPPED, arm_usable=False)
    verdict = bench.inspect()
    assert verdict.verdict is Verdict.FAIL and {Code.WEIGHT_HIGH, Code.ARM_STOPPED} <= codes(verdict)
    assert verdict.disposition is Disposition.GRIPPER and bench.controller.state is State.ERROR


@pytest.mark.parametrize("arm_usable", [True, False])
def test_a_part_in_its_bin_keeps_its_verdict_when_the_way_home_fails(bench: Bench, arm_usable: bool) -> None:
    bench.ready()
    bench.cell.faults["home"] = failed(Code.ARM_STOPPED, arm_usable)
    verdict = bench.inspect()
    assert verdict.verdict is Verdict.PASS and verdict.disposition is Disposition.GOOD_BIN
    assert bench.controller.state is (State.READY if arm_usable else State.ERROR)
    if not arm_usable:
        assert [r.code for r in bench.controller.reasons] == [Code.ARM_STOPPED]
        assert "made to fail" in bench.controller.reasons[0].text


@pytest.mark.parametrize("place", ["prepare", "view:g1/wide", "weigh", "proposal", "place:good"])
def test_a_programming_error_is_an_error_of_the_part_and_holds_the_cell(bench: Bench, place: str, capsys) -> None:
    bench.ready()
    bench.cell.faults[place] = ZeroDivisionError("float division by zero")
    verdict = bench.inspect()
    assert is_error(verdict, Code.NODE_ERROR) and "ZeroDivisionError" in verdict.reasons[0].text
    assert bench.controller.state is State.ERROR
    assert "Traceback" in capsys.readouterr().err
