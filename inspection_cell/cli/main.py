"""`inspection-cell ...`: every command of the cell; the commands live in the modules beside this one."""

from __future__ import annotations

import argparse
import importlib
import sys

from inspection_cell import __version__

MODULES = ("run_commands", "demo_command", "anomaly_commands", "record_commands")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="inspection-cell", description="A robot cell for visual inspection.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in MODULES:
        importlib.import_module(f"inspection_cell.cli.{module}").add_parsers(commands)
    return top


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; a user's slip ends with one clear sentence and exit code 2, never with a traceback."""
    given = parser().parse_args(arguments)
    try:
        code = given.run(given)
    except KeyboardInterrupt:
        code = 130
    except (ValueError, LookupError, OSError, TimeoutError) as error:
        print(f"inspection-cell {given.command}: {error}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
