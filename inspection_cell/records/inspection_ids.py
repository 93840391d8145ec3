"""Inspection ids: unique for ever, sorted by time, and telling the day whose folder holds the images."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_DATED = re.compile(r"(\d{4})(\d{2})(\d{2})-")


def new_inspection_id(stamp_ns: int) -> str:
    """A new id for an inspection that starts at `stamp_ns` (wall clock): "20260102-030405-1f2e3d4c", in UTC."""
    start = datetime.fromtimestamp(stamp_ns / 1e9, UTC)
    return f"{start:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def inspection_folder(inspection_id: str) -> str:
    """The inspection's folder below the image store: "<yyyy-mm-dd>/<inspection_id>"; the id alone says which.

    Raises:
        ValueError: the id cannot be a folder's name.
    """
    name = file_name(inspection_id)
    if name != inspection_id:
        raise ValueError(f"inspection id {inspection_id!r}: use letters, digits, '.', '_' and '-' only")
    day = _DATED.match(inspection_id)
    return f"{'-'.join(day.groups())}/{name}" if day else f"undated/{name}"


def file_name(name: str) -> str:
    """A view's or check's name as a file name: "g1/v3" becomes "g1_v3".

    Raises:
        ValueError: nothing of it can stand in a file name.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    if not safe.strip("._"):
        raise ValueError(f"{name!r} cannot be made a file name")
    return safe
