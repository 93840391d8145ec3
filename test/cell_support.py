"""A running simulated cell for the tests, watched as `inspection-cell up` watches it: what dies is started again."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from inspection_cell_interfaces import srv
from lifecycle_msgs.msg import Transition

from inspection_cell.cli.simulated_line import Inspected, SimulatedLine
from inspection_cell.client.cell_client import CellClient
from inspection_cell.client.probe import Probe
from inspection_cell.core.state import State
from inspection_cell.recipe.cell_config import CellConfig
from inspection_cell.records.record import InspectionRecord
from inspection_cell.records.store import RecordStore
from inspection_cell.sequence.controller import Status
from inspection_cell.simulation.truth import make_part

_numbers = itertools.count(1)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Waits for a condition; fails saying what did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {timeout_s:.0f} s")
        time.sleep(0.05)


@contextlib.contextmanager
def nodes(namespace: str, config: Path, data: Path, *names: str) -> Iterator[subprocess.Popen]:
    """A process with some nodes and nobody who manages them."""
    command = [sys.executable, "-m", "inspection_cell.nodes.process", *names, "--ros-args", "-r", f"__ns:=/{namespace}"]
    command += ["-p", f"cell_config:={config}", "-p", f"data:={data}"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


class Cell:
    """A cell that runs, a PLC, a probe for every other service, and a hand that brings parts. A context manager."""

    def __init__(self, config: Path, data: Path, recipe: str) -> None:
        self.recipe = recipe
        self.data = data
        self.line = SimulatedLine(config, data, recipe)
        self._end = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Cell:
        self.line.__enter__()
        try:
            self._watcher.start()
            self.probe = Probe(self.config.namespace)
            self.line.select()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._watcher.join()
        self.probe.__exit__(kind, error, trace)
        self.line.__exit__(kind, error, trace)

    @property
    def config(self) -> CellConfig:
        return self.line.config

    @property
    def plc(self) -> CellClient:
        return self.line.cell

    def make_ready(self) -> None:
        """Waits until every node is up and READY is reached, with a reset where one is needed."""
        self.line.world.clear_faults()
        self.line.world.set_signals(protective_stop=False, door_closed=True)
        self.plc.wait_for_state(lambda s: s.state != State.SINGLE_EXECUTION, 120.0)
        wait_until(lambda: self._reset() and self.plc.state.state == State.READY, 90.0, "READY")

    def next_part(self) -> str:
        """Puts a good part on the infeed; returns its serial."""
        truth = make_part(f"P{next(_numbers):03d}", next(_numbers))
        self.line.world.present_part(truth)
        return truth.serial

    def inspect_one(self) -> Inspected:
        """One good part's whole way."""
        return self.line.inspect(make_part(f"P{next(_numbers):03d}", next(_numbers)), timeout_s=240.0)

    def finished(self, inspection_id: str) -> srv.GetResult.Response:
        """Waits for an inspection's end."""
        wait_until(lambda: self.plc.result(inspection_id).status != Status.RUNNING, 150.0, "the verdict")
        return self.plc.result(inspection_id)

    def _reset(self) -> bool:
        if self.plc.state.state == State.ERROR:
            return bool(self.plc.call("reset", timeout_s=120.0).accepted)
        if self.plc.state.state == State.INITIALIZED and not self.plc.state.step:
            self.plc.select_recipe(self.recipe)
        return True

    def _watch(self) -> None:
        while not self._end.wait(0.2):
            self.line.supervisor.watch()


def record_of(cell: Cell, inspection_id: str) -> InspectionRecord:
    """What the cell kept of an inspection."""
    store = RecordStore.in_folder(cell.data)
    try:
        return store.get(inspection_id)
    finally:
        store.close()


def told_anew(cell: Cell, node: str, **changes: Any) -> None:
    """Changes the cell's configuration file and has one node read it; the others, and the world, stay as they are."""
    path = cell.line.supervisor.config_path
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    _update(content, changes)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert cell.probe.transit(node, Transition.TRANSITION_DEACTIVATE)
    cell.probe.transit(node, Transition.TRANSITION_CLEANUP)
    wait_until(lambda: cell.probe.lifecycle_state(node) == "active", 60.0, f"{node} active again")


def _update(content: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _update(content[key], value)
        else:
            content[key] = value
