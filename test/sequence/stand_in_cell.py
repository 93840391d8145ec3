"""The cell around the sequence as the tests have it: answers like the nodes, judges with the real collector."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import numpy as np

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import CheckKind, ExpectedCheck, InspectionPlan, Mode
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Disposition, InspectionEnd, PartVerdict, Verdict, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.decision.collector import Collector
from inspection_cell.recipe.loading import validate
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import Recipe, load_recipe
from inspection_cell.records.store import RecordStore
from inspection_cell.sequence.controller import Controller, Evidence
from inspection_cell.sequence.ports import ArmReport, CaptureRequest, StepFailed

STEPS = (
    "pick:g1",
    "view:g1/wide",
    "view:g1/top_000",
    "weigh_place",
    "weigh_pick:g2",
    "view:g2/wide",
    "view:g2/top_180",
)
ROUND = ("view:fixture/wide_090", "view:fixture/wide_270", "view:fixture/top_135", "view:fixture/top_225")
BINS = {"good": Disposition.GOOD_BIN, "reject": Disposition.REJECT_BIN, "rework": Disposition.REWORK_BIN}


def fitted_recipe() -> Recipe:
    """The fast recipe as commissioning leaves it: with the hashes of models, and limits."""
    content = load_recipe(share_folder() / "config" / "recipes" / "fast_test.yaml").model_dump(mode="json")
    content["presence"]["model_hash"] = "a" * 64
    content["anomaly"]["models"] = {"g1/top_000": "b" * 64, "g2/top_180": "c" * 64}
    content["anomaly"]["limits"] = {"uncertain": 1.0, "defect": 2.0, "critical": 10.0}
    return validate(content, Recipe, "fitted")


def camera_arm_recipe() -> Recipe:
    """A few views of the recipe for a camera on the arm, as commissioning leaves it."""
    content = load_recipe(share_folder() / "config" / "recipes" / "ring_fixture.yaml").model_dump(mode="json")
    content["views"] = {"fixture": [step.rpartition("/")[2] for step in ROUND]}
    content["presence"] |= {"model_hash": "a" * 64, "components": [{"name": "clip_left", "min_judged": 2}]}
    content["anomaly"]["models"] = {"fixture/top_135": "b" * 64, "fixture/top_225": "c" * 64}
    content["anomaly"]["limits"] = {"uncertain": 1.0, "defect": 2.0, "critical": 10.0}
    return validate(content, Recipe, "fitted")


class StandInCell:
    """Implements `Surroundings` in memory.

    Attributes:
        faults: where -> what is raised there; "prepare", a step, "capture:<view>", "weigh", "proposal", "recover".
        scores: check id -> score other than a good part's.
        gates: where -> the call waits there until the event is set, or until it is stopped.
    """

    def __init__(self, steps: tuple[str, ...] = STEPS) -> None:
        self.steps = steps
        self.faults: dict[str, Exception] = {}
        self.scores: dict[str, float] = {}
        self.gates: dict[str, threading.Event] = {}
        self.obstacle_now: Reason | None = None
        self.controller: Controller | None = None
        self.calls: list[str] = []
        self.verdicts: list[PartVerdict] = []
        self.disposition = Disposition.INFEED
        self._stop: Reason | None = None
        self._collector: Collector | None = None
        self._views: list[View] = []
        self._alignments: list[Alignment] = []
        self._weights: list[Weight] = []

    # Ports.

    def announce(self, plan: InspectionPlan) -> None:
        self._collector = Collector(plan, time.monotonic())
        self._views, self._alignments, self._weights = [], [], []
        self.disposition = Disposition.INFEED

    def progress(self, step: str, disposition: Disposition) -> None:
        if self.controller is not None:
            self.controller.note(step, disposition)

    def move(self, inspection_id: str, step: str) -> ArmReport:
        if not step.startswith(("place:", "home")) or step == "place:good":
            self._refuse_stopped()
        self._at(step)
        kind, _, where = step.partition(":")
        after = {"pick": Disposition.GRIPPER, "weigh_place": Disposition.SCALE, "weigh_pick": Disposition.GRIPPER}
        self.disposition = BINS[where] if kind == "place" else after.get(kind, self.disposition)
        return ArmReport(np.eye(4), True, self.disposition, 0.0)

    def capture(self, request: CaptureRequest) -> View:
        self._refuse_stopped()
        self._at(f"capture:{request.view.view_id}")
        view = _view(request)
        self._views.append(view)
        now = time.monotonic()
        self._heard.add_view(view, now)
        for check in self._heard.plan.checks:
            if check.view_id != view.view_id:
                continue
            if check.kind is CheckKind.ALIGNMENT:
                alignment = _alignment(view)
                self._alignments.append(alignment)
                self._heard.add_alignment(alignment, now)
            else:
                self._heard.add_result(self._answer(check, request.inspection_id), now)
        return view

    def weigh(self, inspection_id: str, timeout_s: float) -> Weight:
        self._refuse_stopped()
        self._at("weigh")
        nominal = next((c.nominal for c in self._heard.plan.checks if c.kind is CheckKind.WEIGHT), 0.0)
        weight = Weight(inspection_id, time.time_ns(), nominal + self.scores.get("weight", 0.0), True, "scale 1")
        self._weights.append(weight)
        self._heard.add_weight(weight, time.monotonic())
        return weight

    def end(self, end: InspectionEnd) -> None:
        self._heard.add_end(end, time.monotonic())

    def proposal(self, inspection_id: str) -> tuple[VerdictProposal, tuple[CheckResult, ...]]:
        self._at("proposal")
        return self._heard.proposal(time.time_ns()), self._heard.results

    # Beyond them.

    def prepare(self, recipe: Recipe) -> tuple[str, ...]:
        self._at("prepare")
        return self.steps

    def obstacle(self) -> Reason | None:
        return self.obstacle_now

    def recover(self) -> Disposition:
        self._at("recover")
        if self.disposition in (Disposition.GRIPPER, Disposition.SCALE):
            self.disposition = Disposition.REWORK_BIN
        return self.disposition

    def stop(self, reason: Reason) -> None:
        self._stop = self._stop or reason
        for gate in self.gates.values():
            gate.set()

    def clear_stop(self) -> None:
        self._stop = None

    def evidence(self, inspection_id: str) -> Evidence:
        return Evidence(tuple(self._views), tuple(self._alignments), tuple(self._weights), ())

    def announce_verdict(self, verdict: PartVerdict) -> None:
        self.verdicts.append(verdict)

    def changed(self) -> None:
        pass

    # Inside.

    @property
    def _heard(self) -> Collector:
        assert self._collector is not None, "announce comes first"
        return self._collector

    def _at(self, where: str) -> None:
        self.calls.append(where)
        if where in self.gates:
            assert self.gates[where].wait(30.0), f"nobody opened the gate at {where}"
            if not where.startswith(("place:", "home", "proposal")):
                self._refuse_stopped()
        if where in self.faults:
            raise self.faults[where]

    def _refuse_stopped(self) -> None:
        if self._stop is not None:
            raise StepFailed(self._stop, arm_usable=self._stop.code is Code.ABORTED)

    def _answer(self, check: ExpectedCheck, inspection_id: str) -> CheckResult:
        score = self.scores.get(check.check_id, 0.0)
        scored = check.kind in (CheckKind.PRESENCE, CheckKind.ANOMALY)
        return CheckResult(
            inspection_id=inspection_id,
            check_id=check.check_id,
            kind=check.kind,
            outcome=outcome_of(check, score) if scored else Outcome.NOTHING_FOUND,
            score=score,
            view_id=check.view_id,
            component=check.component,
            model_hash=check.model_hash,
        )


class Bench:
    """A controller with a real record store on disk and the stand-in cell around it."""

    def __init__(self, folder: Path, mode: Mode = Mode.SIMULATION, camera_arm: bool = False) -> None:
        self.folder = folder
        self.recipe = camera_arm_recipe() if camera_arm else fitted_recipe()
        self.cell = StandInCell(ROUND if camera_arm else STEPS)
        self.store = RecordStore.in_folder(folder)
        self.controller = self._controller(mode)

    def _controller(self, mode: Mode) -> Controller:
        controller = Controller(self.store, self.cell, self.find, mode, simulated=True)
        self.cell.controller = controller
        return controller

    def find(self, name: str) -> Recipe:
        if name == "wrong":
            raise ValueError("wrong.yaml: field 'name': is missing")
        if name not in (self.recipe.name, "other"):
            raise LookupError(f"no recipe {name!r}")
        return self.recipe if name == self.recipe.name else self.recipe.model_copy(update={"name": "other"})

    def ready(self) -> Controller:
        """Up, the recipe loaded."""
        self.controller.answer_for_the_past()
        self.controller.operational()
        answer = self.controller.select_recipe(self.recipe.name)
        assert isinstance(answer, Recipe), answer
        self.join()
        return self.controller

    def join(self) -> None:
        """Waits for the controller's thread."""
        thread = self.controller._thread
        assert thread is not None
        thread.join(30.0)
        assert not thread.is_alive()

    def inspect(self, request: str = "r1", serial: str = "4711") -> PartVerdict:
        """One part, to its verdict."""
        inspection_id = self.controller.start(request, serial, "")
        assert isinstance(inspection_id, str), inspection_id
        self.join()
        verdict = self.controller.result(inspection_id).verdict
        assert verdict is not None
        return verdict

    def die_and_come_back(self) -> Controller:
        """A new process on the same records, as after a crash."""
        self.store.close()
        self.store = RecordStore.in_folder(self.folder)
        self.cell = StandInCell()
        self.controller = self._controller(Mode.SIMULATION)
        return self.controller


