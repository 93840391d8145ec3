"""The PLC's contract: start, result, acknowledge, recipe, abort, reset; idempotent, durable, one part at a time."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import InspectionPlan, Mode
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.state import State
from inspection_cell.core.verdict import Disposition, Event, PartVerdict, Verdict, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.recipe.make_plan import make_plan
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.records.database import RecordFailed
from inspection_cell.records.images import StoreFull
from inspection_cell.records.inspection_ids import new_inspection_id
from inspection_cell.records.store import RecordStore, RequestConflict, UnknownInspection
from inspection_cell.sequence.ports import Ports, StepFailed
from inspection_cell.sequence.run import PUTTING_AWAY, InspectionRun, RunResult


class Status(IntEnum):
    """What became of an inspection."""

    UNKNOWN = 0
    RUNNING = 1
    DONE = 2
    INTERRUPTED = 3


@dataclass(frozen=True)
class Refusal:
    """A request was not accepted."""

    reason: Reason


@dataclass(frozen=True)
class Answer:
    """What is known of an inspection."""

    status: Status
    step: str = ""
    acknowledged: bool = False
    verdict: PartVerdict | None = None


@dataclass(frozen=True)
class Evidence:
    """What was heard of one inspection, for its record."""

    views: tuple[View, ...]
    alignments: tuple[Alignment, ...]
    weights: tuple[Weight, ...]
    events: tuple[Event, ...]


class Surroundings(Ports, Protocol):
    """The ports of the sequence, and what the controller needs beyond them."""

    def prepare(self, recipe: Recipe) -> tuple[str, ...]:
        """Makes every node ready for a recipe; returns the arm's steps up to the last view. Raises StepFailed."""

    def obstacle(self) -> Reason | None:
        """Why no part may be started now: protective stop, a lost node, no room to record; None: nothing."""

    def recover(self) -> Disposition:
        """After an error: brings the arm to a safe place, a part in the hand to rework. Raises StepFailed."""

    def stop(self, reason: Reason) -> None:
        """Makes the call that is under way, and every later one of this inspection, fail with this reason."""

    def clear_stop(self) -> None:
        """Undoes `stop`."""

    def evidence(self, inspection_id: str) -> Evidence:
        """What was heard of an inspection; forgets it."""

    def announce_verdict(self, verdict: PartVerdict) -> None:
        """Publishes a verdict that is durable."""

    def changed(self) -> None:
        """The controller's state changed."""


