"""Serves the simulated world to other processes over a Unix socket; a client's error never ends it."""

from __future__ import annotations

import logging
import os
import secrets
import socket as sockets
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

from inspection_cell.simulation.config import WorldConfig
from inspection_cell.simulation.world import World

log = logging.getLogger(__name__)

METHODS = frozenset(
    {
        "present_part",
        "part",
        "T_tool_part",
        "disposition",
        "set_tool",
        "grip",
        "open",
        "read_width",
        "set_light",
        "expose",
        "scale_load_kg",
        "drop_part",
        "inject",
        "take_fault",
        "clear_faults",
        "scale_mode",
        "set_signals",
        "signals",
    }
)
POLL_S = 0.2


def key_path(socket: Path) -> Path:
    """Where the world puts the key that a client must know."""
    return socket.with_name(socket.name + ".key")


def serve(config: WorldConfig, stop_event: threading.Event) -> None:
    """Runs the world until the event is set.

    Raises:
        OSError: the socket cannot be made, or another world serves there.
    """
    listener = _listen(config.socket)
    try:
        key = _write_key(key_path(config.socket))
        world = World(config)
        log.info("simulated world at %s, drawn by %s", config.socket, world.renderer_name)
        try:
            listener.settimeout(POLL_S)
            while not stop_event.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                client.settimeout(None)
                connection = Connection(client.detach())
                threading.Thread(target=_attend, args=(world, connection, key), daemon=True).start()
        finally:
            world.close()
    finally:
        listener.close()
        config.socket.unlink(missing_ok=True)
        key_path(config.socket).unlink(missing_ok=True)


def _listen(path: Path) -> sockets.socket:
    """A listening socket; one that a killed world left behind is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        with sockets.socket(sockets.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(f"{path}: another simulated world serves here; stop it or choose another socket")
        path.unlink()
    listener = sockets.socket(sockets.AF_UNIX)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise OSError(f"{path}: cannot listen ({error}); choose a shorter path in a writable folder") from error
    path.chmod(0o600)
    listener.listen(16)
    return listener


def _write_key(path: Path) -> bytes:
    key = secrets.token_bytes(32)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    temporary.replace(path)
    return key


def _attend(world: World, connection: Connection, key: bytes) -> None:
    """Answers one client's calls until it goes; each answer is (True, value) or (False, exception)."""
    with connection:
        try:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            while True:
                method, args, kwargs = connection.recv()
                connection.send(_call(world, method, args, kwargs))
        except (EOFError, OSError):
            return
        except AuthenticationError:
            log.warning("a client without the right key was turned away")
        except Exception:
            # Whatever a client sends, the others are served on.
            log.exception("a client was turned away")


def _call(world: World, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[bool, object]:
    if method not in METHODS:
        return False, ValueError(f"the simulated world has no method {method!r}")
    try:
        return True, getattr(world, method)(*args, **kwargs)
    except Exception as error:
        log.warning("%s failed: %s", method, error)
        plain = error if type(error).__module__ == "builtins" else RuntimeError(f"{type(error).__name__}: {error}")
        return False, plain
