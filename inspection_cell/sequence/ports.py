"""What the sequence asks of the cell around it; the cell node answers over ROS, tests answer as they like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import ExpectedView, InspectionPlan, Mounting
from inspection_cell.core.poses import Pose
from inspection_cell.core.reasons import Reason
from inspection_cell.core.verdict import Disposition, InspectionEnd, VerdictProposal
from inspection_cell.core.view import View, Weight


class StepFailed(Exception):
    """A step of the handling failed for good.

    Attributes:
        reason: why.
        disposition: where the part is, if the step knows; None: where it was.
        arm_usable: whether the arm may go on moving by itself (to put the part aside).
    """

    def __init__(self, reason: Reason, disposition: Disposition | None = None, arm_usable: bool = True) -> None:
        super().__init__(reason.text)
        self.reason = reason
        self.disposition = disposition
        self.arm_usable = arm_usable


@dataclass(frozen=True)
class ArmReport:
    """The arm after a step: measured tool pose, whether it stands still, where the part is, seconds of motion."""

    T_world_tool: Pose
    settled: bool
    disposition: Disposition
    motion_s: float


@dataclass(frozen=True)
class CaptureRequest:
    """A view to take, with what the camera cannot know."""

    inspection_id: str
    view: ExpectedView
    mounting: Mounting
    exposure_s: float
    gain_db: float
    light: str
    T_world_tool: Pose
    T_prior: Pose
    prior_covariance: NDArray[np.float64]
    settled: bool


class Ports(Protocol):
    """The cell around the sequence. Every call may raise StepFailed; every call returns within its own time limit."""

    def announce(self, plan: InspectionPlan) -> None:
        """Publishes the plan."""

    def progress(self, step: str, disposition: Disposition) -> None:
        """Notes durably what is about to happen and where the part is now."""

    def move(self, inspection_id: str, step: str) -> ArmReport:
        """Lets the arm do one step of the task."""

    def capture(self, request: CaptureRequest) -> View:
        """Takes a view; it is published and being stored when this returns."""

    def weigh(self, inspection_id: str, timeout_s: float) -> Weight:
        """Weighs what lies on the scale; the weight is published when this returns."""

    def end(self, end: InspectionEnd) -> None:
        """Publishes that no further view or weight will come."""

    def proposal(self, inspection_id: str) -> tuple[VerdictProposal, tuple[CheckResult, ...]]:
        """Waits for what the decision says."""
