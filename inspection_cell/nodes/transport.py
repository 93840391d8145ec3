"""How the cell's processes reach each other: UDP on the host's loopback, chosen before the first node is made."""

from __future__ import annotations

import os


def choose_transport() -> None:
    """Makes Fast DDS use UDP only, unless FASTDDS_BUILTIN_TRANSPORTS says otherwise.

    Its own shared memory survives a killed process badly: the process started in its place sometimes never receives a
    request (seen in about one of ten kills), so it could not be brought up again. Pictures do not need it: they go
    through `frames`.
    """
    os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
