"""A recipe for one cell: it may only name cameras and light settings that this cell has."""

from __future__ import annotations

from pathlib import Path

from inspection_cell.recipe.cell_config import CellConfig
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.recipe.recipe import Recipe, load_recipe


def load_cell_recipe(path: Path, config: CellConfig) -> Recipe:
    """Reads and checks a recipe, also against the cell that is to run it.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    recipe = load_recipe(path)
    wrong = []
    for camera, imaging in recipe.imaging.items():
        if camera not in config.cameras:
            wrong.append(f"imaging.{camera}: this cell has the cameras {', '.join(sorted(config.cameras))} only")
        if imaging.light not in config.light.settings:
            have = ", ".join(sorted(config.light.settings))
            wrong.append(f"imaging.{camera}.light: found {imaging.light!r}; this cell's light settings are {have}")
    if wrong:
        raise ConfigError("\n".join(f"{path}: field {line}" for line in wrong))
    return recipe
