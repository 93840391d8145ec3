"""Many seeds of the demo, then many fresh good parts: nothing defective passes, good parts do, as often as stated.

Run as `python benchmarks/demo_seeds.py [--quick]`; it commissions the demo cell in data/demo if that was not done yet.
`--quick` inspects four parts, with the fast recipe where the demo was not commissioned.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from common import finish, machine, own_domain, parser, print_table

from inspection_cell.cli.commissioning import commission_simulated, is_commissioned, progress_bar
from inspection_cell.cli.simulated_line import Inspected, SimulatedLine, derive_config, good_parts, mixed_parts
from inspection_cell.common.rates import Share
from inspection_cell.core.verdict import Verdict
from inspection_cell.recipe.paths import share_folder
from inspection_cell.simulation.truth import DefectKind

STATED_RATE = 0.02
QUICK_KINDS = (DefectKind.WRONG_WEIGHT, DefectKind.MISSING_COMPONENT)


def main() -> int:
    """Runs all; exit code 0 when the claim holds."""
    arguments = parser(__doc__, "four parts, with the fast recipe where the demo was not commissioned")
    arguments.add_argument("--seeds", type=int, default=5, help="runs of the demo")
    arguments.add_argument("--fresh", type=int, default=100, help="good parts after them")
    arguments.add_argument("--data", type=Path, help="data folder with a commissioned cell")
    given = arguments.parse_args()
    own_domain()
    print(machine())
    with ExitStack() as stack:
        data = given.data or Path("data/demo")
        if given.quick and not (data / "recipes" / "ring_housing.yaml").exists():
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-seeds-")))
            name, source, taught, speed = "fast_test", "fast_cell.yaml", 10, 200.0
        else:
            name, source, taught, speed = "ring_housing", "demo_cell.yaml", 50, 100.0
        if given.quick:
            seeds, good, defective, fresh, kinds = 1, 2, 2, 0, QUICK_KINDS
        else:
            seeds, good, defective, fresh, kinds = given.seeds, 8, 4, given.fresh, tuple(DefectKind)
        config = share_folder() / "config" / source
        teach = derive_config(config, data / "cell_teach.yaml", "teach", speed)
        run = derive_config(config, data / "cell.yaml", "simulation", speed)
        if not is_commissioned(name, run, data):
            commission_simulated(name, teach, data, taught, 7)
        parts = [mixed_parts(good, defective, seed, kinds) for seed in range(1, seeds + 1)]
        extra = good_parts(fresh, 4242, "FRESH")
        with progress_bar() as progress, SimulatedLine(run, data, name) as line:
            bar = progress.add_task("inspecting", total=sum(map(len, parts)) + len(extra))
            line.select()

            def inspect(truth):  # type: ignore[no-untyped-def]
                found = line.inspect(truth)
                progress.advance(bar)
                if line.cell.state is not None and line.cell.state.reasons:
                    line.cell.reset()
                return found

            by_seed = [[inspect(truth) for truth in of_seed] for of_seed in parts]
            fresh_found = [inspect(truth) for truth in extra]
    return judge(by_seed, fresh_found, STATED_RATE)


def judge(by_seed: list[list[Inspected]], fresh: list[Inspected], rate: float) -> int:
    """Prints the tables and the closing line."""
    rows = []
    holds = True
    for seed, found in enumerate(by_seed, start=1):
        good = [i for i in found if i.truth.good]
        bad = [i for i in found if not i.truth.good]
        passed_bad = sum(i.verdict.verdict is Verdict.PASS for i in bad)
        passed_good = sum(i.verdict.verdict is Verdict.PASS for i in good)
        holds &= passed_bad == 0 and passed_good >= len(good) - 1
        kinds = ", ".join(f"{i.truth.defects[0].kind.value}: {i.verdict.verdict.name}" for i in bad)
        rows.append([seed, f"{passed_bad} of {len(bad)}", f"{passed_good} of {len(good)}", kinds])
    print_table("seeds", ("seed", "defective passed", "good passed", "defects and verdicts"), rows)
    for item in (i for found in by_seed for i in found if i.truth.good and i.verdict.verdict is not Verdict.PASS):
        print(f"good {item.truth.serial}: {said(item)}")
    cycles = [i.verdict.timings_s["cycle"] for of_seed in by_seed for i in of_seed]
    print(f"cycle {np.median(cycles):.1f} s median, {np.quantile(cycles, 0.95):.1f} s p95")
    figure = f"{sum(len(s) for s in by_seed)} parts of {len(by_seed)} seeds"
    if fresh:
        rejected = [i for i in fresh if i.verdict.verdict is not Verdict.PASS]
        low, high = Share(len(rejected), len(fresh)).interval()
        for item in rejected:
            print(f"fresh {item.truth.serial}: {said(item)}")
        figure += f"; {len(rejected)} of {len(fresh)} fresh good parts not passed, 95 % {low:.1%} to {high:.1%}"
        figure += f", stated {rate:.1%}"
        holds &= low <= rate <= high
    return finish(holds, figure)


def said(item: Inspected) -> str:
    """Verdict and first reasons."""
    reasons = ", ".join(f"{r.code.name} {r.subject}: {r.text}" for r in item.verdict.reasons[:2])
    return f"{item.verdict.verdict.name} {reasons}"


if __name__ == "__main__":
    sys.exit(main())
