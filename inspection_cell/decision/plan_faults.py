"""What makes a plan unfit to release a part: nothing to check, broken limits, broken references."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from inspection_cell.core.plan import CheckKind, ExpectedCheck, InspectionPlan, Mode, wide_views
from inspection_cell.core.reasons import Code, Reason

# Alignment and record checks are judged by their outcome; the others by their score against limits.
SCORED = (CheckKind.PRESENCE, CheckKind.ANOMALY, CheckKind.WEIGHT)


def alignments_of_views(plan: InspectionPlan) -> dict[str, list[ExpectedCheck]]:
    """For each view of the plan, the alignment checks of the grasp it is taken in."""
    grasps = {view.view_id: view.grasp for view in plan.views}
    of_grasp: dict[str, list[ExpectedCheck]] = {grasp: [] for grasp in grasps.values()}
    for check in plan.checks:
        if check.kind is CheckKind.ALIGNMENT and check.view_id in grasps:
            of_grasp[grasps[check.view_id]].append(check)
    return {view_id: of_grasp[grasp] for view_id, grasp in grasps.items()}


def plan_faults(plan: InspectionPlan) -> tuple[Reason, ...]:
    """Why no part may pass by this plan; empty for a sound one."""
    return tuple(Reason(Code.INVALID_RECIPE, text, subject) for text, subject in _faults(plan))


def _faults(plan: InspectionPlan) -> Iterator[tuple[str, str]]:
    # A teaching cell has no models yet: aligned and recorded is what it can say of a part.
    looks = (*SCORED, CheckKind.ALIGNMENT) if plan.mode is Mode.TEACH else SCORED
    if not any(check.kind in looks for check in plan.checks):
        yield "the plan looks at nothing: it has no presence, anomaly or weight check", ""
    for name, count in Counter(check.check_id for check in plan.checks).items():
        if count > 1:
            yield f"the plan names this check {count} times", name
    for name, count in Counter(view.view_id for view in plan.views).items():
        if count > 1:
            yield f"the plan names this view {count} times", name
    if plan.rule.anomaly_views < 1:
        yield "the plan's rule needs at least 1 in anomaly_views", ""
    if not 0 <= plan.rule.presence_correlation <= 1:
        yield f"the plan's rule has a presence_correlation of {plan.rule.presence_correlation}, not from 0 to 1", ""
    yield from _component_faults(plan)
    alignments = alignments_of_views(plan)
    for grasp in dict.fromkeys(view.grasp for view in plan.views):
        wide = [view.view_id for view in wide_views(plan.views, grasp)]
        if not wide or not alignments[wide[-1]]:
            continue
        if {check.view_id for check in alignments[wide[-1]]} & set(wide) != {wide[-1]}:
            yield f"its alignment must be checked on {wide[-1]}, the last of its wide views", grasp
    for check in plan.checks:
        for text in _check_faults(check, alignments):
            yield text, check.check_id


def _component_faults(plan: InspectionPlan) -> Iterator[tuple[str, str]]:
    """A component has one joined score, so its checks must agree on the limits."""
    limits: dict[str, set[tuple[float, float, float]]] = defaultdict(set)
    for check in plan.checks:
        if check.kind is CheckKind.PRESENCE:
            limits[check.component].add((check.limit_uncertain, check.limit_defect, check.limit_critical))
    for component, found in limits.items():
        if len(found) > 1:
            yield "its presence checks have different limits", component


def _check_faults(check: ExpectedCheck, alignments: Mapping[str, list[ExpectedCheck]]) -> Iterator[str]:
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
    if check.view_id and check.view_id not in alignments:
        yield f"its view {check.view_id!r} is not in the plan"
    if check.kind is CheckKind.PRESENCE and not check.component:
        yield "a presence check must name its component"
    if check.needs_alignment and not alignments.get(check.view_id):
        yield "it needs an alignment, but the plan has none for the grasp of its view"
