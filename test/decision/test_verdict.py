"""The verdict table row by row, and its rules: anomaly n of m, presence, weight, plan faults."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from decision_parts import END, ID, answer, good_results, invalid, make_plan, with_scores

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CameraRole, CheckKind, ExpectedView, InspectionPlan, Mode
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Event, InspectionEnd, Severity, Verdict, VerdictProposal
from inspection_cell.decision.verdict import decide

PLAN = make_plan()
VIEWS = ("g1_v1", "g1_v2", "g2_v1", "g2_v2")
DEFECT = {f"presence/clip/{view}": 0.99 for view in VIEWS}
PROVEN = DEFECT | {"anomaly/g2_v2": 11.0}
DOUBT = {"weight": 0.0015}
NOT_APPLICABLE = {"outcome": Outcome.NOT_APPLICABLE, "score": math.nan}


def judge(results: dict[str, CheckResult], plan: InspectionPlan = PLAN, **arguments: object) -> VerdictProposal:
    return decide(plan, list(results.values()), **{"end": END, **arguments})


def codes(proposal: VerdictProposal) -> list[Code]:
    return [reason.code for reason in proposal.reasons]


def fault(severity: Severity = Severity.FAULT, inspection_id: str = ID) -> Event:
    return Event(inspection_id, 5, "camera", severity, Code.CAMERA_TIMEOUT, "no frame in 1 s")


LOSSES = {
    "missing": (lambda r: r.pop("anomaly/g1_v1"), {}, Code.CHECK_MISSING),
    "late": (lambda r: r.update({"weight": replace(r["weight"], lateness_s=0.01)}), {}, Code.CHECK_LATE),
    "lateness unknown": (
        lambda r: r.update({"weight": replace(r["weight"], lateness_s=math.nan)}),
        {},
        Code.CHECK_LATE,
    ),
    "not finite": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], score=math.nan)}),
        {},
        Code.CHECK_NOT_FINITE,
    ),
    "infinite": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], score=math.inf, outcome=Outcome.DEFECT)}),
        {},
        Code.CHECK_NOT_FINITE,
    ),
    "wrong model": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], model_hash="")}),
        {},
        Code.CHECK_WRONG_MODEL,
    ),
    "invalid": (lambda r: r.update({"record/g1_v1": invalid(r["record/g1_v1"])}), {}, Code.CHECK_INVALID),
    "invalid, cause named": (
        lambda r: r.update({"record/g1_v1": invalid(r["record/g1_v1"], Code.STORE_FULL)}),
        {},
        Code.STORE_FULL,
    ),
    "outcome contradicts score": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], outcome=Outcome.UNCERTAIN)}),
        {},
        Code.CHECK_INVALID,
    ),
    "about another view": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], view_id="g1_v2")}),
        {},
        Code.CHECK_INVALID,
    ),
    "contradiction": (
        lambda r: r.update(again=replace(r["anomaly/g1_v1"], score=0.6)),
        {},
        Code.CHECK_INVALID,
    ),
    "other check not judged": (
        lambda r: r.update({"anomaly/g1_v1": replace(r["anomaly/g1_v1"], **NOT_APPLICABLE)}),
        {},
        Code.CHECK_NOT_JUDGED_ENOUGH,
    ),
    "alignment refused": (
        lambda r: r.update({"alignment/g2": invalid(r["alignment/g2"], Code.ALIGNMENT_REFUSED)}),
        {},
        Code.ALIGNMENT_REFUSED,
    ),
    "of another part": (
        lambda r: r.update(weight=replace(r["weight"], inspection_id="other")),
        {},
        Code.CHECK_MISSING,
    ),
    "fault alone": (lambda r: None, {"events": [fault()]}, Code.CAMERA_TIMEOUT),
    "no end": (lambda r: None, {"end": None}, Code.TIMEOUT),
    "end of another part": (lambda r: None, {"end": replace(END, inspection_id="other")}, Code.TIMEOUT),
    "ended early": (lambda r: None, {"end": replace(END, complete=False)}, Code.INTERRUPTED),
    "ended with a reason": (
        lambda r: None,
        {"end": InspectionEnd(ID, 1, False, (Reason(Code.PART_LOST, "the jaws closed", "gripper"),))},
        Code.PART_LOST,
    ),
    "view lost": (lambda r: None, {"losses": [Reason(Code.VIEW_MISSING, "never came", "g1_v1")]}, Code.VIEW_MISSING),
}


@pytest.mark.parametrize(
    ("scores", "verdict", "code"),
    [
        ({}, Verdict.PASS, None),
        (DOUBT, Verdict.UNCERTAIN, Code.WEIGHT_UNCERTAIN),
        (DEFECT, Verdict.FAIL, Code.COMPONENT_MISSING),
    ],
    ids=["nothing", "doubt", "defect"],
)
def test_everything_reported(scores: dict[str, float], verdict: Verdict, code: Code | None) -> None:
    proposal = judge(with_scores(PLAN, scores))
    assert proposal.verdict is verdict
    assert codes(proposal) == ([code] if code else [])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("scores", "verdict"),
    [({}, Verdict.ERROR), (DOUBT, Verdict.ERROR), (PROVEN, Verdict.FAIL)],
    ids=["nothing", "doubt", "defect"],
)
def test_something_lost(name: str, scores: dict[str, float], verdict: Verdict) -> None:
    change, arguments, code = LOSSES[name]
    results = with_scores(PLAN, scores)
    change(results)
    proposal = judge(results, **arguments)
    assert proposal.verdict is verdict
    assert code in codes(proposal)
    if verdict is Verdict.FAIL:
        assert proposal.reasons[0].code in (Code.COMPONENT_MISSING, Code.ANOMALY_CRITICAL)


@pytest.mark.parametrize(
    ("scores", "verdict", "expected"),
    [
        ({"anomaly/g1_v1": 9.0}, Verdict.PASS, []),
        ({"anomaly/g1_v1": 2.1, "anomaly/g2_v1": 2.1}, Verdict.FAIL, [Code.ANOMALY_VIEWS] * 2),
        ({"anomaly/g1_v1": 2.0, "anomaly/g2_v1": 2.0}, Verdict.UNCERTAIN, [Code.ANOMALY_UNCERTAIN] * 2),
        ({"anomaly/g1_v1": 9.0, "anomaly/g2_v1": 1.1}, Verdict.UNCERTAIN, [Code.ANOMALY_UNCERTAIN] * 2),
        ({"anomaly/g1_v1": 1.0, "anomaly/g2_v1": 1.0}, Verdict.PASS, []),
        ({"anomaly/g1_v1": 10.1}, Verdict.FAIL, [Code.ANOMALY_CRITICAL]),
        ({"anomaly/g1_v1": 10.1, "anomaly/g2_v1": 3.0}, Verdict.FAIL, [Code.ANOMALY_VIEWS, Code.ANOMALY_CRITICAL]),
        ({f"presence/label/{view}": 0.5 for view in VIEWS}, Verdict.UNCERTAIN, [Code.COMPONENT_UNCERTAIN]),
        ({"weight": -0.0021}, Verdict.FAIL, [Code.WEIGHT_LOW]),
        ({"weight": 0.0021}, Verdict.FAIL, [Code.WEIGHT_HIGH]),
        ({"weight": -0.0011}, Verdict.UNCERTAIN, [Code.WEIGHT_UNCERTAIN]),
    ],
)
def test_rules_of_the_part(scores: dict[str, float], verdict: Verdict, expected: list[Code]) -> None:
    proposal = judge(with_scores(PLAN, scores))
    assert (proposal.verdict, codes(proposal)) == (verdict, expected)


def test_more_views_than_planned_are_never_asked() -> None:
    plan = make_plan(anomaly_views=99)
    views = [check.check_id for check in plan.checks if check.kind is CheckKind.ANOMALY]
    assert judge(with_scores(plan, dict.fromkeys(views, 3.0)), plan).verdict is Verdict.FAIL
    assert judge(with_scores(plan, dict.fromkeys(views[1:], 3.0)), plan).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("shown", "hidden", "lost", "verdict"),
    [
        (1, 0, 0, Verdict.UNCERTAIN),  # three views see it there, one does not
        (2, 0, 0, Verdict.UNCERTAIN),
        (3, 0, 0, Verdict.FAIL),
        (2, 1, 0, Verdict.FAIL),  # one of three says it is there
        (1, 3, 0, Verdict.FAIL),  # one view can see it and shows it; that it is too few is named too
        (2, 0, 2, Verdict.ERROR),  # losing the other views does not prove it
        (0, 3, 0, Verdict.ERROR),
        (0, 2, 0, Verdict.PASS),
    ],
)
def test_a_component_is_judged_by_its_views_together(shown: int, hidden: int, lost: int, verdict: Verdict) -> None:
    plan = make_plan(presence_correlation=0.5)
    names = [f"presence/clip/{view}" for view in ("g1_v1", "g1_v2", "g2_v1", "g2_v2")]
    results = with_scores(plan, dict.fromkeys(names[:shown], 0.9))
    for name in names[4 - hidden :]:
        results[name] = replace(results[name], **NOT_APPLICABLE)
    for name in names[4 - lost :]:
        del results[name]
    assert judge(results, plan).verdict is verdict


def test_a_component_nobody_could_judge_never_passes() -> None:
    plan = make_plan(presence_min_judged={})
    results = good_results(plan)
    for name, result in results.items():
        if result.component == "label":
            results[name] = replace(result, **NOT_APPLICABLE)
    proposal = judge(results, plan)
    assert proposal.verdict is Verdict.ERROR
    assert (proposal.reasons[0].code, proposal.reasons[0].subject) == (Code.CHECK_NOT_JUDGED_ENOUGH, "label")


def test_a_component_that_the_rule_wants_but_no_check_looks_at_never_passes() -> None:
    plan = make_plan(presence_min_judged={"screw": 1})
    assert judge(good_results(plan), plan).verdict is Verdict.ERROR


def test_wrong_component_is_called_wrong() -> None:
    results = good_results(PLAN)
    for view in VIEWS:
        name = f"presence/clip/{view}"
        results[name] = replace(
            results[name], score=0.8, outcome=Outcome.DEFECT, reason=Reason(Code.COMPONENT_WRONG, "a long clip")
        )
    assert codes(judge(results)) == [Code.COMPONENT_WRONG]


def test_unusable_defect_proves_nothing() -> None:
    """A defect seen where the part was not aligned, by another model, or of another part, is no evidence."""
    defect = with_scores(PLAN, DEFECT)
    unaligned = defect | {name: invalid(defect[name]) for name in ("alignment/g1", "alignment/g2")}
    assert judge(unaligned).verdict is Verdict.ERROR
    assert judge(defect | {n: replace(defect[n], model_hash="c" * 64) for n in DEFECT}).verdict is Verdict.ERROR
    foreign = good_results(PLAN) | {f"x{n}": replace(defect[n], inspection_id="other") for n in DEFECT}
    assert judge(foreign).verdict is Verdict.PASS
    assert set(codes(judge(foreign))) == {Code.CHECK_UNEXPECTED}


def test_a_score_that_is_no_probability_is_no_evidence() -> None:
    assert judge(with_scores(PLAN, {"presence/clip/g1_v1": 1.5})).verdict is Verdict.ERROR


def test_checks_of_a_component_with_different_limits_release_nothing() -> None:
    checks = [replace(c, limit_defect=0.7) if c.check_id == "presence/clip/g1_v1" else c for c in PLAN.checks]
    plan = replace(PLAN, checks=tuple(checks))
    proposal = judge(good_results(plan), plan)
    assert (proposal.verdict, proposal.reasons[0].subject) == (Verdict.ERROR, "clip")


def test_late_defect_is_still_a_defect() -> None:
    results = with_scores(PLAN, DEFECT)
    name = next(iter(DEFECT))
    results[name] = replace(results[name], lateness_s=4.0)
    proposal = judge(results)
    assert proposal.verdict is Verdict.FAIL
    assert codes(proposal) == [Code.COMPONENT_MISSING, Code.CHECK_LATE]


def test_repeated_delivery_is_one_result() -> None:
    results = good_results(PLAN)
    results["again"] = replace(results["anomaly/g1_v1"], lateness_s=7.0, analysis_s=1.0)
    assert judge(results).verdict is Verdict.PASS


def test_recovered_transients_and_faults_of_others_do_not_prevent_a_pass() -> None:
    events = [fault(Severity.RECOVERED), fault(Severity.INFO), fault(inspection_id="other"), fault(inspection_id="")]
    assert judge(good_results(PLAN), events=events).verdict is Verdict.PASS


def test_a_teaching_cell_without_a_scale_passes_what_was_aligned_and_recorded() -> None:
    kinds = (CheckKind.ALIGNMENT, CheckKind.RECORD)
    plan = replace(make_plan(presence_min_judged={}), checks=tuple(c for c in PLAN.checks if c.kind in kinds))
    assert judge(good_results(plan), plan).verdict is Verdict.ERROR
    plan = replace(plan, mode=Mode.TEACH)
    assert judge(good_results(plan), plan).verdict is Verdict.PASS
    recorded = replace(plan, checks=tuple(c for c in plan.checks if c.kind is CheckKind.RECORD))
    assert judge(good_results(recorded), recorded).verdict is Verdict.ERROR


def test_mode_does_not_change_the_verdict() -> None:
    plan = replace(PLAN, mode=Mode.SIMULATION, simulated=True)
    assert judge(good_results(plan), plan).verdict is Verdict.PASS


def test_reasons_come_gravest_first() -> None:
    results = with_scores(PLAN, DEFECT | DOUBT)
    del results["anomaly/g1_v1"]
    results["strange"] = answer(PLAN.checks[0], check_id="strange")
    proposal = judge(results, events=[fault()])
    assert codes(proposal) == [
        Code.COMPONENT_MISSING,
        Code.CAMERA_TIMEOUT,
        Code.CHECK_MISSING,
        Code.WEIGHT_UNCERTAIN,
        Code.CHECK_UNEXPECTED,
    ]
    assert [reason.subject for reason in proposal.reasons] == ["clip", "camera", "anomaly/g1_v1", "weight", "strange"]


@pytest.mark.parametrize(
    "changes",
    [
        {"limit_uncertain": math.nan},
        {"limit_defect": math.nan},
        {"limit_critical": math.nan},
        {"limit_defect": math.inf},
        {"limit_uncertain": -math.inf},
        {"limit_uncertain": 5.0},
        {"limit_critical": 1.5},
        {"view_id": "g9_v9"},
        {"deadline_s": math.nan},
    ],
)
def test_a_broken_check_in_the_plan_never_passes(changes: dict[str, object]) -> None:
    checks = [replace(c, **changes) if c.check_id == "anomaly/g1_v1" else c for c in PLAN.checks]
    plan = replace(PLAN, checks=tuple(checks))
    proposal = judge({c.check_id: answer(c) for c in checks}, plan)
    assert proposal.verdict is Verdict.ERROR
    assert proposal.reasons[0].code is Code.INVALID_RECIPE
    assert proposal.reasons[0].subject == "anomaly/g1_v1"


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, checks=()),
        replace(PLAN, checks=PLAN.checks[:2]),
        replace(PLAN, checks=PLAN.checks + PLAN.checks[-1:]),
        replace(PLAN, checks=tuple(c for c in PLAN.checks if c.kind is not CheckKind.ALIGNMENT)),
        replace(PLAN, views=(*PLAN.views, ExpectedView("g1_wide2", "g1", "wide2", CameraRole.WIDE, 20.0))),
        make_plan(anomaly_views=0),
        replace(PLAN, checks=tuple(replace(c, nominal=0.0) if c.kind is CheckKind.WEIGHT else c for c in PLAN.checks)),
    ],
    ids=[
        "no check",
        "looks at nothing",
        "twice the same",
        "needs alignment, has none",
        "aligned before the last wide view",
        "n is 0",
        "no nominal mass",
    ],
)
def test_a_broken_plan_never_passes(plan: InspectionPlan) -> None:
    proposal = judge(good_results(plan), plan)
    assert proposal.verdict is Verdict.ERROR
    assert proposal.reasons[0].code is Code.INVALID_RECIPE
