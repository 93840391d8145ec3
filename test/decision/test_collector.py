"""The collector: lateness on the steady clock, when waiting ends, and replay with recorded lateness."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from decision_parts import END, ID, answer, make_plan

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import Outcome
from inspection_cell.core.plan import CameraRole, CheckKind, ExpectedView, InspectionPlan, Mounting
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Event, Severity, Verdict
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.decision.alignment import judge_alignment
from inspection_cell.decision.collector import Collector
from inspection_cell.decision.weight import judge_weight

PLAN = make_plan()
CHECKS = {check.check_id: check for check in PLAN.checks}
WEIGHT = Weight(ID, 1, 0.1004, True, "scale", "S S 100.40 g")


def view_of(expected: ExpectedView) -> View:
    return View(
        inspection_id=ID,
        view_id=expected.view_id,
        grasp=expected.grasp,
        viewpoint=expected.viewpoint,
        role=expected.role,
        camera_id="0815",
        calibration_id="c1",
        stamp_ns=1,
        camera=CameraModel.pinhole(64, 48, 100.0),
        mounting=Mounting.PART_IN_HAND,
        T_world_camera=np.eye(4),
        T_world_tool=np.eye(4),
        T_prior=np.eye(4),
        prior_covariance=np.eye(6),
        exposure_s=0.01,
        gain_db=0.0,
        light="ring",
        attempts=1,
        settled=True,
    )


def alignment_of(grasp: str, /, **changes: object) -> Alignment:
    return replace(Alignment(ID, grasp, f"{grasp}_wide", 1, np.eye(4), np.eye(6), 0.9, 0.3, True), **changes)


def inspected(
    skip: str = "", replayed: dict[str, float] | None = None, slow: float = 0.0, plan: InspectionPlan = PLAN
) -> Collector:
    """A good part at one view a second from 100 s on; each check takes 0.5 s, `slow` seconds more in view g2_v1."""
    collector = Collector(plan, 100.0, replayed)
    for i, expected in enumerate(plan.views):
        now = 101.0 + i
        if expected.view_id != skip:
            collector.add_view(view_of(expected), now)
        if expected.viewpoint == "wide":
            collector.add_alignment(alignment_of(expected.grasp), now + 0.2)
        for check in PLAN.checks:
            if check.view_id == expected.view_id != skip and check.kind is not CheckKind.ALIGNMENT:
                late = slow if check.view_id == "g2_v1" else 0.0
                collector.add_result(answer(check, lateness_s=99.0), now + 0.5 + late)
    if skip != "weight":
        collector.add_weight(WEIGHT, 108.0)
    collector.add_end(END, 108.0)
    return collector


def test_a_good_part_passes_and_lateness_is_measured() -> None:
    collector = inspected()
    assert collector.complete
    assert collector.proposal(5).verdict is Verdict.PASS
    lateness = {result.check_id: result.lateness_s for result in collector.results}
    assert lateness["anomaly/g1_v1"] == pytest.approx(0.5 - 3.0)
    assert lateness["record/g1_v1"] == pytest.approx(0.5 - 10.0)
    assert lateness["alignment/g1"] == pytest.approx(0.2 - 2.0)


def test_slow_checks_are_late_and_replay_says_the_same_without_timing() -> None:
    live = inspected(slow=2.6)
    proposal = live.proposal(5)
    assert proposal.verdict is Verdict.ERROR
    assert {(r.code, r.subject) for r in proposal.reasons} == {
        (Code.CHECK_LATE, f"{name}/g2_v1") for name in ("anomaly", "presence/clip", "presence/label")
    }
    recorded = {result.check_id: result.lateness_s for result in live.results}
    assert inspected(replayed=recorded).proposal(5) == proposal
    del recorded["weight"]
    assert Code.CHECK_MISSING in [r.code for r in inspected(replayed=recorded).proposal(5).reasons]


def test_a_missing_view_is_waited_for_then_named() -> None:
    collector = inspected(skip="g2_v2")
    assert not collector.complete
    assert collector.deadline() == pytest.approx(
        120.0
    )  # the view's own deadline; its checks have 108 s + 3 s, record 10 s
    proposal = collector.proposal(5)
    assert proposal.verdict is Verdict.ERROR
    assert (proposal.reasons[0].code, proposal.reasons[0].subject) == (Code.VIEW_MISSING, "g2_v2")


def test_a_late_view_makes_its_checks_late() -> None:
    collector = Collector(PLAN, 100.0)
    late = PLAN.views[1]
    collector.add_view(view_of(late), 121.5)
    collector.add_result(answer(CHECKS["anomaly/g1_v1"]), 121.6)
    assert collector.results[0].lateness_s == pytest.approx(1.5)


def test_everything_after_the_plans_deadline_is_late() -> None:
    collector = Collector(PLAN, 100.0)
    collector.add_weight(WEIGHT, 161.0)
    assert collector.results[0].lateness_s == pytest.approx(1.0)


def test_an_early_end_is_not_waited_for_longer_than_what_runs() -> None:
    collector = Collector(PLAN, 100.0)
    assert collector.deadline() == pytest.approx(160.0)
    collector.add_view(view_of(PLAN.views[1]), 101.0)
    collector.add_end(replace(END, complete=False), 102.0)
    assert not collector.complete
    assert collector.deadline() == pytest.approx(111.0)  # record of g1_v1: 10 s after its view
    for name in ("record/g1_v1", "anomaly/g1_v1", "presence/label/g1_v1"):
        collector.add_result(answer(CHECKS[name]), 103.0)
    collector.add_result(answer(CHECKS["presence/clip/g1_v1"], 0.9), 103.0)
    assert collector.complete
    assert collector.proposal(5).verdict is Verdict.ERROR  # its grasp was never aligned


def test_a_lost_wide_view_is_an_error_whatever_was_aligned() -> None:
    """The alignment's check stands on g1_wide, the last of two wide views; the first is lost."""
    first = ExpectedView("g1_wide_first", "g1", "wide_first", CameraRole.WIDE, 20.0)
    plan = replace(PLAN, views=(first, *PLAN.views))
    assert inspected(plan=plan).proposal(5).verdict is Verdict.PASS
    proposal = inspected(skip="g1_wide_first", plan=plan).proposal(5)
    assert proposal.verdict is Verdict.ERROR
    assert [(r.code, r.subject) for r in proposal.reasons] == [(Code.VIEW_MISSING, "g1_wide_first")]


