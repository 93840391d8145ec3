"""Writes docs/messages.md: every message, service and action with its fields. Run after changing interfaces/."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
INTERFACES = ROOT / "interfaces"
PAGE = ROOT / "docs" / "messages.md"

KINDS = {"msg": ("Messages", ("",)), "srv": ("Services", ("Request", "Response")),
         "action": ("Actions", ("Goal", "Result", "Feedback"))}  # fmt: skip
_CONSTANT = re.compile(r"^(?P<type>\S+)\s+(?P<name>[A-Z][A-Z0-9_]*)\s*=\s*(?P<value>\S+)\s*(?:#\s*(?P<text>.*))?$")
_FIELD = re.compile(r"^(?P<type>\S+)\s+(?P<name>[a-z][a-z0-9_]*)\s*(?:#\s*(?P<text>.*))?$")

INTRODUCTION = """# Messages, services and actions

What package `inspection_cell_interfaces` defines, from the folder `interfaces/`. Which node sends what, on which topic
and with which quality of service: [architecture.md](architecture.md). The PLC's services, explained: [plc.md](plc.md).

Metres, radians, kilograms and seconds. A pose called `t_a_b` is the pose of frame b in frame a.

This page is written by `tools/write_message_docs.py`.
"""


@dataclass
class Row:
    """A constant or a field: type, name, value of a constant, what it means."""

    type: str
    name: str
    value: str
    text: str


@dataclass
class Section:
    """One part of a definition (a message, or what stands between two `---`)."""

    rows: list[Row] = field(default_factory=list)


@dataclass
class Definition:
    """One file: its comment at the top and its sections."""

    name: str
    about: str
    sections: list[Section]


def read_definition(path: Path) -> Definition:
    """Reads a .msg, .srv or .action file.

    Raises:
        ValueError: a line is no comment, constant or field; file and line are named.
    """
    about: list[str] = []
    sections = [Section()]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        rows = sections[-1].rows
        if text == "---":
            sections.append(Section())
        elif text.startswith("#") and line.startswith("#"):
            about.append(text.lstrip("# "))
        elif text.startswith("#") and rows:
            rows[-1].text += f" {text.lstrip('# ')}"  # an indented comment goes on with the line above
        elif match := _CONSTANT.match(text) or _FIELD.match(text):
            found = match.groupdict()
            rows.append(Row(found["type"], found["name"], found.get("value") or "", found["text"] or ""))
        elif text:
            raise ValueError(f"{path}:{number}: neither a comment nor a constant nor a field: {text!r}")
    return Definition(path.stem, " ".join(about), sections)


def definitions(kind: str) -> list[Definition]:
    """All of one kind (msg, srv, action), by name."""
    return [read_definition(path) for path in sorted((INTERFACES / kind).glob(f"*.{kind}"))]


def page() -> str:
    """The page as Markdown."""
    ours = {d.name for kind in KINDS for d in definitions(kind)}
    lines = [INTRODUCTION]
    for kind, (title, parts) in KINDS.items():
        lines += [f"## {title}", ""]
        for definition in definitions(kind):
            lines += [f"### {definition.name}", "", definition.about, ""]
            for part, section in zip(parts, definition.sections, strict=True):
                lines += _section(part, section, ours)
    return "\n".join(lines).rstrip() + "\n"


def _section(part: str, section: Section, ours: set[str]) -> list[str]:
    heading = [f"**{part}**" + ("" if section.rows else ": nothing"), ""] if part else []
    constants = [row for row in section.rows if row.value]
    fields = [row for row in section.rows if not row.value]
    lines = heading
    if constants:
        lines += ["| constant | value | meaning |", "|---|---|---|"]
        lines += [f"| `{row.name}` | {row.value} | {_cell(row.text)} |" for row in constants] + [""]
    if fields:
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += [f"| `{row.name}` | {_type(row.type, ours)} | {_cell(row.text)} |" for row in fields] + [""]
    return lines


def _type(name: str, ours: set[str]) -> str:
    base = name.removesuffix("[]")
    if base not in ours:
        return f"`{name}`"
    return ("list of " if name.endswith("[]") else "") + f"[{base}](#{base.lower()})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
