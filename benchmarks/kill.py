"""Claim: SIGKILL of the whole cell 20 times at random moments: no acknowledged result is lost, every unfinished
inspection is answered.

A teaching cell (fast configuration, simulated devices) inspects good parts for a PLC that notes what it was told: each
inspection accepted, each verdict announced, each acknowledgement answered. At a moment that the seed draws (anywhere in
a part, around the commit, just after the announcement, just after the acknowledgement) every process is killed at once;
the cell is started again on the same data and is asked for all it ever accepted. Checked after each kill:
- every accepted inspection is done or interrupted; none is unknown, none runs for ever;
- every verdict that was announced is, to the last bit, the one that get_result gives; what was acknowledged still is;
- an unfinished inspection is ERROR, INTERRUPTED, with the part where it was last noted, and is announced;
- an old request_id gives its old inspection_id; one that never reached the record is not started either;
- the cell stands in ERROR with the reason exactly when an inspection was interrupted, and accepts no part until reset;
- every stored image is what its record says; the records hold no second run and nothing unfinished;
- shared memory holds the slots of the running cameras and no others;
- after reset and select_recipe the next good part is inspected and passes.
It does not cut the power: what the kernel had taken over is on the disk afterwards.
Run: python benchmarks/kill.py [--quick] [--kills N] [--seed N]
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common import finish, machine, own_domain, parser, print_table
from kill_checks import Ledger, check_after_restart, read_records

from inspection_cell.cli.simulated_line import SimulatedLine, derive_config, good_parts
from inspection_cell.core.verdict import PartVerdict, Verdict
from inspection_cell.recipe.paths import share_folder
from inspection_cell.simulation.truth import PartTruth

RECIPE = "fast_test"
PART_TIMEOUT_S = 120.0
MOMENTS = ("anywhere", "commit", "announced", "acknowledged")


@dataclass
class Plc:
    """Has part after part inspected by a cell, in a thread, and notes what it is told."""

    line: SimulatedLine
    ledger: Ledger
    parts: Iterator[PartTruth]
    asking: str = ""
    problem: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begins."""
        threading.Thread(target=self._run, name="plc", daemon=True).start()

    def stop(self) -> None:
        """Whatever fails from now on is the kill's doing."""
        self._stop.set()

    def inspect(self, part: PartTruth) -> PartVerdict:
        """One part, up to the acknowledgement."""
        request, cell, ledger = f"request-{part.serial}", self.line.cell, self.ledger
        self.line.world.present_part(part)
        ledger.asked[request] = part.serial
        inspection_id = cell.start(request, part.serial)
        ledger.accepted[request] = inspection_id
        self.asking = inspection_id
        deadline = time.monotonic() + PART_TIMEOUT_S
        while inspection_id not in cell.announced:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{inspection_id} was not answered within {PART_TIMEOUT_S:.0f} s")
            time.sleep(0.002)
        verdict = cell.announced[inspection_id]
        cell.acknowledge(inspection_id)
        ledger.acknowledged.add(inspection_id)
        return verdict

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                verdict = self.inspect(next(self.parts))
                if verdict.verdict is not Verdict.PASS and not self._stop.is_set():
                    raise RuntimeError(_not_passed(verdict))
        except Exception as error:
            if not self._stop.is_set():
                self.problem = f"{type(error).__name__}: {error}"


