"""A process of the cell is killed: it comes back, the lifecycle manager brings its nodes up, the next part is fine."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from cell_support import Cell, wait_until
from lifecycle_msgs.msg import Transition

from inspection_cell.client.cell_client import CellTimeout
from inspection_cell.client.probe import NoAnswer
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.sequence.controller import Status


def kill(cell: Cell, node: str) -> int:
    process = cell.line.supervisor.process_of(node)
    process.kill()
    return process.pid


def wait_back(cell: Cell, node: str, old: int) -> None:
    """Waits until the node's new process is up and the node active again."""
    wait_until(lambda: cell.line.supervisor.process_of(node).pid != old, 30.0, f"a new process of {node}")

    def active() -> bool:
        # What is asked of a process that died a moment ago is never answered.
        with contextlib.suppress(NoAnswer):
            return cell.probe.lifecycle_state(node, 2.0) == "active"
        return False

    wait_until(active, 90.0, f"{node} active again")
    # A reset is accepted once the cell hears every node again, also those that shared the process.
    wait_until(lambda: cell.plc.call("reset", timeout_s=60.0).accepted, 90.0, "an accepted reset")


@pytest.mark.parametrize("node", ["alignment", "camera_inspection"])
def test_killed_between_two_parts(cell: Cell, node: str) -> None:
    old = kill(cell, node)
    wait_back(cell, node, old)
    cell.make_ready()
    verdict = cell.inspect_one().verdict
    assert (verdict.verdict, verdict.disposition) == (Verdict.PASS, Disposition.GOOD_BIN), verdict.reasons


@pytest.mark.parametrize("node", ["alignment", "camera_inspection", "arm"])
def test_killed_in_the_middle_of_a_part(cell: Cell, node: str) -> None:
    inspection_id = cell.plc.start(uuid.uuid4().hex, cell.next_part())
    cell.plc.wait_for_state(lambda s: s.step.startswith("pick:"), 60.0)
    old = kill(cell, node)
    wait_until(lambda: cell.plc.result(inspection_id).status != Status.RUNNING, 150.0, "the verdict")
    verdict = cell.plc.result(inspection_id).verdict
    assert verdict.verdict == Verdict.ERROR
    # The arm's process also reads the safety signals; on a slow machine their silence is noticed before its successor.
    expected = {Code.NODE_LOST, Code.SIGNALS_LOST} if node == "arm" else {Code.NODE_LOST}
    assert expected & {r.code for r in verdict.reasons}, verdict.reasons
    assert verdict.disposition != Disposition.GOOD_BIN
    wait_back(cell, node, old)
    cell.make_ready()
    verdict = cell.inspect_one().verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons


def test_the_cell_itself_killed_in_the_middle_answers_for_the_part(cell: Cell) -> None:
    serial, request = cell.next_part(), uuid.uuid4().hex
    inspection_id = cell.plc.start(request, serial)
    cell.plc.wait_for_state(lambda s: s.step.startswith("view:"), 60.0)
    old = kill(cell, "cell")
    state = cell.plc.wait_for_state(lambda s: s.state == State.ERROR, 90.0)
    assert [r.code for r in state.reasons] == [Code.INTERRUPTED]

    def interrupted() -> bool:
        with contextlib.suppress(CellTimeout):
            return cell.plc.result(inspection_id).status == Status.INTERRUPTED
        return False

    wait_until(interrupted, 60.0, "the answer for the interrupted part")
    wait_back(cell, "cell", old)
    assert cell.plc.start(request, serial) == inspection_id, "never a second run"
    cell.plc.acknowledge(inspection_id)
    cell.make_ready()
    verdict = cell.inspect_one().verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons


def test_a_node_that_was_deactivated_by_hand_is_ready_for_the_next_part(cell: Cell) -> None:
    assert cell.probe.transit("alignment", Transition.TRANSITION_DEACTIVATE)
    wait_until(lambda: cell.probe.lifecycle_state("alignment") == "active", 30.0, "alignment active again")
    cell.make_ready()
    verdict = cell.inspect_one().verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons
