"""Boxes as components: simple bodies that hide the part, a gripper for one."""

from __future__ import annotations

import numpy as np
import trimesh

from inspection_cell.cad.component import Component
from inspection_cell.core.poses import Pose


def box_component(name: str, size_m: tuple[float, float, float], T_frame_box: Pose) -> Component:
    """A box by its edge lengths and its centre's pose."""
    mesh = trimesh.creation.box(extents=size_m, transform=T_frame_box)
    return Component(name, np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))
