"""The Python client: what a script writes, and what it is told when the cell is not there or does not want."""

from __future__ import annotations

import time
import uuid

import pytest
from cell_support import Cell

from inspection_cell.client.cell_client import CellClient, CellRefused, CellTimeout
from inspection_cell.client.probe import NoAnswer, Probe
from inspection_cell.core.plan import Mode
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Verdict


def test_inspect_gives_the_verdict_and_takes_it_over(running_cell: Cell) -> None:
    running_cell.make_ready()
    serial = running_cell.next_part()
    with CellClient(running_cell.config.namespace) as client:
        assert client.wait_until_up(30.0).state == State.READY
        client.select_recipe(running_cell.recipe)
        verdict = client.inspect(uuid.uuid4().hex, serial, timeout_s=120.0)
        assert (verdict.verdict, verdict.serial, verdict.mode) == (Verdict.PASS, serial, Mode.TEACH)
        assert client.result(verdict.inspection_id).acknowledged
        with pytest.raises(CellRefused, match="no recipe 'nothing'; there are") as refused:
            client.select_recipe("nothing")
        assert refused.value.reason is not None and refused.value.reason.code is Code.UNKNOWN_RECIPE
        with pytest.raises(CellRefused):
            client.acknowledge("20200101-000000-00000000")
        with pytest.raises(CellRefused):
            client.abort()


def test_a_cell_that_is_not_there_is_said_within_the_time_limit() -> None:
    started = time.monotonic()
    with CellClient("nowhere", timeout_s=0.5) as client:
        with pytest.raises(CellTimeout, match=r"/nowhere/start_inspection is not there; is the cell running\?"):
            client.start("r1", "4711")
        with pytest.raises(CellTimeout, match="action inspect is not there"):
            client.inspect_action("r1", "4711")
        with pytest.raises(CellTimeout, match="the cell is silent"):
            client.wait_until_up(0.2)
    assert time.monotonic() - started < 10.0


def test_the_probe_says_what_is_not_there() -> None:
    from inspection_cell_interfaces import msg

    with Probe("nowhere", timeout_s=0.3) as probe:
        with pytest.raises(NoAnswer, match="/nowhere/arm/get_state is not there"):
            probe.lifecycle_state("arm")
        with probe.listen(msg.CellState, "state") as ear:
            with pytest.raises(NoAnswer, match="nobody publishes /nowhere/state"):
                ear.wait_connected(0.2)
            with pytest.raises(NoAnswer, match="did not come"):
                ear.wait(timeout_s=0.2)
