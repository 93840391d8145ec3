"""Waiting for an rclpy future from a thread that does not spin."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.task import Future


def wait_for(future: Future, timeout_s: float, stop: threading.Event | None = None) -> Any:
    """The future's result, or None when it did not come in time, failed, or `stop` was set meanwhile.

    Never call it in the thread of a single-threaded executor: the answer could not arrive.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    remaining = timeout_s
    while remaining > 0:
        if done.wait(min(0.05, remaining)):
            return None if future.exception() is not None else future.result()
        if stop is not None and stop.is_set():
            break
        remaining -= 0.05
    return None
