"""What makes a plan unfit to release a part: nothing to check, broken limits, broken references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from inspection_cell.core.plan import CheckKind, ExpectedCheck, InspectionPlan
from inspection_cell.core.reasons import Code, Reason

# Alignment and record checks are judged by their outcome; the others by their score against limits.
SCORED = (CheckKind.PRESENCE, CheckKind.ANOMALY, CheckKind.WEIGHT)


def grasp_alignments(plan: InspectionPlan, check: ExpectedCheck) -> tuple[ExpectedCheck, ...]:
    """The alignment checks of the grasp in which `check`'s view is taken; empty when the plan has none."""
    grasps = {view.view_id: view.grasp for view in plan.views}
    grasp = grasps.get(check.view_id)
    if grasp is None:
        return ()
    return tuple(c for c in plan.checks if c.kind is CheckKind.ALIGNMENT and grasps.get(c.view_id) == grasp)


def plan_faults(plan: InspectionPlan) -> tuple[Reason, ...]:
    """Why no part may pass by this plan; empty for a sound one."""
    return tuple(Reason(Code.INVALID_RECIPE, text, subject) for text, subject in _faults(plan))


def _faults(plan: InspectionPlan) -> Iterator[tuple[str, str]]:
    if not any(check.kind in SCORED for check in plan.checks):
        yield "the plan looks at nothing: it has no presence, anomaly or weight check", ""
    for name, count in Counter(check.check_id for check in plan.checks).items():
        if count > 1:
            yield f"the plan names this check {count} times", name
    for name, count in Counter(view.view_id for view in plan.views).items():
        if count > 1:
            yield f"the plan names this view {count} times", name
    if plan.rule.anomaly_views < 1 or plan.rule.presence_views < 1:
        yield "the plan's rule needs at least 1 in anomaly_views and presence_views", ""
    for check in plan.checks:
        for text in _check_faults(plan, check):
            yield text, check.check_id


def _check_faults(plan: InspectionPlan, check: ExpectedCheck) -> Iterator[str]:
    limits = (check.limit_uncertain, check.limit_defect, check.limit_critical)
    if any(math.isnan(value) for value in (*limits, check.nominal, check.deadline_s)):
        yield "a limit, the nominal value or the deadline is not a number"
    elif check.kind in SCORED:
        if not (math.isfinite(check.limit_uncertain) and math.isfinite(check.limit_defect)):
            yield f"limits {check.limit_uncertain} and {check.limit_defect} must be finite"
        if not check.limit_uncertain <= check.limit_defect <= check.limit_critical:
            yield f"limits {limits} must rise from uncertain over defect to critical"
    if check.kind is CheckKind.WEIGHT and not (check.limit_uncertain >= 0 and 0 < check.nominal < math.inf):
        yield f"nominal mass {check.nominal} kg must be positive and tolerance {check.limit_uncertain} kg not negative"
    if check.view_id and check.view_id not in {view.view_id for view in plan.views}:
        yield f"its view {check.view_id!r} is not in the plan"
    if check.kind is CheckKind.PRESENCE and not check.component:
        yield "a presence check must name its component"
    if check.needs_alignment and not grasp_alignments(plan, check):
        yield "it needs an alignment, but the plan has none for the grasp of its view"
