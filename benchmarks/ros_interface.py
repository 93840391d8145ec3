"""The ROS side of a running cell, by script over DDS: lifecycle, parameters, every service, the action.

A whole simulated cell is started in mode teach (it needs no models); every check asks it as a PLC, a lifecycle tool or
an engineer would. Run as `python benchmarks/ros_interface.py [--quick]`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
from action_msgs.msg import GoalStatus
from inspection_cell_interfaces import msg, srv
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters

from inspection_cell.cli.simulated_line import SimulatedLine, derive_config
from inspection_cell.client.cell_client import CellClient
from inspection_cell.client.probe import Probe
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.nodes import qos
from inspection_cell.nodes.waiting import wait_for
from inspection_cell.recipe.paths import share_folder
from inspection_cell.sequence.controller import Status
from inspection_cell.simulation.truth import make_part

RECIPE = "fast_test"
NOBODY = "20200101-000000-00000000"
PART_S = 120.0
ROS_OWN = ("use_sim_time", "start_type_description_service")


@dataclass
class Bench:
    """The running cell, and what was found."""

    line: SimulatedLine
    probe: Probe
    parts: int = 0
    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    @property
    def plc(self) -> CellClient:
        return self.line.cell

    def check(self, name: str, holds: object, said: object = "") -> None:
        """Notes one check."""
        self.rows.append((name, bool(holds), str(said)))

    def part(self) -> dict[str, str]:
        """A good part on the infeed: request id and serial of its start."""
        self.parts += 1
        truth = make_part(f"R{self.parts:03d}", self.parts)
        self.line.world.present_part(truth)
        return {"request_id": uuid.uuid4().hex, "serial": truth.serial}

    def start(self) -> tuple[dict[str, str], str]:
        """Starts a good part; its request and inspection id."""
        request = self.part()
        return request, self.plc.call("start_inspection", **request, recipe="").inspection_id

    def wait_step(self, prefix: str) -> None:
        """Waits until the running inspection is at a step."""
        self.plc.wait_for_state(lambda s: s.step.startswith(prefix), PART_S)

    def wait_result(self, inspection_id: str) -> Any:
        """The answer of get_result once it is no longer running."""
        deadline = time.monotonic() + PART_S
        while (answer := self.plc.result(inspection_id)).status == Status.RUNNING and time.monotonic() < deadline:
            time.sleep(0.05)
        return answer

    def make_ready(self) -> bool:
        """Waits for the end of what runs; resets where it must be; whether READY came."""
        self.plc.wait_for_state(lambda s: s.state in (State.READY, State.ERROR, State.INITIALIZED), PART_S)
        if self.plc.state is not None and self.plc.state.state == State.ERROR:
            self.plc.call("reset", 60.0)
        return self.plc.wait_for_state(lambda s: s.state == State.READY, 60.0).state == State.READY


def code(answer: Any) -> str:
    """The reason of a refusal, "accepted" where it was none."""
    return "accepted" if answer.accepted else Code(answer.reason.code).name


def lifecycle(bench: Bench) -> None:
    """Every transition of one node, and those that its state does not have; the manager brings it back."""
    for node in bench.line.config.nodes:
        state = bench.probe.lifecycle_state(node)
        bench.check(f"lifecycle: {node}", state == "active", state)
    wrong = [
        t
        for t in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP, 99)
        if bench.probe.transit("presence", t)
    ]
    after = bench.probe.lifecycle_state("presence")
    bench.check("lifecycle: invalid transitions of an active node refused", not wrong and after == "active", after)
    deactivated = bench.probe.transit("presence", Transition.TRANSITION_DEACTIVATE)
    bench.check("lifecycle: deactivate", deactivated)
    deadline = time.monotonic() + 30.0
    while (state := bench.probe.lifecycle_state("presence")) != "active" and time.monotonic() < deadline:
        time.sleep(0.1)
    bench.check("lifecycle: the manager activates it again", state == "active", state)


def parameters(bench: Bench) -> None:
    """Every parameter of every node is described; none changes behind a working node's back."""
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/tmp/other")
    for node in bench.line.config.nodes:
        names = bench.probe.call(ListParameters, f"{node}/list_parameters").result.names
        ours = [name for name in names if name not in ROS_OWN]
        described = bench.probe.call(DescribeParameters, f"{node}/describe_parameters", names=ours).descriptors
        changed = bench.probe.call(
            SetParameters, f"{node}/set_parameters", parameters=[Parameter(name="data", value=value)]
        ).results[0]
        holds = bool(described) and all(d.description for d in described) and not changed.successful
        bench.check(f"parameters: {node}", holds, ", ".join(ours))


