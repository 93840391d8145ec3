"""The scale node: weighs on request and publishes the Weight."""

from __future__ import annotations

import threading
import time

from inspection_cell_interfaces import msg, srv
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Parameter

from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import Weight
from inspection_cell.devices.scale import Scale, build_scale
from inspection_cell.devices.scale.base import ScaleError
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.faults import reason_of
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.simulation.link import scale_port


class ScaleNode(ManagedNode):
    """One scale. A weighing that failed is published too, with its reason: it is evidence of a loss."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("scale", parameter_overrides)
        self._scale: Scale | None = None
        self._lock = threading.Lock()
        self._last = ""
        self._weights = self.create_publisher(msg.Weight, "weights", qos.EVIDENCE)
        self.create_service(srv.Weigh, "~/weigh", self._on_weigh, callback_group=MutuallyExclusiveCallbackGroup())

    def configure(self) -> None:
        section = self.config.scale
        self._scale = build_scale(section.model_copy(update={"port": scale_port(self.config, self.data_folder)}))
        self._scale.open()

    def cleanup(self) -> None:
        if self._scale is not None:
            self._scale.close()
        self._scale = None

    def diagnose(self) -> dict[str, object]:
        scale = self._scale
        return {"serial number": scale.serial_number if scale else "", "last reading": self._last}

    def _on_weigh(self, request: srv.Weigh.Request, response: srv.Weigh.Response) -> srv.Weigh.Response:
        try:
            if self._scale is None or not self.active:
                raise RuntimeError("the scale node is not active")
            with self._lock:
                if request.tare:
                    self._scale.zero(request.timeout_s)
                    response.success = True
                    return response
                weight = self._weigh(request.inspection_id, request.timeout_s)
            response.weight = convert.weight_to_msg(weight)
            response.success = weight.reason is None
            response.reason = convert.reason_to_msg(weight.reason)
            self._weights.publish(response.weight)
        except Exception as error:
            reason = reason_of(error, "scale", Code.SCALE_LOST)
            self.event(Severity.FAULT, reason.code, reason.text, request.inspection_id)
            response.reason = convert.reason_to_msg(reason)
        return response

    def _weigh(self, inspection_id: str, timeout_s: float) -> Weight:
        assert self._scale is not None
        serial = self._scale.serial_number
        try:
            weighing = self._scale.weigh(timeout_s)
        except ScaleError as error:
            reason = reason_of(error, "scale", Code.SCALE_LOST)
            self.event(Severity.INFO, reason.code, reason.text, inspection_id)
            return Weight(inspection_id, time.time_ns(), float("nan"), False, serial, "", reason)
        self._last = weighing.raw
        for text in weighing.reasons:
            self.event(Severity.RECOVERED, Code.SCALE_GARBAGE, text, inspection_id)
        restless = Reason(Code.SCALE_UNSTABLE, f"not at rest: {weighing.raw}", "scale")
        return Weight(
            inspection_id,
            weighing.stamp_ns,
            weighing.mass_kg,
            weighing.stable,
            serial,
            weighing.raw,
            None if weighing.stable else restless,
        )
