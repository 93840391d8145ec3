"""What every node of the cell shares: a lifecycle whose errors are seen, heartbeat, diagnostics, events, parameters."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from inspection_cell_interfaces import msg
from lifecycle_msgs.msg import State as StateMsg
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Event, Severity
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.faults import reason_of
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config

HEARTBEAT_PERIOD_S = 1.0


class ManagedNode(LifecycleNode):
    """A lifecycle node of the cell.

    A subclass overrides `configure`, `activate`, `deactivate` and `cleanup`, which raise when they fail: the error is
    logged with its traceback, sent as an event, and the transition fails. `diagnose` gives key-value pairs.
    """

    def __init__(self, name: str, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__(name, parameter_overrides=parameter_overrides or [])
        self.host = socket.gethostname()
        self.problem = ""
        self._config: CellConfig | None = None
        self._busy = threading.Lock()
        self.declare_parameter(
            "cell_config", "", ParameterDescriptor(description="file of the cell's configuration", read_only=True)
        )
        self.declare_parameter(
            "data", "", ParameterDescriptor(description="folder of records, images and models", read_only=True)
        )
        self.work_group = ReentrantCallbackGroup()
        vital = MutuallyExclusiveCallbackGroup()
        self._state_id = StateMsg.PRIMARY_STATE_UNCONFIGURED
        self._events = self.create_publisher(msg.Event, "events", qos.EVENTS)
        self._heartbeats = self.create_publisher(msg.NodeHeartbeat, "heartbeats", qos.HEARTBEATS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(HEARTBEAT_PERIOD_S, self.guarded(self._beat), callback_group=vital)
        self.create_timer(1.0, self.guarded(self._publish_diagnostics), callback_group=vital)
        self.add_on_set_parameters_callback(self._refuse_while_configured)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

    # What a subclass fills in.

    def configure(self) -> None:
        """Opens what the node needs."""

    def activate(self) -> None:
        """Begins to work."""

    def deactivate(self) -> None:
        """Stops working; what is open stays open."""

    def cleanup(self) -> None:
        """Closes everything. Must work from any half-open state."""

    def diagnose(self) -> dict[str, object]:
        """What a technician would want to see."""
        return {}

    # What a subclass uses.

    @property
    def config(self) -> CellConfig:
        """The cell's configuration; read when the node is configured."""
        if self._config is None:
            raise RuntimeError(f"{self.get_name()} is not configured")
        return self._config

    @property
    def data_folder(self) -> Path:
        """Folder of records, images and models."""
        given = self.get_parameter("data").value
        return Path(given).expanduser() if given else self.config.data_folder

    @property
    def active(self) -> bool:
        """Whether the node works."""
        return self._state_id == StateMsg.PRIMARY_STATE_ACTIVE

    def setting(self, name: str, default: Any, description: str) -> Any:
        """A described parameter; its type is the default's."""
        if not self.has_parameter(name):
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        return self.get_parameter(name).value

    def event(self, severity: Severity, code: Code, text: str, inspection_id: str = "") -> None:
        """Tells everybody, and the log."""
        event = Event(inspection_id, time.time_ns(), self.get_name(), severity, code, text)
        self._events.publish(convert.event_to_msg(event))
        log = self.get_logger()
        # One call site a severity: rclpy refuses a severity that changes at one line.
        if severity is Severity.FAULT:
            log.error(f"{code.name}: {text}")
        elif severity is Severity.RECOVERED:
            log.warning(f"{code.name}: {text}")
        else:
            log.info(text)

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """`callback` whose exception is logged and sent as an event instead of ending the process unseen."""

        @functools.wraps(callback)
        def call(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:
                self.get_logger().error(traceback.format_exc())
                self.event(Severity.FAULT, Code.NODE_ERROR, f"{type(error).__name__}: {error}")
                return None

        return call

    # Lifecycle, as rclpy calls it.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        def run() -> None:
            path = self.get_parameter("cell_config").value
            if not path:
                raise ValueError("parameter cell_config is empty: give the file of the cell's configuration")
            self._config = load_cell_config(Path(path))
            try:
                self.configure()
            except Exception:
                self.cleanup()
                raise

        return self._transition(run, StateMsg.PRIMARY_STATE_INACTIVE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self.activate, StateMsg.PRIMARY_STATE_ACTIVE)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self.deactivate, StateMsg.PRIMARY_STATE_INACTIVE)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self.cleanup, StateMsg.PRIMARY_STATE_UNCONFIGURED)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        def run() -> None:
            if self.active:
                self.deactivate()
            self.cleanup()

        return self._transition(run, StateMsg.PRIMARY_STATE_FINALIZED)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        # Back to unconfigured, so that the manager may try again.
        return self._transition(self.cleanup, StateMsg.PRIMARY_STATE_UNCONFIGURED)

    def _on_change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """The change_state service; rclpy raises where a state has no such transition, which would end the process."""
        try:
            return self._change_state(request, response)
        except Exception as error:
            self.get_logger().warning(f"transition {request.transition.id} refused: {error}")
            response.success = False
            return response

    def _transition(self, work: Callable[[], None], reached: int) -> TransitionCallbackReturn:
        try:
            with self._busy:
                work()
        except Exception as error:
            reason = reason_of(error, self.get_name(), Code.NODE_ERROR)
            if reason.code is Code.NODE_ERROR:  # not a fault that we know: say where it came from
                self.get_logger().error(traceback.format_exc())
            if reason.text != self.problem:
                self.event(Severity.FAULT, reason.code, reason.text)
            self.problem = reason.text
            return TransitionCallbackReturn.FAILURE
        self.problem = ""
        self._state_id = reached
        self._beat()  # whoever relies on this node hears of every state, also of a short one
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Releases everything, whatever the state; for the end of the process."""
        steps = [self.deactivate] if self._state_id == StateMsg.PRIMARY_STATE_ACTIVE else []
        steps += [self.cleanup] if self._state_id != StateMsg.PRIMARY_STATE_FINALIZED else []
        for step in steps:
            try:
                step()
            except Exception as error:
                self.get_logger().warning(f"{step.__name__}: {error}")
        self._state_id = StateMsg.PRIMARY_STATE_FINALIZED

    def _refuse_while_configured(self, parameters: list[Parameter]) -> SetParametersResult:
        if self._state_id == StateMsg.PRIMARY_STATE_UNCONFIGURED:
            return SetParametersResult(successful=True)
        names = ", ".join(p.name for p in parameters)
        if all(not self.has_parameter(p.name) for p in parameters):
            return SetParametersResult(successful=True)  # being declared
        return SetParametersResult(
            successful=False, reason=f"{names}: takes effect when the node is configured; clean it up first"
        )

    def _beat(self) -> None:
        self._heartbeats.publish(
            msg.NodeHeartbeat(
                stamp=convert.time_to_msg(time.time_ns()),
                node=self.get_fully_qualified_name(),
                host=self.host,
                pid=os.getpid(),
                lifecycle_state=self._state_id,
            )
        )

    def _publish_diagnostics(self) -> None:
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if self.problem else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            message=self.problem or ("working" if self.active else "not active"),
            hardware_id=self.host,
            values=[KeyValue(key=k, value=str(v)) for k, v in self.diagnose().items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = convert.time_to_msg(time.time_ns())
        self._diagnostics.publish(array)
