"""Every service of the PLC over real DDS, on a whole running cell."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from cell_support import Cell, wait_until
from inspection_cell_interfaces import msg, srv

from inspection_cell.client.cell_client import CellRefused
from inspection_cell.core.plan import Mode
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.nodes import convert, qos
from inspection_cell.recipe.paths import find_recipe_file
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.sequence.controller import Status

NOBODY = "20200101-000000-00000000"


def request_id() -> str:
    return uuid.uuid4().hex


def start(cell: Cell) -> tuple[str, str, str]:
    """Starts a good part; request id, serial, inspection id."""
    serial, request = cell.next_part(), request_id()
    return request, serial, cell.plc.start(request, serial)


def wait_step(cell: Cell, prefix: str) -> None:
    cell.plc.wait_for_state(lambda s: s.step.startswith(prefix), 60.0)


def wait_result(cell: Cell, inspection_id: str):
    wait_until(lambda: cell.plc.result(inspection_id).status != Status.RUNNING, 120.0, "the verdict")
    return cell.plc.result(inspection_id)


def refused(answer) -> Code:
    assert not answer.accepted and answer.reason.text
    return Code(answer.reason.code)


def test_one_part_from_start_to_acknowledged(cell: Cell) -> None:
    with cell.probe.listen(msg.PartVerdict, "verdicts", qos.LATCHED) as verdicts:
        request, serial, inspection_id = start(cell)
        again = cell.plc.call("start_inspection", request_id=request, serial=serial, recipe=cell.recipe)
        assert again.accepted and again.inspection_id == inspection_id
        wait_step(cell, "view:")
        answer = cell.plc.result(inspection_id)
        assert answer.status == Status.RUNNING and answer.step and answer.verdict.verdict == 0
        assert refused(cell.plc.call("acknowledge_result", inspection_id=inspection_id)) is Code.NOT_FINISHED
        conflict = cell.plc.call("start_inspection", request_id=request, serial="another", recipe="")
        assert refused(conflict) is Code.REQUEST_CONFLICT
        busy = cell.plc.call("start_inspection", request_id=request_id(), serial="another", recipe="")
        assert refused(busy) is Code.NOT_READY
        assert refused(cell.plc.call("select_recipe", recipe=cell.recipe)) is Code.NOT_READY
        assert refused(cell.plc.call("reset")) is Code.NOT_READY
        answer = wait_result(cell, inspection_id)
        announced = verdicts.wait(lambda m: m.inspection_id == inspection_id)
    verdict = convert.verdict_from_msg(answer.verdict)
    assert verdict == convert.verdict_from_msg(announced)
    assert (verdict.request_id, verdict.serial, verdict.recipe) == (request, serial, cell.recipe)
    assert verdict.recipe_hash == load_recipe(find_recipe_file(cell.recipe, cell.data, cell.config)).hash
    assert (verdict.verdict, verdict.disposition) == (Verdict.PASS, Disposition.GOOD_BIN)
    assert verdict.mode is Mode.TEACH and verdict.simulated, "no line may act on it"
    assert verdict.mass_kg == pytest.approx(0.0223, abs=0.0005)
    assert verdict.timings_s["cycle"] >= verdict.timings_s["motion"] > 0
    assert not answer.acknowledged
    for _ in range(2):
        assert cell.plc.call("acknowledge_result", inspection_id=inspection_id).accepted
    assert cell.plc.result(inspection_id).acknowledged
    again = cell.plc.call("start_inspection", request_id=request, serial=serial, recipe="")
    assert again.inspection_id == inspection_id and cell.plc.result(inspection_id).acknowledged


def test_inspect_part_blocks_until_the_verdict(cell: Cell) -> None:
    serial, request = cell.next_part(), request_id()
    fields = {"request_id": request, "serial": serial, "recipe": cell.recipe}
    short = cell.probe.call(srv.InspectPart, "inspect_part", timeout_s=0.2, **fields)
    assert short.accepted and short.verdict.verdict == 0 and short.reason.code == Code.NOT_FINISHED
    whole = cell.probe.call(srv.InspectPart, "inspect_part", 120.0, **fields)
    assert whole.accepted and whole.inspection_id == short.inspection_id
    assert whole.verdict.verdict == Verdict.PASS and whole.verdict.serial == serial


def test_what_is_unknown_or_wrong_is_refused_and_changes_nothing(cell: Cell) -> None:
    call = cell.plc.call
    nobody = call("get_result", inspection_id=NOBODY)
    assert nobody.status == Status.UNKNOWN and nobody.reason.code == Code.UNKNOWN_INSPECTION
    assert refused(call("acknowledge_result", inspection_id=NOBODY)) is Code.UNKNOWN_INSPECTION
    assert refused(call("abort", inspection_id=NOBODY)) is Code.UNKNOWN_INSPECTION
    assert refused(call("abort", inspection_id="")) is Code.UNKNOWN_INSPECTION
    for name in ("nothing", "", "../cell", "x" * 500):
        assert refused(call("select_recipe", recipe=name)) is Code.UNKNOWN_RECIPE
    start = {"request_id": request_id(), "serial": "4711"}
    assert refused(call("start_inspection", **start, recipe="nothing")) is Code.UNKNOWN_RECIPE
    assert refused(call("start_inspection", **start, recipe="ring_housing")) is Code.NOT_READY
    assert refused(call("start_inspection", request_id="", serial="4711", recipe="")) is Code.INVALID_REQUEST
    assert refused(call("start_inspection", request_id="r", serial="", recipe="")) is Code.INVALID_REQUEST
    assert refused(call("inspect_part", request_id="", serial="", recipe="")) is Code.INVALID_REQUEST
    assert cell.plc.state.state == State.READY and not cell.plc.state.inspection_id


def test_a_wrong_recipe_file_is_refused_with_its_mistake(cell: Cell) -> None:
    path = cell.data / "recipes" / "spoilt.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("format: 1\nname: spoilt\nwieght: {}\n", encoding="utf-8")
    answer = cell.plc.call("select_recipe", recipe="spoilt")
    path.unlink()
    assert refused(answer) is Code.INVALID_RECIPE
    assert f"{path}: field 'wieght': is not known here" in answer.reason.text
    assert cell.plc.state.state == State.READY


def test_the_state_carries_a_heartbeat_and_says_that_it_is_simulated(cell: Cell) -> None:
    with cell.probe.listen(msg.CellState, "state", qos.STATE) as states:
        first = states.wait()
        states.wait(lambda s: s.heartbeat >= first.heartbeat + 2)
    assert first.mode == Mode.TEACH and first.simulated and first.recipe == cell.recipe
    beat = cell.plc.call("get_result", inspection_id=NOBODY).heartbeat
    assert beat >= first.heartbeat + 2
    assert refused(cell.plc.call("abort", inspection_id="")) is Code.UNKNOWN_INSPECTION


def test_selecting_the_recipe_again_leads_to_ready_again(cell: Cell) -> None:
    answer = cell.plc.call("select_recipe", recipe=cell.recipe)
    assert answer.accepted
    state = cell.plc.wait_for_state(lambda s: s.state == State.READY and s.recipe_hash == answer.recipe_hash, 60.0)
    assert state.recipe == cell.recipe
    assert cell.inspect_one().verdict.verdict is Verdict.PASS


def test_one_request_from_many_threads_is_one_inspection(cell: Cell) -> None:
    serial, request = cell.next_part(), request_id()
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: cell.plc.start(request, serial), range(8)))
    assert len(ids) == 1
    assert wait_result(cell, ids.pop()).verdict.verdict == Verdict.PASS


@pytest.mark.parametrize("step", ["pick:", "view:", "weigh_place"])
def test_an_aborted_part_is_an_error_and_the_next_one_is_inspected(cell: Cell, step: str) -> None:
    *_, inspection_id = start(cell)
    wait_step(cell, step)
    cell.plc.abort(inspection_id)
    answer = wait_result(cell, inspection_id)
    codes = {r.code for r in answer.verdict.reasons}
    assert answer.status == Status.DONE and answer.verdict.verdict == Verdict.ERROR and Code.ABORTED in codes
    assert answer.verdict.disposition != Disposition.GOOD_BIN
    state = cell.plc.wait_for_state(lambda s: s.state in (State.READY, State.ERROR), 60.0)
    if state.state == State.ERROR:  # the part lies where the cell does not take it away by itself
        with pytest.raises(CellRefused):
            cell.plc.start(request_id(), "4712")
        cell.plc.reset()
    assert cell.inspect_one().verdict.verdict is Verdict.PASS


def test_a_protective_stop_ends_the_part_and_holds_the_cell(cell: Cell) -> None:
    *_, inspection_id = start(cell)
    wait_step(cell, "view:")
    cell.line.world.set_signals(protective_stop=True, door_closed=True)
    answer = wait_result(cell, inspection_id)
    assert answer.verdict.verdict == Verdict.ERROR
    assert Code.PROTECTIVE_STOP in {r.code for r in answer.verdict.reasons}
    cell.plc.wait_for_state(lambda s: s.state == State.ERROR, 60.0)
    assert refused(cell.plc.call("reset", timeout_s=60.0)) is Code.PROTECTIVE_STOP
    assert refused(cell.plc.call("start_inspection", request_id="x", serial="4712", recipe="")) is Code.NOT_READY
    cell.line.world.set_signals(protective_stop=False, door_closed=True)
    wait_until(lambda: cell.plc.call("reset", timeout_s=60.0).accepted, 30.0, "an accepted reset")
    assert cell.inspect_one().verdict.verdict is Verdict.PASS


def test_an_open_door_holds_an_idle_cell(cell: Cell) -> None:
    cell.line.world.set_signals(protective_stop=False, door_closed=False)
    state = cell.plc.wait_for_state(lambda s: s.state == State.ERROR, 30.0)
    assert [r.code for r in state.reasons] == [Code.DOOR_OPEN]
    cell.line.world.set_signals(protective_stop=False, door_closed=True)
    wait_until(lambda: cell.plc.call("reset", timeout_s=60.0).accepted, 30.0, "an accepted reset")
    cell.plc.wait_for_state(lambda s: s.state == State.READY, 30.0)
