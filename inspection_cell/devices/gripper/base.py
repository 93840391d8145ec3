"""What every gripper does: open, grip, and know whether it still holds the part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class GripperError(Exception):
    """The gripper did not do what was asked."""


class PartLost(GripperError):
    """The fingers are not as far apart as the part is wide: it is not there, not all there, or another one."""


@dataclass(frozen=True)
class GripState:
    """How the fingers are.

    Attributes:
        width_m: distance between the fingers, metres.
        holding: gripped, and the width is still within the expected band.
        stamp_ns: wall clock of the reading, nanoseconds since 1970.
    """

    width_m: float
    holding: bool
    stamp_ns: int


class Gripper(Protocol):
    """A gripper with two parallel fingers that measures their distance."""

    def open(self, width_m: float) -> GripState:
        """Opens to a width, metres; lets go of what is held. Raises GripperError."""

    def grip(self, width_m: float, tolerance_m: float, force_n: float) -> GripState:
        """Closes on a part.

        Args:
            width_m: how wide the part is where it is gripped, metres.
            tolerance_m: by how much the width may differ, now and as long as it is held, metres.
            force_n: newton.

        Raises:
            PartLost: the fingers closed to another width.
            GripperError: not possible so, or no contact.
        """

    def state(self) -> GripState:
        """How the fingers are now. Raises GripperError."""


def require_part(gripper: Gripper) -> GripState:
    """The gripper's state, if it holds a part.

    Raises:
        PartLost: it does not.
        GripperError: no contact.
    """
    state = gripper.state()
    if not state.holding:
        raise PartLost(f"gripper: the part is lost, the fingers are {state.width_m * 1e3:.2f} mm apart")
    return state
