"""The records: opened once a request, committed once, complete, and readable while somebody writes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from record_parts import END, inspect, make_verdict, new_plan, stored_results

from inspection_cell import __version__
from inspection_cell.core.codec import to_json
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.decision.collector import Collector
from inspection_cell.decision.verdict import decide
from inspection_cell.records.database import RecordFailed
from inspection_cell.records.record import view_image
from inspection_cell.records.store import CommitRefused, RecordStore, RequestConflict, UnknownInspection


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore.in_folder(tmp_path)


def test_everything_recorded_comes_back(store: RecordStore, tmp_path: Path) -> None:
    plan = new_plan()
    verdict = inspect(store, plan)
    store.close()
    record = RecordStore.in_folder(tmp_path).get(plan.inspection_id)
    assert to_json(record.plan) == to_json(plan)
    assert record.summary.part_verdict == verdict
    assert record.summary.model_hashes == ("a" * 64,)
    assert record.summary.software_version == __version__
    assert (record.summary.step, record.summary.disposition) == ("view g1_v1", Disposition.GOOD_BIN)
    assert [v.view_id for v in record.views] == [v.view_id for v in plan.views]
    assert [w.stable for w in record.weights] == [False, True]
    assert record.events[0].code is Code.SCALE_UNSTABLE
    assert record.alignments[0].quality == 0.9
    image = view_image(record, "g1_v1")
    assert image is not None
    assert store.images.read_view(plan.inspection_id, image.artifact, image.artifact_sha256)[1] == "bayer_rggb8"


def test_a_record_decides_again_as_it_did(store: RecordStore) -> None:
    plan = new_plan()
    inspect(store, plan)
    record = store.get(plan.inspection_id)
    collector = Collector(record.plan, 0.0, {r.check_id: r.lateness_s for r in record.results})
    for view in record.views:
        collector.add_view(view, 0.0)
    for result in record.results:
        collector.add_result(result, 0.0)
    collector.add_end(replace(END, inspection_id=plan.inspection_id), 0.0)
    assert record.proposal is not None
    assert collector.proposal(record.proposal.stamp_ns) == record.proposal


def test_a_repeated_request_is_one_inspection(store: RecordStore) -> None:
    plan = new_plan()
    again = replace(plan, inspection_id=new_plan().inspection_id)
    assert store.open_inspection(plan) == plan.inspection_id
    assert store.open_inspection(again) == plan.inspection_id
    assert len(store.find()) == 1
    for other in (replace(again, serial="other"), replace(again, recipe="other")):
        with pytest.raises(RequestConflict, match="use a new request id"):
            store.open_inspection(other)
    summary = store.by_request(plan.request_id)
    assert summary is not None and summary.inspection_id == plan.inspection_id
    assert store.by_request("never") is None


def test_a_repeated_request_from_many_threads_is_one_inspection(store: RecordStore) -> None:
    ids: list[str] = []
    plans = [replace(new_plan(), request_id="same") for _ in range(8)]
    threads = [threading.Thread(target=lambda p=p: ids.append(store.open_inspection(p))) for p in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1


def test_a_verdict_is_committed_once(store: RecordStore) -> None:
    plan = new_plan()
    verdict = inspect(store, plan)
    record = store.get(plan.inspection_id)
    store.commit(verdict, record.proposal)
    assert len(store.get(plan.inspection_id).views) == len(plan.views)
    with pytest.raises(CommitRefused, match="PASS is committed already"):
        store.commit(replace(verdict, verdict=Verdict.ERROR))
    assert store.interrupt(plan.inspection_id, 5) == verdict


def test_a_pass_that_nobody_proposed_is_refused(store: RecordStore) -> None:
    plan = new_plan()
    store.open_inspection(plan)
    proposal = decide(plan, [], None)
    verdict = replace(make_verdict(plan, proposal, Disposition.GOOD_BIN), verdict=Verdict.PASS)
    for given in (None, proposal):
        with pytest.raises(CommitRefused, match="PASS without"):
            store.commit(verdict, given)
    assert [s.inspection_id for s in store.unfinished()] == [plan.inspection_id]


def test_nothing_of_another_part_is_recorded(store: RecordStore) -> None:
    plan, other = new_plan(1), new_plan(2)
    store.open_inspection(plan)
    proposal = decide(plan, [], None)
    with pytest.raises(CommitRefused, match="a CheckResult of"):
        store.commit(
            make_verdict(plan, proposal, Disposition.GRIPPER), proposal, results=stored_results(store.images, other)
        )
    assert store.get(plan.inspection_id).summary.verdict is None


def test_a_commit_is_all_or_nothing(store: RecordStore) -> None:
    """The last thing written cannot be stored; nothing before it stays."""
    plan = new_plan()
    store.open_inspection(plan)
    results = stored_results(store.images, plan)
    proposal = decide(plan, results, None)
    bad = replace(results[-1], analysis_s="fast")
    with pytest.raises(ValueError, match="analysis_s"):
        store.commit(make_verdict(plan, proposal, Disposition.GRIPPER), proposal, results=[*results, bad])
    record = store.get(plan.inspection_id)
    assert (record.summary.verdict, record.results) == (None, ())


def test_unfinished_ones_are_found_and_answered(store: RecordStore) -> None:
    done, broken = new_plan(1), new_plan(2)
    inspect(store, done)
    store.open_inspection(broken)
    store.note_step(broken.inspection_id, "weigh", Disposition.SCALE)
    assert [s.inspection_id for s in store.unfinished()] == [broken.inspection_id]
    verdict = store.interrupt(broken.inspection_id, 77)
    assert (verdict.verdict, verdict.disposition, verdict.stamp_ns) == (Verdict.ERROR, Disposition.SCALE, 77)
    assert [r.code for r in verdict.reasons] == [Code.INTERRUPTED]
    assert "weigh" in verdict.reasons[0].text
    assert store.unfinished() == []
    assert store.interrupt(broken.inspection_id, 78) == verdict


def test_acknowledge(store: RecordStore) -> None:
    plan = new_plan()
    store.open_inspection(plan)
    with pytest.raises(CommitRefused, match="no result yet"):
        store.acknowledge(plan.inspection_id)
    store.interrupt(plan.inspection_id, 1)
    for _ in range(2):
        store.acknowledge(plan.inspection_id)
        assert store.get(plan.inspection_id).summary.acknowledged


def test_unknown_inspections_are_said(store: RecordStore) -> None:
    for action in (
        lambda: store.get("none"),
        lambda: store.acknowledge("none"),
        lambda: store.interrupt("none", 1),
        lambda: store.note_step("none", "s", Disposition.INFEED),
    ):
        with pytest.raises(UnknownInspection):
            action()


def test_find_by_serial_newest_first(store: RecordStore) -> None:
    plans = [new_plan(n, serial="same" if n != 2 else "other") for n in (1, 2, 3)]
    for plan in plans:
        store.open_inspection(plan)
    assert [s.request_id for s in store.find("same")] == ["request 3", "request 1"]
    assert [s.request_id for s in store.find(limit=2)] == ["request 3", "request 2"]


def test_check_names_damaged_and_lost_files(store: RecordStore) -> None:
    plan = new_plan()
    inspect(store, plan)
    assert store.check() == []
    files = sorted(store.images.folder.rglob("*.tiff"))
    files[0].write_bytes(b"damaged")
    files[1].unlink()
    assert len(store.check()) == 2
    assert all(plan.inspection_id in line for line in store.check())


def test_readers_never_block_the_writer(store: RecordStore, tmp_path: Path) -> None:
    inspect(store, new_plan(1))
    reader = RecordStore.in_folder(tmp_path)
    with reader._database.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM inspections").scalar()
        inspect(store, new_plan(2))
        assert connection.exec_driver_sql("SELECT count(*) FROM inspections").scalar() == before
    assert len(reader.find()) == 2


def test_sqlite_is_set_to_keep_what_it_took(store: RecordStore) -> None:
    with store._database.read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(RecordFailed, match="not a database"):
        RecordStore.in_folder(tmp_path)


def test_records_of_another_schema_are_refused(store: RecordStore, tmp_path: Path) -> None:
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE schema SET version = 99")
    with pytest.raises(RecordFailed, match="schema 99"):
        RecordStore.in_folder(tmp_path)


def test_records_can_be_opened_and_read_while_another_process_writes(store: RecordStore, tmp_path: Path) -> None:
    inspect(store, new_plan(1))
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE inspections SET step = 'x'")
        assert RecordStore.in_folder(tmp_path).find()[0].step == "view g1_v1"
