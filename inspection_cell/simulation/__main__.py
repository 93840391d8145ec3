"""Runs the simulated world: `python -m inspection_cell.simulation --config FILE`, a JSON file of its configuration."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from pydantic import ValidationError

from inspection_cell.simulation.config import WorldConfig
from inspection_cell.simulation.server import serve


def main() -> int:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description="The simulated world of the demo cell")
    parser.add_argument("--config", type=Path, required=True, help="JSON file of the world's configuration")
    path = parser.parse_args().config
    logging.basicConfig(level=logging.INFO)
    try:
        config = WorldConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve(config, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
