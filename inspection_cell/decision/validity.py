"""Which check results count as evidence, and what is lost: missing, late, invalid, not finite, from another model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import CheckKind, ExpectedCheck, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.decision.plan_faults import SCORED, alignments_of_views


@dataclass(frozen=True)
class Judged:
    """A check of the plan with the one valid result that answers it."""

    check: ExpectedCheck
    result: CheckResult


@dataclass(frozen=True)
class Evidence:
    """The results sorted by what they are worth.

    Attributes:
        judged: valid results with a finite score, right model, accepted alignment; late ones too.
        not_applicable: checks whose component a view could not show.
        losses: what a PASS lacks.
        unexpected: results that the plan did not ask for; never evidence.
    """

    judged: tuple[Judged, ...]
    not_applicable: tuple[ExpectedCheck, ...]
    losses: tuple[Reason, ...]
    unexpected: tuple[Reason, ...]


def sort_evidence(plan: InspectionPlan, results: Iterable[CheckResult]) -> Evidence:
    """Compares what came with what the plan expects."""
    expected = {check.check_id: check for check in plan.checks}
    by_id: dict[str, list[CheckResult]] = defaultdict(list)
    unexpected: list[Reason] = []
    for result in results:
        if result.inspection_id == plan.inspection_id and result.check_id in expected:
            by_id[result.check_id].append(result)
        else:
            unexpected.append(_unexpected(plan, result))

    losses: list[Reason] = []
    judged: list[Judged] = []
    hidden: list[ExpectedCheck] = []
    for name, check in expected.items():
        loss, valid = _one_result(check, by_id.get(name, []))
        losses.extend(loss)
        if valid is not None and valid.outcome is Outcome.NOT_APPLICABLE:
            hidden.append(check)
        elif valid is not None:
            judged.append(Judged(check, valid))
    losses.extend(_too_few(plan, judged))
    accepted = {j.check.check_id for j in judged if j.check.kind is CheckKind.ALIGNMENT}
    # A view is aligned where its grasp has alignments and all of them were accepted.
    aligned = {
        view_id
        for view_id, alignments in alignments_of_views(plan).items()
        if alignments and all(a.check_id in accepted for a in alignments)
    }
    return Evidence(
        judged=tuple(j for j in judged if not j.check.needs_alignment or j.check.view_id in aligned),
        not_applicable=tuple(check for check in hidden if not check.needs_alignment or check.view_id in aligned),
        losses=tuple(losses),
        unexpected=tuple(unexpected),
    )


def _unexpected(plan: InspectionPlan, result: CheckResult) -> Reason:
    if result.inspection_id != plan.inspection_id:
        text = f"a result of another inspection, {result.inspection_id}, came"
    else:
        text = "the plan has no such check"
    return Reason(Code.CHECK_UNEXPECTED, text, result.check_id)


def _one_result(check: ExpectedCheck, results: Sequence[CheckResult]) -> tuple[list[Reason], CheckResult | None]:
    """The losses of one check, and its result where that is valid (it may still be late)."""
    if not results:
        return [Reason(Code.CHECK_MISSING, "the check never reported", check.check_id)], None
    if len({_substance(result) for result in results}) > 1:
        text = f"{len(results)} results contradict each other"
        return [Reason(Code.CHECK_INVALID, text, check.check_id)], None
    result = results[0]
    fault = _fault(check, result)
    if fault is not None:
        return [fault], None
    lateness = min((r.lateness_s for r in results), key=lambda s: math.inf if math.isnan(s) else s)
    if not lateness <= 0:
        return [Reason(Code.CHECK_LATE, f"the check reported {lateness:.3g} s too late", check.check_id)], result
    return [], result


def _substance(result: CheckResult) -> tuple[object, ...]:
    """What two copies of one result must have in common; a repeated delivery differs in its timing only."""
    score = "nan" if math.isnan(result.score) else result.score
    code = result.reason.code if result.reason else Code.NONE
    return (
        result.kind,
        result.view_id,
        result.component,
        result.outcome,
        score,
        result.model_hash,
        result.artifact,
        result.artifact_sha256,
        code,
    )


def _fault(check: ExpectedCheck, result: CheckResult) -> Reason | None:
    """Why a result is no evidence at all, or None."""
    if (result.kind, result.view_id, result.component) != (check.kind, check.view_id, check.component):
        text = "the result is about something else than the plan's check of this name"
        return Reason(Code.CHECK_INVALID, text, check.check_id)
    if result.outcome is Outcome.INVALID:
        return _reported_fault(check, result)
    if check.model_hash and result.model_hash != check.model_hash:
        text = f"judged by model {result.model_hash[:12] or 'unknown'}, the plan names {check.model_hash[:12]}"
        return Reason(Code.CHECK_WRONG_MODEL, text, check.check_id)
    if result.outcome is Outcome.NOT_APPLICABLE:
        if check.kind is CheckKind.PRESENCE:
            return None
        return Reason(Code.CHECK_NOT_JUDGED_ENOUGH, "the check did not judge the part", check.check_id)
    if not math.isfinite(result.score):
        return Reason(Code.CHECK_NOT_FINITE, f"score {result.score} is no finite number", check.check_id)
    if check.kind is CheckKind.PRESENCE and not 0 <= result.score <= 1:
        return Reason(Code.CHECK_INVALID, f"score {result.score:.4g} is no probability", check.check_id)
    wanted = outcome_of(check, result.score) if check.kind in SCORED else Outcome.NOTHING_FOUND
    if result.outcome is not wanted:
        text = f"outcome {result.outcome.name} disagrees with {wanted.name} of score {result.score:.4g} and the limits"
        return Reason(Code.CHECK_INVALID, text, check.check_id)
    return None


def _reported_fault(check: ExpectedCheck, result: CheckResult) -> Reason:
    """The station's own word for its fault: the cause says more than "invalid"."""
    if result.reason is not None and result.reason.code is not Code.NONE:
        return Reason(result.reason.code, result.reason.text, check.check_id)
    return Reason(Code.CHECK_INVALID, "the check could not judge", check.check_id)


def _too_few(plan: InspectionPlan, judged: Sequence[Judged]) -> Iterator[Reason]:
    """Components judged in fewer views than the plan asks. One view is the least, whatever the rule says."""
    count: dict[str, int] = defaultdict(int)
    for check in plan.checks:
        if check.kind is CheckKind.PRESENCE:
            count[check.component] += 0
    for j in judged:
        if j.check.kind is CheckKind.PRESENCE:
            count[j.check.component] += 1
    for component in sorted(count.keys() | plan.rule.presence_min_judged.keys()):
        wanted = max(1, plan.rule.presence_min_judged.get(component, 1))
        if count[component] < wanted:
            text = f"judged in {count[component]} views, the plan asks for {wanted}"
            yield Reason(Code.CHECK_NOT_JUDGED_ENOUGH, text, component)
