"""Core types to rows of the tables and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import Connection, Row, Table, insert, select

from inspection_cell import __version__
from inspection_cell.core.check import CheckResult
from inspection_cell.core.codec import from_json, to_json
from inspection_cell.core.plan import InspectionPlan, Mode
from inspection_cell.core.verdict import Disposition, Event, PartVerdict, Verdict
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.records import tables
from inspection_cell.records.record import RecordSummary

T = TypeVar("T")


def opened_row(plan: InspectionPlan) -> dict[str, object]:
    """The row of an inspection that has not moved yet."""
    return {
        "inspection_id": plan.inspection_id,
        "request_id": plan.request_id,
        "serial": plan.serial,
        "recipe": plan.recipe,
        "recipe_hash": plan.recipe_hash,
        "model_hashes": json.dumps(sorted({check.model_hash for check in plan.checks if check.model_hash})),
        "software_version": __version__,
        "mode": plan.mode.name,
        "simulated": int(plan.simulated),
        "opened_ns": plan.stamp_ns,
        "plan": to_json(plan),
        "step": "",
        "disposition": Disposition.INFEED.name,
    }


def to_summary(row: Row) -> RecordSummary:
    """A row of `inspections` in its short form."""
    return RecordSummary(
        inspection_id=row.inspection_id,
        request_id=row.request_id,
        serial=row.serial,
        recipe=row.recipe,
        recipe_hash=row.recipe_hash,
        model_hashes=tuple(json.loads(row.model_hashes)),
        software_version=row.software_version,
        mode=Mode[row.mode],
        simulated=bool(row.simulated),
        opened_ns=row.opened_ns,
        step=row.step,
        disposition=Disposition[row.disposition],
        verdict=Verdict[row.verdict] if row.verdict else None,
        part_verdict=from_json(PartVerdict, row.part_verdict) if row.part_verdict else None,
        acknowledged=row.acknowledged_ns is not None,
    )


def read_children(connection: Connection, table: Table, kind: type[T], inspection_id: str) -> tuple[T, ...]:
    """What belongs to an inspection, in the order it was given."""
    query = select(table.c.data).where(table.c.inspection_id == inspection_id).order_by(table.c.id)
    return tuple(from_json(kind, text) for text in connection.scalars(query))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def insert_children(
    connection: Connection,
    verdict: PartVerdict,
    views: Sequence[View],
    results: Sequence[CheckResult],
    alignments: Sequence[Alignment],
    weights: Sequence[Weight],
    events: Sequence[Event],
) -> None:
    """Adds everything that belongs to a verdict."""
    rows: dict[Table, list[dict[str, object]]] = {
        tables.views: [{"view_id": v.view_id, "data": to_json(v)} for v in views],
        tables.check_results: [_result_row(r) for r in results],
        tables.alignments: [{"grasp": a.grasp, "data": to_json(a)} for a in alignments],
        tables.weights: [{"mass_kg": _finite(w.mass_kg), "data": to_json(w)} for w in weights],
        tables.events: [{"code": int(e.code), "data": to_json(e)} for e in events],
        tables.reasons: [{"code": int(r.code), "subject": r.subject, "text": r.text} for r in verdict.reasons],
    }
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), [{"inspection_id": verdict.inspection_id, **row} for row in values])


def _result_row(result: CheckResult) -> dict[str, object]:
    return {
        "check_id": result.check_id,
        "kind": result.kind.name,
        "outcome": result.outcome.name,
        "score": _finite(result.score),
        "lateness_s": _finite(result.lateness_s),
        "model_hash": result.model_hash,
        "artifact": result.artifact,
        "artifact_sha256": result.artifact_sha256,
        "data": to_json(result),
    }
