"""A station that needs the part's alignment: it holds each view until its alignment has come."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from inspection_cell_interfaces import msg
from numpy.typing import NDArray
from rclpy.node import Parameter

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CheckKind
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.view import Alignment
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.station import Analysis, Arrival, StationNode
from inspection_cell.records.images import ImageStore

KEPT_ALIGNMENTS = 200


class AlignedStationNode(StationNode[Analysis]):
    """Base of presence and anomaly; a subclass gives `judge`."""

    kind: CheckKind

    def __init__(self, name: str, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__(name, parameter_overrides)
        self._alignments: OrderedDict[tuple[str, str], Alignment] = OrderedDict()
        self._held: list[tuple[float, Arrival]] = []
        self._store: ImageStore | None = None
        self.create_subscription(msg.Alignment, "alignments", self.guarded(self._on_alignment), qos.LATCHED)
        self.create_timer(0.5, self.guarded(self._tick))

    def judge(
        self, arrival: Arrival, image: NDArray[np.uint8], alignment: Alignment
    ) -> list[tuple[CheckResult, NDArray[np.uint8] | None]]:
        """Check results of one view, each with a picture to keep, or None; runs in the worker thread."""
        raise NotImplementedError

    def configure(self) -> None:
        self._store = ImageStore(self.data_folder / "images")

    def arrived(self, arrival: Arrival) -> None:
        checks = [c for c in arrival.plan.checks if c.kind is self.kind and c.view_id == arrival.view.view_id]
        if not checks:
            return
        if (arrival.view.inspection_id, arrival.view.view_id) in self._alignments:
            self._analyse(arrival)
        else:
            self._held.append((time.monotonic() + max(c.deadline_s for c in checks), arrival))

    def _on_alignment(self, message: msg.Alignment) -> None:
        if self.active:
            alignment = convert.alignment_from_msg(message)
            self.later(lambda: self._aligned(alignment))

    def _aligned(self, alignment: Alignment) -> None:
        key = (alignment.inspection_id, alignment.view_id)
        self._alignments[key] = alignment
        while len(self._alignments) > KEPT_ALIGNMENTS:
            self._alignments.popitem(last=False)
        ready = [a for _, a in self._held if (a.view.inspection_id, a.view.view_id) == key]
        self._held = [h for h in self._held if h[1] not in ready]
        for arrival in ready:
            self._analyse(arrival)

    def _tick(self) -> None:
        if self.active:
            self.later(self._drop_overdue)

    def _drop_overdue(self) -> None:
        now = time.monotonic()
        overdue = [a for until, a in self._held if until < now]
        self._held = [h for h in self._held if h[0] >= now]
        for arrival in overdue:
            reason = Reason(Code.ALIGNMENT_REFUSED, "no alignment of this view came", arrival.view.view_id)
            self.report_failure(arrival.plan, arrival.view.view_id, reason)

    def _analyse(self, arrival: Arrival) -> None:
        alignment = self._alignments[(arrival.view.inspection_id, arrival.view.view_id)]
        if alignment.accepted:
            self.with_pixels(arrival, partial(self._judge_and_publish, arrival, alignment))
        else:
            reason = Reason(Code.ALIGNMENT_REFUSED, alignment.reason or "the alignment was refused", alignment.view_id)
            self.report_failure(arrival.plan, arrival.view.view_id, reason)

    def _judge_and_publish(self, arrival: Arrival, alignment: Alignment, image: NDArray[np.uint8]) -> None:
        for result, picture in self.judge(arrival, image, alignment):
            self.checks.publish(convert.check_to_msg(self._kept(result, picture), time.time_ns()))

    def _kept(self, result: CheckResult, picture: NDArray[np.uint8] | None) -> CheckResult:
        """The result with its picture stored beside the view; without the picture where that fails."""
        if picture is None or self._store is None:
            return result
        ok, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not ok:
            return result
        name = f"{result.check_id.replace('/', '_')}.png"
        try:
            stored = self._store.write(result.inspection_id, name, png.tobytes())
        except Exception as error:
            self.get_logger().error(f"{name} was not kept: {error}")
            return result
        return replace(result, artifact=stored.name, artifact_sha256=stored.sha256)
