"""The simulated surroundings of a cell: the world and the scale on its pseudo-terminal, in one process."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from pathlib import Path

from inspection_cell.core.plan import Mounting
from inspection_cell.devices.scale.simulated import ScaleFault, SimulatedScale
from inspection_cell.recipe.cell_config import SIMULATED_PORT, CellConfig
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.recipe.paths import find_recipe_file, resolve, share_folder
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.recipe.scene import scene_of
from inspection_cell.simulation.client import WorldClient
from inspection_cell.simulation.config import CameraSpec, GraspSpec, Stations, WorldConfig, pose_rows
from inspection_cell.simulation.link import run_folder, socket_path
from inspection_cell.simulation.server import serve

POLL_S = 0.05


def serve_cell(config: CellConfig, config_path: Path, data_folder: Path, stop: threading.Event) -> None:
    """Runs until the event is set.

    Raises:
        ConfigError: the configuration has no simulation section.
        OSError: another simulation serves this data folder.
    """
    if config.simulation is None:
        raise ConfigError(f"{config_path}: has no simulation section")
    logging.basicConfig(level=logging.INFO, format="[simulation] %(message)s")
    world = world_config(config, config_path, data_folder)
    run_folder(data_folder).mkdir(mode=0o700, exist_ok=True)
    worker = threading.Thread(target=_serve_scale, args=(config, data_folder, stop), name="scale", daemon=True)
    worker.start()
    serve(world, stop)
    worker.join(timeout=5.0)


def world_config(config: CellConfig, config_path: Path, data_folder: Path) -> WorldConfig:
    """The world as the cell's configuration and the recipe that it names describe it."""
    assert config.simulation is not None
    recipe = load_recipe(find_recipe_file(config.simulation.recipe, data_folder, config))
    scene = scene_of(config, config_path, recipe)
    names = scene.stations.keys() & Stations.model_fields.keys()
    stations = {name: pose_rows(scene.station(name).T_world_part) for name in names}
    part_folder = resolve(recipe.part.cad, share_folder() / "config" / "recipes" / "x").parent
    cameras = {
        role: CameraSpec.of(
            section.model,
            section.calibration.pose.matrix,
            0.32 if role == "inspection" else 0.6,
            recipe.core_mounting is Mounting.CAMERA_IN_HAND,
        )
        for role, section in config.cameras.items()
    }
    return WorldConfig(
        socket=socket_path(data_folder),
        part_folder=part_folder,
        cameras=cameras,
        stations=Stations(**stations),
        grasps=tuple(
            GraspSpec(name=g.name, T_tool_part=pose_rows(g.T_tool_part.matrix), width_m=g.width_m)
            for g in recipe.grasps
        ),
        open_width_m=scene.gripper.open_width_m,
        seed=config.simulation.seed,
        part_offset_m=config.simulation.part_offset_m,
        part_offset_deg=config.simulation.part_offset_deg,
    )


def _serve_scale(config: CellConfig, data_folder: Path, stop: threading.Event) -> None:
    """A scale on a pseudo-terminal whose name does not change; it weighs what the world puts on its pan."""
    if config.scale.port != SIMULATED_PORT:
        return
    client = WorldClient(socket_path(data_folder), timeout_s=60.0)
    load = 0.0
    with closing(SimulatedScale(lambda: load, run_folder(data_folder) / "scale")) as scale:
        while not stop.wait(POLL_S):
            try:
                load = client.scale_load_kg()
                scale.fault = ScaleFault(client.scale_mode())
            except OSError:
                continue  # the world is coming up, or going down
    client.close()
