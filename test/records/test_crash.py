"""A writer is killed at random moments: what it acknowledged is there, what it had begun is found."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

from record_parts import inspect, new_plan

from inspection_cell.core.verdict import Verdict
from inspection_cell.records.store import RecordStore

KILLS = 20


def _write_parts(folder: Path, start: int, line: Connection) -> None:
    """Inspects part after part; says each inspection before it opens it and after it is committed."""
    store = RecordStore.in_folder(folder)
    for number in itertools.count(start):
        plan = new_plan(number)
        line.send(("begun", plan.inspection_id))
        inspect(store, plan)
        line.send(("committed", plan.inspection_id))


def _until_killed(folder: Path, start: int, lifetime_s: float) -> list[tuple[str, str]]:
    """What a writer said until it was killed."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    writer = fork.Process(target=_write_parts, args=(folder, start, theirs))
    writer.start()
    theirs.close()
    said = [ours.recv()]
    time.sleep(lifetime_s)
    writer.kill()
    writer.join()
    try:
        while True:
            said.append(ours.recv())
    except EOFError:
        return said


def test_no_acknowledged_result_is_lost(tmp_path: Path) -> None:
    dice = random.Random(4711)
    committed: set[str] = set()
    begun: set[str] = set()
    interrupted: set[str] = set()
    for kill in range(KILLS):
        for word, inspection_id in _until_killed(tmp_path, kill * 1000, dice.uniform(0.0, 0.5)):
            (committed if word == "committed" else begun).add(inspection_id)
        store = RecordStore.in_folder(tmp_path)
        for summary in store.unfinished():
            assert summary.inspection_id in begun - committed
            assert store.interrupt(summary.inspection_id, 1).verdict is Verdict.ERROR
            interrupted.add(summary.inspection_id)
        assert store.unfinished() == []
        assert store.check() == []
        store.close()
    records = {summary.inspection_id: summary.verdict for summary in RecordStore.in_folder(tmp_path).find(limit=10**6)}
    assert {i for i in committed if records.get(i) is not Verdict.PASS} == set()
    assert set(records) <= begun
    assert len(committed) > 0 and len(interrupted) > 0