def one_part(bench: Bench) -> None:
    """start_inspection, get_result and acknowledge_result, with every repetition."""
    call = bench.plc.call
    request, inspection_id = bench.start()
    bench.check("start_inspection", bool(inspection_id), inspection_id)
    again = call("start_inspection", **request, recipe=RECIPE)
    bench.check("start_inspection: repeated request_id, same inspection", again.inspection_id == inspection_id)
    conflict = call("start_inspection", request_id=request["request_id"], serial="another", recipe="")
    bench.check("start_inspection: request_id of another part", code(conflict) == "REQUEST_CONFLICT", code(conflict))
    bench.wait_step("view:")
    running = bench.plc.result(inspection_id)
    bench.check("get_result: running, with the step", running.status == Status.RUNNING and running.step, running.step)
    early = call("acknowledge_result", inspection_id=inspection_id)
    bench.check("acknowledge_result: while running", code(early) == "NOT_FINISHED", code(early))
    busy = call("start_inspection", request_id="busy", serial="another", recipe="")
    bench.check("start_inspection: while a part runs", code(busy) == "NOT_READY", code(busy))
    reset = call("reset")
    bench.check("reset: while a part runs", code(reset) == "NOT_READY", code(reset))
    answer = bench.wait_result(inspection_id)
    verdict = answer.verdict
    holds = answer.status == Status.DONE and verdict.verdict == Verdict.PASS and verdict.simulated
    bench.check("get_result: the verdict", holds, f"{Verdict(verdict.verdict).name}, {verdict.serial}")
    taken = [call("acknowledge_result", inspection_id=inspection_id).accepted for _ in range(2)]
    bench.check("acknowledge_result: twice", all(taken) and bench.plc.result(inspection_id).acknowledged)
    same = call("start_inspection", **request, recipe="")
    bench.check("start_inspection: repeated after the end", same.inspection_id == inspection_id)


def blocking(bench: Bench) -> None:
    """inspect_part: the blocking form of the same."""
    request = bench.part()
    short = bench.probe.call(srv.InspectPart, "inspect_part", **request, recipe="", timeout_s=0.1)
    holds = short.accepted and short.verdict.verdict == 0 and short.reason.code == Code.NOT_FINISHED
    bench.check("inspect_part: not finished in its time", holds, Code(short.reason.code).name)
    whole = bench.probe.call(srv.InspectPart, "inspect_part", PART_S, **request, recipe=RECIPE)
    holds = whole.inspection_id == short.inspection_id and whole.verdict.verdict == Verdict.PASS
    bench.check("inspect_part: repeated, the verdict", holds, f"{whole.verdict.timings_s} s" if not holds else "")


def wrong_requests(bench: Bench) -> None:
    """What is unknown or wrong is refused with its reason."""
    call = bench.plc.call
    unknown = bench.plc.result(NOBODY)
    bench.check("get_result: unknown id", unknown.status == Status.UNKNOWN, Code(unknown.reason.code).name)
    for name, wanted, answer in (
        ("acknowledge_result: unknown id", "UNKNOWN_INSPECTION", call("acknowledge_result", inspection_id=NOBODY)),
        ("abort: unknown id", "UNKNOWN_INSPECTION", call("abort", inspection_id=NOBODY)),
        ("abort: nothing runs", "UNKNOWN_INSPECTION", call("abort", inspection_id="")),
        ("select_recipe: wrong recipe", "UNKNOWN_RECIPE", call("select_recipe", recipe="nothing")),
        ("select_recipe: a path", "UNKNOWN_RECIPE", call("select_recipe", recipe="../cell")),
        (
            "start_inspection: wrong recipe",
            "UNKNOWN_RECIPE",
            call("start_inspection", request_id="r", serial="1", recipe="nothing"),
        ),
        (
            "start_inspection: recipe that is not selected",
            "NOT_READY",
            call("start_inspection", request_id="r", serial="1", recipe="ring_housing"),
        ),
        (
            "start_inspection: no serial",
            "INVALID_REQUEST",
            call("start_inspection", request_id="r", serial="", recipe=""),
        ),
        ("inspect_part: no request_id", "INVALID_REQUEST", call("inspect_part", request_id="", serial="1", recipe="")),
    ):
        bench.check(name, code(answer) == wanted, code(answer))


def abort_and_reset(bench: Bench) -> None:
    """A part is aborted; the next one is fine; the recipe is selected anew."""
    _, inspection_id = bench.start()
    bench.wait_step("view:")
    bench.plc.abort(inspection_id)
    verdict = bench.wait_result(inspection_id).verdict
    codes = {r.code for r in verdict.reasons}
    holds = verdict.verdict == Verdict.ERROR and Code.ABORTED in codes and verdict.disposition != Disposition.GOOD_BIN
    bench.check("abort: the part is an ERROR", holds, Disposition(verdict.disposition).name)
    bench.check("abort: READY again", bench.make_ready())
    reset = bench.plc.call("reset", 60.0)
    bench.check("reset", reset.accepted, code(reset))
    selected = bench.plc.call("select_recipe", recipe=RECIPE)
    bench.check("select_recipe", selected.accepted and bench.make_ready(), code(selected))


