"""Getting acquainted: a node that was just met is asked for its lifecycle state until it answers.

DDS makes two ends known to each other one by one. A service is seen a moment before it sees who asks, and on a busy
machine that moment is long enough that an answer given in it is lost. Ends are announced in the order in which they
were made: a node that answers the greeting, whose client was made last, knows all clients that were made before it.
"""

from __future__ import annotations

import threading
import time

from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.task import Future

AGAIN_S = 1.0


def greet(client: Client, timeout_s: float) -> str | None:
    """The lifecycle state of a node in words, e.g. "active"; None where it does not answer in time.

    Args:
        client: of the node's GetState service; somebody else spins its node.
    """
    deadline = time.monotonic() + timeout_s
    answered = threading.Event()
    asked: list[Future] = []
    while (left := deadline - time.monotonic()) > 0 and not answered.is_set():
        if client.wait_for_service(timeout_sec=left):
            asked.append(client.call_async(GetState.Request()))
            asked[-1].add_done_callback(lambda _: answered.set())
            answered.wait(min(AGAIN_S, left))
    answers = [future.result() for future in asked if future.done() and future.exception() is None]
    for future in asked:
        if not future.done():
            client.remove_pending_request(future)
    return str(answers[0].current_state.label) if answers and answers[0] is not None else None
