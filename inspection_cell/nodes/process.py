"""A process with one or several nodes: `python -m inspection_cell.nodes.process camera_wide arm --ros-args ...`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node, Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from inspection_cell.nodes.transport import choose_transport

# node name -> (module, class, further arguments)
NODES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "signals": ("signals", "SignalsNode", ()),
    "camera_wide": ("camera", "CameraNode", ("wide",)),
    "camera_inspection": ("camera", "CameraNode", ("inspection",)),
    "scale": ("scale", "ScaleNode", ()),
    "arm": ("arm", "ArmNode", ()),
    "alignment": ("alignment", "AlignmentNode", ()),
    "presence": ("presence", "PresenceNode", ()),
    "anomaly": ("anomaly", "AnomalyNode", ()),
    "decision": ("decision", "DecisionNode", ()),
    "cell": ("cell", "CellNode", ()),
    "lifecycle_manager": ("lifecycle_manager", "LifecycleManagerNode", ()),
}


def make_node(name: str, parameter_overrides: list[Parameter] | None = None) -> Node:
    """A node of the cell by its name.

    Raises:
        KeyError: there is no such node.
    """
    module, class_name, arguments = NODES[name]
    factory = getattr(importlib.import_module(f"inspection_cell.nodes.{module}"), class_name)
    return factory(*arguments, parameter_overrides=parameter_overrides)


def main(names: list[str] | None = None) -> None:
    """Runs nodes until SIGINT or SIGTERM, then releases what they hold."""
    names = names or remove_ros_args(sys.argv)[1:]
    unknown = [n for n in names if n not in NODES]
    if not names or unknown:
        sys.exit(f"unknown nodes {unknown}; give one or more of {', '.join(NODES)}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    choose_transport()
    # Our own handlers: rclpy's would take the context down before the nodes can give their devices back.
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    nodes = [make_node(name) for name in names]
    executor = MultiThreadedExecutor(num_threads=8 + 3 * len(nodes))
    for node in nodes:
        executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinner.start()
    for node in nodes:
        if hasattr(node, "start_itself"):
            node.start_itself()
    while not stop.wait(0.5):
        if not spinner.is_alive():
            print("the executor ended unexpectedly", file=sys.stderr)
            break
    for node in reversed(nodes):
        node.close()  # type: ignore[attr-defined]
    executor.shutdown(timeout_sec=2.0)
    rclpy.try_shutdown()
    # All is released. A thread of rclpy that still ends would make the C++ runtime abort while the interpreter ends.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if stop.is_set() else 1)


if __name__ == "__main__":
    main()
