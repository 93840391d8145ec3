"""The alignment node: from the wide view of each grasp to where the part sits in the hand."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from inspection_cell_interfaces import msg
from numpy.typing import NDArray
from rclpy.node import Parameter
from sensor_msgs.msg import CompressedImage

from inspection_cell.alignment.station import AlignmentStation
from inspection_cell.core.plan import CameraRole, CheckKind, InspectionPlan
from inspection_cell.core.reasons import Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import Alignment
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.station import Arrival, StationNode
from inspection_cell.recipe.recipe import Recipe


class AlignmentNode(StationNode[AlignmentStation | None]):
    """Publishes one Alignment for the first wide view of every grasp."""

    kind = CheckKind.ALIGNMENT

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("alignment", parameter_overrides)
        self._alignments = self.create_publisher(msg.Alignment, "alignments", qos.LATCHED)
        self._debug = self.create_publisher(CompressedImage, "~/debug/compressed", qos.PICTURES)

    def load(self, recipe: Recipe, path: Path) -> tuple[AlignmentStation | None, dict[str, str]]:
        if recipe.alignment is None:
            return None, {}
        return AlignmentStation(recipe, path, self.data_folder / "cache"), {}

    def unload(self, analysis: AlignmentStation | None) -> None:
        if analysis is not None:
            analysis.close()

    def arrived(self, arrival: Arrival) -> None:
        wanted = {c.view_id for c in arrival.plan.checks if c.kind is CheckKind.ALIGNMENT}
        if arrival.view.role is CameraRole.WIDE and arrival.view.view_id in wanted:
            self.with_pixels(arrival, partial(self._align, arrival))

    def _align(self, arrival: Arrival, image: NDArray[np.uint8]) -> None:
        if self.analysis is None:
            raise ValueError("the recipe has no alignment section")
        alignment, estimate = self.analysis.judge(arrival.view, image, arrival.message.frame.encoding, time.time_ns())
        self._alignments.publish(convert.alignment_to_msg(alignment, arrival.message.header.frame_id))
        if self._debug.get_subscription_count():
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
