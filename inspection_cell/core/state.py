"""The cell's states after OPC 40100-1 (machine vision)."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """PREOPERATIONAL: nodes are coming up. HALTED: shut down on purpose. ERROR: needs a reset. INITIALIZED: no recipe
    ready. READY: a part may be started. SINGLE_EXECUTION: a part is being inspected."""

    PREOPERATIONAL = 1
    HALTED = 2
    ERROR = 3
    INITIALIZED = 4
    READY = 5
    SINGLE_EXECUTION = 6
