"""Which reason code an exception stands for. One table, so that a cause has the same number wherever it is met."""

from __future__ import annotations

from inspection_cell.anomaly import errors as anomaly
from inspection_cell.cad.assembly import CadError
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.devices.camera import base as camera
from inspection_cell.devices.gripper import base as gripper
from inspection_cell.devices.light import base as light
from inspection_cell.devices.scale import base as scale
from inspection_cell.frames.handle import FramesExhausted, StaleFrame
from inspection_cell.motion import planner, taskplan
from inspection_cell.motion.executor import PartNotGripped
from inspection_cell.presence import package as presence
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.records.images import StoreFull


class LightFailed(Exception):
    """The light did not light."""


# The first that fits counts: subclasses stand before their bases.
CODES: tuple[tuple[type[BaseException], Code], ...] = (
    (camera.GrabTimeout, Code.CAMERA_TIMEOUT),
    (camera.WrongFrameSize, Code.CAMERA_WRONG_SIZE),
    (camera.CameraLost, Code.CAMERA_LOST),
    (camera.CameraNotFound, Code.CAMERA_LOST),
    (camera.CameraError, Code.CAMERA_FAILED),
    (LightFailed, Code.LIGHT_FAILED),
    (light.LightError, Code.LIGHT_FAILED),
    (FramesExhausted, Code.FRAMES_EXHAUSTED),
    (StaleFrame, Code.FRAME_STALE),
    (scale.ScaleTimeout, Code.SCALE_TIMEOUT),
    (scale.ScaleUnstable, Code.SCALE_UNSTABLE),
    (scale.Overload, Code.SCALE_OVERLOAD),
    (scale.Underload, Code.SCALE_UNDERLOAD),
    (scale.ScaleGarbage, Code.SCALE_GARBAGE),
    (scale.ScaleError, Code.SCALE_LOST),
    (PartNotGripped, Code.PART_NOT_GRIPPED),
    (gripper.PartLost, Code.PART_LOST),
    (gripper.GripperError, Code.GRIPPER_FAILED),
    (planner.MotionStopped, Code.ARM_STOPPED),
    (planner.PlanningFailed, Code.ARM_NOT_PLANNED),
    (taskplan.StepRefused, Code.ARM_REFUSED),
    (planner.MotionError, Code.ARM_REFUSED),
    (anomaly.WrongHash, Code.MODEL_WRONG_HASH),
    (anomaly.ModelMissing, Code.MODEL_MISSING),
    (anomaly.ModelError, Code.MODEL_CORRUPT),
    (anomaly.ScoreError, Code.CHECK_NOT_FINITE),
    (presence.WrongPresenceModel, Code.MODEL_WRONG_HASH),
    (presence.NoPresenceModel, Code.MODEL_MISSING),
    (presence.PresenceModelError, Code.MODEL_CORRUPT),
    (CadError, Code.INVALID_RECIPE),
    (ConfigError, Code.INVALID_RECIPE),
    (StoreFull, Code.STORE_FULL),
)


def reason_of(error: BaseException, subject: str, otherwise: Code = Code.ANALYSIS_FAILED) -> Reason:
    """The reason an exception stands for."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), otherwise)
    text = str(error) or type(error).__name__
    return Reason(code, text if code is not otherwise else f"{type(error).__name__}: {text}", subject)
