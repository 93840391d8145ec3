"""Claim: in the cell at true speed, all checks of a view at 1024 pixels end before the arm is at the next viewpoint.

The demo cell is commissioned at 1024 pixels on a few good parts (enough for models, too few for good limits: only time
is judged here), then inspects some more with the arm at its true speed. Of every inspection view: from its exposure to
the last of its check results, alignment, presence and anomaly, against the time to the next exposure. The pictures are
rendered on the same processor, which a real cell does not have to do; what was rendered meanwhile is in the figures.
Run: python benchmarks/analysis_in_time.py [--quick] [--provider cpu] [--data FOLDER]   (--quick: 256 pixels, 2 views)
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import yaml
from cell_parts import parts_of, seen, show
from common import finish, machine, own_domain, parser, print_table, spread
from inspection_cell_interfaces import msg

from inspection_cell.anomaly.commission import commission
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.cli.simulated_line import SimulatedLine, derive_config, good_parts
from inspection_cell.client.probe import Probe
from inspection_cell.core.plan import CameraRole
from inspection_cell.nodes import convert, qos
from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.paths import find_recipe_file, share_folder
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.records.store import RecordStore

TAUGHT = 9


def commissioned(data: Path, cell: str, name: str, size: int, engine: EngineConfig) -> None:
    """Fits the recipe's models at this size to a few good parts."""
    taught = parts_of(TAUGHT, 0)
    show(taught, data, cell, name)
    config = load_cell_config(data / "cell_teach.yaml")
    path = find_recipe_file(name, data / "nowhere", config)
    recipe = load_recipe(path)
    assert recipe.anomaly is not None
    larger = recipe.model_copy(update={"anomaly": recipe.anomaly.model_copy(update={"size": size})})
    store = RecordStore.in_folder(data)
    try:
        ids = [seen(data)[part.serial] for part in taught]
        commission(larger, path, store, ids, data, config.tool_boxes, engine)
    finally:
        store.close()


def delays(line: SimulatedLine, parts: int) -> tuple[list[float], list[float], int]:
    """Seconds from exposure to the last check, seconds to the next exposure, and how many views were late."""
    taken, left, late = [], [], 0
    with Probe(line.config.namespace) as probe:
        for part in good_parts(parts, 77, "TIME"):
            with (
                probe.listen(msg.View, "views", qos.EVIDENCE) as views,
                probe.listen(msg.CheckResult, "checks", qos.EVIDENCE) as checks,
            ):
                found = line.inspect(part).verdict
            exposed = {
                v.view_id: (convert.time_from_msg(v.header.stamp) * 1e-9, v.role)
                for v in views.messages
                if v.inspection_id == found.inspection_id
            }
            ends: dict[str, float] = {}
            for check in checks.messages:
                if check.inspection_id == found.inspection_id and check.view_id:
                    when = convert.time_from_msg(check.stamp) * 1e-9
                    ends[check.view_id] = max(when, ends.get(check.view_id, when))
            order = sorted(exposed, key=lambda view: exposed[view][0])
            for view, following in pairwise(order):
                if exposed[view][1] != CameraRole.INSPECTION:
                    continue
                taken.append(ends[view] - exposed[view][0])
                left.append(exposed[following][0] - exposed[view][0])
                late += taken[-1] > left[-1]
            if line.cell.state is not None and line.cell.state.reasons:
                line.cell.reset()
    return taken, left, late


def main() -> int:
    """Prints the table; 0 where no view was late."""
    given = parser(__doc__, "256 pixels, two views, one part")
    given.add_argument("--provider", choices=("cpu", "ncnn", "openvino"), default="cpu", help="what runs the network")
    given.add_argument("--parts", type=int, default=3, help="inspected")
    given.add_argument("--data", type=Path, help="folder of anomaly_study: its good parts are used, not shown again")
    arguments = given.parse_args()
    cell, name, size = ("fast_cell", "fast_test", 256) if arguments.quick else ("demo_cell", "ring_housing", 1024)
    own_domain()
    print(f"{machine()}, network by {arguments.provider}")
    with ExitStack() as stack:
        data = arguments.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="analysis-in-time-")))
        engine = EngineConfig(provider=arguments.provider)
        commissioned(data, cell, name, size, engine)
        config = derive_config(share_folder() / "config" / f"{cell}.yaml", data / "cell.yaml", "simulation", 1.0)
        content = yaml.safe_load(config.read_text(encoding="utf-8")) | {"inference": engine.model_dump(mode="json")}
        config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        with SimulatedLine(config, data, name) as line:
            line.select()
            taken, left, late = delays(line, 1 if arguments.quick else arguments.parts)
    rows = [
        [what, values.count, f"{values.median:.2f}", f"{values.p95:.2f}"]
        for what, values in (("exposure to last check", spread(taken)), ("exposure to next exposure", spread(left)))
    ]
    print_table(f"Inspection views at {size} pixels", ("what", "views", "median s", "p95 s"), rows)
    worst = max(a / b for a, b in zip(taken, left, strict=True))
    return finish(
        not late, f"{late} of {len(taken)} views late at {size} pixels; the slowest took {worst:.0%} of its time"
    )


if __name__ == "__main__":
    sys.exit(main())
