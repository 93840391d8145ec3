"""Where things are: files that ship with the package, and files that a recipe names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inspection_cell.recipe.loading import ConfigError

if TYPE_CHECKING:
    from inspection_cell.recipe.cell_config import CellConfig


def share_folder() -> Path:
    """The folder with config/, urdf/, models/: the source tree, or the installed share folder.

    Raises:
        ConfigError: neither is there.
    """
    source = Path(__file__).resolve().parents[2]
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    candidates = [source, *(Path(p) / "share" / "inspection_cell" for p in prefixes if p)]
    for folder in candidates:
        if (folder / "config").is_dir() and (folder / "models").is_dir():
            return folder
    raise ConfigError(f"the package's config and models are in none of {', '.join(map(str, candidates))}")


def resolve(name: str, beside: Path) -> Path:
    """A file that a configuration file names: absolute, relative to that file, or below the package's folder.

    Raises:
        ConfigError: it is nowhere.
    """
    given = Path(name).expanduser()
    candidates = [given] if given.is_absolute() else [beside.parent / given, share_folder() / given]
    for path in candidates:
        if path.exists():
            return path
    raise ConfigError(f"{beside}: names {name!r}, which is not at {' nor at '.join(map(str, candidates))}")


def find_recipe_file(name: str, data_folder: Path, config: CellConfig) -> Path:
    """The file of a recipe: the commissioned one in the data folder, else the one that ships with the package.

    Raises:
        LookupError: no recipe has this name; the names there are are listed.
    """
    shipped = Path(config.recipes).expanduser()
    folders = [data_folder / "recipes", shipped if shipped.is_absolute() else share_folder() / shipped]
    names = sorted({p.stem for folder in folders if folder.is_dir() for p in folder.glob("*.yaml")})
    if name not in names:
        raise LookupError(f"no recipe {name!r}; there are {', '.join(names) or 'none'}")
    return next(folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file())
