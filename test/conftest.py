"""What all tests share: a ROS domain of their own, and one running teach cell for those that need a whole cell."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import yaml

# No test is about time: on a busy machine an example may take long.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# Before rclpy is imported anywhere: two runs on one machine, or on one network, never hear each other.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

TEACH_RECIPE = "fast_test"


@pytest.fixture(scope="session")
def teach_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fast cell's configuration in mode teach: it needs no models, and its arm is very fast."""
    from inspection_cell.cli.simulated_line import derive_config
    from inspection_cell.recipe.paths import share_folder

    out = tmp_path_factory.mktemp("config") / "cell.yaml"
    derive_config(share_folder() / "config" / "fast_cell.yaml", out, "teach", 200.0)
    # There are only a hundred domains: a namespace of its own keeps the cell apart from others that drew the same.
    content = yaml.safe_load(out.read_text(encoding="utf-8")) | {"namespace": f"cell_{uuid.uuid4().hex[:8]}"}
    out.write_text(yaml.safe_dump(content), encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def running_cell(teach_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A whole cell over DDS, every node real, its devices real drivers on simulated hardware; READY for fast_test."""
    from cell_support import Cell

    with Cell(teach_config, tmp_path_factory.mktemp("cell"), TEACH_RECIPE) as cell:
        yield cell