@dataclass
class Controller:
    """The cell as the PLC sees it. Thread-safe; an inspection runs in a thread of its own."""

    store: RecordStore
    surroundings: Surroundings
    find_recipe: Callable[[str], Recipe]
    mode: Mode
    simulated: bool
    state: State = State.PREOPERATIONAL
    recipe: Recipe | None = None
    step: str = ""
    disposition: Disposition = Disposition.UNKNOWN
    running: InspectionPlan | None = None
    reasons: tuple[Reason, ...] = ()
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _finished: threading.Condition = field(default_factory=threading.Condition)
    _left_midway: bool = False
    _uncommitted: tuple[PartVerdict, VerdictProposal, tuple[CheckResult, ...], Evidence] | None = None
    _thread: threading.Thread | None = None

    def answer_for_the_past(self) -> None:
        """Begins, also anew after HALTED: commits ERROR, interrupted, for every inspection that a dead cell left."""
        if self.state is State.HALTED:
            self._enter(State.PREOPERATIONAL)
        for left in self.store.unfinished():
            self._left_midway = True
            verdict = self.store.interrupt(left.inspection_id, time.time_ns())
            self.disposition = verdict.disposition
            self.surroundings.announce_verdict(verdict)
            self._fail(
                Reason(
                    Code.INTERRUPTED,
                    f"inspection {left.inspection_id} of part {left.serial} was interrupted at "
                    f"{left.step or 'its start'}; the part was last at {verdict.disposition.name.lower()}",
                    left.inspection_id,
                )
            )

    def operational(self) -> None:
        """All nodes work: from PREOPERATIONAL to INITIALIZED, unless an error must be reset first."""
        with self._lock:
            if self.state is State.PREOPERATIONAL:
                self._enter(State.ERROR if self.reasons else State.INITIALIZED)

    def select_recipe(self, name: str) -> Recipe | Refusal:
        """Asks for a recipe; READY follows once every node has loaded it."""
        with self._lock:
            if self.state not in (State.INITIALIZED, State.READY):
                return Refusal(Reason(Code.NOT_READY, f"the cell is {self.state.name}; {self._cure()}"))
            try:
                recipe = self.find_recipe(name)
            except LookupError as error:
                return Refusal(Reason(Code.UNKNOWN_RECIPE, str(error), name))
            except ValueError as error:
                return Refusal(Reason(Code.INVALID_RECIPE, str(error), name))
            if self.mode is not Mode.TEACH and not recipe.commissioned:
                return Refusal(
                    Reason(
                        Code.INVALID_RECIPE,
                        f"recipe {name} names no fitted models yet: commission it (inspection-cell commission)",
                        name,
                    )
                )
            self.recipe = recipe
            self._enter(State.INITIALIZED, step="loading the recipe")
            self._run_thread(self._prepare, recipe)
            return recipe

    def start(self, request_id: str, serial: str, recipe_name: str) -> str | Refusal:
        """Starts an inspection; returns its id. The same request_id gives the same id."""
        for field_name, value in (("request_id", request_id), ("serial", serial)):
            if not value.strip() or len(value) > 200 or not value.isprintable():
                text = f"{field_name} {value[:40]!r}: needs 1 to 200 printable characters"
                return Refusal(Reason(Code.INVALID_REQUEST, text, field_name))
        with self._lock:
            known = self.store.by_request(request_id)
            if known is not None:
                if known.serial != serial or recipe_name not in ("", known.recipe):
                    text = f"request {request_id} was for part {known.serial}, recipe {known.recipe}"
                    return Refusal(Reason(Code.REQUEST_CONFLICT, text, request_id))
                return known.inspection_id
            if self.state is not State.READY or self.recipe is None:
                return Refusal(Reason(Code.NOT_READY, f"the cell is {self.state.name}; {self._cure()}"))
            if recipe_name not in ("", self.recipe.name):
                try:
                    self.find_recipe(recipe_name)
                except LookupError as error:
                    return Refusal(Reason(Code.UNKNOWN_RECIPE, str(error), recipe_name))
                except ValueError as error:
                    return Refusal(Reason(Code.INVALID_RECIPE, str(error), recipe_name))
                text = f"recipe {self.recipe.name} is selected; call select_recipe for {recipe_name} first"
                return Refusal(Reason(Code.NOT_READY, text, recipe_name))
            if (obstacle := self.surroundings.obstacle()) is not None:
                return Refusal(obstacle)
            now = time.time_ns()
            inspection_id = new_inspection_id(now)
            plan = make_plan(self.recipe, inspection_id, request_id, serial, self.mode, self.simulated, now)
            try:
                self.store.open_inspection(plan)
            except RequestConflict as error:
                return Refusal(Reason(Code.REQUEST_CONFLICT, str(error), request_id))
            except Exception as error:
                self._fail(Reason(Code.RECORD_FAILED, f"the record could not be opened: {error}", inspection_id))
                return Refusal(self.reasons[0])
            self.running, self.disposition, self.reasons = plan, Disposition.INFEED, ()
            self._enter(State.SINGLE_EXECUTION, step="start")
            self._run_thread(self._inspect, plan, self.recipe)
            return inspection_id

    def result(self, inspection_id: str) -> Answer:
        """What became of an inspection."""
        try:
            record = self.store.get(inspection_id).summary
        except UnknownInspection:
            return Answer(Status.UNKNOWN)
        verdict = record.part_verdict
        if verdict is None:
            return Answer(Status.RUNNING, step=record.step)
        interrupted = any(r.code is Code.INTERRUPTED for r in verdict.reasons)
        return Answer(Status.INTERRUPTED if interrupted else Status.DONE, "", record.acknowledged, verdict)

    def acknowledge(self, inspection_id: str) -> Refusal | None:
        """The PLC has taken the result over."""
        answer = self.result(inspection_id)
        if answer.status is Status.UNKNOWN:
            return Refusal(unknown(inspection_id))
        if answer.status is Status.RUNNING:
            return Refusal(Reason(Code.NOT_FINISHED, f"inspection {inspection_id} still runs", inspection_id))
        self.store.acknowledge(inspection_id)
        return None

    def wait(self, inspection_id: str, timeout_s: float) -> Answer:
        """Waits for an inspection's end; the answer is RUNNING when it did not come in time."""
        with self._finished:
            self._finished.wait_for(
                lambda: self.running is None or self.running.inspection_id != inspection_id, timeout_s
            )
        return self.result(inspection_id)

    def abort(self, inspection_id: str, reason: Reason) -> Refusal | None:
        """Ends the running inspection early: once accepted, it cannot pass any more."""
        with self._lock:
            if self.running is None:
                return Refusal(Reason(Code.UNKNOWN_INSPECTION, "no inspection is running", inspection_id))
            if inspection_id not in ("", self.running.inspection_id):
                return Refusal(unknown(inspection_id))
            if self._uncommitted is not None or self.step.startswith(PUTTING_AWAY):
                text = "too late: the verdict is made, the part is being put away"
                return Refusal(Reason(Code.NOT_READY, text, self.running.inspection_id))
            self.surroundings.stop(reason)
            return None

    def reset(self) -> Refusal | Disposition:
        """Clears an error and makes the cell ready again."""
        with self._lock:
            if self.state is State.SINGLE_EXECUTION:
                return Refusal(Reason(Code.NOT_READY, "an inspection is running; abort it first"))
            if self.state is State.PREOPERATIONAL:
                return Refusal(Reason(Code.NOT_READY, "the nodes are not up yet"))
            self.surroundings.clear_stop()
            try:
                self._commit_what_is_left()
                if (obstacle := self.surroundings.obstacle()) is not None:
                    raise StepFailed(obstacle)
                if self.recipe is not None:
                    self.surroundings.prepare(self.recipe)
                    self.disposition = self.surroundings.recover()
            except StepFailed as fault:
                self._fail(fault.reason)
                return Refusal(fault.reason)
            self.reasons = ()
            self._enter(State.READY if self.recipe is not None else State.INITIALIZED)
            return self.disposition

    def fault(self, reason: Reason, between_parts: bool = True) -> None:
        """Something happened that a part cannot be inspected through: ends the running one, or holds the cell.

        Args:
            between_parts: whether it holds the cell also when no part is in it.
        """
        with self._lock:
            if self.running is not None:
                self.surroundings.stop(reason)
            elif between_parts and self.state in (State.READY, State.INITIALIZED):
                self._fail(reason)

    def note(self, step: str, disposition: Disposition) -> None:
        """The running inspection goes on to a step; durable when this returns.

        Raises:
            StepFailed: it could not be recorded, so it must not be done.
        """
        plan = self.running
        if plan is None:
            return
        with self._lock:
            self.step, self.disposition = step, disposition
        try:
            self.store.note_step(plan.inspection_id, step, disposition)
        except (RecordFailed, StoreFull) as error:
            code = Code.STORE_FULL if isinstance(error, StoreFull) else Code.RECORD_FAILED
            raise StepFailed(Reason(code, f"step {step} could not be recorded: {error}", step)) from error
        self.surroundings.changed()

    def close(self) -> None:
        """Ends what runs; for the end of the process."""
        with self._lock:
            if self.running is not None:
                self.surroundings.stop(Reason(Code.INTERRUPTED, "the cell was stopped"))
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self._enter(State.HALTED)

    def _prepare(self, recipe: Recipe) -> None:
        try:
            self.surroundings.prepare(recipe)
            if self._left_midway:
                # The reset after the crash knew no recipe, so no way home.
                self.disposition = self.surroundings.recover()
                self._left_midway = False
        except StepFailed as fault:
            with self._lock:
                self.recipe = None
            self._fail(fault.reason)
            return
        with self._lock:
            if self.recipe is recipe and self.state is State.INITIALIZED:
                self._enter(State.READY)

    def _inspect(self, plan: InspectionPlan, recipe: Recipe) -> None:
        try:
            steps = self.surroundings.prepare(recipe)
            result = InspectionRun(plan, recipe, steps, self.surroundings).run()
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}"
            reason = error.reason if isinstance(error, StepFailed) else Reason(Code.NODE_ERROR, text, "cell")
            result = _failed_run(plan, reason, self.disposition)
        self._finish(plan, result)

    def _finish(self, plan: InspectionPlan, result: RunResult) -> None:
        verdict = PartVerdict(
            inspection_id=plan.inspection_id,
            request_id=plan.request_id,
            serial=plan.serial,
            recipe=plan.recipe,
            recipe_hash=plan.recipe_hash,
            verdict=result.proposal.verdict,
            reasons=result.proposal.reasons,
            disposition=result.disposition,
            mode=plan.mode,
            simulated=plan.simulated,
            stamp_ns=time.time_ns(),
            mass_kg=result.mass_kg,
            timings_s=result.timings_s,
        )
        evidence = self.surroundings.evidence(plan.inspection_id)
        # One lock around announcing the verdict and being READY: whoever hears the verdict may start the next part.
        with self._lock:
            self._uncommitted = (verdict, result.proposal, result.results, evidence)
            self.disposition = result.disposition
            try:
                self._commit_what_is_left()
            except StepFailed as fault:
                # Not durable, so not announced: get_result goes on saying that it runs, until a reset commits it.
                self._fail(fault.reason)
                return
            unplaced = result.disposition in (Disposition.GRIPPER, Disposition.SCALE, Disposition.UNKNOWN)
            if result.arm_blocked or unplaced:
                text = f"the part was left at {result.disposition.name.lower()}; look after it, then reset"
                self._fail(*(result.faults or (Reason(Code.ARM_STOPPED, text),)))
            else:
                self.surroundings.clear_stop()
                self._enter(State.READY)

    def _commit_what_is_left(self) -> None:
        if self._uncommitted is None:
            return
        verdict, proposal, results, evidence = self._uncommitted
        try:
            self.store.commit(
                verdict,
                proposal,
                views=evidence.views,
                results=results,
                alignments=evidence.alignments,
                weights=evidence.weights,
                events=evidence.events,
            )
        except Exception as error:
            raise StepFailed(
                Reason(Code.RECORD_FAILED, f"the verdict could not be recorded: {error}", verdict.inspection_id)
            ) from error
        self._uncommitted = None
        self.surroundings.announce_verdict(verdict)
        with self._finished:
            self.running = None
            self._finished.notify_all()

    def _fail(self, *reasons: Reason) -> None:
        with self._lock:
            self.reasons = reasons
            if self.state is not State.PREOPERATIONAL:
                self._enter(State.ERROR)

    def _enter(self, state: State, step: str = "") -> None:
        with self._lock:
            self.state, self.step = state, step
        self.surroundings.changed()

    def _cure(self) -> str:
        return {
            State.PREOPERATIONAL: "its nodes are coming up",
            State.HALTED: "it was shut down",
            State.ERROR: "call reset" + (f" ({self.reasons[0].text})" if self.reasons else ""),
            State.INITIALIZED: "call select_recipe and wait for READY",
            State.READY: "it is ready",
            State.SINGLE_EXECUTION: "a part is being inspected",
        }[self.state]

    def _run_thread(self, target: Callable[..., None], *args: object) -> None:
        self._thread = threading.Thread(target=target, args=args, name=target.__name__, daemon=True)
        self._thread.start()


def unknown(inspection_id: str) -> Reason:
    """Nothing is known of this id."""
    return Reason(Code.UNKNOWN_INSPECTION, f"no inspection {inspection_id!r} is known", inspection_id)


def _failed_run(plan: InspectionPlan, reason: Reason, disposition: Disposition) -> RunResult:
    proposal = VerdictProposal(plan.inspection_id, Verdict.ERROR, (reason,), time.time_ns())
    return RunResult(proposal, (), disposition, float("nan"), {}, arm_blocked=True, faults=(reason,))
