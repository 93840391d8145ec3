"""A camera on the arm: the part is looked at from all sides and stays in its fixture, whatever the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stand_in_cell import ROUND, Bench, failed, is_error

from inspection_cell.core.plan import Mounting
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path, camera_arm=True)
    yield bench
    bench.controller.close()
    bench.store.close()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({}, Verdict.PASS),
        ({"anomaly/fixture/top_135": 11.0}, Verdict.FAIL),
        ({"presence/clip_left/fixture/top_135": 0.95}, Verdict.UNCERTAIN),
        ({"anomaly/fixture/top_135": float("nan")}, Verdict.ERROR),
    ],
)
def test_the_part_stays_and_the_arm_goes_home(bench: Bench, scores: dict[str, float], expected: Verdict) -> None:
    bench.ready()
    bench.cell.scores = scores
    verdict = bench.inspect()
    assert (verdict.verdict, verdict.disposition) == (expected, Disposition.INFEED), verdict.reasons
    moves = [call for call in bench.cell.calls if call.startswith(("view:", "place:", "home", "weigh", "pick"))]
    assert moves == [*ROUND, "home"]
    assert bench.controller.state is State.READY
    record = bench.store.get(verdict.inspection_id)
    assert record.plan.mounting is Mounting.CAMERA_IN_HAND
    assert bench.recipe.fixture is not None
    for view in record.views:
        assert view.mounting is Mounting.CAMERA_IN_HAND
        assert np.allclose(view.T_prior, bench.recipe.fixture.T_world_part.matrix)


@pytest.mark.parametrize("where", ["view:fixture/wide_090", "capture:fixture/wide_270", "view:fixture/top_225"])
def test_a_broken_round_is_an_error_and_ends_at_home(bench: Bench, where: str) -> None:
    bench.ready()
    bench.cell.faults[where] = failed(Code.CAMERA_TIMEOUT)
    verdict = bench.inspect()
    assert is_error(verdict, Code.CAMERA_TIMEOUT) and verdict.disposition is Disposition.INFEED
    assert bench.cell.calls[-1] == "home" and bench.controller.state is State.READY


def test_an_arm_that_must_not_move_stays(bench: Bench) -> None:
    bench.ready()
    bench.cell.faults["view:fixture/top_135"] = failed(Code.ARM_STOPPED, arm_usable=False)
    verdict = bench.inspect()
    assert is_error(verdict, Code.ARM_STOPPED) and verdict.disposition is Disposition.INFEED
    assert "home" not in bench.cell.calls and bench.controller.state is State.ERROR
