"""What every scale does: a stable weight on request, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class ScaleError(Exception):
    """The scale gave no weight; the subclass says why, `reasons` what was met on the way."""

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class ScaleLost(ScaleError):
    """The port is not there, or has gone."""


class ScaleTimeout(ScaleError):
    """The scale does not answer."""


class ScaleUnstable(ScaleError):
    """The scale answers, but does not come to rest."""


class Overload(ScaleError):
    """More weight than the scale can take."""


class Underload(ScaleError):
    """Less weight than nothing: the pan is lifted or missing."""


class ScaleGarbage(ScaleError):
    """What the scale sent is no answer to what was asked."""


@dataclass(frozen=True)
class Weighing:
    """One weight.

    Attributes:
        mass_kg: net mass, kilograms.
        stable: the scale says that it is at rest.
        stamp_ns: wall clock when the reading arrived, nanoseconds since 1970.
        raw: the scale's reply as it came.
        reasons: faults that were recovered on the way; empty in a clean weighing.
    """

    mass_kg: float
    stable: bool
    stamp_ns: int
    raw: str
    reasons: tuple[str, ...] = ()


class Scale(Protocol):
    """A scale that is asked."""

    @property
    def is_open(self) -> bool:
        """Whether the port is open and the scale has answered."""

    @property
    def serial_number(self) -> str:
        """The scale's own; empty before `open`."""

    def open(self) -> None:
        """Opens the port and makes sure that a scale answers. Raises ScaleLost, ScaleTimeout, ScaleGarbage."""

    def close(self) -> None:
        """Gives the port free. Never raises."""

    def weigh(self, timeout_s: float) -> Weighing:
        """Waits for a stable weight.

        A port that was lost is opened again. A weight is never an answer to an earlier question.

        Raises:
            ScaleUnstable, Overload, Underload, ScaleTimeout, ScaleGarbage: what stood in the way when time was up.
            ScaleLost: at once.
        """

    def zero(self, timeout_s: float) -> None:
        """Sets zero at the present load. Raises as `weigh`."""

    def tare(self, timeout_s: float) -> None:
        """Takes the present load as the tare. Raises as `weigh`."""
