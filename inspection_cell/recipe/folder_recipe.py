"""The recipe of a folder of images: one fitted model and its limits, for engineers who begin with pictures only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

from inspection_cell.recipe.loading import Strict, load_model
from inspection_cell.recipe.recipe import Sha256

FILE_NAME = "recipe.yaml"


class FolderRecipe(Strict):
    """What `fit-anomaly` writes and `inspect-folder` reads; the limits may be changed by hand."""

    format: Literal[1]
    kind: Literal["folder"] = "folder"
    model: str = Field(description="folder of the fitted model, relative to this file")
    model_hash: Sha256 = Field(description="SHA-256 the model must have")
    limit_uncertain: float = Field(description="normalised score above which a person looks")
    limit_defect: float = Field(description="normalised score above which an image is called defective")

    @model_validator(mode="after")
    def _ordered(self) -> FolderRecipe:
        if self.limit_uncertain > self.limit_defect:
            raise ValueError("needs limit_uncertain <= limit_defect")
        return self


def load_folder_recipe(path: Path) -> FolderRecipe:
    """Reads and checks it; a folder stands for the recipe.yaml in it.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    return load_model(path / FILE_NAME if path.is_dir() else path, FolderRecipe)


def write_folder_recipe(recipe: FolderRecipe, folder: Path) -> Path:
    """Writes recipe.yaml into a folder; returns its path."""
    path = folder / FILE_NAME
    text = "# Written by fit-anomaly; limits may be changed, the model's hash must fit the model.\n"
    path.write_text(text + yaml.safe_dump(recipe.model_dump(), sort_keys=False), encoding="utf-8")
    return path