def test_an_empty_early_end_is_complete_at_once() -> None:
    collector = Collector(PLAN, 100.0)
    collector.add_end(replace(END, complete=False, reasons=(Reason(Code.PROTECTIVE_STOP, "pressed"),)), 100.5)
    assert collector.complete
    assert collector.deadline() == pytest.approx(100.5)
    assert collector.proposal(5).reasons[0].code is Code.PROTECTIVE_STOP


def test_retried_weighing_and_alignment_may_pass() -> None:
    collector = inspected(skip="weight")
    collector.add_weight(replace(WEIGHT, stable=False), 107.0)
    assert Code.SCALE_UNSTABLE in [r.code for r in collector.proposal(5).reasons]
    collector.add_weight(WEIGHT, 108.0)
    collector.add_weight(replace(WEIGHT, mass_kg=math.nan), 108.1)
    collector.add_alignment(alignment_of("g1", accepted=False), 108.2)
    assert collector.proposal(5).verdict is Verdict.PASS
    assert collector.weight == WEIGHT


def test_two_valid_weighings_that_differ_contradict() -> None:
    collector = inspected()
    collector.add_weight(replace(WEIGHT, mass_kg=0.1001), 108.0)
    assert collector.proposal(5).verdict is Verdict.ERROR


def test_views_not_as_planned_are_lost() -> None:
    collector = inspected(skip="g1_v1")
    for check in PLAN.checks:
        if check.view_id == "g1_v1":
            collector.add_result(answer(check), 108.0)
    view = view_of(PLAN.views[1])
    for wrong, code in (
        (replace(view, settled=False), Code.ARM_NOT_SETTLED),
        (replace(view, grasp="g2"), Code.VIEW_MISSING),
    ):
        collector.views["g1_v1"] = wrong
        assert [r.code for r in collector.proposal(5).reasons] == [code]


def test_messages_of_other_inspections_are_ignored() -> None:
    collector = Collector(PLAN, 100.0)
    other = "other"
    collector.add_view(replace(view_of(PLAN.views[0]), inspection_id=other), 101.0)
    collector.add_alignment(alignment_of("g1", inspection_id=other), 101.0)
    collector.add_weight(replace(WEIGHT, inspection_id=other), 101.0)
    collector.add_result(answer(PLAN.checks[0], inspection_id=other), 101.0)
    collector.add_event(Event(other, 1, "arm", Severity.FAULT, Code.ARM_STOPPED, ""))
    collector.add_end(replace(END, inspection_id=other), 101.0)
    assert (collector.views, collector.alignments, collector.results, collector.events) == ({}, [], (), [])
    assert collector.weight is None and collector.end is None


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({"mass_kg": 0.1005}, Outcome.NOTHING_FOUND, None),
        ({"mass_kg": 0.0985}, Outcome.UNCERTAIN, Code.WEIGHT_UNCERTAIN),
        ({"mass_kg": 0.0970}, Outcome.DEFECT, Code.WEIGHT_LOW),
        ({"mass_kg": 0.1030}, Outcome.DEFECT, Code.WEIGHT_HIGH),
        ({"mass_kg": math.nan}, Outcome.INVALID, Code.SCALE_GARBAGE),
        ({"stable": False}, Outcome.INVALID, Code.SCALE_UNSTABLE),
        ({"reason": Reason(Code.SCALE_OVERLOAD, "over")}, Outcome.INVALID, Code.SCALE_OVERLOAD),
    ],
)
def test_judge_weight(changes: dict[str, object], outcome: Outcome, code: Code | None) -> None:
    result = judge_weight(CHECKS["weight"], replace(WEIGHT, **changes))
    assert result.outcome is outcome
    assert (result.reason.code if result.reason else None) is code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"accepted": False}, Code.ALIGNMENT_REFUSED),
        ({"grasp": "g2"}, Code.ALIGNMENT_STALE),
        ({"T_reference_part": np.full((4, 4), np.nan)}, Code.ALIGNMENT_REFUSED),
        ({"residual_px": math.nan}, Code.ALIGNMENT_REFUSED),
    ],
)
def test_judge_alignment(changes: dict[str, object], code: Code | None) -> None:
    result = judge_alignment(CHECKS["alignment/g1"], alignment_of("g1", **changes), "g1")
    assert result.outcome is (Outcome.INVALID if code else Outcome.NOTHING_FOUND)
    assert (result.reason.code if result.reason else None) is code
