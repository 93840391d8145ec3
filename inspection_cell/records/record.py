"""What is known of one inspection: the short form for lists, and all of it."""

from __future__ import annotations

from dataclasses import dataclass

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, InspectionPlan, Mode
from inspection_cell.core.verdict import Disposition, Event, PartVerdict, Verdict, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight


@dataclass(frozen=True)
class RecordSummary:
    """An inspection in a list.

    Attributes:
        opened_ns: wall clock of the plan.
        step: the last step noted; where an unfinished one stopped.
        disposition: where the part was last known to be.
        verdict: None while unfinished.
        part_verdict: the committed answer, None while unfinished.
        acknowledged: whether the PLC has taken the result over.
    """

    inspection_id: str
    request_id: str
    serial: str
    recipe: str
    recipe_hash: str
    model_hashes: tuple[str, ...]
    software_version: str
    mode: Mode
    simulated: bool
    opened_ns: int
    step: str
    disposition: Disposition
    verdict: Verdict | None
    part_verdict: PartVerdict | None
    acknowledged: bool


@dataclass(frozen=True)
class InspectionRecord:
    """Everything that was recorded of an inspection; `results` include lateness, so a replay decides the same."""

    summary: RecordSummary
    plan: InspectionPlan
    proposal: VerdictProposal | None
    views: tuple[View, ...]
    results: tuple[CheckResult, ...]
    alignments: tuple[Alignment, ...]
    weights: tuple[Weight, ...]
    events: tuple[Event, ...]


def view_image(record: InspectionRecord, view_id: str) -> CheckResult | None:
    """The RECORD result that names a view's stored image, or None where it was not stored."""
    for result in record.results:
        if result.kind is CheckKind.RECORD and result.view_id == view_id and result.outcome is Outcome.NOTHING_FOUND:
            return result
    return None
