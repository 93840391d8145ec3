"""The cell's services as plain calls: what a PLC does, from Python.

with CellClient() as cell:
    cell.select_recipe("ring_housing")
    verdict = cell.inspect("request-1", "4711")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from inspection_cell_interfaces import msg, srv
from inspection_cell_interfaces.action import Inspect
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from inspection_cell.client.greeting import greet
from inspection_cell.core.reasons import Reason
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Event, PartVerdict
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.action_client import SafeActionClient
from inspection_cell.nodes.transport import choose_transport
from inspection_cell.nodes.waiting import wait_for
from inspection_cell.sequence.controller import Status

KINDS: dict[str, Any] = {
    "start_inspection": srv.StartInspection,
    "get_result": srv.GetResult,
    "acknowledge_result": srv.AcknowledgeResult,
    "inspect_part": srv.InspectPart,
    "select_recipe": srv.SelectRecipe,
    "abort": srv.Abort,
    "reset": srv.Reset,
}


class CellRefused(RuntimeError):
    """The cell did not accept a request; `reason` says why."""

    def __init__(self, reason: Reason | None) -> None:
        super().__init__(reason.text if reason else "no reason given")
        self.reason = reason


class CellTimeout(TimeoutError):
    """The cell did not answer, or did not reach a state, in time."""


class CellClient:
    """One PLC's view of one cell. Use it as a context manager; safe to use from several threads."""

    def __init__(self, namespace: str = "inspection_cell", timeout_s: float = 10.0) -> None:
        self.timeout_s = timeout_s
        choose_transport()
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("plc", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.state: msg.CellState | None = None
        self.events: list[Event] = []
        self._verdicts: dict[str, PartVerdict] = {}
        self._changed = threading.Condition()
        self._lookouts: list[Callable[[msg.CellState], None]] = []
        self._node.create_subscription(msg.CellState, "state", self._on_state, qos.STATE)
        self._node.create_subscription(msg.PartVerdict, "verdicts", self._on_verdict, qos.LATCHED)
        self._node.create_subscription(msg.Event, "events", self._on_event, qos.EVENTS)
        self._clients = {name: self._node.create_client(kind, name) for name, kind in KINDS.items()}
        self._inspect = SafeActionClient(self._node, Inspect, "inspect")
        self._greeting = self._node.create_client(GetState, "cell/get_state")  # the last: see `greeting`
        self._thread = threading.Thread(target=self._executor.spin, name="client", daemon=True)
        self._thread.start()

    def __enter__(self) -> CellClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves ROS."""
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(timeout=2.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def call(self, name: str, timeout_s: float | None = None, **fields: Any) -> Any:
        """Any service of the cell by name; the response as it is.

        Raises:
            CellTimeout: no answer in time.
        """
        client = self._clients[name]
        limit = self.timeout_s if timeout_s is None else timeout_s
        if not client.wait_for_service(timeout_sec=limit):
            raise CellTimeout(f"service {client.service_name} is not there; is the cell running?")
        if greet(self._greeting, limit) is None:
            raise CellTimeout(f"node cell did not answer within {limit:.0f} s; service {name} was not asked")
        response = wait_for(client.call_async(KINDS[name].Request(**fields)), limit)
        if response is None:
            raise CellTimeout(f"service {client.service_name} did not answer within {limit:.0f} s")
        return response

    def start(self, request_id: str, serial: str, recipe: str = "") -> str:
        """Starts an inspection; returns its id. Raises CellRefused."""
        return self._accepted(
            self.call("start_inspection", request_id=request_id, serial=serial, recipe=recipe)
        ).inspection_id

    def result(self, inspection_id: str) -> srv.GetResult.Response:
        """What became of an inspection."""
        return self.call("get_result", inspection_id=inspection_id)

    def inspect(self, request_id: str, serial: str, recipe: str = "", timeout_s: float = 900.0) -> PartVerdict:
        """Starts an inspection, waits for the verdict and acknowledges it. Raises CellRefused, CellTimeout."""
        inspection_id = self.start(request_id, serial, recipe)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._changed:
                self._changed.wait_for(lambda: inspection_id in self._verdicts, 1.0)
            answer = self.result(inspection_id)
            if answer.status in (Status.DONE, Status.INTERRUPTED):
                self.acknowledge(inspection_id)
                return convert.verdict_from_msg(answer.verdict)
        raise CellTimeout(f"inspection {inspection_id} did not end within {timeout_s:.0f} s")

    def acknowledge(self, inspection_id: str) -> None:
        """Takes a result over. Raises CellRefused."""
        self._accepted(self.call("acknowledge_result", inspection_id=inspection_id))

    def select_recipe(self, recipe: str, timeout_s: float = 300.0) -> None:
        """Selects a recipe and waits until the cell is READY with it. Raises CellRefused, CellTimeout."""
        wanted = self._accepted(self.call("select_recipe", recipe=recipe)).recipe_hash
        self.wait_for_state(
            lambda s: (s.state == State.READY and s.recipe_hash == wanted) or s.state == State.ERROR, timeout_s
        )
        if self.state is not None and self.state.state == State.ERROR:
            reasons = convert.reasons_from_msg(self.state.reasons)
            raise CellRefused(reasons[0] if reasons else None)

    @property
    def announced(self) -> dict[str, PartVerdict]:
        """The verdicts that were heard on the topic, by inspection id."""
        with self._changed:
            return dict(self._verdicts)

    def abort(self, inspection_id: str = "") -> None:
        """Ends the running inspection early. Raises CellRefused."""
        self._accepted(self.call("abort", inspection_id=inspection_id))

    def reset(self, timeout_s: float = 300.0) -> None:
        """Clears an error. Raises CellRefused."""
        self._accepted(self.call("reset", timeout_s=timeout_s))

    def inspect_action(
        self, request_id: str, serial: str, recipe: str = "", feedback: Callable[[Any], None] | None = None
    ) -> Any:
        """Sends the inspect goal; returns its goal handle. Raises CellTimeout."""
        if not self._inspect.wait_for_server(timeout_sec=self.timeout_s):
            raise CellTimeout("action inspect is not there; is the cell running?")
        if greet(self._greeting, self.timeout_s) is None:
            raise CellTimeout(f"node cell did not answer within {self.timeout_s:.0f} s; action inspect was not asked")
        goal = Inspect.Goal(request_id=request_id, serial=serial, recipe=recipe)
        on_feedback = (lambda message: feedback(message.feedback)) if feedback else None
        handle = wait_for(self._inspect.send_goal_async(goal, feedback_callback=on_feedback), self.timeout_s)
        if handle is None:
            raise CellTimeout("action inspect did not take the goal")
        return handle

    def wait_for_state(self, wanted: Callable[[msg.CellState], bool], timeout_s: float) -> msg.CellState:
        """The first state, from the present one on, that satisfies `wanted`, however short. Raises CellTimeout."""
        found: list[msg.CellState] = []

        def look(state: msg.CellState) -> None:
            if not found and wanted(state):
                found.append(state)

        with self._changed:
            if self.state is not None:
                look(self.state)
            self._lookouts.append(look)
            try:
                self._changed.wait_for(lambda: found, timeout_s)
            finally:
                self._lookouts.remove(look)
        if not found:
            at = State(self.state.state).name if self.state is not None else "silent"
            raise CellTimeout(f"the cell is {at}; the state waited for did not come within {timeout_s:.0f} s")
        return found[0]

    def wait_until_up(self, timeout_s: float = 120.0) -> msg.CellState:
        """Waits until the nodes are up: INITIALIZED, READY, or ERROR with a reason. Raises CellTimeout."""
        return self.wait_for_state(lambda s: s.state in (State.INITIALIZED, State.READY, State.ERROR), timeout_s)

    def _accepted(self, response: Any) -> Any:
        if not response.accepted:
            raise CellRefused(convert.reason_from_msg(response.reason))
        return response

    def _on_state(self, message: msg.CellState) -> None:
        with self._changed:
            self.state = message
            for look in self._lookouts:
                look(message)
            self._changed.notify_all()

    def _on_verdict(self, message: msg.PartVerdict) -> None:
        with self._changed:
            self._verdicts[message.inspection_id] = convert.verdict_from_msg(message)
            self._changed.notify_all()

    def _on_event(self, message: msg.Event) -> None:
        self.events.append(convert.event_from_msg(message))
