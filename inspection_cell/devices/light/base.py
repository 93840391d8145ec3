"""What every light does: it takes one of its named settings, and says what really burns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class LightError(Exception):
    """The light did not do what was asked."""


class UnknownSetting(LightError):
    """No such setting, or a channel or an intensity that the light does not have."""


@dataclass(frozen=True)
class LightSetting:
    """Intensity of each channel by its name, 0 (off) to 1 (full); channels not named are off."""

    levels: Mapping[str, float]

    def __post_init__(self) -> None:
        for channel, level in self.levels.items():
            if not (math.isfinite(level) and 0 <= level <= 1):
                raise UnknownSetting(f"light channel {channel}: intensity {level} is not within 0 to 1")


class Light(Protocol):
    """A light of one or more channels."""

    def set(self, setting: str | LightSetting) -> LightSetting:
        """Takes a setting, by its name in the cell configuration or given; answers all channels' levels.

        Raises:
            UnknownSetting: it has no such name or channel.
            LightError: the light did not follow.
        """

    def off(self) -> None:
        """Switches all channels off. Raises LightError."""

    def is_on(self) -> bool:
        """Whether any channel really burns. Raises LightError."""
