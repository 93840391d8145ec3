"""The CAD's edges that a camera sees from a pose: points in space, their pixels and the edge's normal in the image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment import kernel
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.mesh import edge_model, joined
from inspection_cell.cad.symmetry import Axis, symmetry_poses
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, transform

DEPTH_SLACK_M = 0.0002
DEPTH_SLACK_PX = 2.0
HIDING_NEIGHBOURS = 4
HIDDEN_SHARE = 3


@dataclass(frozen=True)
class EdgeSamples:
    """Points on visible edges, evenly spaced in the image.

    Attributes:
        points: (n, 3) float64, metres, part frame.
        pixels: (n, 2) float64, where the pose they were made with puts them.
        normals: (n, 2) float64, unit, across the edge in the image.
        owners: (n,) int, index of the component whose edge it is.
    """

    points: NDArray[np.float64]
    pixels: NDArray[np.float64]
    normals: NDArray[np.float64]
    owners: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.points)

    def thinned(self, count: int) -> EdgeSamples:
        """At most `count` samples, evenly chosen."""
        if len(self) <= count:
            return self
        return self.at(np.linspace(0, len(self) - 1, count).astype(int))

    def at(self, chosen: NDArray[Any]) -> EdgeSamples:
        """Some of them, by index or by a mask."""
        return EdgeSamples(self.points[chosen], self.pixels[chosen], self.normals[chosen], self.owners[chosen])

    def seen_from(self, T_camera_part: Pose, camera: CameraModel) -> EdgeSamples:
        """The same points, from a pose so near that the same edges are seen and hardly turn in the image."""
        return replace(self, pixels=camera.project(transform(T_camera_part, self.points)))


class PartEdges:
    """An assembly's edges, and its surfaces, which say which edges are hidden. Safe to use from any thread."""

    def __init__(self, assembly: Assembly, axes: Sequence[Axis] = ()) -> None:
        """`axes`: about which the part looks the same, as `find_axes` finds them.

        Raises:
            RuntimeError: the compiled loops are missing.
            SymmetryError: the axes generate no finite group of turns.
        """
        kernel.library()  # said here, before any view is waited for
        self.assembly = assembly
        self.symmetries = symmetry_poses(axes, assembly) if axes else np.eye(4)[None]
        """(k, 4, 4) T_part_part: all turns that leave the part as it was, the identity first."""
        models = [edge_model(component) for component in assembly.components]
        self._ends, self._normals, self._points, self._sharp = (
            np.ascontiguousarray(np.concatenate([getattr(m, name) for m in models]))
            for name in ("ends", "normals", "points", "sharp")
        )
        self._owner = np.repeat(np.arange(len(models)), [len(m.sharp) for m in models])
        vertices = np.concatenate([component.vertices for component in assembly.components])
        self.axes = np.linalg.eigh(np.cov(vertices.T))[1]
        """(3, 3) columns: the part's principal axes."""
        self._surfaces = [(*_surface(c), bool(joined(c).is_volume)) for c in assembly.components]

    def visible(
        self,
        T_camera_part: Pose,
        camera: CameraModel,
        count: int,
        depth_px: int,
        hidden: Collection[str] = (),
        occluders: Sequence[Component] = (),
    ) -> EdgeSamples:
        """Samples on the edges seen by a pinhole camera, evenly spaced along them.

        Args:
            count: at most so many samples.
            depth_px: longer side of the picture that decides what is hidden.
            hidden: names of components that are not there. occluders: other things in the way, in the part frame.
        """
        scale = min(1.0, depth_px / max(camera.width, camera.height))
        small = camera.resized(max(8, round(camera.width * scale)), max(8, round(camera.height * scale)))
        inverse = np.zeros((small.height, small.width), np.float32)
        seen = [s for name, s in zip(self.assembly.names, self._surfaces, strict=True) if name not in hidden]
        for vertices, faces, closed in [*seen, *((*_surface(o), False) for o in occluders)]:
            kernel.draw(T_camera_part, small, vertices, faces, inverse, closed)
        used = ~np.isin(self._owner, [self.assembly.index(name) for name in hidden])
        edges = self._ends, self._normals, self._points, self._sharp, used
        points, pixels, normals, edge = kernel.visible(
            T_camera_part,
            camera,
            edges,
            HIDDEN_SHARE * count,
            inverse,
            DEPTH_SLACK_M,
            DEPTH_SLACK_PX,
            HIDING_NEIGHBOURS,
        )
        return EdgeSamples(points, pixels, normals, self._owner[edge]).thinned(count)


def _surface(component: Component) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    return (
        np.ascontiguousarray(component.vertices, np.float64),
        np.ascontiguousarray(component.faces, np.int32),
    )
