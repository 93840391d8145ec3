"""Signals that are only software: set by hand, or read from a simulated world."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from inspection_cell.devices.signals.base import SignalState, judge
from inspection_cell.devices.signals.config import SimulatedSignalsConfig


@dataclass(frozen=True)
class Inputs:
    """The safety PLC's outputs as they are on the wire."""

    protective_stop: bool
    door_closed: bool


class SignalBox:
    """Stands in for the safety PLC: no stop and a closed door at the beginning. Thread-safe.

    An instance is itself what `SimulatedSignals` asks.
    """

    def __init__(self) -> None:
        self._inputs = Inputs(protective_stop=False, door_closed=True)
        self._connected = True
        self._busy = threading.Lock()

    def set_protective_stop(self, active: bool) -> None:
        """Presses or frees the protective stop."""
        with self._busy:
            self._inputs = Inputs(active, self._inputs.door_closed)

    def set_door_closed(self, closed: bool) -> None:
        """Closes or opens the door."""
        with self._busy:
            self._inputs = Inputs(self._inputs.protective_stop, closed)

    def set_connected(self, connected: bool) -> None:
        """Cuts the wire, or mends it."""
        with self._busy:
            self._connected = connected

    def __call__(self) -> Inputs:
        """The wire now. Raises ConnectionError while it is cut."""
        with self._busy:
            if not self._connected:
                raise ConnectionError("the wire is cut")
            return self._inputs


class SimulatedSignals:
    """`Signals` (see its docstrings) that ask a source at every reading. Thread-safe."""

    def __init__(self, config: SimulatedSignalsConfig, source: Callable[[], Inputs]) -> None:
        """Takes the source: it answers at once, and raises an OSError for lost contact."""
        self._max_age_s = config.max_age_s
        self._source = source
        self._last = Inputs(protective_stop=True, door_closed=False)
        self._stamp_s = -math.inf
        self._busy = threading.Lock()

    def read(self) -> SignalState:
        """Asks the source; without an answer the last one counts until it is too old."""
        with self._busy:
            try:
                self._last = self._source()
                self._stamp_s = time.monotonic()
            except OSError:
                # Lost contact shows as age.
                pass
            return judge(
                self._last.protective_stop, self._last.door_closed, self._stamp_s, time.monotonic(), self._max_age_s
            )
