"""Starts the cell's processes, starts again what dies, stops all of them in reverse, always."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TextIO

from inspection_cell.recipe.cell_config import CellConfig
from inspection_cell.recipe.loading import ConfigError

RESPAWN_DELAY_S = 1.0
TERM_TIMEOUT_S = 15.0


@dataclass
class Child:
    """One process of the cell."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    died_at: float = 0.0
    restarts: int = 0


@dataclass
class Supervisor:
    """Runs the nodes of a configuration; a context manager, so that nothing is ever left behind.

    Attributes:
        separate: one process a node instead of the configured groups.
    """

    config: CellConfig
    config_path: Path
    data: Path
    separate: bool = False
    quiet: bool = False
    children: list[Child] = field(default_factory=list)
    _lock: TextIO | None = None

    def __enter__(self) -> Supervisor:
        """Starts everything.

        Raises:
            ConfigError: another cell runs on the data folder.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_folder(self.data)
        if self.config.simulation is not None:
            arguments = ["simulate", "--config", str(self.config_path), "--data", str(self.data)]
            self.children.append(Child("simulation", [sys.executable, "-m", "inspection_cell.cli.main", *arguments]))
        groups = [(n,) for n in self.config.nodes] if self.separate else self.config.process_groups
        for group in groups:
            parameters = [f"cell_config:={self.config_path}", f"data:={self.data}"]
            command = [sys.executable, "-m", "inspection_cell.nodes.process", *group, "--ros-args"]
            command += ["-r", f"__ns:=/{self.config.namespace}"]
            for parameter in parameters:
                command += ["-p", parameter]
            self.children.append(Child("+".join(group), command))
        try:
            for child in self.children:
                self._start(child)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def watch(self) -> None:
        """Starts again what has died; call it a few times a second."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            if child.died_at == 0.0:
                child.died_at = now
                print(f"{child.name} ended with code {child.process.returncode}", file=sys.stderr, flush=True)
            elif now - child.died_at > RESPAWN_DELAY_S:
                child.restarts += 1
                self._start(child)

    def stop(self) -> None:
        """Ends every process: first asked, in reverse order of their start; then, if need be, killed."""
        for child in reversed(self.children):
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
                if "lifecycle_manager" in child.name:
                    _wait(child.process, TERM_TIMEOUT_S)  # it takes the nodes down in order
        deadline = time.monotonic() + TERM_TIMEOUT_S
        for child in self.children:
            if child.process is None:
                continue
            _wait(child.process, max(0.1, deadline - time.monotonic()))
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
        self._unlock()

    def kill(self) -> None:
        """SIGKILL to everything at once, as a power cut would; for tests."""
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.kill()
        for child in self.children:
            if child.process is not None:
                child.process.wait()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def process_of(self, node: str) -> subprocess.Popen[bytes]:
        """The process that runs a node."""
        for child in self.children:
            if node in child.name.split("+") and child.process is not None:
                return child.process
        raise LookupError(f"no process runs {node}")

    def _start(self, child: Child) -> None:
        log_folder = self.data / "log"
        log_folder.mkdir(parents=True, exist_ok=True)
        # A session of its own: Ctrl-C in the terminal reaches only us, and we stop them in order. Should we die without
        # a chance to stop them, the kernel ends them.
        options = {
            "preexec_fn": partial(_end_with_parent, os.getpid()),
            "start_new_session": True,
            "env": os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        }
        if self.quiet:
            with (log_folder / f"{child.name[:60]}.log").open("ab") as log:
                child.process = subprocess.Popen(child.command, stdout=log, stderr=log, **options)  # type: ignore[call-overload]
        else:
            child.process = subprocess.Popen(child.command, **options)  # type: ignore[call-overload]
        child.died_at = 0.0


def _lock_folder(data: Path) -> TextIO:
    """Takes a data folder for this process; the lock ends with the file, so also when the process dies."""
    file = (data / "cell.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        text = f"another cell (process {owner}) runs on this data folder; stop it, or give another --data"
        raise ConfigError(f"{data}: {text}") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)


def _end_with_parent(parent: int) -> None:
    """Asks Linux to send this process SIGTERM when its parent dies (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)
