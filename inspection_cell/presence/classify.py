"""One component in one view: there and right, missing, or wrong; or not to be judged from here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.roi import margin_px
from inspection_cell.cad.assembly import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.visibility import Box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import Outcome
from inspection_cell.core.poses import Pose, is_pose
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.presence.expectation import CHANNELS, SIZE_PX, Expectation, expectation, image_crop, network_input
from inspection_cell.presence.package import MODEL_FILE, PresenceCard, PresenceModelError, package_hash, read_card
from inspection_cell.presence.picture import draw_judgement, importance

CLASSES = ("present", "missing", "wrong")
LEAST_CONTRAST = 1.5


@dataclass(frozen=True)
class PresenceAnswer:
    """What one view says about one component.

    Attributes:
        score: 1 - p(present), 0 to 1; NaN when the component was not judged.
        probabilities: by class name; empty when it was not judged.
        visible: fraction of the component's projected area that the view shows.
        outcome: by the card's limits; NOT_APPLICABLE when the view shows too little, INVALID when it cannot be trusted.
        box: x, y, width, height in the view's pixels; zeros when it is nowhere.
        reason: why, when it is not NOTHING_FOUND.
        seconds: time it took.
        given: (8, 64, 64), what the network was given; None when it was not judged.
        mask: (64, 64), the component in it.
    """

    component: str
    score: float
    probabilities: dict[str, float]
    visible: float
    outcome: Outcome
    box: Box
    reason: Reason | None
    seconds: float
    given: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None


class PresenceModel:
    """A loaded model of one part."""

    def __init__(self, card: PresenceCard, session: Any, model_hash: str) -> None:
        self.card = card
        self.model_hash = model_hash
        self._session = session

    @staticmethod
    def load(folder: Path, expected_hash: str | None) -> PresenceModel:
        """Loads model.onnx and card.json.

        Args:
            expected_hash: of the package, as the recipe names it; None accepts any (teaching).

        Raises:
            PresenceModelError: a file is missing or damaged, does not fit, or the hash is another one.
        """
        card = read_card(folder, expected_hash)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(
                (folder / MODEL_FILE).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            probe = session.run(None, {"input": np.zeros((2, CHANNELS, SIZE_PX, SIZE_PX), np.float32)})[0]
        except Exception as error:  # onnxruntime raises many types, all of them mean the same here
            raise PresenceModelError(f"{folder / MODEL_FILE}: cannot be run ({error}); train the model anew") from error
        if probe.shape != (2, len(CLASSES)):
            raise PresenceModelError(f"{folder / MODEL_FILE}: answers {probe.shape}, not (n, 3); train the model anew")
        return PresenceModel(card, session, package_hash(folder))

    def judge(
        self,
        image: ArrayLike,
        camera: CameraModel,
        renderer: GeometryRenderer,
        T_camera_part: Pose,
        covariance: NDArray[np.float64],
        component: str,
        occluders: Sequence[Component] = (),
    ) -> PresenceAnswer:
        """Judges one component in one view.

        Args:
            image: (h, w) or (h, w, 3) uint8 of the camera's size.
            renderer: of the assembly the model was made for.
            T_camera_part: aligned pose; `covariance` (6, 6) of its twist in the part frame.
            component: one of the card's.
            occluders: known things in the way, in the part frame (the gripper).

        Raises:
            PresenceModelError: the model was not made for this assembly or this component.
        """
        began = time.monotonic()
        self._check(renderer, component)
        pixels = np.asarray(image)
        fault = _fault(pixels, camera, T_camera_part, covariance)
        if fault:
            return _unjudged(component, Outcome.INVALID, Code.CHECK_INVALID, fault, began)
        expected = expectation(renderer, component, T_camera_part, camera, occluders)
        refusal = self._refusal(renderer, component, expected, camera, T_camera_part, covariance)
        if refusal or expected is None:
            visible = expected.visible if expected is not None else 0.0
            return _unjudged(component, Outcome.NOT_APPLICABLE, Code.NONE, refusal, began, visible, expected)
        grey = image_crop(pixels, expected.box)
        if float(grey.std()) < LEAST_CONTRAST:
            fault = (
                f"{component}: the image is {grey.mean():.0f} all over, black, burnt out or covered: nothing to judge"
            )
            return _unjudged(component, Outcome.INVALID, Code.CHECK_INVALID, fault, began, expected.visible, expected)
        given = network_input(grey, expected.channels)
        p = self.probabilities(given[None])[0]
        if not np.all(np.isfinite(p)) or abs(float(p.sum()) - 1.0) > 1e-3:
            return _unjudged(
                component, Outcome.INVALID, Code.CHECK_NOT_FINITE, "the model's answer is not finite", began
            )
        score = float(1.0 - p[0])
        outcome, reason = self._outcome(component, p, score)
        chances = dict(zip(CLASSES, p.tolist(), strict=True))
        return PresenceAnswer(
            component,
            score,
            chances,
            expected.visible,
            outcome,
            expected.box,
            reason,
            time.monotonic() - began,
            given,
            expected.mask,
        )

    def explain(self, answer: PresenceAnswer) -> NDArray[np.uint8]:
        """A picture (h, w, 3) RGB of why a judged component was judged so; takes about 20 times as long."""
        assert answer.given is not None and answer.mask is not None
        text = ", ".join(f"{name} {p:.2f}" for name, p in answer.probabilities.items())
        weight = importance(self.probabilities, answer.given)
        return draw_judgement(answer.given, answer.mask, weight, f"{answer.component}: {text}")

    def probabilities(self, given: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 3) of CLASSES, for network inputs (n, 8, 64, 64)."""
        return np.asarray(self._session.run(None, {"input": given})[0], float)

    def _check(self, renderer: GeometryRenderer, component: str) -> None:
        if renderer.assembly.sha256 != self.card.cad_sha256:
            raise PresenceModelError(
                f"presence model of {self.card.part}: made from another CAD file than {renderer.assembly.source}; "
                "train it on this one"
            )
        if component not in self.card.components:
            known = ", ".join(self.card.components)
            raise PresenceModelError(f"presence model of {self.card.part}: {component!r} is unknown; it knows {known}")

    def _refusal(
        self,
        renderer: GeometryRenderer,
        component: str,
        expected: Expectation | None,
        camera: CameraModel,
        T_camera_part: Pose,
        covariance: NDArray[np.float64],
    ) -> str:
        """Why this view cannot tell; empty when it can."""
        if expected is None or expected.visible < self.card.least_visible:
            seen = expected.visible if expected is not None else 0.0
            return f"{component}: {seen:.0%} visible, {self.card.least_visible:.0%} are needed"
        if expected.area_px < self.card.least_area_px:
            return f"{component}: {expected.area_px:.0f} pixels visible, {self.card.least_area_px:.0f} are needed"
        vertices = renderer.assembly.components[renderer.assembly.index(component)].vertices
        crop_px = margin_px(vertices, camera, T_camera_part, covariance) * SIZE_PX / expected.box[2]
        if crop_px > self.card.largest_margin_px:
            allowed = self.card.largest_margin_px
            return f"{component}: the pose is known to {crop_px:.1f} pixels of the crop, {allowed:.1f} are allowed"
        return ""

    def _outcome(self, component: str, p: NDArray[np.float64], score: float) -> tuple[Outcome, Reason | None]:
        text = f"{component}: present {p[0]:.3f}, missing {p[1]:.3f}, wrong {p[2]:.3f}"
        if score > self.card.limit_defect:
            code = Code.COMPONENT_MISSING if p[1] >= p[2] else Code.COMPONENT_WRONG
            return Outcome.DEFECT, Reason(code, text, component)
        if score > self.card.limit_uncertain:
            return Outcome.UNCERTAIN, Reason(Code.COMPONENT_UNCERTAIN, text, component)
        return Outcome.NOTHING_FOUND, None


def _fault(image: NDArray[Any], camera: CameraModel, pose: Pose, covariance: NDArray[np.float64]) -> str:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[:2] != (camera.height, camera.width):
        return f"the image is {image.dtype} {image.shape}, expected uint8 of {camera.height}x{camera.width}"
    if image.ndim == 3 and image.shape[2] != 3:
        return f"the image has {image.shape[2]} channels, 1 or 3 are known"
    if not is_pose(pose):
        return "the aligned pose is not a finite rigid pose"
    if np.shape(covariance) != (6, 6) or not np.all(np.isfinite(covariance)):
        return "the alignment's covariance is not finite"
    return ""


def _unjudged(
    component: str,
    outcome: Outcome,
    code: Code,
    text: str,
    began: float,
    visible: float = 0.0,
    expected: Expectation | None = None,
) -> PresenceAnswer:
    box = expected.box if expected is not None else (0, 0, 0, 0)
    reason = Reason(code, text, component)
    return PresenceAnswer(component, float("nan"), {}, visible, outcome, box, reason, time.monotonic() - began)
