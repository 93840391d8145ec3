"""What can be made to fail in the simulated world: each fault is injected so many times and taken once each."""

from __future__ import annotations

import threading
from collections import Counter

FAULTS = {
    "black": "the camera's picture is taken with the light off (role: which camera)",
    "wrong_size": "the camera's picture has half the width and height (role: which camera)",
    "failed_buffer": "the camera's driver reports a failed grab (role: which camera)",
    "no_frame": "the camera delivers nothing (role: which camera)",
    "unplugged": "the camera is gone (role: which camera)",
    "lost_part": "the part falls out of the hand at the next motion",
    "grip_missed": "the jaws close beside the part",
    "scale": "the scale misbehaves as `mode` says until the faults are cleared",
}


class Faults:
    """Counts of injected faults; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._scale_mode = "none"

    @property
    def scale_mode(self) -> str:
        """How the scale misbehaves; "none" when it does not."""
        return self._scale_mode

    def inject(self, fault: str, count: int, role: str, mode: str) -> None:
        """Adds a fault; an empty role means whichever camera comes first.

        Raises:
            ValueError: the fault is unknown, the count is not positive, or the scale's mode is missing.
        """
        if fault not in FAULTS:
            raise ValueError(f"fault {fault!r} is unknown; there are {', '.join(FAULTS)}")
        if count < 1:
            raise ValueError(f"fault {fault!r}: count {count} must be at least 1")
        with self._lock:
            if fault != "scale":
                self._counts[fault, role] += count
            elif mode:
                self._scale_mode = mode
            else:
                raise ValueError("fault 'scale' needs a mode, e.g. unstable, silent, garbage, overload, underload")

    def take(self, fault: str, role: str = "") -> bool:
        """Whether to fail now; uses the fault up."""
        with self._lock:
            for key in dict.fromkeys([(fault, role), (fault, "")]):
                if self._counts[key] > 0:
                    self._counts[key] -= 1
                    return True
            return False

    def clear(self) -> None:
        """Forgets every fault."""
        with self._lock:
            self._counts.clear()
            self._scale_mode = "none"
