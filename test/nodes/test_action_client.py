"""An answer that comes before its request is noted is not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from inspection_cell_interfaces.action import MoveArm
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from inspection_cell.nodes.action_client import SafeActionClient
from inspection_cell.nodes.waiting import wait_for


class SlowToReturn:
    """rcl's action client whose sending returns long after the answer can have come, as on a busy machine."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._handle, name)
        if not name.startswith("send_"):
            return found

        def send(request: Any) -> int:
            number = found(request)
            time.sleep(0.3)
            return number

        return send


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("arm_and_cell", context=context)
    executor = MultiThreadedExecutor(num_threads=4, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown(timeout_sec=5.0)
    thread.join(timeout=5.0)
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_an_early_answer_is_not_lost(node: Node) -> None:
    def move(goal: Any) -> MoveArm.Result:
        goal.succeed()
        return MoveArm.Result(success=True)

    server = ActionServer(node, MoveArm, "move", execute_callback=move)
    client = SafeActionClient(node, MoveArm, "move")
    assert client.wait_for_server(10.0)
    client._client_handle = SlowToReturn(client._client_handle)
    goal = wait_for(client.send_goal_async(MoveArm.Goal(step="home")), 5.0)
    assert goal is not None and goal.accepted
    answer = wait_for(goal.get_result_async(), 5.0)
    assert answer is not None and answer.result.success
    client.destroy()
    server.destroy()
