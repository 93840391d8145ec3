"""Viewpoints by the command: a fragment that a recipe takes, and a page to look at."""

from pathlib import Path

import pytest
import yaml

from inspection_cell.cli.main import main
from inspection_cell.recipe.loading import read_yaml, validate
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import Recipe

RECIPE = share_folder() / "config/recipes/ring_housing.yaml"
CAD = share_folder() / "models/parts/ring_housing/ring_housing.step"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_the_recipe_takes_the_planned_viewpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--directions", 40, "--share", 0.85)
    assert run("plan-views", CAD, "--recipe", RECIPE, "--out", tmp_path, *few) == 0
    assert "of what can be seen" in capsys.readouterr().out
    planned = yaml.safe_load((tmp_path / "viewpoints.yaml").read_text())
    content = read_yaml(RECIPE)
    wide = [v for v in content["viewpoints"] if v.get("camera") == "wide"]
    content["viewpoints"] = wide + planned["viewpoints"]
    content["views"] = {g: ["wide", "wide_090", *names] for g, names in planned["views"].items()}
    recipe = validate(content, Recipe, "planned.yaml")
    assert len(recipe.viewpoints) > len(wide) + 2
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64") == 2 and "label_plate" in page


def test_a_users_slip_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("plan-views", CAD, "--recipe", RECIPE, "--out", tmp_path)
    assert run(*common, "--in-focus", 0.4, 0.3) == 2
    assert "--in-focus NEAR FAR" in capsys.readouterr().err
    assert run(*common, "--directions", 12, "--mm-per-pixel", 0.01) == 2
    assert "no candidate sees anything" in capsys.readouterr().err
