"""Second part of kill.py: what the PLC was told before a kill, and whether the cell still says so afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from inspection_cell.cli.simulated_line import SimulatedLine
from inspection_cell.client.cell_client import CellRefused
from inspection_cell.core.codec import to_json
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, PartVerdict, Verdict
from inspection_cell.frames.slot import DIRECTORY, lock_name, slot_name
from inspection_cell.nodes import convert
from inspection_cell.records.record import RecordSummary
from inspection_cell.records.store import RecordStore
from inspection_cell.sequence.controller import Status
from inspection_cell.simulation.link import run_folder

ANNOUNCED_WITHIN_S = 10.0


@dataclass
class Ledger:
    """What the PLC asked and was told, over all lives of the cell.

    Attributes:
        asked: serial by request id, noted before it is sent.
        accepted: inspection id by request id, as the cell answered.
        announced: verdicts heard on the topic, by inspection id.
        acknowledged: inspection ids whose acknowledgement the cell took.
    """

    asked: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    announced: dict[str, PartVerdict] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Records:
    """What the records held while no cell ran: ids by request, and what was unfinished."""

    ids: dict[str, str]
    unfinished: tuple[RecordSummary, ...]


def read_records(data: Path) -> Records:
    """The records between two lives of the cell."""
    store = RecordStore.in_folder(data)
    try:
        known = store.find(limit=1_000_000)
        return Records({s.request_id: s.inspection_id for s in known}, tuple(store.unfinished()))
    finally:
        store.close()


def check_after_restart(line: SimulatedLine, ledger: Ledger, before: Records) -> list[str]:
    """Asks the cell, just up again and not reset yet, for all it ever took; what is wrong, one line each."""
    interrupted = {s.inspection_id: s for s in before.unfinished}
    wrong = _check_state(line, interrupted)
    wrong += _check_results(line, ledger, before, interrupted)
    wrong += _check_requests(line, ledger, before)
    wrong += _check_interrupted(line, interrupted)
    wrong += _check_records(line.data, before)
    return wrong + _check_shared_memory(line)


def _check_state(line: SimulatedLine, interrupted: dict[str, RecordSummary]) -> list[str]:
    state = line.cell.wait_until_up()
    wanted = State.ERROR if interrupted else State.INITIALIZED
    wrong = []
    if state.state != wanted:
        wrong.append(f"the cell is {State(state.state).name}, not {wanted.name}")
    codes = [reason.code for reason in state.reasons]
    if (int(Code.INTERRUPTED) in codes) != bool(interrupted):
        wrong.append(f"the cell's reasons are {codes} with {len(interrupted)} interrupted inspections")
    try:
        line.cell.start("never", "never")
        wrong.append("a part was accepted before reset and select_recipe")
    except CellRefused as refused:
        if refused.reason is None or refused.reason.code is not Code.NOT_READY:
            wrong.append(f"a part before reset was refused for another reason: {refused}")
    return wrong


def _check_results(
    line: SimulatedLine, ledger: Ledger, before: Records, interrupted: dict[str, RecordSummary]
) -> list[str]:
    wrong = []
    for request_id, inspection_id in ledger.accepted.items():
        if before.ids.get(request_id) != inspection_id:
            wrong.append(f"{inspection_id} was accepted, but the records do not know it")
    for inspection_id in before.ids.values():
        answer = line.cell.result(inspection_id)
        status = Status(answer.status)
        if status not in (Status.DONE, Status.INTERRUPTED):
            wrong.append(f"{inspection_id} is {status.name}")
            continue
        if inspection_id in interrupted and status is not Status.INTERRUPTED:
            wrong.append(f"{inspection_id} was unfinished and is {status.name}")
        verdict = convert.verdict_from_msg(answer.verdict)
        told = ledger.announced.get(inspection_id)
        if told is not None and to_json(told) != to_json(verdict):
            wrong.append(f"{inspection_id} was announced {told.verdict.name} and is {verdict.verdict.name} now")
        if inspection_id in ledger.acknowledged and not answer.acknowledged:
            wrong.append(f"{inspection_id} was acknowledged and is not any more")
    return wrong


def _check_requests(line: SimulatedLine, ledger: Ledger, before: Records) -> list[str]:
    wrong = []
    for request_id, serial in ledger.asked.items():
        known = before.ids.get(request_id)
        try:
            again = line.cell.start(request_id, serial)
        except CellRefused as refused:
            if known is not None:
                wrong.append(f"request {request_id} is refused: {refused}")
            continue
        if again != known:
            wrong.append(f"request {request_id} gives {again}, it was {known}")
    return wrong


def _check_interrupted(line: SimulatedLine, interrupted: dict[str, RecordSummary]) -> list[str]:
    wrong = []
    for inspection_id, left in interrupted.items():
        verdict = convert.verdict_from_msg(line.cell.result(inspection_id).verdict)
        if verdict.verdict is not Verdict.ERROR or [r.code for r in verdict.reasons] != [Code.INTERRUPTED]:
            wrong.append(f"{inspection_id} was interrupted and is {verdict.verdict.name}, {verdict.reasons}")
        if verdict.disposition is not left.disposition or left.disposition is Disposition.UNKNOWN:
            wrong.append(
                f"{inspection_id}: the part was at {left.disposition.name}, said is {verdict.disposition.name}"
            )
        if not _announced(line, inspection_id):
            wrong.append(f"{inspection_id} was interrupted, but never announced")
    return wrong


def _announced(line: SimulatedLine, inspection_id: str) -> bool:
    deadline = time.monotonic() + ANNOUNCED_WITHIN_S
    while inspection_id not in line.cell.announced:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _check_records(data: Path, before: Records) -> list[str]:
    store = RecordStore.in_folder(data)
    try:
        wrong = store.check()
        after = {s.request_id: s.inspection_id for s in store.find(limit=1_000_000)}
        if after != before.ids:
            wrong.append(
                f"repeated requests changed the records: {sorted(set(after.items()) ^ set(before.ids.items()))}"
            )
        wrong += [f"{s.inspection_id} is still unfinished" for s in store.unfinished()]
        return wrong
    finally:
        store.close()


def _check_shared_memory(line: SimulatedLine) -> list[str]:
    pool = f"{line.config.namespace}_{run_folder(line.data).name[-6:]}_"
    wanted = set()
    for role, camera in line.config.cameras.items():
        wanted |= {slot_name(pool + role, index) for index in range(camera.frame_slots)} | {lock_name(pool + role)}
    found = {path.name for path in DIRECTORY.iterdir() if f".{pool}" in path.name}
    return [f"left in {DIRECTORY}: {name}" for name in sorted(found - wanted)]