def action(bench: Bench) -> None:
    """The inspect action: feedback to the end, then one that is cancelled."""
    heard: list[Any] = []
    request = bench.part()
    answer = _result(bench.plc.inspect_action(request["request_id"], request["serial"], "", heard.append))
    holds = answer.status == GoalStatus.STATUS_SUCCEEDED and answer.result.verdict.verdict == Verdict.PASS
    bench.check("inspect: result", holds, answer.result.inspection_id)
    progress = [f.progress for f in heard]
    holds = len(heard) > 1 and progress == sorted(progress) and heard[-1].views_expected == 4
    bench.check("inspect: feedback", holds, f"{len(heard)} messages, last at {progress[-1]:.0%}" if heard else "none")
    again = _result(bench.plc.inspect_action(request["request_id"], request["serial"]))
    bench.check("inspect: repeated request_id", again.result.inspection_id == answer.result.inspection_id)
    at_view = threading.Event()
    request = bench.part()
    handle = bench.plc.inspect_action(
        request["request_id"],
        request["serial"],
        feedback=lambda f: at_view.set() if f.step.startswith("view:") else None,
    )
    at_view.wait(PART_S)
    wait_for(handle.cancel_goal_async(), 20.0)
    answer = _result(handle)
    verdict = answer.result.verdict
    holds = answer.status == GoalStatus.STATUS_CANCELED and Code.ABORTED in {r.code for r in verdict.reasons}
    bench.check("inspect: cancel", holds and verdict.verdict == Verdict.ERROR, f"status {answer.status}")
    refused = _result(bench.plc.inspect_action("", ""))
    holds = refused.status == GoalStatus.STATUS_ABORTED and refused.result.reason.code == Code.INVALID_REQUEST
    bench.check("inspect: refused goal", holds, Code(refused.result.reason.code).name)
    bench.check("inspect: READY again", bench.make_ready())


def heartbeat(bench: Bench) -> None:
    """The state goes on counting."""
    with bench.probe.listen(msg.CellState, "state", qos.STATE) as states:
        first = states.wait()
        later = states.wait(lambda s: s.heartbeat >= first.heartbeat + 2)
    bench.check("state: the heartbeat counts", later.heartbeat > first.heartbeat, later.heartbeat)


def round_trips(bench: Bench, count: int) -> list[tuple[str, str, str]]:
    """Service round trips, milliseconds."""
    rows = []
    for name, ask in (
        ("get_result", lambda: bench.plc.result(NOBODY)),
        ("start_inspection, refused", lambda: bench.plc.call("start_inspection", request_id="", serial="", recipe="")),
        ("lifecycle get_state", lambda: bench.probe.call(GetState, "arm/get_state")),
    ):
        took = []
        for _ in range(count):
            started = time.perf_counter()
            ask()
            took.append((time.perf_counter() - started) * 1e3)
        spread = common.spread(took)
        rows.append((f"{name} ({spread.count} calls)", f"{spread.median:.1f}", f"{spread.p95:.1f}"))
    return rows


def main() -> int:
    """Starts the cell, checks, prints; exit code 0 where every check holds."""
    given = common.parser(__doc__, "fewer calls for the round trips").parse_args()
    common.own_domain()
    print(common.machine())
    checks: tuple[Callable[[Bench], None], ...] = (
        lifecycle,
        parameters,
        one_part,
        blocking,
        wrong_requests,
        abort_and_reset,
        action,
        heartbeat,
    )
    with tempfile.TemporaryDirectory(prefix="ros_interface-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        config = derive_config(share_folder() / "config" / "fast_cell.yaml", data / "cell.yaml", "teach", 200.0)
        with (
            SimulatedLine(config, data / "data", RECIPE) as line,
            Probe(line.config.namespace) as probe,
        ):
            line.select()
            bench = Bench(line, probe)
            for check in checks:
                try:
                    check(bench)
                except Exception as error:
                    bench.check(f"{check.__name__}: broken off", False, f"{type(error).__name__}: {error}")
            trips = round_trips(bench, 50 if given.quick else 500)
    common.print_table(
        "checks", ("check", "", "said"), [(name, "ok" if holds else "FAILED", said) for name, holds, said in bench.rows]
    )
    common.print_table("service round trips", ("service", "median ms", "p95 ms"), trips)
    held = sum(holds for _, holds, _ in bench.rows)
    return common.finish(held == len(bench.rows), f"{held} of {len(bench.rows)} checks")


def _result(handle: Any) -> Any:
    answer = wait_for(handle.get_result_async(), PART_S)
    if answer is None:
        raise TimeoutError("the action gave no result")
    return answer


if __name__ == "__main__":
    sys.exit(main())
