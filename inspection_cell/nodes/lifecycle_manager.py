"""The lifecycle manager: brings the nodes up in order, watches their heartbeats, takes them down in reverse."""

from __future__ import annotations

import os
import signal
import threading
import time

from inspection_cell_interfaces import msg
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.client import Client
from rclpy.node import Parameter

from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Severity
from inspection_cell.nodes import qos
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.nodes.waiting import wait_for

UP = ((State.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_CONFIGURE),
      (State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_ACTIVATE))  # fmt: skip
DOWN = ((State.PRIMARY_STATE_ACTIVE, Transition.TRANSITION_DEACTIVATE),
        (State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_CLEANUP))  # fmt: skip
REACHED = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
}
WATCH_PERIOD_S = 0.3
RETRY_PERIOD_S = 0.7
ASK_AGAIN_S = 3.0


class LifecycleManagerNode(ManagedNode):
    """Manages every other node of the cell; manages itself from unconfigured to active at its start."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("lifecycle_manager", parameter_overrides)
        self._clients_group = MutuallyExclusiveCallbackGroup()
        self._change: dict[str, Client] = {}
        self._get: dict[str, Client] = {}
        self._heard: dict[str, tuple[float, msg.NodeHeartbeat]] = {}
        self._lost: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.create_subscription(
            msg.NodeHeartbeat, "heartbeats", self.guarded(self._on_heartbeat), qos.HEARTBEATS,
            callback_group=self._clients_group,
        )  # fmt: skip

    def configure(self) -> None:
        self.managed = tuple(n for n in self.config.nodes if n != self.get_name())
        for name in self.managed:
            if name not in self._change:
                group = self._clients_group
                self._change[name] = self.create_client(ChangeState, f"{name}/change_state", callback_group=group)
                self._get[name] = self.create_client(GetState, f"{name}/get_state", callback_group=group)

    def activate(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self.guarded(self._manage), name="manage", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        for name in reversed(self.managed):
            for wanted, transition in DOWN:
                if self._state(name, 1.0) == wanted:
                    self._transit(name, wanted, transition, 10.0)

    def diagnose(self) -> dict[str, object]:
        now = time.monotonic()
        return {name: f"{now - when:.1f} s ago" for name, (when, _) in sorted(self._heard.items())}

    def start_itself(self) -> None:
        """Configures and activates this node without anybody asking; errors are logged and end in its problem."""
        self.trigger_configure()
        self.trigger_activate()

    def _on_heartbeat(self, message: msg.NodeHeartbeat) -> None:
        self._heard[message.node.rsplit("/", 1)[-1]] = (time.monotonic(), message)

    def _manage(self) -> None:
        """Brings up whatever is not active, in order; begins anew whenever a node was lost."""
        while not self._stopping.is_set():
            for name in self.managed:
                if self._stopping.is_set():
                    return
                self._watch(name)
                if not self._bring_up(name):
                    self._stopping.wait(RETRY_PERIOD_S)
                    break  # those behind it need it
            self._stopping.wait(WATCH_PERIOD_S)

    def _bring_up(self, name: str) -> bool:
        heard = self._heard.get(name)
        if heard is None or time.monotonic() - heard[0] > self.config.supervision.heartbeat_timeout_s:
            return False
        if heard[1].lifecycle_state == State.PRIMARY_STATE_ACTIVE:
            return True
        timeout = self.config.supervision.transition_timeout_s
        for wanted, transition in UP:
            if self._state(name, 5.0) == wanted and not self._transit(name, wanted, transition, timeout):
                return False
        return self._state(name, 5.0) == State.PRIMARY_STATE_ACTIVE

    def _watch(self, name: str) -> None:
        heard = self._heard.get(name)
        if heard is None:
            return
        silent = time.monotonic() - heard[0]
        if silent <= self.config.supervision.heartbeat_timeout_s:
            if name in self._lost:
                self._lost.discard(name)
                self.event(Severity.RECOVERED, Code.NODE_LOST, f"node {name} is back")
            return
        if name not in self._lost:
            self._lost.add(name)
            self.event(Severity.FAULT, Code.NODE_LOST, f"node {name} has been silent for {silent:.1f} s")
            self._end_hung_process(heard[1])

    def _end_hung_process(self, last: msg.NodeHeartbeat) -> None:
        """Kills a process of ours that lives but does not answer, so that whoever started it starts it again."""
        if last.host != self.host or last.pid == os.getpid():
            return
        try:
            os.kill(last.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.get_logger().error(f"process {last.pid} was hung and has been killed")

    def _state(self, name: str, timeout_s: float) -> int:
        client = self._get[name]
        if not client.service_is_ready():
            return State.PRIMARY_STATE_UNKNOWN
        response = wait_for(client.call_async(GetState.Request()), timeout_s)
        return int(response.current_state.id) if response is not None else State.PRIMARY_STATE_UNKNOWN

    def _transit(self, name: str, before: int, transition: int, timeout_s: float) -> bool:
        """Has a node make a transition from the state `before`; whether it did."""
        deadline = time.monotonic() + timeout_s
        asked = None
        while time.monotonic() < deadline:
            if asked is None:
                asked = self._change[name].call_async(ChangeState.Request(transition=Transition(id=transition)))
            response = wait_for(asked, min(ASK_AGAIN_S, timeout_s))
            if response is not None:
                return bool(response.success)
            # A node at work on a transition answers nothing meanwhile. One that answers has not heard the request, or
            # was not heard: DDS makes the ends of a node that was just started known one after the other.
            state = self._state(name, 1.0)
            if state == REACHED[transition]:
                return True
            if state == before:
                asked = None
        self.get_logger().error(f"{name} did not answer transition {transition} within {timeout_s:.0f} s")
        return False
