"""The launch file starts the nodes of the configuration.

launch and launch_ros cannot be installed beside the wheels that the tests run on, so small stand-ins with the names and
arguments that the file uses record what it would start. That it runs under the real `ros2 launch` is not tested here.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inspection_cell.nodes.process import NODES
from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.paths import share_folder

LAUNCH_FILE = share_folder() / "launch" / "cell.launch.py"


class Recorded:
    """Keeps what it was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class Context:
    def __init__(self, values: dict[str, str]) -> None:
        self.values = values


class Configuration(Recorded):
    def perform(self, context: Context) -> str:
        return context.values[self.args[0]]


@pytest.fixture
def launch_file(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_ins: dict[str, dict[str, type]] = {
        "launch": {"LaunchContext": Context, "LaunchDescription": type("LaunchDescription", (Recorded,), {})},
        "launch.actions": {
            n: type(n, (Recorded,), {}) for n in ("DeclareLaunchArgument", "ExecuteProcess", "OpaqueFunction")
        },
        "launch.substitutions": {"LaunchConfiguration": Configuration},
        "launch_ros": {},
        "launch_ros.actions": {"LifecycleNode": type("LifecycleNode", (Recorded,), {})},
    }
    for name, content in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("cell_launch", LAUNCH_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(launch_file: ModuleType) -> dict[str, Recorded]:
    entities = launch_file.generate_launch_description().args[0]
    return {e.args[0]: e for e in entities if type(e).__name__ == "DeclareLaunchArgument"}


def started(launch_file: ModuleType, **given: str) -> list[Recorded]:
    """What is started with these launch arguments, the others at their defaults."""
    values = {name: a.kwargs["default_value"] for name, a in arguments(launch_file).items()} | given
    return launch_file.start(Context(values))


def test_every_argument_has_a_default_and_a_description(launch_file: ModuleType) -> None:
    declared = arguments(launch_file)
    assert {"config", "data", "namespace", "respawn"} == set(declared)
    assert all(a.kwargs["description"] and "default_value" in a.kwargs for a in declared.values())
    assert Path(declared["config"].kwargs["default_value"]).is_file()


def test_the_nodes_are_those_of_the_configuration(launch_file: ModuleType, tmp_path: Path) -> None:
    path = share_folder() / "config" / "fast_cell.yaml"
    config = load_cell_config(path)
    actions = started(launch_file, config=str(path), data=str(tmp_path))
    nodes = [a.kwargs for a in actions if type(a).__name__ == "LifecycleNode"]
    assert [n["name"] for n in nodes] == list(config.nodes)
    assert all(n["arguments"] == [n["name"]] and n["name"] in NODES for n in nodes)
    assert all(n["namespace"] == config.namespace and n["respawn"] for n in nodes)
    assert all(n["parameters"] == [{"cell_config": str(path), "data": str(tmp_path)}] for n in nodes)
    assert all((n["package"], n["executable"]) == ("inspection_cell", "cell_node") for n in nodes)
    simulations = [a.kwargs["cmd"] for a in actions if type(a).__name__ == "ExecuteProcess"]
    assert len(simulations) == 1 and simulations[0][3:] == [
        *("simulate", "--config", str(path)),
        *("--data", str(tmp_path)),
    ]


def test_arguments_change_what_is_started(launch_file: ModuleType) -> None:
    actions = started(launch_file, namespace="cell_b", respawn="false")
    nodes = [a.kwargs for a in actions if type(a).__name__ == "LifecycleNode"]
    assert all(n["namespace"] == "cell_b" and not n["respawn"] for n in nodes)
    data = str(load_cell_config(Path(arguments(launch_file)["config"].kwargs["default_value"])).data_folder)
    assert all(n["parameters"][0]["data"] == data for n in nodes)


def test_the_executable_it_names_is_installed_by_the_package() -> None:
    setup = (share_folder() / "setup.py").read_text(encoding="utf-8")
    assert "cell_node" in setup and "inspection_cell.nodes.process:main" in setup
