"""Collects what comes in for one inspection, measures how late it is, and knows when waiting is pointless.

The live node and replay use the same collector. Live, lateness is measured here, once, on the caller's steady clock;
replay hands in the lateness that was recorded, and nothing is timed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, ExpectedCheck, ExpectedView, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Event, InspectionEnd, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.decision.alignment import judge_alignment
from inspection_cell.decision.verdict import decide
from inspection_cell.decision.weight import judge_weight, weight_fault


class Collector:
    """Everything known about one inspection so far.

    Messages of other inspections are ignored. Times are seconds of one steady clock.

    Args:
        plan: what is expected.
        started_s: when the plan was received.
        recorded_lateness: replay only: check id -> lateness as recorded; a check that is not in it never came live,
            so its result is not taken now either.
    """

    def __init__(
        self, plan: InspectionPlan, started_s: float, recorded_lateness: Mapping[str, float] | None = None
    ) -> None:
        self.plan = plan
        self.views: dict[str, View] = {}
        self.alignments: list[Alignment] = []
        self.weights: list[Weight] = []
        self.events: list[Event] = []
        self.end: InspectionEnd | None = None
        self._results: list[CheckResult] = []
        self._recorded = recorded_lateness
        self._started_s = started_s
        self._end_s = started_s
        self._view_s: dict[str, float] = {}
        self._expected_views = {view.view_id: view for view in plan.views}
        self._checks = {check.check_id: check for check in plan.checks}

    def add_view(self, view: View, now_s: float) -> None:
        """A view came; the deadlines of its checks count from here."""
        if self._mine(view.inspection_id) and view.view_id not in self.views:
            self.views[view.view_id] = view
            self._view_s[view.view_id] = now_s

    def add_result(self, result: CheckResult, now_s: float) -> None:
        """A check reported; its lateness is measured now."""
        if self._mine(result.inspection_id):
            lateness = self._lateness(result.check_id, now_s)
            if lateness is not None:
                self._results.append(replace(result, lateness_s=lateness))

    def add_alignment(self, alignment: Alignment, now_s: float) -> None:
        """An alignment came; it answers the alignment check of its view, where the plan has one.

        A refused alignment that is followed by an accepted one of the same view was a recovered transient.
        """
        if not self._mine(alignment.inspection_id):
            return
        self.alignments.append(alignment)
        for check in self._of_kind(CheckKind.ALIGNMENT):
            view = self._expected_views.get(check.view_id)
            if view is not None and check.view_id == alignment.view_id:
                self._add_retryable(judge_alignment(check, alignment, view.grasp), now_s)

    def add_weight(self, weight: Weight, now_s: float) -> None:
        """A weighing came. A failed one that is followed by a valid one was a recovered transient."""
        if not self._mine(weight.inspection_id):
            return
        self.weights.append(weight)
        for check in self._of_kind(CheckKind.WEIGHT):
            self._add_retryable(judge_weight(check, weight), now_s)

    def add_event(self, event: Event) -> None:
        """Something happened; only events of this inspection are kept."""
        if self._mine(event.inspection_id):
            self.events.append(event)

    def add_end(self, end: InspectionEnd, now_s: float) -> None:
        """The handling is over; the first word counts."""
        if self._mine(end.inspection_id) and self.end is None:
            self.end = end
            self._end_s = now_s

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """Every check result so far, with its lateness."""
        return tuple(self._results)

    @property
    def weight(self) -> Weight | None:
        """The weighing that counts: the last valid one, else the last."""
        valid = [w for w in self.weights if weight_fault(w) is None]
        weighed = valid or self.weights
        return weighed[-1] if weighed else None

    @property
    def complete(self) -> bool:
        """Whether the handling ended and everything that can still come has come."""
        return self.end is not None and not self._waiting_until()

    def deadline(self) -> float:
        """When waiting becomes pointless: whatever is still open would be late."""
        latest = self._started_s + self.plan.deadline_s
        if self.end is None:
            return latest
        return min(latest, max(self._waiting_until(), default=self._end_s))

    def proposal(self, stamp_ns: int) -> VerdictProposal:
        """What the evidence says now; `stamp_ns` is the wall clock."""
        return decide(self.plan, self._results, self.end, self.events, self._view_losses(), stamp_ns)

    def _mine(self, inspection_id: str) -> bool:
        return inspection_id == self.plan.inspection_id

    def _of_kind(self, kind: CheckKind) -> list[ExpectedCheck]:
        return [check for check in self.plan.checks if check.kind is kind]

    def _lateness(self, check_id: str, now_s: float) -> float | None:
        """Seconds past the check's deadline; None for a replayed check that never came live."""
        if self._recorded is not None:
            return self._recorded.get(check_id)
        past_plan = now_s - self._started_s - self.plan.deadline_s
        check = self._checks.get(check_id)
        if check is None:
            return past_plan
        input_s = self._view_s.get(check.view_id, now_s)
        return max(past_plan, now_s - input_s - check.deadline_s, self._view_lateness(check.view_id))

    def _view_lateness(self, view_id: str) -> float:
        """Seconds that a view came past its own deadline; its checks are as late as it is."""
        if view_id not in self._view_s or view_id not in self._expected_views:
            return float("-inf")
        return self._view_s[view_id] - self._started_s - self._expected_views[view_id].deadline_s

    def _add_retryable(self, result: CheckResult, now_s: float) -> None:
        """Adds a result; valid ones replace failed ones of the same check, and failed ones do not follow valid ones."""
        same = [r for r in self._results if r.check_id == result.check_id]
        if result.outcome is Outcome.INVALID and any(r.outcome is not Outcome.INVALID for r in same):
            return
        self._results = [r for r in self._results if r not in same or r.outcome is not Outcome.INVALID]
        self.add_result(result, now_s)

    def _waiting_until(self) -> list[float]:
        """For each thing that may still come once the handling has ended: until when it would be in time."""
        complete = self.end is not None and self.end.complete
        reported = {result.check_id for result in self._results}
        until = []
        for check in self.plan.checks:
            # Messages of different senders may overtake each other: after a complete handling, a view or weight
            # that is not here yet is on its way.
            input_s = self._view_s.get(check.view_id, self._end_s if complete else None)
            if check.check_id not in reported and input_s is not None:
                until.append(input_s + check.deadline_s)
        if complete:
            until += [self._started_s + view.deadline_s for view in self.plan.views if view.view_id not in self._view_s]
        return until

    def _view_losses(self) -> list[Reason]:
        losses = []
        for expected in self.plan.views:
            view = self.views.get(expected.view_id)
            if view is None:
                losses.append(Reason(Code.VIEW_MISSING, "the view was never taken", expected.view_id))
            elif not view.settled:
                losses.append(Reason(Code.ARM_NOT_SETTLED, "the arm moved while the view was taken", view.view_id))
            elif not _as_planned(view, expected):
                text = f"taken at {view.grasp}/{view.viewpoint}, planned at {expected.grasp}/{expected.viewpoint}"
                losses.append(Reason(Code.VIEW_MISSING, text, view.view_id))
        return losses


def _as_planned(view: View, expected: ExpectedView) -> bool:
    return (view.grasp, view.viewpoint, view.role) == (expected.grasp, expected.viewpoint, expected.role)
