"""Second part of transport.py: what a view costs the cell beyond motion, capture and inference."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from common import print_table, spread
from inspection_cell_interfaces import srv
from inspection_cell_interfaces.action import MoveArm
from rclpy.task import Future

from inspection_cell.cli.simulated_line import SimulatedLine, derive_config, good_parts
from inspection_cell.client.probe import Probe
from inspection_cell.core.plan import CameraRole, Mounting
from inspection_cell.core.verdict import Verdict
from inspection_cell.nodes.action_client import SafeActionClient
from inspection_cell.nodes.waiting import wait_for
from inspection_cell.recipe.paths import find_recipe_file, share_folder
from inspection_cell.recipe.recipe import Recipe, load_recipe
from inspection_cell.records.store import RecordStore
from inspection_cell.simulation.truth import PartTruth

RECIPE = "ring_housing"
ANSWER_TIMEOUT_S = 30.0


def measure_overhead(parts: int, trips: int) -> float:
    """Prints the table; returns the median overhead of a view in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="transport_") as folder:
        data = Path(folder)
        config = derive_config(share_folder() / "config" / "fast_cell.yaml", data / "cell.yaml", "teach", 200.0)
        with SimulatedLine(config, data, RECIPE) as line:
            line.select()
            own = spread([_own_time_ms(line, part) for part in good_parts(parts + 1, 7, "T")][1:])
            with Probe(line.config.namespace) as probe:
                around = _Round(probe)
                path = find_recipe_file(RECIPE, data, line.config)
                steps, views = around.arm_steps(load_recipe(path), path), _views(data)
                move = spread([around.move_trip_ms() for _ in range(trips)])
                around.capture_trip_ms()  # the first one makes the client
                capture = spread([around.capture_trip_ms() for _ in range(trips)])
    hidden = steps * move.median + views * capture.median
    each, p95 = (own.median + hidden) / views, (own.p95 + hidden) / views
    rows = [
        ["a part: PLC's wait less motion, capture, weigh, analysis", own.count, f"{own.median:.1f}", f"{own.p95:.1f}"],
        ["round trip of an arm step", move.count, f"{move.median:.1f}", f"{move.p95:.1f}"],
        ["round trip of a capture", capture.count, f"{capture.median:.1f}", f"{capture.p95:.1f}"],
        [f"all of it, a view ({views} views, {steps} arm steps a part)", own.count, f"{each:.1f}", f"{p95:.1f}"],
    ]
    print_table("Cycle overhead", ("what", "runs", "median ms", "p95 ms"), rows)
    return each


def _own_time_ms(line: SimulatedLine, part: PartTruth) -> float:
    line.world.present_part(part)
    started = time.monotonic()
    verdict = line.cell.inspect(part.serial, part.serial, timeout_s=120.0)
    waited = time.monotonic() - started
    if verdict.verdict is not Verdict.PASS:
        raise RuntimeError(f"good part {part.serial}: {verdict.verdict.name}, {verdict.reasons}")
    return 1e3 * (waited - sum(verdict.timings_s[name] for name in ("motion", "capture", "weigh", "analysis_wait")))


def _views(data: Path) -> int:
    store = RecordStore.in_folder(data)
    try:
        return len(store.get(store.find(limit=1)[0].inspection_id).plan.views)
    finally:
        store.close()


class _Round:
    """Calls the arm and the camera of a running cell as the cell node does, and takes off the time they took."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._arm = SafeActionClient(probe.node, MoveArm, "arm/move")
        if not self._arm.wait_for_server(10.0):
            raise RuntimeError("arm/move is not there")

    def arm_steps(self, recipe: Recipe, path: Path) -> int:
        """How many steps the arm makes for a part, the placing and the way home included."""
        answer = self._probe.call(
            srv.PrepareRecipe, "arm/prepare_recipe", recipe_path=str(path), recipe_hash=recipe.hash
        )
        return len(answer.steps) + 2

    def move_trip_ms(self) -> float:
        """A step of the arm that stands at home already."""
        started = time.monotonic()
        goal = self._answer(self._arm.send_goal_async(MoveArm.Goal(step="home")))
        result = self._answer(goal.get_result_async()).result
        waited = time.monotonic() - started
        if not result.success:
            raise RuntimeError(f"arm: {result.reason.text}")
        return 1e3 * (waited - result.motion_s)

    def capture_trip_ms(self) -> float:
        """A picture of the empty place before the inspection camera."""
        started = time.monotonic()
        answer = self._probe.call(
            srv.Capture, "camera_inspection/capture", inspection_id="probe", view_id="g1/probe",
            role=int(CameraRole.INSPECTION), exposure_s=0.01, light="ring", mounting=int(Mounting.PART_IN_HAND),
            settled=True,
        )  # fmt: skip
        waited = time.monotonic() - started
        if not answer.success:
            raise RuntimeError(f"camera: {answer.reason.text}")
        return 1e3 * (waited - answer.duration_s)

    def _answer(self, future: Future) -> Any:
        answer = wait_for(future, ANSWER_TIMEOUT_S)
        if answer is None:
            raise RuntimeError(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
        return answer
