"""How good parts differ from each other: tone, gloss, mould texture, and how each component sits. All from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector


@dataclass(frozen=True)
class Appearance:
    """The factors of one part.

    Attributes:
        tone: factor of the housing's albedo.
        gloss: factor of the specular reflectance.
        roughness: factor of the mould texture's slope.
        texture_offset: (2,) metres, where on the texture the part begins.
        print_offset: (2,) metres, where the label's print lies on its plate; print_ink is its density.
    """

    tone: float
    gloss: float
    roughness: float
    texture_offset: NDArray[np.float64]
    print_offset: NDArray[np.float64]
    print_ink: float


def appearance(seed: int) -> Appearance:
    """The factors of the part with this seed."""
    rng = np.random.default_rng([seed, 3])
    return Appearance(
        tone=float(rng.normal(1.0, 0.03)),
        gloss=float(rng.normal(1.0, 0.08)),
        roughness=float(rng.normal(1.0, 0.08)),
        texture_offset=rng.uniform(0, 0.02, 2),
        print_offset=rng.normal(0, 0.00008, 2),
        print_ink=float(rng.uniform(0.88, 1.0)),
    )


def seat(name: str, seed: int, centre: NDArray[np.float64]) -> Pose:
    """T_part_component of a component that sits as it happened to: off by its tolerance, screws turned at random.

    Args:
        centre: (3,) metres, middle of the component in the part frame.
    """
    if name == "housing":
        return np.eye(4)
    rng = np.random.default_rng([seed, 4, sum(name.encode())])
    offset = np.clip(rng.normal(0, 0.00006, 3), -0.00015, 0.00015) * (1, 1, 0.3)
    turn = rng.normal(0, 0.006, 3) * (0.3, 0.3, 1)
    if name.startswith("screw"):
        turn[2] = rng.uniform(-np.pi, np.pi)
    return make_pose(None, centre + offset) @ make_pose(rotation_from_vector(turn)) @ make_pose(None, -centre)
