"""A cell that is READY before every test; the cell itself runs for the whole session."""

from __future__ import annotations

import pytest


@pytest.fixture
def cell(running_cell):
    running_cell.make_ready()
    return running_cell
