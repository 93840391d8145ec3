"""What the benchmarks share: arguments, a figure's spread, the table, the machine, the closing line."""

from __future__ import annotations

import argparse
import os
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

_MODEL = "model name"


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile of so many measured values."""

    median: float
    p95: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Median and p95.

    Raises:
        ValueError: nothing was measured.
    """
    if not values:
        raise ValueError("nothing was measured")
    return Spread(float(np.median(values)), float(np.percentile(values, 95)), len(values))


def parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """A benchmark's arguments; `quick` says what --quick does less of."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help=quick)
    return made


def own_domain() -> None:
    """Keeps this run's DDS on this host and, unless ROS_DOMAIN_ID is set, away from every other run."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 100)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; numbers are to be formatted already. The first column is left-aligned."""
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=max(120, Console().width)).print(table)


def memory_mb(what: str) -> float:
    """This process's memory as Linux counts it: "VmRSS" now, "VmHWM" at its peak, "RssAnon" without files' pages."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{what}:")[1].split()[0]) / 1e3


def machine() -> str:
    """Processor, cores, load and versions, in one line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith(_MODEL)), platform.machine())
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"{model}, {cores} cores, load {load:.1f} at the start, Python {platform.python_version()}"


def finish(holds: bool, figure: str) -> int:
    """Prints the closing line; returns the exit code."""
    print(f"{'HOLDS' if holds else 'SHORT'}: {figure}", flush=True)
    return 0 if holds else 1
