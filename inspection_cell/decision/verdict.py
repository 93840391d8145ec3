"""The verdict table: what a plan and its check results say about the part. Pure, and the only place where it is said.

| evidence about the part              | all expected reported, valid, in time | something missing, late, invalid |
|--------------------------------------|---------------------------------------|----------------------------------|
| a defect proven                      | FAIL                                  | FAIL, the loss named too         |
| no defect proven, something doubtful | UNCERTAIN                             | ERROR                            |
| nothing found                        | PASS                                  | ERROR                            |

A fault alone is a loss, so it ends as ERROR; a recovered transient is not. Results that nobody asked for are named
and change nothing. Mode and `simulated` do not change the verdict; they stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Event, InspectionEnd, Severity, Verdict, VerdictProposal
from inspection_cell.decision.evidence import find
from inspection_cell.decision.plan_faults import plan_faults
from inspection_cell.decision.validity import sort_evidence


def decide(
    plan: InspectionPlan,
    results: Sequence[CheckResult],
    end: InspectionEnd | None,
    events: Sequence[Event] = (),
    losses: Sequence[Reason] = (),
    stamp_ns: int = 0,
) -> VerdictProposal:
    """The proposal for one part.

    Args:
        results: everything that came, in any order, with its lateness; duplicates and strangers included.
        end: the end of the handling, None when it never came.
        events: of any inspection; only faults of this one count.
        losses: what else the caller knows to be lost, e.g. a view that never came.
        stamp_ns: wall clock for the proposal.

    Returns:
        The verdict with its reasons, gravest first: proven defects, causes of a loss, lost checks, doubts, strangers.
    """
    evidence = sort_evidence(plan, results)
    findings = find(plan, evidence)
    causes = [*_end_losses(plan, end), *_faults(plan, events), *losses, *plan_faults(plan)]
    lost = [*causes, *_sorted(evidence.losses)]
    reasons = [*_sorted(findings.defects), *lost, *_sorted(findings.doubts), *_sorted(evidence.unexpected)]
    verdict = _table(bool(findings.defects), bool(findings.doubts), bool(lost))
    return VerdictProposal(plan.inspection_id, verdict, _once(reasons), stamp_ns)


def _table(defect: bool, doubt: bool, lost: bool) -> Verdict:
    if defect:
        return Verdict.FAIL
    if lost:
        return Verdict.ERROR
    return Verdict.UNCERTAIN if doubt else Verdict.PASS


def _end_losses(plan: InspectionPlan, end: InspectionEnd | None) -> tuple[Reason, ...]:
    if end is None or end.inspection_id != plan.inspection_id:
        return (Reason(Code.TIMEOUT, "the handling of the part was never reported as ended"),)
    if end.complete and not end.reasons:
        return ()
    return end.reasons or (Reason(Code.INTERRUPTED, "the handling of the part ended early"),)


def _faults(plan: InspectionPlan, events: Iterable[Event]) -> list[Reason]:
    """Faults of this inspection, in the order they happened."""
    mine = [e for e in events if e.inspection_id == plan.inspection_id and e.severity is Severity.FAULT]
    return [
        Reason(e.code, e.text, e.source) for e in sorted(mine, key=lambda e: (e.stamp_ns, e.code, e.source, e.text))
    ]


def _sorted(reasons: Iterable[Reason]) -> list[Reason]:
    """Named causes before "missing" and "late" (20x), then by number: the order of arrival never shows."""
    return sorted(reasons, key=lambda r: (r.code // 10 == 20, r.code, r.subject, r.text))


def _once(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Each code about each subject once, where it is named first."""
    first: dict[tuple[Code, str], Reason] = {}
    for reason in reasons:
        first.setdefault((reason.code, reason.subject), reason)
    return tuple(first.values())
