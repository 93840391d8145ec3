"""Asks the simulated world, from another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from inspection_cell.core.poses import Pose
from inspection_cell.core.verdict import Disposition
from inspection_cell.simulation.config import Role
from inspection_cell.simulation.sensor import Image, PixelFormat
from inspection_cell.simulation.server import key_path
from inspection_cell.simulation.truth import PartTruth


class WorldLost(ConnectionError):
    """The simulated world does not answer."""


class WorldClient:
    """The world's methods, with the same names; safe from any thread, each call has a connection for itself.

    Args:
        socket: where the world serves.
        timeout_s: longest wait for one answer.
        connect_timeout_s: longest wait for the world to appear; the same where it is not given.
    """

    def __init__(self, socket: Path, timeout_s: float = 30.0, connect_timeout_s: float | None = None) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._connect_timeout_s = timeout_s if connect_timeout_s is None else connect_timeout_s
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def present_part(self, truth: PartTruth) -> None:
        """Puts a new part at the infeed."""
        self._call("present_part", truth)

    def part(self) -> PartTruth | None:
        """The truth about the part in the cell; for tests and statistics only."""
        return self._call("part")  # type: ignore[no-any-return]

    def T_tool_part(self) -> Pose | None:
        """How the hand truly holds the part; None when it holds none. For tests and statistics only."""
        return self._call("T_tool_part")  # type: ignore[no-any-return]

    def disposition(self) -> Disposition:
        """Where the part is."""
        return self._call("disposition")  # type: ignore[no-any-return]

    def set_tool(self, T_world_tool: Pose) -> None:
        """The arm moved."""
        self._call("set_tool", T_world_tool)

    def grip(self, width_m: float, force_n: float) -> float:
        """Closes the jaws; their distance then, metres, 0 when nothing is between them."""
        return self._call("grip", width_m, force_n)  # type: ignore[no-any-return]

    def open(self, width_m: float) -> float:
        """Opens the jaws; their distance then, metres."""
        return self._call("open", width_m)  # type: ignore[no-any-return]

    def read_width(self) -> float:
        """The jaws' distance, metres."""
        return self._call("read_width")  # type: ignore[no-any-return]

    def set_light(self, levels: Mapping[str, float]) -> None:
        """Sets every light channel, 0 to 1."""
        self._call("set_light", dict(levels))

    def expose(self, role: Role, exposure_s: float, gain_db: float, pixel_format: PixelFormat = "mono8") -> Image:
        """What a camera delivers if it is triggered now."""
        return self._call("expose", role, exposure_s, gain_db, pixel_format)  # type: ignore[no-any-return]

    def scale_load_kg(self) -> float:
        """What presses on the pan, kilograms."""
        return self._call("scale_load_kg")  # type: ignore[no-any-return]

    def drop_part(self) -> None:
        """The part falls out of the hand."""
        self._call("drop_part")

    def inject(self, fault: str, count: int = 1, role: str = "", mode: str = "") -> None:
        """Makes something fail; see `faults.FAULTS`."""
        self._call("inject", fault, count, role, mode)

    def take_fault(self, fault: str, role: str = "") -> bool:
        """For a simulated device: whether it must fail so now."""
        return self._call("take_fault", fault, role)  # type: ignore[no-any-return]

    def clear_faults(self) -> None:
        """Everything works again."""
        self._call("clear_faults")

    def set_signals(self, protective_stop: bool, door_closed: bool) -> None:
        """What the safety controller says from now on."""
        self._call("set_signals", protective_stop, door_closed)

    def signals(self) -> tuple[bool, bool]:
        """What the safety controller says: protective stop, door closed."""
        return self._call("signals")  # type: ignore[no-any-return]

    def scale_mode(self) -> str:
        """How the simulated scale must behave; "none" when well."""
        return self._call("scale_mode")  # type: ignore[no-any-return]

    def _call(self, method: str, *args: object) -> Any:
        connection = self._take()
        try:
            connection.send((method, args, {}))
            if not connection.poll(self._timeout_s):
                raise WorldLost(f"simulated world at {self._socket}: no answer to {method} in {self._timeout_s} s")
            succeeded, value = connection.recv()
        except (EOFError, OSError) as error:
            # Never used again: a late answer must not be taken for another call's.
            connection.close()
            if isinstance(error, WorldLost):
                raise
            raise WorldLost(f"simulated world at {self._socket} went away during {method}") from error
        self._give_back(connection)
        if not succeeded:
            raise value
        return value

    def _take(self) -> Connection:
        """A connection that nobody uses, made where there is none."""
        with self._lock:
            if self._closed:
                raise WorldLost(f"simulated world at {self._socket}: this client was closed")
            if self._idle:
                return self._idle.pop()
        deadline = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                return Client(str(self._socket), "AF_UNIX", authkey=key_path(self._socket).read_bytes())
            except (OSError, EOFError) as error:
                if time.monotonic() > deadline:
                    raise WorldLost(f"simulated world at {self._socket} does not answer; is it running?") from error
                time.sleep(0.05)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