def failed(code: Code, arm_usable: bool = True, disposition: Disposition | None = None) -> StepFailed:
    return StepFailed(Reason(code, f"made to fail with {code.name}", "test"), disposition, arm_usable)


def codes(verdict: PartVerdict) -> set[Code]:
    return {reason.code for reason in verdict.reasons}


def is_error(verdict: PartVerdict, code: Code) -> bool:
    return verdict.verdict is Verdict.ERROR and code in codes(verdict)


def _view(request: CaptureRequest) -> View:
    fields = {f.name for f in dataclasses.fields(CaptureRequest)} & {f.name for f in dataclasses.fields(View)}
    return View(
        **{name: getattr(request, name) for name in fields},
        view_id=request.view.view_id,
        grasp=request.view.grasp,
        viewpoint=request.view.viewpoint,
        role=request.view.role,
        camera_id="camera 1",
        calibration_id="calibration 1",
        stamp_ns=time.time_ns(),
        camera=CameraModel(40, 30, np.array([[100.0, 0, 19.5], [0, 100, 14.5], [0, 0, 1]])),
        T_world_camera=np.eye(4),
        attempts=1,
    )


def _alignment(view: View) -> Alignment:
    return Alignment(
        view.inspection_id, view.grasp, view.view_id, view.stamp_ns, np.eye(4), np.eye(6) * 1e-8, 0.9, 0.2, True
    )
