"""What valid results say about the part: defects that are proven, and doubts that are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inspection_cell.core.check import Outcome, outcome_of
from inspection_cell.core.joined import is_held_back, joined_score
from inspection_cell.core.plan import CheckKind, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.decision.validity import Evidence, Judged


@dataclass(frozen=True)
class Findings:
    """Proven defects and open doubts, each as reasons."""

    defects: tuple[Reason, ...]
    doubts: tuple[Reason, ...]


def find(plan: InspectionPlan, evidence: Evidence) -> Findings:
    """Applies the part's rule to the valid results."""
    defects: list[Reason] = []
    doubts: list[Reason] = []
    for found in (_anomaly(plan, evidence), *_presence(plan, evidence), *_weight(evidence)):
        defects.extend(found.defects)
        doubts.extend(found.doubts)
    return Findings(tuple(defects), tuple(doubts))


def _of_kind(evidence: Evidence, kind: CheckKind) -> list[Judged]:
    return [j for j in evidence.judged if j.check.kind is kind]


def _at_least(judged: Iterable[Judged], *outcomes: Outcome) -> list[Judged]:
    return [j for j in judged if outcome_of(j.check, j.result.score) in outcomes]


def _anomaly(plan: InspectionPlan, evidence: Evidence) -> Findings:
    """n of m views over their limit, or one over its critical limit. n is never more than the views there are."""
    planned = sum(check.kind is CheckKind.ANOMALY for check in plan.checks)
    needed = max(1, min(plan.rule.anomaly_views, planned))
    views = _of_kind(evidence, CheckKind.ANOMALY)
    critical = [j for j in views if j.result.score > j.check.limit_critical]
    over = _at_least(views, Outcome.DEFECT)
    # As many views over the uncertain limit as the rule needs is the same as: the n-th largest score is over it.
    doubtful = _at_least(views, Outcome.DEFECT, Outcome.UNCERTAIN)
    defects = [_score_reason(Code.ANOMALY_CRITICAL, j, j.check.limit_critical) for j in critical]
    if len(over) >= needed:
        defects += [_score_reason(Code.ANOMALY_VIEWS, j, j.check.limit_defect) for j in over if j not in critical]
    if defects or len(doubtful) < needed:
        return Findings(tuple(defects), ())
    return Findings((), tuple(_score_reason(Code.ANOMALY_UNCERTAIN, j, j.check.limit_uncertain) for j in doubtful))


def _score_reason(code: Code, judged: Judged, limit: float) -> Reason:
    text = f"{judged.check.check_id}: score {judged.result.score:.4g} is over {limit:.4g}"
    return Reason(code, text, judged.check.view_id or judged.check.check_id)


def _presence(plan: InspectionPlan, evidence: Evidence) -> Iterator[Findings]:
    """One finding per component, by the score that all views which judged it have together.

    A view that was lost still counts as one that could have seen the component there. A single view that by itself
    shows the defect is no proof where the others say otherwise, but nothing passes over it: a person looks.
    """
    hidden = {check.check_id for check in evidence.not_applicable}
    could_see: dict[str, int] = defaultdict(int)
    for check in plan.checks:
        if check.kind is CheckKind.PRESENCE and check.check_id not in hidden:
            could_see[check.component] += 1
    by_component: dict[str, list[Judged]] = defaultdict(list)
    for judged in _of_kind(evidence, CheckKind.PRESENCE):
        by_component[judged.check.component].append(judged)
    for component, views in by_component.items():
        yield _component(component, views, could_see[component] - len(views), plan.rule.presence_correlation)


def _component(component: str, views: Sequence[Judged], lost: int, correlation: float) -> Findings:
    scores, check = [j.result.score for j in views], views[0].check
    proven = joined_score(scores, correlation, lost)
    critical = any(score > check.limit_critical for score in scores)
    if critical or outcome_of(check, proven) is Outcome.DEFECT:
        return Findings((Reason(_presence_code(views), _seen_in("not as it should be", proven, views), component),), ())
    if is_held_back(scores, correlation, check.limit_uncertain, check.limit_defect):
        text = _seen_in("doubtful", joined_score(scores, correlation), views)
        return Findings((), (Reason(Code.COMPONENT_UNCERTAIN, text, component),))
    return Findings((), ())


def _presence_code(views: Iterable[Judged]) -> Code:
    """WRONG only where every view that has something to say of it calls it so; else MISSING."""
    codes = {j.result.reason.code for j in _at_least(views, Outcome.DEFECT, Outcome.UNCERTAIN) if j.result.reason}
    return Code.COMPONENT_WRONG if codes == {Code.COMPONENT_WRONG} else Code.COMPONENT_MISSING


def _seen_in(what: str, joined: float, views: Iterable[Judged]) -> str:
    graver = sorted(views, key=lambda j: (-j.result.score, j.check.view_id))
    return f"{what}, score {joined:.3g} of " + ", ".join(f"{j.check.view_id} ({j.result.score:.2g})" for j in graver)


def _weight(evidence: Evidence) -> Iterator[Findings]:
    for judged in _of_kind(evidence, CheckKind.WEIGHT):
        check, deviation = judged.check, judged.result.score
        text = f"{deviation * 1e3:+.2f} g from the nominal {check.nominal * 1e3:.2f} g"
        outcome = outcome_of(check, deviation)
        if outcome is Outcome.DEFECT:
            code = Code.WEIGHT_LOW if deviation < 0 else Code.WEIGHT_HIGH
            yield Findings((Reason(code, text, check.check_id),), ())
        elif outcome is Outcome.UNCERTAIN:
            yield Findings((), (Reason(Code.WEIGHT_UNCERTAIN, text, check.check_id),))
