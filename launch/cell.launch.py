"""Starts the cell: `ros2 launch inspection_cell cell.launch.py config:=FILE data:=FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.paths import share_folder


def start(context: LaunchContext) -> list[object]:
    """One process a node, started again when it dies; the lifecycle manager brings them up in order."""
    path = Path(LaunchConfiguration("config").perform(context)).expanduser()
    config = load_cell_config(path)
    data = LaunchConfiguration("data").perform(context) or str(config.data_folder)
    namespace = LaunchConfiguration("namespace").perform(context) or config.namespace
    respawn = LaunchConfiguration("respawn").perform(context).lower() in ("true", "1", "yes")
    actions: list[object] = []
    if config.simulation is not None:
        command = [sys.executable, "-m", "inspection_cell.cli.main", "simulate", "--config", str(path), "--data", data]
        actions.append(ExecuteProcess(cmd=command, output="screen"))
    for name in config.nodes:
        actions.append(
            LifecycleNode(
                package="inspection_cell",
                executable="cell_node",
                arguments=[name],
                name=name,
                namespace=namespace,
                parameters=[{"cell_config": str(path), "data": data}],
                respawn=respawn,
                respawn_delay=1.0,
                output="screen",
                emulate_tty=True,
            )
        )
    return actions


def generate_launch_description() -> LaunchDescription:
    """The launch arguments, then the nodes of the configuration."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "config",
                default_value=str(share_folder() / "config" / "demo_cell.yaml"),
                description="the cell's configuration file",
            ),
            DeclareLaunchArgument(
                "data", default_value="", description="folder of records, images and models; empty: as configured"
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="ROS namespace of the cell; empty: as configured"
            ),
            DeclareLaunchArgument("respawn", default_value="true", description="start a node again when it dies"),
            OpaqueFunction(function=start),
        ]
    )
