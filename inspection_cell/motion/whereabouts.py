"""Where the part is, kept in a small file, so that an arm node that was started again knows what its hand holds."""

from __future__ import annotations

import json
from pathlib import Path

from inspection_cell.motion.taskplan import Place


def save_place(path: Path, place: Place) -> None:
    """Replaces the file in one go. It outlives the process; after a power cut the gripper itself is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps({"held": place.held, "at": place.at}), encoding="utf-8")
    draft.replace(path)


def load_place(path: Path) -> Place:
    """The place that was saved; nowhere where there is none, or where the file is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Place(str(data["held"]), str(data["at"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Place()
