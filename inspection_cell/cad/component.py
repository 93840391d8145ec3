"""One named piece of an assembly: its triangles in the part frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose, transform


@dataclass(frozen=True)
class Component:
    """One named piece of an assembly.

    Attributes:
        vertices: (n, 3) float64, metres, in the part frame.
        faces: (m, 3) int32, indices into vertices.
    """

    name: str
    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]

    def moved(self, T_part_new: Pose) -> Component:
        """The same mesh after the rigid motion `T_part_new`, e.g. a gripper given in the tool frame by T_part_tool."""
        return Component(self.name, transform(T_part_new, self.vertices), self.faces)
