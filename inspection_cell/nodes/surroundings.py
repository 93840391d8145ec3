"""The cell around the sequence, over ROS: actions, services and topics of the other nodes."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from inspection_cell_interfaces import msg, srv
from inspection_cell_interfaces.action import MoveArm
from lifecycle_msgs.msg import State as LifecycleState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CameraRole, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import (
    Disposition,
    Event,
    InspectionEnd,
    PartVerdict,
    Severity,
    Verdict,
    VerdictProposal,
)
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.action_client import SafeActionClient
from inspection_cell.nodes.waiting import wait_for
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.sequence.controller import Evidence
from inspection_cell.sequence.ports import ArmReport, CaptureRequest, StepFailed
from inspection_cell.sequence.run import PUTTING_AWAY

if TYPE_CHECKING:
    from inspection_cell.nodes.cell import CellNode

Role = Literal["wide", "inspection"]
MOVE_TIMEOUT_S = 300.0
PREPARE_TIMEOUT_S = 300.0
SIGNALS_MAX_AGE_S = 2.5
MEETING_S = 2.0
# A fault event of these says that the inspection cannot go on, whichever node found it.
ENDING = (Code.NODE_LOST, Code.PART_LOST, Code.PROTECTIVE_STOP, Code.DOOR_OPEN, Code.SIGNALS_LOST)


class RosSurroundings:
    """Implements `sequence.controller.Surroundings` with the nodes' services."""

    def __init__(
        self, node: CellNode, announce_verdict: Callable[[PartVerdict], None], changed: Callable[[], None]
    ) -> None:
        self._node = node
        self.announce_verdict = announce_verdict
        self.changed = changed
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._stop_reason: Reason | None = None
        self._heard: dict[str, _Heard] = {}
        self._proposed = threading.Condition()
        self._signals: msg.SignalState | None = None
        self._signals_heard = time.monotonic()
        self._pids: dict[str, tuple[float, int]] = {}
        self._prepared: dict[str, tuple[str, int]] = {}
        self._steps: tuple[str, ...] = ()
        self._plans = node.create_publisher(msg.InspectionPlan, "plan", qos.LATCHED)
        self._ends = node.create_publisher(msg.InspectionEnd, "ends", qos.EVIDENCE)
        group = node.work_group
        self._arm = SafeActionClient(node, MoveArm, "arm/move", callback_group=group)
        self._capture = {
            role: node.create_client(srv.Capture, f"camera_{role}/capture", callback_group=group)
            for role in node.config.cameras
        }
        self._weigh = node.create_client(srv.Weigh, "scale/weigh", callback_group=group)
        self._prepare = {
            name: node.create_client(srv.PrepareRecipe, f"{name}/prepare_recipe", callback_group=group)
            for name in ("arm", "alignment", "presence", "anomaly")
        }
        self._subscriptions = [
            node.create_subscription(kind, topic, node.guarded(handler), profile, callback_group=group)
            for kind, topic, handler, profile in (
                (msg.View, "views", self._on_view, qos.EVIDENCE),
                (msg.Alignment, "alignments", self._on_alignment, qos.LATCHED),
                (msg.Weight, "weights", self._on_weight, qos.EVIDENCE),
                (msg.CheckResult, "checks", self._on_check, qos.EVIDENCE),
                (msg.VerdictProposal, "proposals", self._on_proposal, qos.EVIDENCE),
                (msg.Event, "events", self._on_event, qos.EVENTS),
                (msg.SignalState, "signals", self._on_signals, qos.STATE),
                (msg.NodeHeartbeat, "heartbeats", self._on_heartbeat, qos.HEARTBEATS),
            )
        ]
        # A group of its own: while a reset holds the controller, one waiting call is enough.
        self._timer = node.create_timer(
            0.2, node.guarded(self._watch_signals), callback_group=MutuallyExclusiveCallbackGroup()
        )

    def close(self) -> None:
        """Takes everything off the node again."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for client in (*self._capture.values(), self._weigh, *self._prepare.values()):
            self._node.destroy_client(client)
        self._arm.destroy()
        self._node.destroy_publisher(self._plans)
        self._node.destroy_publisher(self._ends)

    # The sequence's ports.

    def announce(self, plan: InspectionPlan) -> None:
        with self._lock:
            self._heard[plan.inspection_id] = _Heard()
        self._plans.publish(convert.plan_to_msg(plan))

    def progress(self, step: str, disposition: Disposition) -> None:
        self._node.on_step(step, disposition)

    def move(self, inspection_id: str, step: str) -> ArmReport:
        putting_away = step.startswith(PUTTING_AWAY)
        if not putting_away or step == "place:good":
            self._refuse_stopped()
        if not self._there(self._arm.server_is_ready):
            raise _lost("the arm node is not there", "arm", arm_usable=False)
        goal = wait_for(self._arm.send_goal_async(MoveArm.Goal(inspection_id=inspection_id, step=step)), 10.0)
        if goal is None or not goal.accepted:
            raise _lost(f"the arm did not take step {step}", "arm", arm_usable=False)
        finished = goal.get_result_async()
        answer = wait_for(finished, MOVE_TIMEOUT_S, None if putting_away else self._stop)
        if answer is None:
            goal.cancel_goal_async()
            answer = wait_for(finished, 10.0)
            disposition = Disposition(answer.result.disposition) if answer is not None else None
            reason = self._stop_reason or Reason(Code.TIMEOUT, f"step {step} took over {MOVE_TIMEOUT_S:.0f} s", "arm")
            # Stopped by request, the arm itself is well, unless a stop from outside holds it.
            usable = answer is not None and reason.code in (Code.ABORTED, Code.NODE_LOST)
            raise StepFailed(reason, disposition, arm_usable=usable)
        result = answer.result
        disposition = Disposition(result.disposition)
        if not result.success:
            reason = convert.reason_from_msg(result.reason) or Reason(Code.ARM_STOPPED, f"step {step} failed", "arm")
            raise StepFailed(self._stop_reason or reason, disposition, arm_usable=False)
        return ArmReport(convert.pose_from_msg(result.t_world_tool), result.settled, disposition, result.motion_s)

    def capture(self, request: CaptureRequest) -> View:
        self._refuse_stopped()
        role: Role = "wide" if request.view.role is CameraRole.WIDE else "inspection"
        section = self._node.config.cameras[role]
        call = srv.Capture.Request(
            inspection_id=request.inspection_id,
            view_id=request.view.view_id,
            grasp=request.view.grasp,
            viewpoint=request.view.viewpoint,
            role=int(request.view.role),
            exposure_s=request.exposure_s,
            gain_db=request.gain_db,
            light=request.light,
            mounting=int(request.mounting),
            t_world_tool=convert.pose_to_msg(request.T_world_tool),
            t_prior=convert.pose_with_covariance_to_msg(request.T_prior, request.prior_covariance),
            settled=request.settled,
        )
        # Every attempt may take the camera's own time limit, the picture's making included.
        timeout = 10.0 + 4 * section.timeout_s
        answer = self._call(self._capture[role], call, timeout, f"camera_{role}", Code.CAMERA_TIMEOUT)
        if not answer.success:
            raise StepFailed(convert.reason_from_msg(answer.reason) or Reason(Code.CAMERA_FAILED, "no picture", role))
        return convert.view_from_msg(answer.view)

    def weigh(self, inspection_id: str, timeout_s: float) -> Weight:
        self._refuse_stopped()
        call = srv.Weigh.Request(inspection_id=inspection_id, timeout_s=timeout_s)
        answer = self._call(self._weigh, call, timeout_s + 10.0, "scale", Code.SCALE_TIMEOUT)
        # A failed weighing is evidence like any other: the decision sees it, the part goes its way.
        return convert.weight_from_msg(answer.weight)

    def end(self, end: InspectionEnd) -> None:
        self._ends.publish(convert.end_to_msg(end))

    def proposal(self, inspection_id: str) -> tuple[VerdictProposal, tuple[CheckResult, ...]]:
        heard = self._heard[inspection_id]
        longest = self._node.longest_analysis_s() + 10.0
        with self._proposed:
            self._proposed.wait_for(lambda: heard.proposal is not None, longest)
        if heard.proposal is None:
            raise _lost(f"the decision did not answer within {longest:.0f} s", "decision")
        proposal, results = heard.proposal
        reason = self._stop_reason
        if reason is not None and proposal.verdict is not Verdict.FAIL and reason not in proposal.reasons:
            # Stopped while the last views were analysed: what was found stays, but the part cannot pass any more.
            proposal = replace(proposal, verdict=Verdict.ERROR, reasons=(reason, *proposal.reasons))
        return proposal, results

    # What the controller needs beyond them.

    def prepare(self, recipe: Recipe) -> tuple[str, ...]:
        path = str(self._node.recipe_path(recipe.name))
        for name, client in self._prepare.items():
            pid = self._pids.get(name, (0.0, 0))[1]
            if self._prepared.get(name) == (recipe.hash, pid):
                continue
            call = srv.PrepareRecipe.Request(recipe_path=path, recipe_hash=recipe.hash)
            answer = self._call(client, call, PREPARE_TIMEOUT_S, name, Code.TIMEOUT)
            if not answer.success:
                raise StepFailed(convert.reason_from_msg(answer.reason) or Reason(Code.NODE_ERROR, "not ready", name))
            self._prepared[name] = (recipe.hash, pid)
            if name == "arm":
                self._steps = tuple(answer.steps)
        return self._steps

    def obstacle(self) -> Reason | None:
        if self._signals is None:
            return Reason(Code.SIGNALS_LOST, "the safety signals have not been read yet", "signals")
        if (reason := self._signal_fault()) is not None:
            return reason
        now, timeout = time.monotonic(), self._node.config.supervision.heartbeat_timeout_s
        silent = [n for n in self._node.config.nodes if now - self._pids.get(n, (0.0, 0))[0] > timeout]
        if silent:
            return Reason(Code.NODE_LOST, f"not alive: {', '.join(silent)}", silent[0])
        free = shutil.disk_usage(self._node.data_folder).free
        if free < self._node.config.records.min_free_mb * 1e6:
            return Reason(Code.STORE_FULL, f"{free / 1e6:.0f} MB are free in {self._node.data_folder}; make room")
        return None

    def all_heard(self) -> bool:
        """Whether every node was heard since the start, so that a request is not refused for a node not met yet."""
        met = self._signals is not None or self._signal_fault() is not None
        return met and all(name in self._pids for name in self._node.config.nodes)

    def recover(self) -> Disposition:
        return self.move("", "home").disposition

    def stop(self, reason: Reason) -> None:
        if self._stop_reason is None:
            self._stop_reason = reason
        self._stop.set()

    def clear_stop(self) -> None:
        self._stop_reason = None
        self._stop.clear()

    def evidence(self, inspection_id: str) -> Evidence:
        with self._lock:
            heard = self._heard.pop(inspection_id, None) or _Heard()
        return Evidence(tuple(heard.views), tuple(heard.alignments), tuple(heard.weights), tuple(heard.events))

    def counts(self, inspection_id: str) -> tuple[int, int]:
        """Views and checks heard so far."""
        heard = self._heard.get(inspection_id)
        return (len(heard.views), heard.checks) if heard else (0, 0)

    # What is heard.

    def _on_view(self, message: msg.View) -> None:
        if (heard := self._heard.get(message.inspection_id)) is not None:
            heard.views.append(convert.view_from_msg(message))

    def _on_alignment(self, message: msg.Alignment) -> None:
        if (heard := self._heard.get(message.inspection_id)) is not None:
            heard.alignments.append(convert.alignment_from_msg(message))

    def _on_weight(self, message: msg.Weight) -> None:
        if (heard := self._heard.get(message.inspection_id)) is not None:
            heard.weights.append(convert.weight_from_msg(message))

    def _on_check(self, message: msg.CheckResult) -> None:
        if (heard := self._heard.get(message.inspection_id)) is not None:
            heard.checks += 1

    def _on_proposal(self, message: msg.VerdictProposal) -> None:
        if (heard := self._heard.get(message.inspection_id)) is not None:
            with self._proposed:
                heard.proposal = convert.proposal_from_msg(message)
                self._proposed.notify_all()

    def _on_event(self, message: msg.Event) -> None:
        event = convert.event_from_msg(message)
        with self._lock:
            for inspection_id, heard in self._heard.items():
                # An event of the cell, such as a stop, is also one of the part that is in it.
                if event.inspection_id in ("", inspection_id):
                    heard.events.append(replace(event, inspection_id=inspection_id))
        if event.severity is Severity.FAULT and event.code in ENDING and event.source != self._node.get_name():
            self._node.on_fault(Reason(event.code, event.text, event.source))

    def _on_signals(self, message: msg.SignalState) -> None:
        self._signals, self._signals_heard = message, time.monotonic()

    def _on_heartbeat(self, message: msg.NodeHeartbeat) -> None:
        name = message.node.rsplit("/", 1)[-1]
        before = self._pids.get(name)
        if before is not None and before[1] != message.pid:
            # A new process in its place, perhaps so soon that nobody missed the old one and the nodes it ran.
            self._forget({n for n, (_, pid) in self._pids.items() if pid == before[1]}, "was started again")
        if message.lifecycle_state == LifecycleState.PRIMARY_STATE_ACTIVE:
            self._pids[name] = (time.monotonic(), int(message.pid))
        elif name in self._pids:
            self._forget({name}, "left its work")

    def _forget(self, names: set[str], what: str) -> None:
        """These nodes are not to be relied on; what they had loaded, and knew of the part in the cell, is gone."""
        for name in names:
            del self._pids[name]
            self._prepared.pop(name, None)
        if lost := sorted(names - {"lifecycle_manager"}):
            reason = Reason(Code.NODE_LOST, f"{', '.join(lost)}: {what} in the middle of the part", lost[0])
            self._node.on_fault(reason, between_parts=False)

    def _watch_signals(self) -> None:
        if (reason := self._signal_fault()) is not None:
            self._node.on_fault(reason)

    def _signal_fault(self) -> Reason | None:
        if time.monotonic() - self._signals_heard > SIGNALS_MAX_AGE_S:
            text = f"the safety signals have been silent for {SIGNALS_MAX_AGE_S:.1f} s; taken as a protective stop"
            return Reason(Code.SIGNALS_LOST, text, "signals")
        state = self._signals
        if state is None:  # only just started
            return None
        if not state.valid:
            return Reason(Code.SIGNALS_LOST, "the safety signals cannot be read; taken as a protective stop", "signals")
        if state.protective_stop:
            return Reason(Code.PROTECTIVE_STOP, "the safety controller has stopped the cell", "signals")
        if not state.door_closed:
            return Reason(Code.DOOR_OPEN, "the cell's door is open", "signals")
        return None

    # How they are asked.

    def _call(self, client, request, timeout_s: float, name: str, late: Code):  # type: ignore[no-untyped-def]
        if not self._there(client.service_is_ready):
            raise _lost(f"node {name} is not there", name)
        answer = wait_for(client.call_async(request), timeout_s, self._stop if name != "arm" else None)
        if answer is None:
            reason = self._stop_reason or Reason(late, f"node {name} did not answer within {timeout_s:.0f} s", name)
            raise StepFailed(reason)
        return answer

    def _there(self, is_ready: Callable[[], bool]) -> bool:
        """Whether a node can be asked; one that was just started again is met within a moment."""
        deadline = time.monotonic() + MEETING_S
        while not (ready := is_ready()) and time.monotonic() < deadline and not self._stop.wait(0.02):
            pass
        return ready

    def _refuse_stopped(self) -> None:
        if self._stop.is_set():
            reason = self._stop_reason or Reason(Code.ABORTED, "stopped")
            raise StepFailed(reason, arm_usable=reason.code in (Code.ABORTED, Code.NODE_LOST))


class _Heard:
    """What was heard of one inspection."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.alignments: list[Alignment] = []
        self.weights: list[Weight] = []
        self.events: list[Event] = []
        self.checks = 0
        self.proposal: tuple[VerdictProposal, tuple[CheckResult, ...]] | None = None


def _lost(text: str, subject: str, arm_usable: bool = True) -> StepFailed:
    return StepFailed(Reason(Code.NODE_LOST, text, subject), arm_usable=arm_usable)
