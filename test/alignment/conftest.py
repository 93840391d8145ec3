"""What the tests of the alignment share."""

from pathlib import Path

import pytest

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.cad.assembly import load_assembly


@pytest.fixture(scope="session")
def part() -> PartEdges:
    return PartEdges(load_assembly(Path(__file__).parents[2] / "models/parts/ring_housing/ring_housing.step"))
