"""One line of a scale that speaks MT-SICS, understood strictly: whatever does not fit to the letter is garbage.

Source: Mettler-Toledo, MT-SICS Interface Command Set, reference manual, levels 0 and 1: a weight reply is the command,
the status, the value right-aligned in ten characters, and the unit. The fixed width shows a line that lost characters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from inspection_cell.devices.scale.base import ScaleGarbage

_KG_PER_UNIT = {"kg": 1.0, "g": 1e-3, "mg": 1e-6}
_WEIGHT = re.compile(r"(S|T) (S|D) ([ 0-9.+-]{10}) (kg|g|mg) *")
_NUMBER = re.compile(r" *[+-]?[0-9]+(\.[0-9]+)?")
_STATUS = re.compile(r"(S|T|Z) (I|\+|-)|(Z) (A)")
_TEXT = re.compile(r'(I4) (A) "([^"]*)"')
_ERRORS = {
    "ES": "it does not know the command",
    "ET": "it received a damaged command",
    "EL": "it cannot carry out the command",
}


@dataclass(frozen=True)
class Reply:
    """What the scale said.

    Attributes:
        command: what it answers: S, T, Z or I4.
        status: S stable, D dynamic, A done, I not now, + overload, - underload.
        mass_kg: kilograms where the reply carries a weight, NaN where not.
        text: I4's serial number.
        raw: the line.
    """

    command: str
    status: str
    mass_kg: float
    text: str
    raw: str


def parse_reply(line: bytes) -> Reply:
    """Understands a line, its end (CR LF) taken off or not.

    Raises:
        ScaleGarbage: it is no reply of MT-SICS, or one that says that the scale did not understand us.
    """
    raw = line.rstrip(b"\r\n")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise ScaleGarbage(f"the scale sent {raw!r}: check baud rate and parity") from error
    if text in _ERRORS:
        raise ScaleGarbage(f"the scale says {text}: {_ERRORS[text]}")
    if (weight := _WEIGHT.fullmatch(text)) and _NUMBER.fullmatch(weight[3]):
        return Reply(weight[1], weight[2], float(weight[3]) * _KG_PER_UNIT[weight[4]], "", text)
    if status := _STATUS.fullmatch(text):
        return Reply(status[1] or status[3], status[2] or status[4], math.nan, "", text)
    if named := _TEXT.fullmatch(text):
        return Reply(named[1], named[2], math.nan, named[3], text)
    raise ScaleGarbage(f"the scale sent {raw!r}, which is no MT-SICS reply")
