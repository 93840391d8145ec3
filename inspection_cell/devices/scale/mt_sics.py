"""Scales that speak MT-SICS over a serial port: asked until at rest, every answer matched to its question."""

from __future__ import annotations

import contextlib
import termios
import threading
import time

import serial

from inspection_cell.devices.scale.base import (
    Overload,
    ScaleError,
    ScaleGarbage,
    ScaleLost,
    ScaleTimeout,
    ScaleUnstable,
    Underload,
    Weighing,
)
from inspection_cell.devices.scale.config import MtSicsConfig
from inspection_cell.devices.scale.mt_sics_reply import Reply, parse_reply

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
# Scales refresh their reading 10 to 20 times a second.
_BETWEEN_READINGS_S = 0.05
_LONGEST_LINE = 80
# How a vanished port shows itself: pyserial's own error is an OSError, termios' is not.
_GONE = (OSError, termios.error)


class MtSicsScale:
    """A `Scale` (see its docstrings). Safe to call from several threads, one at a time."""

    def __init__(self, config: MtSicsConfig) -> None:
        self._config = config
        self._port: serial.Serial | None = None
        self._serial_number = ""
        self._in_step = False
        self._busy = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether the port is open and the scale has answered."""
        return self._port is not None

    @property
    def serial_number(self) -> str:
        """The scale's own; empty before `open`."""
        return self._serial_number

    def open(self) -> None:
        """Opens the port and asks the scale for its serial number."""
        with self._busy:
            if self._port is not None:
                return
            self._open_port()
            try:
                self._get_in_step(time.monotonic() + 2 * self._config.reply_timeout_s)
            except ScaleError:
                self.close()
                raise

    def close(self) -> None:
        """Gives the port free."""
        with self._busy:
            if self._port is not None:
                with contextlib.suppress(OSError):
                    self._port.close()
            self._port = None
            self._in_step = False

    def weigh(self, timeout_s: float) -> Weighing:
        """Asks for the weight until the scale calls it stable; see `Scale.weigh`."""
        deadline = time.monotonic() + timeout_s
        reasons: list[str] = []
        told: ScaleError | None = None
        with self._busy:
            # A load put on this moment has not reached the reading yet: the scale still calls the old one stable.
            time.sleep(min(self._config.settle_s, timeout_s))
            while True:
                try:
                    reply = self._weight(self._ask("SI", "S", min(deadline, self._reply_deadline())))
                    return Weighing(reply.mass_kg, True, time.time_ns(), reply.raw, tuple(reasons))
                except ScaleLost:
                    raise
                except ScaleError as error:
                    reason = f"{type(error).__name__}: {error}"
                    # Coming to rest takes a moment: that is no fault. The same fault again is no news.
                    if not isinstance(error, ScaleUnstable) and reason not in reasons:
                        reasons.append(reason)
                    # The last question may be cut short by the end of the time: what the scale said before tells more.
                    told = error if told is None or not isinstance(error, ScaleTimeout) else told
                    if time.monotonic() + _BETWEEN_READINGS_S >= deadline:
                        message = f"scale {self._config.port}: no weight within {timeout_s:g} s: {told}"
                        raise type(told)(message, tuple(reasons)) from error
                time.sleep(_BETWEEN_READINGS_S)

    def zero(self, timeout_s: float) -> None:
        """Sets zero at the present load; the scale waits for rest by itself."""
        with self._busy:
            _expect(self._ask("Z", "Z", time.monotonic() + timeout_s), "A")

    def tare(self, timeout_s: float) -> None:
        """Takes the present load as the tare; the scale waits for rest by itself."""
        with self._busy:
            _expect(self._ask("T", "T", time.monotonic() + timeout_s), "S")

    def _weight(self, reply: Reply) -> Reply:
        if reply.status == "D":
            raise ScaleUnstable(f"still moving: {reply.raw}")
        return _expect(reply, "S")

    def _reply_deadline(self) -> float:
        return time.monotonic() + self._config.reply_timeout_s

    def _ask(self, command: str, answer: str, deadline: float) -> Reply:
        """Sends a command and reads its reply; whatever goes wrong, the next question first gets in step again."""
        if self._port is None:
            self._open_port()
        if not self._in_step:
            self._get_in_step(deadline)
        self._in_step = False
        self._send(command)
        reply = parse_reply(self._read_line(deadline))
        if reply.command != answer:
            raise ScaleGarbage(f"the scale answers {command} with {reply.raw!r}")
        self._in_step = True
        return reply

    def _get_in_step(self, deadline: float) -> None:
        """Asks for the serial number and throws away all that comes before it.

        Replies come in the order of the questions, so what comes after it is no late answer to an earlier one.
        """
        self._send("I4")
        met: ScaleGarbage | None = None
        while True:
            try:
                reply = parse_reply(self._read_line(deadline))
            except ScaleGarbage as error:
                met = error
                continue
            except ScaleTimeout:
                # Something does come: then the cure is another than for a silent scale.
                if met is not None:
                    raise met from None
                raise
            if reply.command == "I4":
                break
        self._serial_number = reply.text
        self._in_step = True

    def _open_port(self) -> None:
        config = self._config
        try:
            self._port = serial.Serial(config.port, config.baudrate, parity=_PARITY[config.parity], exclusive=True)
        except (OSError, ValueError) as error:
            raise ScaleLost(
                f"scale port {config.port} does not open ({error}): check cable, name and rights"
            ) from error
        self._in_step = False

    def _send(self, command: str) -> None:
        assert self._port is not None
        try:
            self._port.reset_input_buffer()
            self._port.write_timeout = self._config.reply_timeout_s
            self._port.write(f"{command}\r\n".encode("ascii"))
        except serial.SerialTimeoutException as error:
            raise ScaleTimeout(f"scale {self._config.port} takes no command: check the handshake") from error
        except _GONE as error:
            raise self._lost(error) from error

    def _read_line(self, deadline: float) -> bytes:
        assert self._port is not None
        line = bytearray()
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ScaleTimeout(f"scale {self._config.port} does not answer (so far {bytes(line)!r})")
            if len(line) > _LONGEST_LINE:
                raise ScaleGarbage(f"the scale sends {bytes(line)!r} without an end of line: check the baud rate")
            try:
                self._port.timeout = remaining
                line += self._port.read(1)
            except _GONE as error:
                raise self._lost(error) from error
        return bytes(line)

    def _lost(self, error: Exception) -> ScaleLost:
        self.close()
        return ScaleLost(f"scale port {self._config.port} has gone ({error}): check the cable")


def _expect(reply: Reply, status: str) -> Reply:
    """The reply, if the scale did what was asked."""
    if reply.status == status:
        return reply
    if reply.status == "+":
        raise Overload(f"overload: {reply.raw}")
    if reply.status == "-":
        raise Underload(f"underload, is the pan in place: {reply.raw}")
    if reply.status in ("I", "D"):
        raise ScaleUnstable(f"not now: {reply.raw}")
    raise ScaleGarbage(f"the scale sent {reply.raw!r}, which answers something else")
