"""The alignment node: where the part sits in the hand, by the wide views of each grasp, refined in every other view."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from inspection_cell_interfaces import msg
from numpy.typing import NDArray
from rclpy.node import Parameter
from sensor_msgs.msg import CompressedImage

from inspection_cell.alignment.one_view import AlignmentEstimate
from inspection_cell.alignment.station import AlignmentStation, WideView
from inspection_cell.core.plan import CameraRole, CheckKind, InspectionPlan, wide_views
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import Alignment
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.station import KEPT_PLANS, Arrival, StationNode
from inspection_cell.recipe.recipe import Recipe

Kept = TypeVar("Kept")


class AlignmentNode(StationNode[AlignmentStation | None]):
    """Publishes one Alignment for every grasp once all its wide views came, and one for every inspection view."""

    kind = CheckKind.ALIGNMENT

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("alignment", parameter_overrides)
        self._found: OrderedDict[tuple[str, str], dict[str, WideView]] = OrderedDict()
        self._of_grasp: OrderedDict[tuple[str, str], Alignment] = OrderedDict()
        self._alignments = self.create_publisher(msg.Alignment, "alignments", qos.LATCHED)
        self._debug = self.create_publisher(CompressedImage, "~/debug/compressed", qos.PICTURES)

    def load(self, recipe: Recipe, path: Path) -> tuple[AlignmentStation | None, dict[str, str]]:
        if recipe.alignment is None:
            return None, {}
        return AlignmentStation(recipe, path, self.config.tool_boxes, self.data_folder / "cache"), {}

    def arrived(self, arrival: Arrival) -> None:
        stands_on = _stands_on(arrival.plan, arrival.view.view_id)
        if not any(c.kind is CheckKind.ALIGNMENT and c.view_id == stands_on for c in arrival.plan.checks):
            return
        if arrival.view.role is CameraRole.INSPECTION:
            self._refine(arrival)
        else:
            self.with_pixels(arrival, partial(self._find, arrival))

    def _find(self, arrival: Arrival, image: NDArray[np.uint8]) -> None:
        """Aligns one wide view; with the last one of its grasp that comes, the grasp."""
        if self.analysis is None:
            raise ValueError("the recipe has no alignment section")
        view = arrival.view
        estimate = self.analysis.find(view, image, arrival.message.frame.encoding)
        key = (view.inspection_id, view.grasp)
        found = _latest(self._found, key, self._found.get(key, {}) | {view.view_id: WideView(view, estimate)})
        wanted = [v.view_id for v in wide_views(arrival.plan.views, view.grasp)]
        if set(wanted) <= set(found):
            self._judge(self.analysis, arrival, [found[view_id] for view_id in wanted])
        self._show(arrival, image, estimate)

    def _judge(self, analysis: AlignmentStation, arrival: Arrival, found: Sequence[WideView]) -> None:
        """The alignment of a grasp, from all its wide views; an exception here is one of the view that came last."""
        view = arrival.view
        alignment, joint = analysis.judge(found, time.time_ns())
        if joint.disagreement > 1:
            self.event(Severity.FAULT, Code.VIEWS_DISAGREE, joint.reason, view.inspection_id)
        _latest(self._of_grasp, (view.inspection_id, view.grasp), alignment)
        self._publish(arrival, alignment)

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
        self._publish(arrival, found)
        if estimate is not None:
            self._show(arrival, image, estimate)

    def _publish(self, arrival: Arrival, found: Alignment) -> None:
        self._alignments.publish(convert.alignment_to_msg(found, arrival.message.header.frame_id))

    def _show(self, arrival: Arrival, image: NDArray[np.uint8], estimate: AlignmentEstimate) -> None:
        """What the alignment saw, while somebody looks."""
        if self.analysis is not None and self._debug.get_subscription_count():
            picture = self.analysis.picture(arrival.view, image, arrival.message.frame.encoding, estimate)
            ok, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))
            if ok:
                self._debug.publish(CompressedImage(header=arrival.message.header, format="jpeg", data=jpeg.tobytes()))

    def report_failure(self, plan: InspectionPlan, view_id: str, reason: Reason) -> None:
        """A refused alignment, so that nobody waits for one; for a wide view, that of its grasp."""
        view = next(v for v in plan.views if v.view_id == view_id)
        self.event(Severity.INFO, reason.code, f"{view_id}: {reason.text}", plan.inspection_id)
        refused = Alignment(
            inspection_id=plan.inspection_id,
            grasp=view.grasp,
            view_id=_stands_on(plan, view_id),
            stamp_ns=time.time_ns(),
            T_reference_part=np.eye(4),
            covariance=np.eye(6) * 1e6,
            quality=0.0,
            residual_px=1e6,
            accepted=False,
            reason=f"{reason.code.name}: {reason.text}",
        )
        self._alignments.publish(convert.alignment_to_msg(refused, ""))


def _stands_on(plan: InspectionPlan, view_id: str) -> str:
    """The view on which the alignment that a view gives is checked: the last wide view of its grasp, or itself."""
    view = next((v for v in plan.views if v.view_id == view_id), None)
    if view is None or view.role is CameraRole.INSPECTION:
        return view_id
    return wide_views(plan.views, view.grasp)[-1].view_id


def _latest(kept: OrderedDict[tuple[str, str], Kept], key: tuple[str, str], item: Kept) -> Kept:
    """Keeps an item; what is of long ago goes."""
    kept[key] = item
    while len(kept) > 4 * KEPT_PLANS:
        kept.popitem(last=False)
    return item
