"""Any service and topic of any node, from a script: what `ros2 service call` and `ros2 topic echo` do, in Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from inspection_cell.client.greeting import greet
from inspection_cell.nodes.transport import choose_transport
from inspection_cell.nodes.waiting import wait_for


class NoAnswer(TimeoutError):
    """A service is not there or did not answer, or a topic stayed silent."""


class Probe:
    """One ROS node that asks and listens. A context manager; its calls block the calling thread only."""

    def __init__(self, namespace: str, timeout_s: float = 20.0) -> None:
        self.timeout_s = timeout_s
        choose_transport()
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("probe", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, Any] = {}
        self._greetings: dict[str, Any] = {}  # a client for each of them, made after it: see `greeting`
        self._thread = threading.Thread(target=self._executor.spin, name="probe", daemon=True)
        self._thread.start()

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def call(self, kind: Any, name: str, limit_s: float | None = None, **fields: Any) -> Any:
        """Calls a service; the response as it is, within `limit_s` or the probe's own time limit.

        Raises:
            NoAnswer: it is not there, or the answer did not come in time.
        """
        limit = self.timeout_s if limit_s is None else limit_s
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
            self._greetings[name] = self.node.create_client(GetState, f"{name.rpartition('/')[0] or 'cell'}/get_state")
        client = self._clients[name]
        if not client.wait_for_service(timeout_sec=limit):
            raise NoAnswer(f"service {client.service_name} is not there")
        self._state(self._greetings[name], limit)
        response = wait_for(client.call_async(kind.Request(**fields)), limit)
        if response is None:
            raise NoAnswer(f"service {client.service_name} did not answer within {limit:.0f} s")
        return response

    def lifecycle_state(self, node: str, limit_s: float | None = None) -> str:
        """The node's lifecycle state in words, e.g. "active". Raises NoAnswer."""
        limit, name = self.timeout_s if limit_s is None else limit_s, f"{node}/get_state"
        if name not in self._greetings:
            self._greetings[name] = self.node.create_client(GetState, name)
        return self._state(self._greetings[name], limit)

    def transit(self, node: str, transition: int) -> bool:
        """Asks for a lifecycle transition; whether it was made. Raises NoAnswer."""
        request, before = Transition(id=transition), self.lifecycle_state(node)
        for _ in range(4):
            try:
                return bool(self.call(ChangeState, f"{node}/change_state", 15.0, transition=request).success)
            except NoAnswer:
                # Lost on the way where the node is as it was; asked again then, by the node's own state.
                if self.lifecycle_state(node, 60.0) != before:
                    return True
        raise NoAnswer(f"{node} does not answer transition {transition}")

    def _state(self, greeting: Any, limit: float) -> str:
        if not greeting.wait_for_service(timeout_sec=limit):
            raise NoAnswer(f"service {greeting.service_name} is not there")
        state = greet(greeting, limit)
        if state is None:
            raise NoAnswer(f"service {greeting.service_name} did not answer within {limit:.0f} s")
        return state

    def listen(self, kind: Any, topic: str, qos: QoSProfile | int = 10) -> Ear:
        """Collects what is published on a topic from now on."""
        return Ear(self.node, kind, topic, qos)


class Ear:
    """Everything heard on one topic; a context manager that stops listening at its end."""

    def __init__(self, node: Any, kind: Any, topic: str, qos: QoSProfile | int) -> None:
        self.messages: list[Any] = []
        self.topic = topic
        self._changed = threading.Condition()
        self._node = node
        self._subscription = node.create_subscription(kind, topic, self._on_message, qos)

    def __enter__(self) -> Ear:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.destroy_subscription(self._subscription)

    def wait_connected(self, timeout_s: float = 20.0) -> None:
        """Waits until a publisher was found, so that nothing published from now on is missed. Raises NoAnswer."""
        deadline = time.monotonic() + timeout_s
        while self._node.count_publishers(self._subscription.topic_name) == 0:
            if time.monotonic() > deadline:
                raise NoAnswer(f"nobody publishes {self._subscription.topic_name}")
            time.sleep(0.02)

    def wait(self, wanted: Callable[[Any], bool] = lambda message: True, timeout_s: float = 20.0) -> Any:
        """The first message that satisfies `wanted`, heard already or coming in time. Raises NoAnswer."""

        def found() -> Any:
            return next((m for m in self.messages if wanted(m)), None)

        with self._changed:
            message = self._changed.wait_for(found, timeout_s)
        if message is None:
            raise NoAnswer(f"{self.topic}: the message waited for did not come ({len(self.messages)} others did)")
        return message

    def _on_message(self, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