def _not_passed(verdict: PartVerdict) -> str:
    reasons = ", ".join(reason.text for reason in verdict.reasons)
    return f"good part {verdict.serial} was {verdict.verdict.name} ({reasons})"


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it."""

    moment: str
    inspections: int
    step: str
    wrong: list[str]
    up_s: float


def await_moment(plc: Plc, moment: str, rng: random.Random, part_s: float) -> None:
    """Waits for the moment to kill; returns early where the PLC has a problem."""
    cell, acknowledged = plc.line.cell, plc.ledger.acknowledged

    def going_home() -> bool:
        state = cell.state
        return state is not None and state.step == "home" and state.inspection_id == plc.asking != ""

    reached, longest_s = {
        "anywhere": (lambda: plc.asking != "", 2.0 * part_s),
        "commit": (going_home, 0.08),
        "announced": (lambda: plc.asking in cell.announced, 0.02),
        "acknowledged": (lambda: plc.asking in acknowledged, 0.1),
    }[moment]
    deadline = time.monotonic() + PART_TIMEOUT_S
    while not reached() and not plc.problem and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, longest_s))


def kill_at_random(line: SimulatedLine, plc: Plc, moment: str, rng: random.Random, part_s: float) -> list[str]:
    """Lets the PLC work, kills everything; returns what went wrong before the kill."""
    leftovers = dds_files(line)
    plc.start()
    await_moment(plc, moment, rng, part_s)
    plc.stop()
    line.supervisor.kill()
    plc.ledger.announced |= line.cell.announced
    for path in leftovers:
        path.unlink(missing_ok=True)
    return [plc.problem] if plc.problem else []


def dds_files(line: SimulatedLine) -> list[Path]:
    """What Fast DDS will leave in shared memory when the cell is killed: mapped by it and not by us."""
    ours = _mapped(os.getpid())
    theirs = set().union(*(_mapped(c.process.pid) for c in line.supervisor.children if c.process is not None))
    return sorted(theirs - ours)


def _mapped(pid: int) -> set[Path]:
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return {Path(entry.split(maxsplit=5)[5]) for entry in lines if "/dev/shm/" in entry and "fastrtps" in entry}


def live_and_die(config: Path, data: Path, kills: int, seed: int) -> list[Kill]:
    """Starts the cell kills + 1 times and kills it that often."""
    rng = random.Random(seed)
    moments = (list(MOMENTS) * (kills // len(MOMENTS) + 1))[:kills]
    rng.shuffle(moments)
    parts, ledger, done, part_s = iter(good_parts(100_000, seed, "K")), Ledger(), [], 0.0
    died: tuple[str, list[str]] | None = None
    for life in range(kills + 1):
        before = read_records(data)
        started = time.monotonic()
        with SimulatedLine(config, data, RECIPE) as line:
            up_s = time.monotonic() - started
            wrong = check_after_restart(line, ledger, before) if died else []
            line.select()
            plc = Plc(line, ledger, parts)
            began = time.monotonic()
            verdict = plc.inspect(next(parts))
            part_s = time.monotonic() - began
            if verdict.verdict is not Verdict.PASS:
                wrong.append(_not_passed(verdict))
            if died:
                step = (before.unfinished[0].step or "start") if before.unfinished else "between parts"
                done.append(Kill(died[0], len(before.ids), step, [*died[1], *wrong], up_s))
                print(f"kill {life} of {kills}: {died[0]}, {step}: {'; '.join(done[-1].wrong) or 'well'}", flush=True)
            if life < kills:
                plc.asking = ""
                died = moments[life], kill_at_random(line, plc, moments[life], rng, part_s)
            ledger.announced |= line.cell.announced
    return done


def main() -> int:
    """Prints the table; 0 where the claim holds."""
    arguments = parser(__doc__, "2 kills: under 50 s on a free machine")
    arguments.add_argument("--kills", type=int, default=20, help="how often")
    arguments.add_argument("--seed", type=int, default=1, help="draws the moments and makes the parts")
    given = arguments.parse_args()
    own_domain()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="kill_") as folder:
        data = Path(folder)
        config = derive_config(share_folder() / "config" / "fast_cell.yaml", data / "cell.yaml", "teach", 200.0)
        kills = live_and_die(config, data, 2 if given.quick else given.kills, given.seed)
    rows = [
        [f"{i + 1}", k.moment, k.step, k.inspections, "; ".join(k.wrong) or "well", f"{k.up_s:.0f}"]
        for i, k in enumerate(kills)
    ]
    print_table("SIGKILL of the whole cell", ("kill", "moment", "step", "inspections", "found", "up again s"), rows)
    wrong = sum(len(k.wrong) for k in kills)
    cut = sum(k.step != "between parts" for k in kills)
    return finish(
        wrong == 0,
        f"{len(kills)} kills, {kills[-1].inspections} inspections, {cut} of them cut off and answered: "
        f"{wrong} lost, unanswered or otherwise not as it must be",
    )


if __name__ == "__main__":
    sys.exit(main())
