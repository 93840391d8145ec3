"""The alignment node: where the part sits in the hand, by the wide view of each grasp, refined in every other view."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from inspection_cell_interfaces import msg
from numpy.typing import NDArray
from rclpy.node import Parameter
from sensor_msgs.msg import CompressedImage

from inspection_cell.alignment.align import AlignmentEstimate
from inspection_cell.alignment.station import AlignmentStation
from inspection_cell.core.plan import CameraRole, CheckKind, InspectionPlan
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import Alignment
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.station import KEPT_PLANS, Arrival, StationNode
from inspection_cell.recipe.recipe import Recipe


class AlignmentNode(StationNode[AlignmentStation | None]):
    """Publishes one Alignment for the first wide view of every grasp, and one for every inspection view."""

    kind = CheckKind.ALIGNMENT

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("alignment", parameter_overrides)
        self._of_grasp: OrderedDict[tuple[str, str], Alignment] = OrderedDict()
        self._alignments = self.create_publisher(msg.Alignment, "alignments", qos.LATCHED)
        self._debug = self.create_publisher(CompressedImage, "~/debug/compressed", qos.PICTURES)

    def load(self, recipe: Recipe, path: Path) -> tuple[AlignmentStation | None, dict[str, str]]:
        if recipe.alignment is None:
            return None, {}
        return AlignmentStation(recipe, path, self.config.tool_boxes, self.data_folder / "cache"), {}

    def arrived(self, arrival: Arrival) -> None:
        view = arrival.view
        if not any(c.kind is CheckKind.ALIGNMENT and c.view_id == view.view_id for c in arrival.plan.checks):
            return
        if view.role is CameraRole.INSPECTION:
            self._refine(arrival)
        else:
            self.with_pixels(arrival, partial(self._align, arrival))

    def _align(self, arrival: Arrival, image: NDArray[np.uint8]) -> None:
        if self.analysis is None:
            raise ValueError("the recipe has no alignment section")
        found, estimate = self.analysis.judge(arrival.view, image, arrival.message.frame.encoding, time.time_ns())
        self._of_grasp[(found.inspection_id, found.grasp)] = found
        while len(self._of_grasp) > 4 * KEPT_PLANS:
            self._of_grasp.popitem(last=False)
        self._publish(arrival, found, image, estimate)

    def _refine(self, arrival: Arrival) -> None:
        """The alignment of one inspection view; refused where that of its grasp is."""
        of_grasp = self._of_grasp.get((arrival.view.inspection_id, arrival.view.grasp))
        if of_grasp is None or not of_grasp.accepted:
            text = of_grasp.reason if of_grasp is not None else "the grasp has no alignment"
            reason = Reason(Code.ALIGNMENT_REFUSED, text, arrival.view.grasp)
            self.report_failure(arrival.plan, arrival.view.view_id, reason)
        else:
            self.with_pixels(arrival, partial(self._refine_with, arrival, of_grasp))

    def _refine_with(self, arrival: Arrival, of_grasp: Alignment, image: NDArray[np.uint8]) -> None:
        if self.analysis is None:
            raise ValueError("the recipe has no alignment section")
        encoding = arrival.message.frame.encoding
        found, estimate = self.analysis.refine(arrival.view, image, encoding, of_grasp, time.time_ns())
        self._publish(arrival, found, image, estimate)

    def _publish(
        self, arrival: Arrival, found: Alignment, image: NDArray[np.uint8], estimate: AlignmentEstimate | None
    ) -> None:
        self._alignments.publish(convert.alignment_to_msg(found, arrival.message.header.frame_id))
        if estimate is not None and self.analysis is not None and self._debug.get_subscription_count():
            picture = self.analysis.picture(image, arrival.message.frame.encoding, estimate)
            ok, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))
            if ok:
                self._debug.publish(CompressedImage(header=arrival.message.header, format="jpeg", data=jpeg.tobytes()))

    def report_failure(self, plan: InspectionPlan, view_id: str, reason: Reason) -> None:
        """A refused alignment, so that nobody waits for one."""
        view = next(v for v in plan.views if v.view_id == view_id)
        self.event(Severity.INFO, reason.code, f"{view_id}: {reason.text}", plan.inspection_id)
        refused = Alignment(
            inspection_id=plan.inspection_id,
            grasp=view.grasp,
            view_id=view_id,
            stamp_ns=time.time_ns(),
            T_reference_part=np.eye(4),
            covariance=np.eye(6) * 1e6,
            quality=0.0,
            residual_px=1e6,
            accepted=False,
            reason=f"{reason.code.name}: {reason.text}",
        )
        self._alignments.publish(convert.alignment_to_msg(refused, ""))
