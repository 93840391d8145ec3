"""The CAD's edges that a camera sees from a pose: points in space, their pixels and the edge's normal in the image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Component
from inspection_cell.cad.mesh import EdgeModel, edge_model
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, transform

FAR_M = 1e6
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
    """

    points: NDArray[np.float64]
    pixels: NDArray[np.float64]
    normals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    def taken(self, index: NDArray[np.generic]) -> EdgeSamples:
        """The samples of an index or a mask."""
        return EdgeSamples(self.points[index], self.pixels[index], self.normals[index])

    def thinned(self, count: int) -> EdgeSamples:
        """At most `count` samples, evenly chosen."""
        if len(self) <= count:
            return self
        return self.taken(np.linspace(0, len(self) - 1, count).astype(int))

    def seen_from(self, T_camera_part: Pose, camera: CameraModel) -> EdgeSamples:
        """The same points where a near pose puts them; over a small motion the normals hardly turn."""
        pixels = np.nan_to_num(camera.project(transform(T_camera_part, self.points)), nan=-1e4)
        return EdgeSamples(self.points, pixels, self.normals)


class PartEdges:
    """An assembly's edges with the renderer that knows which are hidden."""

    def __init__(self, renderer: GeometryRenderer) -> None:
        self.renderer = renderer
        models = [edge_model(component) for component in renderer.assembly.components]
        self._edges = EdgeModel(
            np.concatenate([m.ends for m in models]),
            np.concatenate([m.normals for m in models]),
            np.concatenate([m.points for m in models]),
            np.concatenate([m.sharp for m in models]),
        )
        self._owner = np.repeat(np.arange(len(models)), [len(m.sharp) for m in models])

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
            depth_px: longer side of the rendering that decides what is hidden.
            hidden, occluders: as for the renderer.
        """
        scale = min(1.0, depth_px / max(camera.width, camera.height))
        small = camera.resized(max(8, round(camera.width * scale)), max(8, round(camera.height * scale)))
        depth = self.renderer.render(T_camera_part, small, hidden, occluders).depth
        samples = self._sample(T_camera_part, camera, HIDDEN_SHARE * count, hidden)
        return samples.taken(_unhidden(transform(T_camera_part, samples.points), small, depth)).thinned(count)

    def _sample(self, T_camera_part: Pose, camera: CameraModel, count: int, hidden: Collection[str]) -> EdgeSamples:
        """Samples on creases that face the camera and on contours, hidden ones among them."""
        edges, assembly = self._edges, self.renderer.assembly
        to_eye = inverse(T_camera_part)[:3, 3] - edges.points
        facing = np.einsum("ekc,ec->ek", edges.normals, to_eye) > 0
        seen = (facing[:, 0] != facing[:, 1]) | (edges.sharp & facing[:, 0])
        if hidden:
            seen &= ~np.isin(self._owner, [assembly.index(name) for name in hidden])
        ends = edges.ends[seen]
        in_camera = transform(T_camera_part, ends.reshape(-1, 3))
        pixels = camera.project(in_camera).reshape(-1, 2, 2)
        along = pixels[:, 1] - pixels[:, 0]
        length = np.linalg.norm(along, axis=1)
        whole = np.isfinite(length) & (length > 1e-6)
        ends, pixels, along, length = ends[whole], pixels[whole], along[whole], length[whole]
        depths = in_camera[:, 2].reshape(-1, 2)[whole]
        if not len(length):
            return EdgeSamples(np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 2)))
        # One ruler over all edges one after another: short edges of a finely meshed curve get their share.
        ruler = np.cumsum(length)
        marks = (np.arange(count) + 0.5) * ruler[-1] / count
        which = np.minimum(np.searchsorted(ruler, marks), len(ruler) - 1)
        share = np.clip(1.0 - (ruler[which] - marks) / length[which], 0.0, 1.0)[:, None]
        near, far = depths[which, :1], depths[which, 1:]
        in_space = share * near / ((1 - share) * far + share * near)
        points = ends[which, 0] + in_space * (ends[which, 1] - ends[which, 0])
        direction = along[which] / length[which, None]
        normals = np.column_stack([-direction[:, 1], direction[:, 0]])
        return EdgeSamples(points, pixels[which, 0] + share * along[which], normals)


def _unhidden(in_camera: NDArray[np.float64], camera: CameraModel, depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which points (n, 3) of the optical frame are in the image and not behind most of the surface around them."""
    pixels = camera.project(in_camera)
    inside = np.all(np.isfinite(pixels), axis=1)
    column, row = np.rint(np.where(inside[:, None], pixels, 0.0)).astype(int).T
    inside &= (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    surface = np.pad(np.where(depth > 0, depth, FAR_M), 1, mode="edge")
    column, row = np.clip(column, 0, camera.width - 1), np.clip(row, 0, camera.height - 1)
    slack = DEPTH_SLACK_M + DEPTH_SLACK_PX * in_camera[:, 2] / camera.matrix[0, 0]
    limit = in_camera[:, 2] - slack
    hiding = sum((surface[row + i, column + j] < limit).astype(int) for i in range(3) for j in range(3))
    unhidden: NDArray[np.bool_] = inside & (hiding <= HIDING_NEIGHBOURS)
    return unhidden
