"""The records: what happened to each part. Opened before anything moves, committed before anyone hears the verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.codec import from_json, to_json
from inspection_cell.core.plan import CheckKind, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Disposition, Event, PartVerdict, Verdict, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.records import tables
from inspection_cell.records.database import Database
from inspection_cell.records.images import ImageDamaged, ImageStore
from inspection_cell.records.inspection_ids import inspection_folder
from inspection_cell.records.record import InspectionRecord, RecordSummary
from inspection_cell.records.rows import insert_children, opened_row, read_children, to_summary
from inspection_cell.records.tables import inspections


class RequestConflict(ValueError):
    """A request id came again with another part or recipe."""


class UnknownInspection(KeyError):
    """There is no inspection of this id."""


class CommitRefused(ValueError):
    """The record contradicts itself, or what is already committed."""


class RecordStore:
    """The records of a cell. Threads and processes may share them; readers never keep the cell waiting.

    Every method that writes is durable when it returns. All of them may raise RecordFailed or StoreFull.

    Args:
        url: of the database, as SQLAlchemy has it.
        folder: where the images lie.
    """

    def __init__(self, url: str, folder: Path | str) -> None:
        self.images = ImageStore(folder)
        self._database = Database(url)

    @staticmethod
    def in_folder(data: Path | str) -> RecordStore:
        """The records in a data folder: records.sqlite and images/."""
        folder = Path(data)
        folder.mkdir(parents=True, exist_ok=True)
        return RecordStore(f"sqlite:///{folder / 'records.sqlite'}", folder / "images")

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def open_inspection(self, plan: InspectionPlan) -> str:
        """Notes an inspection before anything moves, the part at the infeed.

        Returns:
            The inspection's id: the plan's, or for a repeated request that of the inspection it started.

        Raises:
            RequestConflict: the request id was used for another serial or recipe.
            ValueError: the plan's inspection id cannot name its folder.
        """
        inspection_folder(plan.inspection_id)
        with self._database.write() as connection:
            known = connection.execute(select(inspections).where(inspections.c.request_id == plan.request_id)).first()
            if known is None:
                connection.execute(insert(inspections).values(**opened_row(plan)))
                return plan.inspection_id
        if (known.serial, known.recipe) != (plan.serial, plan.recipe):
            raise RequestConflict(
                f"request {plan.request_id!r} was for part {known.serial!r} by recipe {known.recipe!r}, now it names"
                f" {plan.serial!r} by {plan.recipe!r}: use a new request id"
            )
        return str(known.inspection_id)

    def note_step(self, inspection_id: str, step: str, disposition: Disposition) -> None:
        """Notes what the cell does next and where the part is, so that a restart knows.

        Raises:
            UnknownInspection: it was never opened.
        """
        with self._database.write() as connection:
            changed = connection.execute(
                update(inspections)
                .where(inspections.c.inspection_id == inspection_id)
                .values(step=step, disposition=disposition.name)
            )
            if changed.rowcount != 1:
                raise UnknownInspection(inspection_id)

    def commit(
        self,
        verdict: PartVerdict,
        proposal: VerdictProposal | None = None,
        views: Sequence[View] = (),
        results: Sequence[CheckResult] = (),
        alignments: Sequence[Alignment] = (),
        weights: Sequence[Weight] = (),
        events: Sequence[Event] = (),
    ) -> None:
        """Records the verdict with everything behind it, in one transaction. Repeating the same verdict does nothing.

        Raises:
            UnknownInspection: it was never opened.
            CommitRefused: another verdict is committed already, or a PASS that the proposal does not carry.
        """
        if verdict.verdict is Verdict.PASS and (proposal is None or proposal.verdict is not Verdict.PASS):
            raise CommitRefused(f"{verdict.inspection_id}: PASS without a proposal of PASS")
        for item in (*([proposal] if proposal else ()), *views, *results, *alignments, *weights, *events):
            if item.inspection_id != verdict.inspection_id:
                raise CommitRefused(f"{verdict.inspection_id}: a {type(item).__name__} of {item.inspection_id}")
        with self._database.write() as connection:
            row = _row(connection, verdict.inspection_id)
            if row.part_verdict is not None:
                if row.part_verdict != to_json(verdict):
                    raise CommitRefused(f"{verdict.inspection_id}: {row.verdict} is committed already")
                return
            insert_children(connection, verdict, views, results, alignments, weights, events)
            connection.execute(
                update(inspections)
                .where(inspections.c.inspection_id == verdict.inspection_id)
                .values(
                    verdict=verdict.verdict.name,
                    disposition=verdict.disposition.name,
                    committed_ns=time.time_ns(),
                    part_verdict=to_json(verdict),
                    proposal=to_json(proposal) if proposal else None,
                )
            )

    def interrupt(self, inspection_id: str, stamp_ns: int, text: str = "the cell was interrupted") -> PartVerdict:
        """Answers for an unfinished inspection: ERROR, interrupted, the part where it was last known to be.

        A finished one keeps its verdict, which is returned.

        Raises:
            UnknownInspection: it was never opened.
        """
        record = self.get(inspection_id)
        if record.summary.part_verdict is not None:
            return record.summary.part_verdict
        plan, summary = record.plan, record.summary
        at = f" at step {summary.step!r}" if summary.step else ""
        verdict = PartVerdict(
            inspection_id=inspection_id,
            request_id=plan.request_id,
            serial=plan.serial,
            recipe=plan.recipe,
            recipe_hash=plan.recipe_hash,
            verdict=Verdict.ERROR,
            reasons=(Reason(Code.INTERRUPTED, text + at),),
            disposition=summary.disposition,
            mode=plan.mode,
            simulated=plan.simulated,
            stamp_ns=stamp_ns,
            mass_kg=math.nan,
            timings_s={},
        )
        self.commit(verdict)
        return verdict

    def acknowledge(self, inspection_id: str) -> None:
        """The PLC has taken the result over; may be repeated.

        Raises:
            UnknownInspection: it was never opened.
            CommitRefused: there is no result yet.
        """
        with self._database.write() as connection:
            row = _row(connection, inspection_id)
            if row.part_verdict is None:
                raise CommitRefused(f"{inspection_id}: there is no result yet to acknowledge")
            if row.acknowledged_ns is None:
                connection.execute(
                    update(inspections)
                    .where(inspections.c.inspection_id == inspection_id)
                    .values(acknowledged_ns=time.time_ns())
                )

    def get(self, inspection_id: str) -> InspectionRecord:
        """All of one inspection.

        Raises:
            UnknownInspection: there is none of this id.
        """
        with self._database.read() as connection:
            row = _row(connection, inspection_id)
            return InspectionRecord(
                summary=to_summary(row),
                plan=from_json(InspectionPlan, row.plan),
                proposal=from_json(VerdictProposal, row.proposal) if row.proposal else None,
                views=read_children(connection, tables.views, View, inspection_id),
                results=read_children(connection, tables.check_results, CheckResult, inspection_id),
                alignments=read_children(connection, tables.alignments, Alignment, inspection_id),
                weights=read_children(connection, tables.weights, Weight, inspection_id),
                events=read_children(connection, tables.events, Event, inspection_id),
            )

    def by_request(self, request_id: str) -> RecordSummary | None:
        """The inspection that a request started, or None."""
        return next(iter(self._summaries(inspections.c.request_id == request_id, limit=1)), None)

    def find(self, serial: str | None = None, limit: int = 50) -> list[RecordSummary]:
        """The latest inspections, newest first; of one part, or of all."""
        return self._summaries(*([inspections.c.serial == serial] if serial is not None else []), limit=limit)

    def unfinished(self) -> list[RecordSummary]:
        """Inspections without a verdict, newest first: after a start, those that a crash cut off."""
        return self._summaries(inspections.c.verdict.is_(None))

    def check(self) -> list[str]:
        """Every stored file that a record names, read and compared with its hash; what is wrong, one line each."""
        named = tables.check_results.c
        query = select(named.inspection_id, named.check_id, named.kind, named.artifact, named.artifact_sha256)
        with self._database.read() as connection:
            rows = connection.execute(query.where(named.outcome != Outcome.INVALID.name)).all()
        problems = []
        for row in rows:
            if not row.artifact:
                if row.kind == CheckKind.RECORD.name:
                    problems.append(f"{row.inspection_id}: {row.check_id} says stored, but names no file")
                continue
            try:
                self.images.read(row.inspection_id, row.artifact, row.artifact_sha256)
            except (ImageDamaged, ValueError) as error:
                problems.append(f"{row.inspection_id}: {error}")
        return problems

    def _summaries(self, *conditions: Any, limit: int | None = None) -> list[RecordSummary]:
        query = select(inspections).where(*conditions).order_by(inspections.c.opened_ns.desc()).limit(limit)
        with self._database.read() as connection:
            return [to_summary(row) for row in connection.execute(query)]


def _row(connection: Connection, inspection_id: str) -> Row:
    row = connection.execute(select(inspections).where(inspections.c.inspection_id == inspection_id)).first()
    if row is None:
        raise UnknownInspection(inspection_id)
    return row
