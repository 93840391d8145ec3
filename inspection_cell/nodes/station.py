"""What the analysis nodes share: views in, one worker thread, results out; an exception becomes an INVALID result."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from inspection_cell_interfaces import msg, srv
from numpy.typing import NDArray
from rclpy.node import Parameter

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import View
from inspection_cell.frames.lease import lease
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.faults import reason_of
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.recipe.recipe import Recipe, load_recipe

KEPT_PLANS = 4
Analysis = TypeVar("Analysis")


@dataclass(frozen=True)
class Arrival:
    """A view with its plan and the message that names its pixels."""

    plan: InspectionPlan
    view: View
    message: msg.View


class StationNode(ManagedNode, Generic[Analysis]):
    """Base of the analysis nodes. A subclass gives `kind`, `load` and `analyse`; both run in the worker thread."""

    kind: CheckKind

    def __init__(self, name: str, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__(name, parameter_overrides)
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._worker: threading.Thread | None = None
        self._plans: OrderedDict[str, InspectionPlan] = OrderedDict()
        self._early: OrderedDict[str, list[msg.View]] = OrderedDict()
        self._lock = threading.Lock()
        self._loaded: tuple[str, Analysis] | None = None
        self._analysed = self._failed = 0
        self._last_s = 0.0
        self.checks = self.create_publisher(msg.CheckResult, "checks", qos.EVIDENCE)
        self.create_subscription(msg.InspectionPlan, "plan", self.guarded(self._on_plan), qos.LATCHED)
        self.create_subscription(msg.View, "views", self.guarded(self._on_view), qos.EVIDENCE)
        self.create_service(srv.PrepareRecipe, "~/prepare_recipe", self._on_prepare, callback_group=self.work_group)

    # What a subclass fills in.

    def load(self, recipe: Recipe, path: Path) -> tuple[Analysis, dict[str, str]]:
        """What is needed for a recipe, and the hashes of its models by name."""
        raise NotImplementedError

    def unload(self, analysis: Analysis) -> None:
        """Gives back what `load` took."""

    def arrived(self, arrival: Arrival) -> None:
        """A view of a running inspection came; called in the worker thread."""
        raise NotImplementedError

    # Lifecycle.

    def activate(self) -> None:
        self._worker = threading.Thread(target=self._work, name=f"{self.get_name()} worker", daemon=True)
        self._worker.start()

    def deactivate(self) -> None:
        if self._worker is not None:
            self._jobs.put(None)
            self._worker.join(timeout=30.0)
            self._worker = None

    def diagnose(self) -> dict[str, object]:
        recipe = self._loaded[0] if self._loaded else ""
        return {
            "recipe hash": recipe,
            "views": self._analysed,
            "failed": self._failed,
            "waiting": self._jobs.qsize(),
            "last took": f"{self._last_s:.3f} s",
        }

    # For the subclass.

    @property
    def analysis(self) -> Analysis:
        """What is loaded."""
        if self._loaded is None:
            raise RuntimeError(f"{self.get_name()} has no recipe loaded; call prepare_recipe")
        return self._loaded[1]

    def later(self, job: Callable[[], None]) -> None:
        """Has a job done by the worker, after what waits already."""
        self._jobs.put(job)

    def with_pixels(self, arrival: Arrival, analyse: Callable[[NDArray], None]) -> None:  # type: ignore[type-arg]
        """Leases the view's frame and analyses it; whatever goes wrong becomes INVALID results of its checks."""
        started = time.monotonic()
        try:
            if self._loaded is not None and self._loaded[0] != arrival.plan.recipe_hash:
                asked, have = arrival.plan.recipe_hash[:12], self._loaded[0][:12]
                raise RuntimeError(f"loaded for recipe {have}, the plan is of {asked}")
            with lease(convert.handle_from_msg(arrival.message.frame)) as image:
                analyse(image)
            self._analysed += 1
        except Exception as error:
            self._failed += 1
            self.get_logger().error(traceback.format_exc())
            self.report_failure(arrival.plan, arrival.view.view_id, reason_of(error, arrival.view.view_id))
        self._last_s = time.monotonic() - started

    def report_failure(self, plan: InspectionPlan, view_id: str, reason: Reason) -> None:
        """INVALID for every check of ours in this view."""
        self.event(Severity.INFO, reason.code, f"{view_id}: {reason.text}", plan.inspection_id)
        for check in plan.checks:
            if check.kind is self.kind and check.view_id == view_id:
                result = CheckResult(
                    inspection_id=plan.inspection_id,
                    check_id=check.check_id,
                    kind=check.kind,
                    outcome=Outcome.INVALID,
                    score=float("nan"),
                    view_id=view_id,
                    component=check.component,
                    model_hash=check.model_hash,
                    reason=reason,
                )
                self.checks.publish(convert.check_to_msg(result, time.time_ns()))

    # Inside.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.guarded(job)()
        if self._loaded is not None:
            self.guarded(self.unload)(self._loaded[1])
            self._loaded = None

    def _on_plan(self, message: msg.InspectionPlan) -> None:
        if not self.active or convert.plan_is_over(message, time.time_ns()):
            return
        plan = convert.plan_from_msg(message)
        with self._lock:
            self._plans[plan.inspection_id] = plan
            while len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
            early = self._early.pop(plan.inspection_id, [])
        for view in early:
            self._on_view(view)

    def _on_view(self, message: msg.View) -> None:
        if not self.active:
            return
        with self._lock:
            plan = self._plans.get(message.inspection_id)
            if plan is None:  # a view may overtake its plan
                self._early.setdefault(message.inspection_id, []).append(message)
                while len(self._early) > KEPT_PLANS:
                    self._early.popitem(last=False)
                return
        arrival = Arrival(plan, convert.view_from_msg(message), message)
        self.later(lambda: self.arrived(arrival))

    def _on_prepare(
        self, request: srv.PrepareRecipe.Request, response: srv.PrepareRecipe.Response
    ) -> srv.PrepareRecipe.Response:
        started = time.monotonic()
        done = threading.Event()

        def prepare() -> None:
            try:
                hashes = self._prepare(Path(request.recipe_path), request.recipe_hash)
                response.model_names, response.model_hashes = list(hashes), list(hashes.values())
                response.success = True
            except Exception as error:
                self.get_logger().error(traceback.format_exc())
                reason = reason_of(error, self.get_name(), Code.MODEL_MISSING)
                response.reason = convert.reason_to_msg(reason)
            finally:
                done.set()

        if not self.active:
            reason = Reason(Code.NOT_READY, f"{self.get_name()} is not active", self.get_name())
            response.reason = convert.reason_to_msg(reason)
            return response
        self.later(prepare)
        done.wait()
        response.duration_s = time.monotonic() - started
        return response

    def _prepare(self, path: Path, recipe_hash: str) -> dict[str, str]:
        recipe = load_recipe(path)
        if recipe.hash != recipe_hash:
            raise ConfigError(f"{path}: has hash {recipe.hash[:12]}, not {recipe_hash[:12]}; select the recipe again")
        if self._loaded is not None:
            self.unload(self._loaded[1])
            self._loaded = None
        analysis, hashes = self.load(recipe, path)
        self._loaded = (recipe.hash, analysis)
        return hashes
