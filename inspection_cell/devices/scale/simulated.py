"""A scale that is only software: it speaks MT-SICS on a real pseudo-terminal, settles like a scale, and can fail."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import pty
import random
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_S = 0.05


class ScaleFault(enum.Enum):
    """How the simulated scale fails, as long as it is set."""

    NONE = "none"
    UNSTABLE = "unstable"
    SILENT = "silent"
    GARBAGE = "garbage"
    OVERLOAD = "overload"
    UNDERLOAD = "underload"


@dataclass(frozen=True)
class ScaleBehaviour:
    """How the simulated scale weighs; kilograms and seconds.

    Attributes:
        capacity_kg: more is an overload.
        step_kg: the display's resolution.
        noise_kg: standard deviation of a reading.
        settling_s: time constant with which the reading follows the load.
        rest_kg, rest_s: at rest is who moved less than this for so long.
    """

    capacity_kg: float = 2.2
    step_kg: float = 1e-5
    noise_kg: float = 2e-6
    settling_s: float = 0.08
    rest_kg: float = 3e-5
    rest_s: float = 0.25


class SimulatedScale:
    """Serves MT-SICS from a thread until closed.

    Set `fault` at any time. `unplug` and `plug` take the port away and bring it back.
    """

    def __init__(
        self,
        load: Callable[[], float],
        link: Path | None = None,
        behaviour: ScaleBehaviour = ScaleBehaviour(),
        seed: int = 0,
    ) -> None:
        """Starts to serve.

        Args:
            load: mass on the pan now, kilograms; asked 20 times a second from the scale's thread.
            link: where a symbolic link to the port is put, for a name that is known beforehand.
            behaviour: how it weighs.
            seed: of its noise.
        """
        self.fault = ScaleFault.NONE
        self._load = load
        self._link = link
        self._behaviour = behaviour
        self._random = random.Random(seed)
        self._reading = load()
        self._recent: deque[tuple[float, float]] = deque()
        self._sampled = time.monotonic()
        self._zero = self._tare = 0.0
        self._waiting: list[str] = []
        self._thread: threading.Thread | None = None
        self.port = ""
        self.plug()

    def plug(self) -> None:
        """Opens a pseudo-terminal and serves it; harmless when plugged."""
        if self._thread is not None:
            return
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        if self._link is not None:
            fresh = self._link.with_name(f"{self._link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self.port)
            fresh.replace(self._link)
            self.port = str(self._link)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="simulated scale", daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Takes the port away, as when a cable is pulled; harmless when unplugged."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        os.close(self._master)
        os.close(self._slave)
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    close = unplug

    def _serve(self) -> None:
        received = b""
        while not self._stop.is_set():
            if select.select([self._master], [], [], _SAMPLE_S)[0]:
                received += os.read(self._master, 256)
            while time.monotonic() - self._sampled >= _SAMPLE_S:
                self._sample()
            *commands, received = received.split(b"\n")
            self._waiting += [command.strip().decode("ascii", "replace") for command in commands]
            self._answer_waiting()

    def _sample(self) -> None:
        behaviour = self._behaviour
        self._sampled += _SAMPLE_S
        shaking = 1e-3 if self.fault is ScaleFault.UNSTABLE else 0.0
        follow = 1 - math.exp(-_SAMPLE_S / behaviour.settling_s)
        self._reading += follow * (self._load() - self._reading) + self._random.gauss(0, behaviour.noise_kg + shaking)
        self._recent.append((self._sampled, self._reading))
        while self._sampled - self._recent[0][0] > behaviour.rest_s:
            self._recent.popleft()

    def _at_rest(self) -> bool:
        values = [value for _, value in self._recent]
        long_enough = len(values) >= self._behaviour.rest_s / _SAMPLE_S
        return long_enough and max(values) - min(values) <= self._behaviour.rest_kg

    def _answer_waiting(self) -> None:
        # S, Z and T wait for rest, and all that comes after waits with them: replies keep the commands' order.
        while self._waiting:
            if self.fault is ScaleFault.SILENT:
                self._waiting.clear()
                return
            reply = self._reply(self._waiting[0])
            if reply is None:
                return
            del self._waiting[0]
            if self.fault is ScaleFault.GARBAGE:
                line = self._random.randbytes(self._random.randint(1, 30)) + b"\r\n"
            else:
                line = f"{reply}\r\n".encode("ascii")
            with contextlib.suppress(OSError):
                os.write(self._master, line)

    def _reply(self, command: str) -> str | None:
        """What the command is answered with; None for not yet."""
        if command == "I4":
            return 'I4 A "SIMULATED"'
        if command not in ("S", "SI", "Z", "T"):
            return "ES"
        answers = command[0]
        if self.fault is ScaleFault.OVERLOAD or self._reading > self._behaviour.capacity_kg:
            return f"{answers} +"
        if self.fault is ScaleFault.UNDERLOAD or self._reading < -0.1 * self._behaviour.capacity_kg:
            return f"{answers} -"
        at_rest = self._at_rest()
        if command == "SI":
            return f"S {'S' if at_rest else 'D'} {self._shown(self._reading - self._zero - self._tare)} g"
        if not at_rest:
            return None
        if command == "Z":
            self._zero, self._tare = self._reading, 0.0
            return "Z A"
        if command == "T":
            self._tare = self._reading - self._zero
            return f"T S {self._shown(self._tare)} g"
        return f"S S {self._shown(self._reading - self._zero - self._tare)} g"

    def _shown(self, mass_kg: float) -> str:
        step_g = self._behaviour.step_kg * 1e3
        decimals = max(0, round(-math.log10(step_g)))
        # Adding zero makes -0.00 a plain 0.00.
        return f"{round(mass_kg * 1e3 / step_g) * step_g + 0.0:10.{decimals}f}"
