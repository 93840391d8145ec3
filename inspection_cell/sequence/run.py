"""One inspection: pick, show, weigh, regrasp, show again, wait for the decision, put the part where it belongs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CameraRole, ExpectedView, InspectionPlan, Mounting
from inspection_cell.core.reasons import Reason
from inspection_cell.core.verdict import Disposition, InspectionEnd, Verdict, VerdictProposal
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.sequence.ports import ArmReport, CaptureRequest, Ports, StepFailed

BIN_OF = {Verdict.PASS: "good", Verdict.FAIL: "reject", Verdict.UNCERTAIN: "rework", Verdict.ERROR: "rework"}
# Steps of a part whose verdict is made.
PUTTING_AWAY = ("place:", "home")


@dataclass(frozen=True)
class RunResult:
    """What became of one part, before it is recorded.

    Attributes:
        arm_blocked: the arm must not move by itself any more; a person resets.
        faults: every step that failed, in order; also one after the verdict, as the way home.
    """

    proposal: VerdictProposal
    results: tuple[CheckResult, ...]
    disposition: Disposition
    mass_kg: float
    timings_s: dict[str, float]
    arm_blocked: bool
    faults: tuple[Reason, ...] = ()


@dataclass
class InspectionRun:
    """Runs one plan. `run` never raises StepFailed: a fault becomes evidence that something was not inspected.

    Attributes:
        steps: the arm's steps up to the last view, in the order they were planned for.
    """

    plan: InspectionPlan
    recipe: Recipe
    steps: Sequence[str]
    ports: Ports
    disposition: Disposition = Disposition.INFEED
    mass_kg: float = math.nan
    arm_blocked: bool = False
    faults: list[Reason] = field(default_factory=list)
    timings_s: dict[str, float] = field(
        default_factory=lambda: {"motion": 0.0, "capture": 0.0, "weigh": 0.0, "analysis_wait": 0.0}
    )

    def run(self) -> RunResult:
        """Handles the part from the infeed to a bin."""
        started = time.monotonic()
        self.ports.announce(self.plan)
        reasons: tuple[Reason, ...] = ()
        try:
            self._show()
        except StepFailed as fault:
            reasons = (self._note(fault),)
        self.ports.end(InspectionEnd(self.plan.inspection_id, time.time_ns(), not reasons, reasons))
        proposal, results = self._decide()
        proposal = self._put_away(proposal)
        cycle = time.monotonic() - started
        self.timings_s |= {"overhead": cycle - sum(self.timings_s.values()), "cycle": cycle}
        return RunResult(
            proposal,
            results,
            self.disposition,
            self.mass_kg,
            self.timings_s,
            self.arm_blocked,
            tuple(self.faults),
        )

    def _show(self) -> None:
        views = {view.view_id: view for view in self.plan.views}
        for step in self.steps:
            report = self._move(step)
            if step.startswith("view:"):
                self._take(views[step.removeprefix("view:")], report)
            elif step == "weigh_place" and self.recipe.weight is not None:
                self._weigh(self.recipe.weight.timeout_s)

    def _take(self, view: ExpectedView, report: ArmReport) -> None:
        imaging = self.recipe.imaging["wide" if view.role is CameraRole.WIDE else "inspection"]
        bound = self.recipe.alignment
        sigma_m, sigma_rad = (bound.prior_m / 3, math.radians(bound.prior_deg) / 3) if bound else (1e-6, 1e-6)
        with self._timed("capture"):
            self.ports.capture(
                CaptureRequest(
                    inspection_id=self.plan.inspection_id,
                    view=view,
                    mounting=self.plan.mounting,
                    exposure_s=imaging.exposure_s,
                    gain_db=imaging.gain_db,
                    light=imaging.light,
                    T_world_tool=report.T_world_tool,
                    T_prior=self.recipe.priors[view.grasp],
                    prior_covariance=np.diag([sigma_m**2] * 3 + [sigma_rad**2] * 3),
                    settled=report.settled,
                )
            )

    def _weigh(self, timeout_s: float) -> None:
        self.ports.progress("weigh", self.disposition)
        with self._timed("weigh"):
            weight = self.ports.weigh(self.plan.inspection_id, timeout_s)
        self.mass_kg = weight.mass_kg

    def _move(self, step: str) -> ArmReport:
        self.ports.progress(step, self.disposition)
        with self._timed("motion"):
            report = self.ports.move(self.plan.inspection_id, step)
        self.disposition = report.disposition
        return report

    def _decide(self) -> tuple[VerdictProposal, tuple[CheckResult, ...]]:
        try:
            with self._timed("analysis_wait"):
                return self.ports.proposal(self.plan.inspection_id)
        except StepFailed as fault:
            return self._error((self._note(fault),)), ()

    def _put_away(self, proposal: VerdictProposal) -> VerdictProposal:
        """Places the part by verdict. A part that cannot be placed as decided has not passed."""
        if self.arm_blocked:
            return proposal
        if self.plan.mounting is Mounting.CAMERA_IN_HAND:
            self._go_home()  # the part stays in its fixture, whatever the verdict: the PLC has it taken out
            return proposal
        if self.disposition is not Disposition.GRIPPER:
            if self.disposition is Disposition.INFEED:
                self._go_home()  # stopped before the part was gripped: the next one is fetched from home
            return proposal
        try:
            self._move(f"place:{BIN_OF[proposal.verdict]}")
        except StepFailed as fault:
            reason = self._note(fault)
            if proposal.verdict is Verdict.PASS or proposal.verdict is Verdict.UNCERTAIN:
                return self._error((reason, *proposal.reasons))
            return VerdictProposal(
                proposal.inspection_id, proposal.verdict, (*proposal.reasons, reason), proposal.stamp_ns
            )
        self._go_home()
        return proposal

    def _go_home(self) -> None:
        try:
            self._move("home")
        except StepFailed as fault:
            # The part is where it belongs; the arm is not.
            self._note(fault)

    def _note(self, fault: StepFailed) -> Reason:
        if fault.disposition is not None:
            self.disposition = fault.disposition
        self.arm_blocked = self.arm_blocked or not fault.arm_usable
        self.faults.append(fault.reason)
        return fault.reason

    def _error(self, reasons: tuple[Reason, ...]) -> VerdictProposal:
        return VerdictProposal(self.plan.inspection_id, Verdict.ERROR, reasons, time.time_ns())

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings_s[phase] += time.monotonic() - started
