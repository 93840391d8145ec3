"""rclpy's action client, without the race in which an answer gets lost.

rclpy (7.1) sends a request and only then notes its future; an executor's thread that takes the answer in between
finds no future and drops it ("Ignoring unexpected goal response"). rclpy's service client has a lock for this; so has
this one.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.task import Future


class SafeActionClient(ActionClient):
    """An ActionClient whose answers are taken only while no request is half sent. Safe with any executor."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._sending = threading.RLock()  # before the base class gives us to the executor
        super().__init__(*args, **options)

    def send_goal_async(self, *args: Any, **options: Any) -> Future:
        with self._sending:
            return super().send_goal_async(*args, **options)

    def _cancel_goal_async(self, *args: Any) -> Future:
        with self._sending:
            return super()._cancel_goal_async(*args)

    def _get_result_async(self, *args: Any) -> Future:
        with self._sending:
            return super()._get_result_async(*args)

    def take_data(self) -> dict[str, Any]:
        with self._sending:
            return super().take_data()
