"""The PLC's contract on real records: idempotent, durable, never two parts at once, nothing accepted is forgotten."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stand_in_cell import STEPS, Bench, failed, is_error

from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.sequence.controller import Refusal, Status

ABORT = Reason(Code.ABORTED, "aborted by request")


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path)
    yield bench
    bench.controller.close()
    bench.store.close()


def refused(answer: object) -> Code:
    assert isinstance(answer, Refusal), answer
    assert answer.reason.text
    return answer.reason.code


def gate(bench: Bench, place: str) -> threading.Event:
    bench.cell.gates[place] = threading.Event()
    return bench.cell.gates[place]


def break_writes(bench: Bench, on: str) -> sqlite3.Connection:
    """Makes the database refuse some writes, as a damaged one would; drop_trigger mends it."""
    connection = sqlite3.connect(bench.folder / "records.sqlite", isolation_level=None)
    connection.execute(f"CREATE TRIGGER broken BEFORE {on} BEGIN SELECT RAISE(ABORT, 'the disk went away'); END")
    return connection


def mend(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TRIGGER broken")
    connection.close()


def test_states_up_to_ready(bench: Bench) -> None:
    controller = bench.controller
    assert controller.state is State.PREOPERATIONAL
    assert refused(controller.start("r1", "4711", "")) is Code.NOT_READY
    assert refused(controller.select_recipe("fast_test")) is Code.NOT_READY
    assert refused(controller.reset()) is Code.NOT_READY
    controller.operational()
    assert controller.state is State.INITIALIZED
    assert refused(controller.start("r1", "4711", "")) is Code.NOT_READY
    assert bench.ready().state is State.READY


@pytest.mark.parametrize(
    ("request_id", "serial"), [("", "4711"), ("  ", "4711"), ("r1", ""), ("r1", "a\nb"), ("r" * 201, "4711")]
)
def test_a_start_needs_a_request_id_and_a_serial(bench: Bench, request_id: str, serial: str) -> None:
    assert refused(bench.ready().start(request_id, serial, "")) is Code.INVALID_REQUEST
    assert bench.store.find() == []


def test_the_same_request_is_the_same_inspection_for_ever(bench: Bench) -> None:
    controller = bench.ready()
    hold = gate(bench, "view:g1/wide")
    first = controller.start("r1", "4711", "")
    assert controller.start("r1", "4711", "fast_test") == first
    hold.set()
    bench.join()
    assert controller.start("r1", "4711", "") == first
    assert [c for c in bench.cell.calls if c == "pick:g1"] == ["pick:g1"]
    again = bench.die_and_come_back()
    assert again.start("r1", "4711", "") == first, "also before the nodes are up"
    assert len(bench.store.find()) == 1


def test_a_request_for_another_part_or_recipe_is_a_conflict(bench: Bench) -> None:
    controller = bench.ready()
    bench.inspect("r1", "4711")
    assert refused(controller.start("r1", "4712", "")) is Code.REQUEST_CONFLICT
    assert refused(controller.start("r1", "4711", "other")) is Code.REQUEST_CONFLICT


def test_eight_plcs_with_one_request_start_one_inspection(bench: Bench) -> None:
    controller = bench.ready()
    together = threading.Barrier(8)

    def start() -> object:
        together.wait()
        return controller.start("r1", "4711", "")

    with ThreadPoolExecutor(8) as pool:
        ids = {f.result() for f in [pool.submit(start) for _ in range(8)]}
    bench.join()
    assert len(ids) == 1 and len(bench.store.find()) == 1
    assert bench.cell.calls.count("pick:g1") == 1 and len(bench.cell.verdicts) == 1


def test_eight_different_requests_start_one_part_at_a_time(bench: Bench) -> None:
    controller = bench.ready()
    hold = gate(bench, "pick:g1")
    with ThreadPoolExecutor(8) as pool:
        answers = [f.result() for f in [pool.submit(controller.start, f"r{i}", "4711", "") for i in range(8)]]
    hold.set()
    bench.join()
    assert sum(isinstance(a, str) for a in answers) == 1
    assert {refused(a) for a in answers if not isinstance(a, str)} == {Code.NOT_READY}


def test_unknown_things_are_refused_with_their_reason(bench: Bench) -> None:
    controller = bench.ready()
    assert controller.result("20260101-000000-deadbeef").status is Status.UNKNOWN
    assert refused(controller.acknowledge("20260101-000000-deadbeef")) is Code.UNKNOWN_INSPECTION
    assert refused(controller.abort("", ABORT)) is Code.UNKNOWN_INSPECTION
    assert refused(controller.select_recipe("nothing")) is Code.UNKNOWN_RECIPE
    assert refused(controller.select_recipe("wrong")) is Code.INVALID_RECIPE
    assert refused(controller.start("r1", "4711", "nothing")) is Code.UNKNOWN_RECIPE
    assert refused(controller.start("r1", "4711", "wrong")) is Code.INVALID_RECIPE
    assert refused(controller.start("r1", "4711", "other")) is Code.NOT_READY
    assert controller.state is State.READY and bench.store.find() == []


def test_a_recipe_without_models_is_for_teaching_only(bench: Bench) -> None:
    bench.recipe = bench.recipe.model_copy(
        update={"anomaly": bench.recipe.anomaly.model_copy(update={"models": {}, "limits": None})}
    )
    bench.controller.operational()
    assert refused(bench.controller.select_recipe("fast_test")) is Code.INVALID_RECIPE


def test_results_while_running_and_after(bench: Bench) -> None:
    controller = bench.ready()
    hold = gate(bench, "view:g1/top_000")
    inspection_id = controller.start("r1", "4711", "")
    while "view:g1/top_000" not in bench.cell.calls:
        pass
    answer = controller.result(inspection_id)
    assert (answer.status, answer.step, answer.verdict) == (Status.RUNNING, "view:g1/top_000", None)
    assert refused(controller.acknowledge(inspection_id)) is Code.NOT_FINISHED
    assert refused(controller.reset()) is Code.NOT_READY
    assert refused(controller.select_recipe("fast_test")) is Code.NOT_READY
    assert controller.wait(inspection_id, 0.05).status is Status.RUNNING
    hold.set()
    answer = controller.wait(inspection_id, 30.0)
    assert answer.status is Status.DONE and answer.verdict.verdict is Verdict.PASS and not answer.acknowledged
    assert controller.acknowledge(inspection_id) is None
    assert controller.acknowledge(inspection_id) is None
    assert controller.result(inspection_id).acknowledged


def test_whoever_hears_the_verdict_may_start_the_next_part_at_once(bench: Bench) -> None:
    controller = bench.ready()
    answers: list[object] = []
    announce = bench.cell.announce_verdict

    def plc(verdict) -> None:
        announce(verdict)
        if len(bench.cell.verdicts) == 1:
            asking.start()

    asking = threading.Thread(target=lambda: answers.append(controller.start("r2", "4712", "")))
    bench.cell.announce_verdict = plc
    bench.inspect("r1", "4711")
    asking.join(30.0)
    bench.join()
    assert isinstance(answers[0], str)
    assert [v.verdict for v in bench.cell.verdicts] == [Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize("place", [*STEPS, "capture:g1/wide", "weigh"])
def test_an_aborted_part_is_an_error_and_the_cell_goes_on(bench: Bench, place: str) -> None:
    controller = bench.ready()
    gate(bench, place)
    inspection_id = controller.start("r1", "4711", "")
    while place not in bench.cell.calls:
        pass
    assert refused(controller.abort("another", ABORT)) is Code.UNKNOWN_INSPECTION
    assert controller.abort(inspection_id, ABORT) is None
    verdict = controller.wait(inspection_id, 30.0).verdict
    assert is_error(verdict, Code.ABORTED)
    assert bench.cell.calls[-1] == ("proposal" if verdict.disposition is Disposition.SCALE else "home")
    bench.cell.gates.clear()
    if controller.state is State.ERROR:  # the part lies on the scale: somebody has to look after it
        assert verdict.disposition is Disposition.SCALE
        assert controller.reset() is Disposition.REWORK_BIN
    assert bench.inspect("r2", "4712").verdict is Verdict.PASS


def test_an_abort_is_refused_once_the_verdict_is_made(bench: Bench) -> None:
    controller = bench.ready()
    hold = gate(bench, "place:good")
    inspection_id = controller.start("r1", "4711", "")
    while "place:good" not in bench.cell.calls:
        pass
    assert refused(controller.abort(inspection_id, ABORT)) is Code.NOT_READY
    hold.set()
    assert controller.wait(inspection_id, 30.0).verdict.verdict is Verdict.PASS


def test_a_fault_ends_the_running_part_and_holds_an_idle_cell(bench: Bench) -> None:
    controller = bench.ready()
    stop = Reason(Code.PROTECTIVE_STOP, "the safety controller has stopped the cell", "signals")
    gate(bench, "view:g1/wide")
    inspection_id = controller.start("r1", "4711", "")
    while "view:g1/wide" not in bench.cell.calls:
        pass
    controller.fault(stop)
    verdict = controller.wait(inspection_id, 30.0).verdict
    assert is_error(verdict, Code.PROTECTIVE_STOP) and verdict.disposition is Disposition.GRIPPER
    bench.cell.obstacle_now = stop
    assert refused(controller.reset()) is Code.PROTECTIVE_STOP
    bench.cell.obstacle_now = None
    assert controller.reset() is Disposition.REWORK_BIN and controller.state is State.READY
    assert bench.cell.disposition is Disposition.REWORK_BIN
    controller.fault(stop, between_parts=False)
    assert controller.state is State.READY, "a node that is back before the next part costs nothing"
    controller.fault(stop)
    assert controller.state is State.ERROR and refused(controller.start("r2", "4712", "")) is Code.NOT_READY


def test_no_part_is_started_where_something_stands_in_the_way(bench: Bench) -> None:
    controller = bench.ready()
    bench.cell.obstacle_now = Reason(Code.STORE_FULL, "12 MB are free; make room")
    assert refused(controller.start("r1", "4711", "")) is Code.STORE_FULL
    assert bench.store.find() == [] and controller.state is State.READY


def test_a_recipe_that_cannot_be_loaded_holds_the_cell_until_a_reset(bench: Bench) -> None:
    controller = bench.ready()
    bench.cell.faults["prepare"] = failed(Code.MODEL_WRONG_HASH)
    controller.select_recipe("fast_test")
    bench.join()
    assert controller.state is State.ERROR and controller.recipe is None
    assert [r.code for r in controller.reasons] == [Code.MODEL_WRONG_HASH]
    bench.cell.faults.clear()
    assert not isinstance(controller.reset(), Refusal)
    assert controller.state is State.INITIALIZED
    controller.select_recipe("fast_test")
    bench.join()
    assert bench.inspect().verdict is Verdict.PASS


def test_a_reset_that_fails_leaves_the_error(bench: Bench) -> None:
    controller = bench.ready()
    bench.cell.faults |= {"weigh": failed(Code.ARM_STOPPED, False), "recover": failed(Code.ARM_NOT_PLANNED)}
    bench.inspect()
    assert refused(controller.reset()) is Code.ARM_NOT_PLANNED
    assert controller.state is State.ERROR and controller.reasons[0].code is Code.ARM_NOT_PLANNED
    bench.cell.faults.clear()
    controller.reset()
    assert controller.state is State.READY


# Records.


def test_a_verdict_that_cannot_be_recorded_is_announced_only_after_a_reset_recorded_it(bench: Bench) -> None:
    controller = bench.ready()
    broken = break_writes(bench, "INSERT ON views")
    inspection_id = controller.start("r1", "4711", "")
    bench.join()
    assert controller.state is State.ERROR and controller.reasons[0].code is Code.RECORD_FAILED
    assert controller.result(inspection_id).status is Status.RUNNING and bench.cell.verdicts == []
    assert refused(controller.start("r2", "4712", "")) is Code.NOT_READY
    assert refused(controller.abort("", ABORT)) is Code.NOT_READY
    assert refused(controller.reset()) is Code.RECORD_FAILED
    assert controller.state is State.ERROR and bench.cell.verdicts == []
    waiting = ThreadPoolExecutor(1).submit(controller.wait, inspection_id, 30.0)
    mend(broken)
    assert not isinstance(controller.reset(), Refusal)
    assert waiting.result(5.0).status is Status.DONE, "who waits hears of it"
    assert [v.inspection_id for v in bench.cell.verdicts] == [inspection_id]
    assert bench.inspect("r2", "4712").verdict is Verdict.PASS


def test_a_step_that_cannot_be_recorded_is_not_done(bench: Bench) -> None:
    controller = bench.ready()
    hold = gate(bench, "view:g1/wide")
    inspection_id = controller.start("r1", "4711", "")
    while "view:g1/wide" not in bench.cell.calls:
        pass
    broken = break_writes(bench, "UPDATE OF step ON inspections")
    hold.set()
    answer = controller.wait(inspection_id, 30.0)
    mend(broken)
    assert is_error(answer.verdict, Code.RECORD_FAILED)
    assert "view:g1/top_000" not in bench.cell.calls
    assert answer.verdict.disposition is Disposition.GRIPPER and controller.state is State.ERROR


def test_an_inspection_that_cannot_be_opened_is_not_started(bench: Bench) -> None:
    controller = bench.ready()
    broken = break_writes(bench, "INSERT ON inspections")
    assert refused(controller.start("r1", "4711", "")) is Code.RECORD_FAILED
    assert controller.state is State.ERROR and "pick:g1" not in bench.cell.calls
    mend(broken)
    controller.reset()
    assert bench.inspect("r1", "4711").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("pick:g1", Disposition.INFEED),
        ("view:g2/wide", Disposition.GRIPPER),
        ("weigh", Disposition.SCALE),
        ("home", Disposition.GOOD_BIN),
    ],
)
def test_after_a_crash_every_unfinished_part_is_answered_for(bench: Bench, place: str, where: Disposition) -> None:
    old, old_cell = bench.ready(), bench.cell
    gate(bench, place)
    inspection_id = old.start("r1", "4711", "")
    while place not in old_cell.calls:
        pass
    # The old process hangs for ever at this place; a new one comes up on its records.
    controller = bench.die_and_come_back()
    controller.answer_for_the_past()
    controller.operational()
    answer = controller.result(inspection_id)
    assert answer.status is Status.INTERRUPTED and is_error(answer.verdict, Code.INTERRUPTED)
    assert answer.verdict.disposition is where
    assert [v.inspection_id for v in bench.cell.verdicts] == [inspection_id]
    assert controller.state is State.ERROR, "somebody has to look after the part"
    assert controller.start("r1", "4711", "") == inspection_id
    assert controller.acknowledge(inspection_id) is None
    controller.reset()
    assert controller.state is State.INITIALIZED
    assert bench.ready().state is State.READY
    assert bench.cell.calls.count("recover") == 1, "the arm stood wherever the crash left it"
    assert bench.inspect("r2", "4711").verdict is Verdict.PASS


def test_a_cell_that_is_stopped_answers_for_the_part_that_runs(bench: Bench) -> None:
    controller = bench.ready()
    gate(bench, "view:g1/wide")
    inspection_id = controller.start("r1", "4711", "")
    while "view:g1/wide" not in bench.cell.calls:
        pass
    controller.close()
    answer = controller.result(inspection_id)
    assert answer.status is Status.INTERRUPTED and is_error(answer.verdict, Code.INTERRUPTED)
    assert controller.state is State.HALTED
    bench.cell.gates.clear()
    controller.operational()
    assert controller.state is State.HALTED
    controller.answer_for_the_past()
    controller.operational()
    assert controller.state is State.ERROR, "the part that was stopped lies in the gripper"
    controller.reset()
    assert bench.inspect("r2", "4712").verdict is Verdict.PASS
