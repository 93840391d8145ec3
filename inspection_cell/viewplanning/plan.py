"""The fewest viewpoints, over all ways to hold the part, that see its surface: candidates, what each sees, choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.viewplanning.candidates import poses
from inspection_cell.viewplanning.cover import Cover, cover
from inspection_cell.viewplanning.patches import Patches
from inspection_cell.viewplanning.seen import Flags, Optics, seen

Reach = Callable[[str, Pose], Pose | None]
"""For a way to hold the part and T_part_camera: that pose, turned about the optical axis so that the arm gets there."""


@dataclass(frozen=True)
class Candidate:
    """A pose to look from, T_part_camera, while the part is held in some way."""

    held: str
    T_part_camera: Pose


@dataclass(frozen=True)
class Seen:
    """What all candidates see.

    Attributes:
        flags: (candidates, patches).
    """

    candidates: tuple[Candidate, ...]
    patches: Patches
    flags: Flags

    @property
    def at_all(self) -> Flags:
        """(patches,) what some candidate sees."""
        return np.asarray(self.flags.any(axis=0))

    def share(self, flags: Flags) -> float:
        """Of what can be seen at all, the area of the patches that some of the views `flags` (views, patches) see."""
        areas, there = self.patches.areas, self.at_all
        return float(areas[flags.any(axis=0) & there].sum() / areas[there].sum()) if len(flags) else 0.0


@dataclass(frozen=True)
class ViewPlan:
    """The viewpoints that were chosen, that which shows most first.

    Attributes:
        views: as the arm reaches them. numbers: of the candidates they stem from.
        cover: how much they see, and how few there could be.
    """

    views: tuple[Candidate, ...]
    numbers: tuple[int, ...]
    cover: Cover


def look_from_everywhere(
    patches: Patches,
    renderer: GeometryRenderer,
    held: Mapping[str, Sequence[Component]],
    camera: CameraModel,
    optics: Optics,
    distances: tuple[float, ...],
    count: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Seen:
    """What `count` directions at each distance from the part's middle see.

    Args:
        held: way to hold the part -> what stands in the way then (gripper or fixture), in the part frame.
    """
    around = poses(renderer.assembly.centre, distances, count)
    candidates = [Candidate(name, T) for name in held for T in around]
    flags: list[NDArray[np.bool_]] = []
    for number, one in enumerate(candidates, 1):
        flags.append(seen(patches, renderer, inverse(one.T_part_camera), camera, optics, held[one.held]))
        progress(number, len(candidates))
    return Seen(tuple(candidates), patches, np.array(flags))


def choose(views: Seen, share: float, reach: Reach, seconds: float = 20.0) -> ViewPlan:
    """The fewest reachable viewpoints that see a share of what can be seen at all.

    Raises:
        ValueError: nothing is seen from anywhere, or what the arm reaches does not show so much.
    """
    if not views.at_all.any():
        raise ValueError(
            "no candidate sees anything of the part: check the distance, the range that is in focus, the resolution"
            " that is asked for, and what stands in the way"
        )
    reached: dict[int, Pose] = {}

    def usable(number: int) -> bool:
        one = views.candidates[number]
        T = reach(one.held, one.T_part_camera)
        if T is not None:
            reached[number] = T
        return T is not None

    found = cover(views.flags, views.patches.areas, share, usable, seconds)
    chosen = tuple(Candidate(views.candidates[number].held, reached[number]) for number in found.chosen)
    return ViewPlan(chosen, found.chosen, found)
