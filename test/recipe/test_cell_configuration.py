"""The cell's configuration: what is simulated is known, nodes stand in exactly one process, schemas are current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspection_cell.cli.main import main
from inspection_cell.core.plan import Mode
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.cell_recipe import load_cell_recipe
from inspection_cell.recipe.loading import ConfigError, read_yaml, validate
from inspection_cell.recipe.paths import find_recipe_file, resolve, share_folder
from inspection_cell.recipe.recipe import Recipe, load_recipe
from inspection_cell.recipe.scene import scene_of

CONFIG = share_folder() / "config"


@pytest.fixture
def content() -> dict[str, Any]:
    return read_yaml(CONFIG / "fast_cell.yaml")


@pytest.mark.parametrize("name", ["demo_cell.yaml", "fast_cell.yaml", "camera_arm_cell.yaml"])
def test_shipped_configurations_are_valid_and_say_that_they_are_simulated(name: str) -> None:
    config = load_cell_config(CONFIG / name)
    assert config.simulated and config.core_mode is Mode.SIMULATION
    assert config.simulated_parts >= {"arm", "scale", "light", "gripper", "signals", "cameras.wide"}
    assert config.nodes[0] == "signals" and config.nodes[-1] == "lifecycle_manager"
    assert resolve(config.scene, CONFIG / name).is_file()


def test_one_real_device_does_not_make_a_cell_real(content: dict[str, Any]) -> None:
    content["scale"] = {"backend": "mt_sics", "port": "/dev/ttyUSB0"}
    config = validate(content, CellConfig, "x")
    assert "scale" not in config.simulated_parts and config.simulated
    content["mode"] = "production"
    with pytest.raises(ConfigError, match="production needs real devices, but arm, cameras"):
        validate(content, CellConfig, "x")


def test_a_camera_in_the_hand_moves_with_the_tool(content: dict[str, Any]) -> None:
    camera = validate(content, CellConfig, "x").cameras["inspection"]
    T_world_tool = np.eye(4)
    T_world_tool[:3, 3] = 0.1, 0.2, 0.3
    fixed, in_hand = camera.T_world_camera(T_world_tool, False), camera.T_world_camera(T_world_tool, True)
    assert np.allclose(fixed, camera.calibration.pose.matrix)
    assert np.allclose(in_hand[:3, 3] - fixed[:3, 3], (0.1, 0.2, 0.3))
    assert (camera.model.width, camera.model.height) == (400, 300)
    assert camera.model.matrix[0, 0] == 1350


def test_a_recipe_may_only_name_what_the_cell_has(content: dict[str, Any]) -> None:
    path = CONFIG / "recipes" / "ring_housing.yaml"
    assert load_cell_recipe(path, validate(content, CellConfig, "x")).name == "ring_housing"
    del content["cameras"]["wide"]
    content["light"] = {"channels": ["dome"], "settings": {"soft": {"dome": 0.5}}}
    with pytest.raises(ConfigError) as refused:
        load_cell_recipe(path, validate(content, CellConfig, "x"))
    for wrong in (
        "ring_housing.yaml: field imaging.wide: this cell has the cameras inspection only",
        "field imaging.inspection.light: found 'ring'; this cell's light settings are soft",
    ):
        assert wrong in str(refused.value)


@pytest.mark.parametrize(
    ("name", "recipe", "least"),
    [
        ("demo_cell.yaml", "ring_housing", 1.0),
        ("fast_cell.yaml", "fast_test", 0.6),
        ("camera_arm_cell.yaml", "ring_fixture", 1.0),
    ],
)
def test_the_simulated_hand_keeps_to_the_prior_and_reaches_far(name: str, recipe: str, least: float) -> None:
    simulation = load_cell_config(CONFIG / name).simulation
    alignment = load_recipe(CONFIG / "recipes" / f"{recipe}.yaml").alignment
    assert simulation is not None and alignment is not None
    assert least * alignment.prior_m <= simulation.part_offset_m <= alignment.prior_m
    assert least * alignment.prior_deg <= simulation.part_offset_deg <= alignment.prior_deg


def test_a_part_that_may_stray_farther_than_the_scene_keeps_clear_is_refused(content: dict[str, Any]) -> None:
    path = CONFIG / "recipes" / "fast_test.yaml"
    config, recipe = validate(content, CellConfig, "x"), read_yaml(path)
    assert scene_of(config, path, validate(recipe, Recipe, "x")).clearance_m == 0.005
    recipe["alignment"]["prior_m"] = 0.0035
    with pytest.raises(ConfigError, match=r"demo_scene.yaml: field 'clearance_m': found 0.005; .* by 0.0053 m"):
        scene_of(config, path, validate(recipe, Recipe, "x"))


def test_a_recipe_for_the_other_mounting_is_refused(content: dict[str, Any]) -> None:
    arm = load_cell_config(CONFIG / "camera_arm_cell.yaml")
    fixture, held = (load_recipe(CONFIG / "recipes" / f"{name}.yaml") for name in ("ring_fixture", "fast_test"))
    assert fixture.fixture is not None
    scene = scene_of(arm, CONFIG / "camera_arm_cell.yaml", fixture)
    assert np.allclose(scene.station("infeed").T_world_part, fixture.fixture.T_world_part.matrix)
    for config, recipe, wanted in ((validate(content, CellConfig, "x"), fixture, "true"), (arm, held, "false")):
        with pytest.raises(ConfigError, match=rf"cameras.inspection.on_tool': must be {wanted} for recipe"):
            scene_of(config, CONFIG / "x.yaml", recipe)


def test_recipes_of_the_data_folder_come_first(content: dict[str, Any], tmp_path: Path) -> None:
    config = validate(content, CellConfig, "x")
    assert find_recipe_file("fast_test", tmp_path, config) == CONFIG / "recipes" / "fast_test.yaml"
    own = tmp_path / "recipes" / "fast_test.yaml"
    own.parent.mkdir()
    own.write_text("", encoding="utf-8")
    assert find_recipe_file("fast_test", tmp_path, config) == own
    with pytest.raises(LookupError, match=r"no recipe 'nothing'; there are fast_test, ring_fixture, ring_housing"):
        find_recipe_file("nothing", tmp_path, config)
    with pytest.raises(LookupError):
        find_recipe_file("../fast_test", tmp_path, config)


def test_a_named_file_that_is_nowhere_is_named_with_where_it_was_looked_for() -> None:
    with pytest.raises(ConfigError, match=r"fast_cell\.yaml: names 'nowhere\.yaml', which is not at .* nor at "):
        resolve("nowhere.yaml", CONFIG / "fast_cell.yaml")


def test_the_schemas_for_editors_are_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "--out", str(tmp_path)])
    assert ended.value.code == 0
    made = sorted(tmp_path.glob("*.json"))
    assert {str(path) for path in made} == set(capsys.readouterr().out.split())
    assert [p.name for p in made] == ["cell.schema.json", "recipe.schema.json"]
    for path in made:
        shipped = CONFIG / "schema" / path.name
        text = path.read_text(encoding="utf-8")
        assert shipped.read_text(encoding="utf-8") == text, "run: inspection-cell schema --out config/schema"
        schema = json.loads(text)
        assert schema["additionalProperties"] is False
