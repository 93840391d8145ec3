"""One scene for all tests of the simulation: a graphics context is expensive."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def scene():
    """The demo part on the graphics device, once a session."""
    from simulation_cell import PART_FOLDER

    from inspection_cell.simulation.scene import Scene

    return Scene(PART_FOLDER)
