"""The anomaly check of a view: registered by its alignment, scored by its viewpoint's model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.registration import Nominal, actual_from_nominal, nominal_view, registered, to_original
from inspection_cell.anomaly.score import BACKBONE_FOLDER, AnomalyModel, load_model
from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.box import box_component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import CheckResult, Outcome, outcome_of
from inspection_cell.core.plan import CheckKind, ExpectedCheck, Mounting
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.view import Alignment, View
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.motion.config import BoxConfig
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe

PICTURE_SCALE = 0.25
# In the heat picture this grey stands at the limit that proves a defect.
GREY_AT_LIMIT = 128


def model_name(view_id: str) -> str:
    """A view's name as its model's folder has it."""
    return view_id.replace("/", "_")


class Registrar:
    """Registers the views of one recipe; the same for fitting and for judging. Belongs to its thread (it renders)."""

    def __init__(
        self, recipe: Recipe, recipe_path: Path, tool_boxes: Sequence[BoxConfig] = (), cache: Path | None = None
    ) -> None:
        """Takes the gripper as boxes in the tool frame. Raises CadError, ConfigError, RenderError."""
        assembly = load_assembly(resolve(recipe.part.cad, recipe_path), recipe.part.unit, cache)
        self._renderer = GeometryRenderer(assembly)
        in_hand = recipe.core_mounting is Mounting.PART_IN_HAND
        self._tool = [box_component(box.name, box.size_m, box.T_world_box) for box in tool_boxes if in_hand]
        self._stray_m = recipe.stray_m
        self._planned: dict[str, tuple[Pose, Pose]] = {
            view_id: (viewpoint.T_part_camera, recipe.priors[held]) for view_id, held, viewpoint, _ in recipe.all_views
        }
        self._nominal: dict[tuple[str, int], Nominal] = {}

    def close(self) -> None:
        """Gives the renderer back."""
        self._renderer.close()

    def nominal(self, view_id: str, camera: CameraModel) -> Nominal:
        """How the recipe means to see the part in this view."""
        key = (view_id, camera.width)
        if key not in self._nominal:
            T_part_camera, T_prior = self._planned[view_id]
            gripper = [box.moved(inverse(T_prior)) for box in self._tool]
            self._nominal[key] = nominal_view(self._renderer, camera, T_part_camera, gripper, self._stray_m)
        return self._nominal[key]

    def register(
        self, view: View, image: NDArray[np.uint8], encoding: str, alignment: Alignment
    ) -> tuple[NDArray[np.uint8], Nominal, NDArray[np.float64]]:
        """The registered crop, the nominal view and the affine that says about where its pixels were."""
        nominal = self.nominal(view.view_id, view.camera)
        T_camera_part = view.T_camera_part(alignment.T_reference_part)
        affine = actual_from_nominal(nominal, view.camera, T_camera_part)
        pixels = image if encoding == "mono8" else to_rgb(image, encoding)
        return registered(pixels, nominal, view.camera, T_camera_part), nominal, affine


class AnomalyStation:
    """Judges the views of one recipe. Belongs to the thread that made it."""

    def __init__(
        self,
        recipe: Recipe,
        recipe_path: Path,
        tool_boxes: Sequence[BoxConfig] = (),
        cache: Path | None = None,
        engine: EngineConfig = CPU,
    ) -> None:
        """Raises ModelError, CadError, ConfigError, RenderError."""
        assert recipe.anomaly is not None
        folder = resolve(recipe.anomaly.folder, recipe_path)
        backbone = load_backbone(folder / BACKBONE_FOLDER, engine)
        self.models: dict[str, AnomalyModel] = {
            view_id: load_model(folder / model_name(view_id), backbone, sha256)
            for view_id, sha256 in recipe.anomaly.models.items()
        }
        self._registrar = Registrar(recipe, recipe_path, tool_boxes, cache)

    def close(self) -> None:
        """Gives the renderer back."""
        self._registrar.close()

    def judge(
        self, check: ExpectedCheck, view: View, image: NDArray[np.uint8], encoding: str, alignment: Alignment
    ) -> tuple[CheckResult, NDArray[np.uint8]]:
        """The check's result, and the heat map as a grey picture in the view's coordinates.

        Raises:
            ScoreError, ImageError, ModelError: the view cannot be judged.
        """
        started = time.monotonic()
        model = self.models[view.view_id]
        crop, nominal, affine = self._registrar.register(view, image, encoding, alignment)
        found = model.score(crop, exclude=nominal.outside)
        outcome = outcome_of(check, found.score)
        heat = found.mapping.map_to_original(found.heat_map, nominal.box[2], nominal.box[3])
        heat[nominal.outside] = 0
        normalised = (heat - model.card.normaliser.centre) / model.card.normaliser.spread
        height, width = image.shape[:2]
        grey = np.clip(normalised * (GREY_AT_LIMIT / check.limit_defect), 0, 255).astype(np.float32)
        picture = to_original(grey, affine, width, height, PICTURE_SCALE).astype(np.uint8)
        result = CheckResult(
            inspection_id=view.inspection_id,
            check_id=check.check_id,
            kind=CheckKind.ANOMALY,
            outcome=outcome,
            score=found.score,
            view_id=view.view_id,
            model_hash=model.sha256,
            analysis_s=time.monotonic() - started,
            box=_hottest(heat, affine, width, height),
            reason=None if outcome is Outcome.NOTHING_FOUND else _reason(check, found.score),
        )
        return result, picture


def _hottest(
    heat: NDArray[np.float32], affine: NDArray[np.float64], width: int, height: int
) -> tuple[int, int, int, int]:
    """A box around the heat map's maximum, in the view."""
    y, x = np.unravel_index(int(np.argmax(heat)), heat.shape)
    side = max(16, round(0.06 * max(heat.shape)))
    centre = affine @ np.array([x, y, 1.0])
    left = int(np.clip(centre[0] - side / 2, 0, max(0, width - side)))
    top = int(np.clip(centre[1] - side / 2, 0, max(0, height - side)))
    return left, top, side, side


def _reason(check: ExpectedCheck, score: float) -> Reason:
    code = Code.ANOMALY_CRITICAL if score > check.limit_critical else Code.ANOMALY_VIEWS
    if score <= check.limit_defect:
        code = Code.ANOMALY_UNCERTAIN
    return Reason(code, f"anomaly score {score:.2f}, limit {check.limit_defect:.2f}", check.view_id)
