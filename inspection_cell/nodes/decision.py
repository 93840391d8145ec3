"""The decision node: collects plan, views, results, weight and events of a part, and proposes its verdict."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from inspection_cell_interfaces import msg
from rclpy.node import Parameter

from inspection_cell.decision.collector import Collector
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.managed import ManagedNode

KEPT_INSPECTIONS = 8
TICK_S = 0.1


class DecisionNode(ManagedNode):
    """One collector an inspection; a proposal as soon as everything is in, or waiting is pointless."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("decision", parameter_overrides)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Collector] = OrderedDict()
        self._proposed = 0
        # Messages of one part may overtake its plan: what comes early waits here for it.
        self._early: OrderedDict[str, list[tuple[str, object, float]]] = OrderedDict()
        self._publisher = self.create_publisher(msg.VerdictProposal, "proposals", qos.EVIDENCE)
        for kind, topic, handler in (
            (msg.InspectionPlan, "plan", self._on_plan),
            (msg.View, "views", self._keep("add_view", convert.view_from_msg)),
            (msg.CheckResult, "checks", self._keep("add_result", convert.check_from_msg)),
            (msg.Alignment, "alignments", self._keep("add_alignment", convert.alignment_from_msg)),
            (msg.Weight, "weights", self._keep("add_weight", convert.weight_from_msg)),
            (msg.Event, "events", self._keep("add_event", convert.event_from_msg)),
            (msg.InspectionEnd, "ends", self._keep("add_end", convert.end_from_msg)),
        ):
            profile = qos.LATCHED if topic in ("plan", "alignments") else qos.EVIDENCE
            profile = qos.EVENTS if topic == "events" else profile
            self.create_subscription(kind, topic, self.guarded(handler), profile)
        self.create_timer(TICK_S, self.guarded(self._propose))

    def cleanup(self) -> None:
        with self._lock:
            self._open.clear()
            self._early.clear()

    def diagnose(self) -> dict[str, object]:
        return {"inspections open": len(self._open), "proposals": self._proposed}

    def _on_plan(self, message: msg.InspectionPlan) -> None:
        if not self.active or convert.plan_is_over(message, time.time_ns()):
            return
        plan = convert.plan_from_msg(message)
        with self._lock:
            if plan.inspection_id in self._open:
                return
            self._open[plan.inspection_id] = Collector(plan, time.monotonic())
            while len(self._open) > KEPT_INSPECTIONS:
                self._open.popitem(last=False)
            for method, item, when in self._early.pop(plan.inspection_id, []):
                _add(self._open[plan.inspection_id], method, item, when)

    def _keep(self, method: str, from_msg):  # type: ignore[no-untyped-def]
        def handle(message) -> None:  # type: ignore[no-untyped-def]
            if not self.active or not message.inspection_id:
                return
            item, now = from_msg(message), time.monotonic()
            with self._lock:
                collector = self._open.get(message.inspection_id)
                if collector is not None:
                    _add(collector, method, item, now)
                    return
                self._early.setdefault(message.inspection_id, []).append((method, item, now))
                while len(self._early) > KEPT_INSPECTIONS:
                    self._early.popitem(last=False)

        return handle

    def _propose(self) -> None:
        now = time.monotonic()
        with self._lock:
            ready = [c for c in self._open.values() if c.end is not None and (c.complete or now > c.deadline())]
            for collector in ready:
                del self._open[collector.plan.inspection_id]
        for collector in ready:
            proposal = collector.proposal(time.time_ns())
            self._publisher.publish(convert.proposal_to_msg(proposal, collector.results))
            self._proposed += 1


def _add(collector: Collector, method: str, item: object, now: float) -> None:
    if method == "add_event":
        collector.add_event(item)  # type: ignore[arg-type]
    else:
        getattr(collector, method)(item, now)
