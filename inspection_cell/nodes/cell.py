"""The cell node: the PLC's services and the inspect action over the controller; it talks to the other nodes for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from inspection_cell_interfaces import msg, srv
from inspection_cell_interfaces.action import Inspect
from lifecycle_msgs.msg import State as LifecycleStateMsg
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.duration import Duration
from rclpy.node import Parameter

from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Severity
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.nodes.surroundings import RosSurroundings
from inspection_cell.recipe.cell_recipe import load_cell_recipe
from inspection_cell.recipe.paths import find_recipe_file
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.records.store import RecordStore
from inspection_cell.sequence.controller import Answer, Controller, Refusal, Status

# Calls that may wait for a verdict at once; every one holds a thread of the process, and others must stay free.
MOST_WAITING = 4
TOO_MANY = Reason(
    Code.NOT_READY, f"{MOST_WAITING} calls are waiting for verdicts already; use start_inspection and get_result"
)


class CellNode(ManagedNode):
    """What the line PLC sees of the cell."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("cell", parameter_overrides)
        self._controller: Controller | None = None
        self._surroundings: RosSurroundings | None = None
        self._store: RecordStore | None = None
        self._beats = 0
        self._coming_up = False
        self._resting = State.PREOPERATIONAL  # the cell's state while there is no controller
        self._waiting = threading.Semaphore(MOST_WAITING)
        self._states = self.create_publisher(msg.CellState, "state", qos.STATE)
        self._verdicts = self.create_publisher(msg.PartVerdict, "verdicts", qos.LATCHED)
        for kind, name, handler in (
            (srv.StartInspection, "start_inspection", self._start),
            (srv.GetResult, "get_result", self._get_result),
            (srv.AcknowledgeResult, "acknowledge_result", self._acknowledge),
            (srv.InspectPart, "inspect_part", self._inspect_part),
            (srv.SelectRecipe, "select_recipe", self._select_recipe),
            (srv.Abort, "abort", self._abort),
            (srv.Reset, "reset", self._reset),
        ):
            self.create_service(kind, name, self._answering(handler), callback_group=self.work_group)
        self._action = ActionServer(
            self,
            Inspect,
            "inspect",
            execute_callback=self._execute,
            goal_callback=lambda _: GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=self.work_group,
        )
        self.create_timer(1.0, self.guarded(self._tick), callback_group=self.work_group)

    def configure(self) -> None:
        folder = self.data_folder
        folder.mkdir(parents=True, exist_ok=True)
        url = self.config.records.url
        self._store = RecordStore(url, folder / "images") if url else RecordStore.in_folder(folder)
        self._surroundings = RosSurroundings(self, self._verdict, self._publish_state)
        self._controller = Controller(
            store=self._store,
            surroundings=self._surroundings,
            find_recipe=self._find_recipe,
            mode=self.config.core_mode,
            simulated=self.config.simulated,
        )

    def activate(self) -> None:
        assert self._controller is not None
        self._controller.answer_for_the_past()
        self._coming_up = True  # until every node is heard: see _tick

    def deactivate(self) -> None:
        self._coming_up = False
        if self._controller is not None:
            self._controller.close()
            # The process may end right after this.
            self._states.wait_for_all_acked(Duration(seconds=1.0))

    def cleanup(self) -> None:
        if self._controller is not None:
            self._resting = self._controller.state
        if self._surroundings is not None:
            self._surroundings.close()
        if self._store is not None:
            self._store.close()
        self._controller = self._surroundings = self._store = None

    def diagnose(self) -> dict[str, object]:
        c = self._controller
        if c is None:
            return {"state": self._resting.name}
        return {"state": c.state.name, "recipe": c.recipe.name if c.recipe else ""}

    def recipe_path(self, name: str) -> Path:
        """The file of a recipe: the commissioned one in the data folder, else the one that ships."""
        return find_recipe_file(name, self.data_folder, self.config)

    def _find_recipe(self, name: str) -> Recipe:
        return load_cell_recipe(self.recipe_path(name), self.config)

    def _tick(self) -> None:
        self._beats += 1
        controller, surroundings = self._controller, self._surroundings
        met = surroundings is not None and surroundings.all_heard()
        if self._coming_up and self.active and controller is not None and met:
            self._coming_up = False
            controller.operational()
        self._publish_state()

    def _verdict(self, verdict) -> None:  # type: ignore[no-untyped-def]
        self._verdicts.publish(convert.verdict_to_msg(verdict, self._beats))

    def _publish_state(self) -> None:
        controller = self._controller
        state = msg.CellState(
            stamp=convert.time_to_msg(time.time_ns()), state=int(self._resting), heartbeat=self._beats
        )
        if controller is not None:
            state.state, state.step = int(controller.state), controller.step
            if controller.running is not None:
                state.inspection_id = controller.running.inspection_id
            if controller.recipe is not None:
                state.recipe, state.recipe_hash = controller.recipe.name, controller.recipe.hash
            state.mode, state.simulated = int(controller.mode), controller.simulated
            state.disposition = int(controller.disposition)
            state.reasons = [convert.reason_to_msg(r) for r in controller.reasons]
        self._states.publish(state)

    def _answering(self, handler):  # type: ignore[no-untyped-def]
        """A service callback whose exception becomes an answer, never silence; it carries the heartbeat."""

        def answer(request, response):  # type: ignore[no-untyped-def]
            try:
                if self._controller is None or not self.active:
                    reason = Reason(Code.NOT_READY, "the cell is PREOPERATIONAL; its nodes are coming up")
                    response.reason = convert.reason_to_msg(reason)
                else:
                    handler(self._controller, request, response)
            except Exception as error:
                reason = Reason(Code.NODE_ERROR, f"{type(error).__name__}: {error}", "cell")
                self.event(Severity.FAULT, reason.code, reason.text)
                response.reason = convert.reason_to_msg(reason)
            response.heartbeat = self._beats
            return response

        return answer

    def _start(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        answer = controller.start(request.request_id, request.serial, request.recipe)
        if isinstance(answer, Refusal):
            response.reason = convert.reason_to_msg(answer.reason)
        else:
            response.accepted, response.inspection_id = True, answer

    def _get_result(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        answer = controller.result(request.inspection_id)
        response.status, response.step, response.acknowledged = int(answer.status), answer.step, answer.acknowledged
        if answer.verdict is not None:
            response.verdict = convert.verdict_to_msg(answer.verdict, self._beats)
        if answer.status is Status.UNKNOWN:
            text = f"no inspection {request.inspection_id!r} is known"
            response.reason = convert.reason_to_msg(Reason(Code.UNKNOWN_INSPECTION, text, request.inspection_id))

    def _acknowledge(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        _accept(response, controller.acknowledge(request.inspection_id))

    def _inspect_part(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        if not self._waiting.acquire(blocking=False):
            response.reason = convert.reason_to_msg(TOO_MANY)
            return
        try:
            self._start(controller, request, response)
            if response.accepted:
                timeout = request.timeout_s if request.timeout_s > 0 else _longest(controller)
                answer = controller.wait(response.inspection_id, timeout)
                if answer.verdict is not None:
                    response.verdict = convert.verdict_to_msg(answer.verdict, self._beats)
                else:
                    text = f"not finished within {timeout:.0f} s; ask get_result"
                    response.reason = convert.reason_to_msg(Reason(Code.NOT_FINISHED, text, response.inspection_id))
        finally:
            self._waiting.release()

    def _select_recipe(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        answer = controller.select_recipe(request.recipe)
        if isinstance(answer, Refusal):
            response.reason = convert.reason_to_msg(answer.reason)
        else:
            response.accepted, response.recipe_hash = True, answer.hash

    def _abort(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        _accept(response, controller.abort(request.inspection_id, Reason(Code.ABORTED, "aborted by request")))

    def _reset(self, controller: Controller, request, response) -> None:  # type: ignore[no-untyped-def]
        answer = controller.reset()
        response.disposition = int(controller.disposition)
        if isinstance(answer, Refusal):
            response.reason = convert.reason_to_msg(answer.reason)
        else:
            response.accepted, response.disposition = True, int(answer)

    def _execute(self, goal: ServerGoalHandle) -> Inspect.Result:
        """The inspect action: the same start and the same result, with feedback; a cancel is an abort."""
        if not self._waiting.acquire(blocking=False):
            goal.abort()
            return Inspect.Result(reason=convert.reason_to_msg(TOO_MANY))
        try:
            return self._pursue(goal)
        finally:
            self._waiting.release()

    def _pursue(self, goal: ServerGoalHandle) -> Inspect.Result:
        result = Inspect.Result()
        controller, request = self._controller, goal.request
        try:
            if controller is None or not self.active:
                result.reason = convert.reason_to_msg(Reason(Code.NOT_READY, "the cell is PREOPERATIONAL"))
                goal.abort()
                return result
            started = controller.start(request.request_id, request.serial, request.recipe)
            if isinstance(started, Refusal):
                result.reason = convert.reason_to_msg(started.reason)
                goal.abort()
                return result
            result.accepted, result.inspection_id = True, started
            answer = self._follow(controller, goal, started)
            if answer.verdict is not None:
                result.verdict = convert.verdict_to_msg(answer.verdict, self._beats)
            if goal.is_cancel_requested:
                goal.canceled()
            elif answer.verdict is not None:
                goal.succeed()
            else:
                goal.abort()
        except Exception as error:
            reason = Reason(Code.NODE_ERROR, f"{type(error).__name__}: {error}", "cell")
            self.event(Severity.FAULT, reason.code, reason.text)
            result.reason = convert.reason_to_msg(reason)
            goal.abort()
        return result

    def _follow(self, controller: Controller, goal: ServerGoalHandle, inspection_id: str) -> Answer:
        aborted = False
        views = checks = 0
        deadline = time.monotonic() + _longest(controller)
        while time.monotonic() < deadline:
            answer = controller.wait(inspection_id, 0.2)
            if answer.status is not Status.RUNNING:
                return answer
            if goal.is_cancel_requested and not aborted:
                aborted = True
                controller.abort(inspection_id, Reason(Code.ABORTED, "cancelled by the action's client"))
            if (plan := controller.running) is not None and self._surroundings is not None:
                # At the end the counts are handed over to the record; progress does not go back for it.
                views, checks = map(max, (views, checks), self._surroundings.counts(inspection_id))
                done, expected = views + checks, len(plan.views) + len(plan.checks)
                goal.publish_feedback(
                    Inspect.Feedback(
                        inspection_id=inspection_id,
                        step=controller.step,
                        progress=min(1.0, done / max(1, expected)),
                        views_taken=views,
                        views_expected=len(plan.views),
                        checks_reported=checks,
                        checks_expected=len(plan.checks),
                    )
                )
        return controller.result(inspection_id)

    # Called by the surroundings.

    def on_step(self, step: str, disposition: Disposition) -> None:
        """The sequence goes on to a step."""
        if self._controller is not None:
            self._controller.note(step, disposition)

    def longest_analysis_s(self) -> float:
        """How long the decision may wait for checks after the handling is over."""
        plan = self._controller.running if self._controller is not None else None
        return max((check.deadline_s for check in plan.checks), default=0.0) if plan is not None else 0.0

    def on_fault(self, reason: Reason, between_parts: bool = True) -> None:
        """Something that a part cannot be inspected through; see Controller.fault."""
        if self._controller is not None and self._state_id == LifecycleStateMsg.PRIMARY_STATE_ACTIVE:
            self._controller.fault(reason, between_parts)


def _accept(response, refusal: Refusal | None) -> None:  # type: ignore[no-untyped-def]
    if refusal is None:
        response.accepted = True
    else:
        response.reason = convert.reason_to_msg(refusal.reason)


def _longest(controller: Controller) -> float:
    return controller.recipe.deadline_s + 60.0 if controller.recipe is not None else 60.0
