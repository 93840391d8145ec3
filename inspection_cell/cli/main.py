"""`inspection-cell ...`: every command of the cell. Only the module of the command that is called is imported, so that
those for folders and records work where there is no ROS.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from inspection_cell import __version__

MODULES = {
    "run_commands": ("up", "simulate", "present", "schema"),
    "demo_command": ("demo", "commission"),
    "anomaly_commands": ("fit-anomaly", "inspect-folder", "evaluate-anomaly", "describe-backbone"),
    "export_command": ("export-anomaly",),
    "presence_commands": ("train-presence", "synth", "evaluate-presence"),
    "view_commands": ("plan-views",),
    "calibration_commands": ("draw-target", "calibrate-camera", "calibrate-hand-eye"),
    "record_commands": ("parts", "show"),
}


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The command line of one command; of all of them where it is None or unknown."""
    top = argparse.ArgumentParser(prog="inspection-cell", description="A robot cell for visual inspection.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = [module for module, names in MODULES.items() if command in names] or list(MODULES)
    for module in wanted:
        importlib.import_module(f"inspection_cell.cli.{module}").add_parsers(commands)
    return top


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; a user's slip ends with one clear sentence and exit code 2, never with a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    given = parser(words[0] if words else None).parse_args(words)
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
