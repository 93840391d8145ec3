"""`inspection-cell parts` and `inspection-cell show`: what was inspected, and a picture of one part."""

from __future__ import annotations

import argparse
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.table import Table

from inspection_cell.core.verdict import Verdict
from inspection_cell.records.database import RecordFailed
from inspection_cell.records.picture import draw_record
from inspection_cell.records.record import InspectionRecord, RecordSummary
from inspection_cell.records.store import RecordStore, UnknownInspection

DEFAULT_DATA = Path("data/demo")
_STYLE = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNCERTAIN: "yellow", Verdict.ERROR: "magenta"}


class CommandError(ValueError):
    """What was asked for cannot be shown; the message says why."""


def add_parsers(subparsers: Any) -> None:
    """Adds `parts` and `show` to the command's subparsers; `run(arguments)` may raise CommandError."""
    parts = subparsers.add_parser("parts", help="list the inspected parts, newest first")
    _add_data(parts)
    parts.add_argument("--limit", type=int, default=50, help="how many (default: %(default)s)")
    parts.set_defaults(run=_run_parts)

    show = subparsers.add_parser("show", help="draw a part: its views, what was found, the verdict")
    show.add_argument("part", metavar="SERIAL|INSPECTION_ID", help="of a serial, its latest inspection is shown")
    _add_data(show)
    show.add_argument("--out", type=Path, metavar="PNG", help="picture to write (default: INSPECTION_ID.png)")
    show.set_defaults(run=_run_show)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the cell's data folder (default: %(default)s)")


def _open(data: Path) -> RecordStore:
    if not (data / "records.sqlite").is_file():
        raise CommandError(f"{data}: no records there; name the cell's data folder with --data")
    try:
        return RecordStore.in_folder(data)
    except RecordFailed as error:
        raise CommandError(f"{data / 'records.sqlite'}: {error}") from error


def _run_parts(arguments: argparse.Namespace) -> int:
    store = _open(arguments.data)
    table = Table(title=f"Parts in {arguments.data}")
    table.add_column("time", no_wrap=True)
    for name in ("serial", "verdict", "reasons"):
        table.add_column(name, overflow="fold")
    for name in ("weight g", "cycle s"):
        table.add_column(name, justify="right")
    for name in ("part is at", "simulated"):
        table.add_column(name)
    for summary in store.find(limit=arguments.limit):
        table.add_row(*_cells(summary), style=_STYLE.get(summary.verdict) if summary.verdict else "dim")
    Console().print(table)
    store.close()
    return 0


def _cells(summary: RecordSummary) -> list[str]:
    verdict = summary.part_verdict
    reasons = verdict.reasons if verdict else ()
    named = [f"{r.code.name} {r.subject}".strip() for r in reasons[:3]]
    if len(reasons) > len(named):
        named.append(f"and {len(reasons) - len(named)} more")
    cycle = verdict.timings_s.get("cycle") if verdict else None
    return [
        datetime.fromtimestamp(summary.opened_ns / 1e9).strftime("%m-%d %H:%M:%S"),
        summary.serial,
        summary.verdict.name if summary.verdict else f"unfinished: {summary.step}",
        "\n".join(named),
        f"{verdict.mass_kg * 1e3:.2f}" if verdict and math.isfinite(verdict.mass_kg) else "",
        f"{cycle:.1f}" if cycle is not None else "",
        summary.disposition.name.lower().replace("_", " "),
        "yes" if summary.simulated else "no",
    ]


def _run_show(arguments: argparse.Namespace) -> int:
    store = _open(arguments.data)
    record = _find(store, arguments.part)
    out = arguments.out or Path(f"{record.summary.inspection_id}.png")
    picture = cv2.cvtColor(draw_record(record, store.images), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    try:
        out.write_bytes(encoded)
    except OSError as error:
        raise CommandError(f"{out}: cannot be written: {error.strerror}") from error
    console = Console(highlight=False)
    summary, verdict = record.summary, record.summary.part_verdict
    console.print(f"{summary.inspection_id}  part {summary.serial}  recipe {summary.recipe}", markup=False)
    console.print(summary.verdict.name if summary.verdict else f"unfinished at {summary.step!r}", markup=False)
    for reason in verdict.reasons if verdict else ():
        console.print(f"  {int(reason.code)} {reason.code.name} {reason.subject}: {reason.text}", markup=False)
    console.print(f"picture: {out}", markup=False, soft_wrap=True)
    store.close()
    return 0


def _find(store: RecordStore, part: str) -> InspectionRecord:
    try:
        return store.get(part)
    except UnknownInspection:
        found = store.find(serial=part, limit=1)
    if not found:
        raise CommandError(f"no inspection and no part is called {part!r}; `inspection-cell parts` lists them")
    return store.get(found[0].inspection_id)
