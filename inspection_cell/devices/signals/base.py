"""What the safety PLC tells the cell: protective stop and door. The cell obeys and reports; it does not replace it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SignalState:
    """The signals as the cell must take them.

    Attributes:
        protective_stop: the safety PLC stops the arm, or nothing was heard of it for too long.
        door_closed: known to be closed.
        stale: nothing was heard for longer than allowed; then there is a protective stop and no closed door.
        stamp_s: steady clock (time.monotonic) when the signals were last heard, seconds.
    """

    protective_stop: bool
    door_closed: bool
    stale: bool
    stamp_s: float

    @property
    def may_move(self) -> bool:
        """Whether the arm may move."""
        return self.door_closed and not self.protective_stop


class Signals(Protocol):
    """Inputs from the safety PLC."""

    def read(self) -> SignalState:
        """The signals now. Never raises: what is not known counts as a protective stop."""


def judge(protective_stop: bool, door_closed: bool, stamp_s: float, now_s: float, max_age_s: float) -> SignalState:
    """The signals heard at `stamp_s`, as they are to be taken at `now_s`: too old a reading is a protective stop."""
    # Written so that a NaN counts as too old.
    fresh = now_s - stamp_s <= max_age_s
    return SignalState(protective_stop or not fresh, door_closed and fresh, not fresh, stamp_s)
