"""The presence checks of a view: each component judged where the aligned CAD says it must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Component, load_assembly
from inspection_cell.cad.box import box_component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import CheckKind, ExpectedCheck, Mounting
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.core.view import Alignment, View
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.motion.config import BoxConfig
from inspection_cell.presence.classify import PresenceModel
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe


class PresenceStation:
    """Judges the components of one recipe. Belongs to the thread that made it (it renders).

    Args:
        tool_boxes: the gripper as boxes in the tool frame: what hides components.
    """

    def __init__(
        self, recipe: Recipe, recipe_path: Path, tool_boxes: Sequence[BoxConfig] = (), cache: Path | None = None
    ) -> None:
        """Raises PresenceModelError, CadError, ConfigError, RenderError."""
        assert recipe.presence is not None
        self.model = PresenceModel.load(resolve(recipe.presence.model, recipe_path), recipe.presence.model_hash)
        assembly = load_assembly(resolve(recipe.part.cad, recipe_path), recipe.part.unit, cache)
        self._renderer = GeometryRenderer(assembly)
        in_hand = recipe.core_mounting is Mounting.PART_IN_HAND
        self._tool = [box_component(box.name, box.size_m, box.T_world_box) for box in tool_boxes if in_hand]

    def close(self) -> None:
        """Gives the renderer back."""
        self._renderer.close()

    def judge(
        self,
        checks: Sequence[ExpectedCheck],
        view: View,
        image: NDArray[np.uint8],
        encoding: str,
        alignment: Alignment,
    ) -> list[tuple[CheckResult, NDArray[np.uint8] | None]]:
        """For each check of this view its result, and where it is no clear "present", a picture (RGB) of why.

        Raises:
            PresenceModelError: the model does not fit the part.
        """
        pixels = image if encoding == "mono8" else to_rgb(image, encoding)
        T_camera_part = view.T_camera_part(alignment.T_reference_part)
        occluders = self._gripper(alignment.T_reference_part)
        return [self._judge(check, view, pixels, T_camera_part, alignment, occluders) for check in checks]

    def _judge(
        self,
        check: ExpectedCheck,
        view: View,
        pixels: NDArray[np.uint8],
        T_camera_part: Pose,
        alignment: Alignment,
        occluders: Sequence[Component],
    ) -> tuple[CheckResult, NDArray[np.uint8] | None]:
        answer = self.model.judge(
            pixels, view.camera, self._renderer, T_camera_part, alignment.covariance, check.component, occluders
        )
        judged = answer.outcome not in (Outcome.NOT_APPLICABLE, Outcome.INVALID)
        # The plan's limits decide, so that a replay with other limits needs no new inference.
        outcome = outcome_of(check, answer.score) if judged else answer.outcome
        result = CheckResult(
            inspection_id=view.inspection_id,
            check_id=check.check_id,
            kind=CheckKind.PRESENCE,
            outcome=outcome,
            score=answer.score,
            view_id=view.view_id,
            component=check.component,
            model_hash=self.model.model_hash,
            analysis_s=answer.seconds,
            box=_inside(answer.box, pixels.shape[1], pixels.shape[0]),
            reason=None if outcome is Outcome.NOTHING_FOUND else answer.reason,
        )
        doubtful = outcome in (Outcome.DEFECT, Outcome.UNCERTAIN)
        return result, self.model.explain(answer) if doubtful else None

    def _gripper(self, T_tool_part: Pose) -> list[Component]:
        """The gripper in the part frame; none where no hand holds the part."""
        return [box.moved(inverse(T_tool_part)) for box in self._tool]


def _inside(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0 = max(0, box[0]), max(0, box[1])
    x1, y1 = min(width, box[0] + box[2]), min(height, box[1] + box[3])
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else (0, 0, 0, 0)
