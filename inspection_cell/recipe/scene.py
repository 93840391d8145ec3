"""What the arm moves among for a recipe: the cell's scene with the recipe's part, grasps and viewpoints."""

from __future__ import annotations

from pathlib import Path

from inspection_cell.core.plan import Mounting
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.legs import ViewTarget
from inspection_cell.recipe.cell_config import CellConfig
from inspection_cell.recipe.loading import ConfigError, read_yaml, validate
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe


def scene_of(config: CellConfig, config_path: Path, recipe: Recipe) -> SceneConfig:
    """The whole scene.

    Raises:
        ConfigError: the scene file is wrong, is not for the recipe's mounting, or keeps less clear than a part strays.
    """
    path = resolve(config.scene, config_path)
    content = read_yaml(path)
    content["part"] = recipe.part.envelope.model_dump()
    content["grasps"] = [g.model_dump() for g in recipe.grasps]
    content["viewpoints"] = [v.model_dump() for v in recipe.viewpoints]
    scene = validate(content, SceneConfig, str(path))
    if recipe.fixture is not None:
        lying = scene.station("infeed").model_copy(update=dict(recipe.fixture.T_world_part))
        scene = scene.model_copy(update={"stations": scene.stations | {"infeed": lying}})
    in_hand = recipe.core_mounting is Mounting.CAMERA_IN_HAND
    if wrong := [role for role, camera in scene.cameras.items() if camera.on_tool != in_hand]:
        raise ConfigError(
            f"{path}: field 'cameras.{wrong[0]}.on_tool': must be {str(in_hand).lower()} for recipe {recipe.name} "
            f"(mounting: {recipe.mounting}); select a recipe for this cell"
        )
    if recipe.stray_m > scene.clearance_m:
        raise ConfigError(
            f"{path}: field 'clearance_m': found {scene.clearance_m}; recipe {recipe.name} lets the part stray by "
            f"{recipe.stray_m:.4f} m (alignment.prior_m, prior_deg); raise it or tighten the prior"
        )
    return scene


def motion_views(recipe: Recipe) -> list[ViewTarget]:
    """The recipe's viewpoints with the grasps, or the fixture, they are shown in."""
    return [
        ViewTarget(v.viewpoint, v.role, tuple(held for held in recipe.priors if v.name in recipe.views[held]))
        for v in recipe.viewpoints
    ]
