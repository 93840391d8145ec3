"""A small part for the tests: its plan, and the results that a good part gives."""

from __future__ import annotations

from dataclasses import replace

from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import (
    CameraRole,
    CheckKind,
    ExpectedCheck,
    ExpectedView,
    InspectionPlan,
    Mode,
    Mounting,
    PartRule,
)
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import InspectionEnd

ID = "20260102-030405-abcdef12"
MODEL = "a" * 64
COMPONENTS = ("clip", "label")
SCORED_VIEWS = ("g1_v1", "g1_v2", "g2_v1", "g2_v2")


def make_views() -> tuple[ExpectedView, ...]:
    views = []
    for grasp in ("g1", "g2"):
        views.append(ExpectedView(f"{grasp}_wide", grasp, "wide", CameraRole.WIDE, 20.0))
        views += [ExpectedView(f"{grasp}_{v}", grasp, v, CameraRole.INSPECTION, 20.0) for v in ("v1", "v2")]
    return tuple(views)


def make_checks() -> tuple[ExpectedCheck, ...]:
    checks = [ExpectedCheck(f"alignment/{g}", CheckKind.ALIGNMENT, f"{g}_wide", deadline_s=2.0) for g in ("g1", "g2")]
    for view in SCORED_VIEWS:
        checks.append(ExpectedCheck(f"record/{view}", CheckKind.RECORD, view))
        checks.append(
            ExpectedCheck(f"anomaly/{view}", CheckKind.ANOMALY, view, "", MODEL, 1.0, 2.0, 10.0, deadline_s=3.0)
        )
        checks += [
            ExpectedCheck(
                f"presence/{component}/{view}",
                CheckKind.PRESENCE,
                view,
                component,
                MODEL,
                0.4,
                0.6,
                needs_alignment=True,
                deadline_s=3.0,
            )
            for component in COMPONENTS
        ]
    checks.append(
        ExpectedCheck(
            "weight", CheckKind.WEIGHT, limit_uncertain=0.001, limit_defect=0.002, nominal=0.1, deadline_s=1.0
        )
    )
    return tuple(checks)


def make_plan(**rule: object) -> InspectionPlan:
    return InspectionPlan(
        inspection_id=ID,
        request_id="r1",
        serial="4711",
        recipe="ring",
        recipe_hash="b" * 64,
        mode=Mode.PRODUCTION,
        simulated=False,
        mounting=Mounting.PART_IN_HAND,
        stamp_ns=1_767_323_045_000_000_000,
        views=make_views(),
        checks=make_checks(),
        rule=PartRule(**{"anomaly_views": 2, "presence_min_judged": {"clip": 2}, **rule}),
        deadline_s=60.0,
    )


END = InspectionEnd(ID, 1, True)


def answer(check: ExpectedCheck, score: float | None = None, **changes: object) -> CheckResult:
    """A valid answer in time; without a score, that of a good part."""
    if score is None:
        score = {CheckKind.PRESENCE: 0.1, CheckKind.ANOMALY: 0.5}.get(check.kind, 0.0)
    scored = check.kind in (CheckKind.PRESENCE, CheckKind.ANOMALY, CheckKind.WEIGHT)
    result = CheckResult(
        inspection_id=ID,
        check_id=check.check_id,
        kind=check.kind,
        outcome=outcome_of(check, score) if scored else Outcome.NOTHING_FOUND,
        score=score,
        view_id=check.view_id,
        component=check.component,
        model_hash=check.model_hash,
        lateness_s=-1.0,
    )
    return replace(result, **changes)


def good_results(plan: InspectionPlan) -> dict[str, CheckResult]:
    return {check.check_id: answer(check) for check in plan.checks}


def with_scores(plan: InspectionPlan, scores: dict[str, float]) -> dict[str, CheckResult]:
    """A good part's results with some scores changed; outcomes follow."""
    by_id = {check.check_id: check for check in plan.checks}
    return good_results(plan) | {name: answer(by_id[name], score) for name, score in scores.items()}


def invalid(result: CheckResult, code: Code = Code.NONE) -> CheckResult:
    reason = Reason(code, "broken") if code else None
    return replace(result, outcome=Outcome.INVALID, score=float("nan"), reason=reason)
