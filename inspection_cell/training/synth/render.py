"""Draws objects under random appearances, many small pictures a second. moderngl on EGL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.cad.render import open_context
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose
from inspection_cell.training.synth.appearance import Appearance, Lighting
from inspection_cell.training.synth.shaders import (
    GEOMETRY_FRAGMENT,
    GEOMETRY_VERTEX,
    LIGHT_FRAGMENT,
    OBJECTS,
    SCREEN_VERTEX,
)

DETAIL = 200
"""Of an object's diameter: smaller triangles are drawn together, they come to less than two pixels."""


@dataclass(frozen=True)
class Placed:
    """One object in a picture: which mesh, where (a rigid pose, and a size), and how it looks."""

    mesh: int
    T_camera_object: Pose
    size: float
    appearance: Appearance


class SynthRenderer:
    """Draws objects about their own middle. It belongs to the thread that made it; close it, or use it in a `with`."""

    def __init__(self, objects: Sequence[Component], largest_px: int) -> None:
        """Raises RenderError where there is no OpenGL 3.3 over EGL."""
        self._thread = threading.get_ident()
        self._context = open_context()
        self._size = largest_px
        self.centres = np.stack([(o.vertices.min(axis=0) + o.vertices.max(axis=0)) / 2 for o in objects])
        self.radii = np.array(
            [np.linalg.norm(o.vertices - c, axis=1).max() for o, c in zip(objects, self.centres, strict=True)]
        )
        with self._context:
            self._geometry = self._context.program(vertex_shader=GEOMETRY_VERTEX, fragment_shader=GEOMETRY_FRAGMENT)
            self._light = self._context.program(vertex_shader=SCREEN_VERTEX, fragment_shader=LIGHT_FRAGMENT)
            self._meshes = [self._upload(o, c) for o, c in zip(objects, self.centres, strict=True)]
            self._buffers = [self._context.texture((largest_px, largest_px), 4, dtype="f4") for _ in range(2)]
            depth = self._context.depth_renderbuffer((largest_px, largest_px))
            self._first = self._context.framebuffer(self._buffers, depth)
            self._second = self._context.framebuffer([self._context.texture((largest_px, largest_px), 4, dtype="f2")])
            self._screen = self._context.vertex_array(self._light, [])
            self._light["normal_depth"].value, self._light["place_id"].value = 0, 1

    def __enter__(self) -> SynthRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the OpenGL context."""
        self._context.release()

    @property
    def device(self) -> str:
        """What really draws, as the driver names itself."""
        return str(self._context.info["GL_RENDERER"])

    def render(
        self, camera: CameraModel, placed: Sequence[Placed], lighting: Lighting
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The objects, what is nearer hiding what is farther.

        Args:
            camera: a pinhole of at most the largest size.
            placed: at most OBJECTS of them.

        Returns:
            (h, w, 3) float32 linear light, 1 is white; (h, w) uint8, 1 + the object's place in `placed`, 0 for nothing.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError("a renderer works only in the thread that made it; make one in each thread")
        if len(placed) > OBJECTS:
            raise ValueError(f"{len(placed)} objects in one picture, {OBJECTS} are the most")
        with self._context:
            self._draw(camera, placed)
            self._set_objects(placed)
            self._set_light(camera, lighting)
            self._second.use()
            self._second.viewport = (0, 0, camera.width, camera.height)
            self._buffers[0].use(0)
            self._buffers[1].use(1)
            self._screen.render(vertices=3)
            raw = self._second.read((0, 0, camera.width, camera.height), 4, dtype="f2")
        picture = np.frombuffer(raw, np.float16).reshape(camera.height, camera.width, 4)
        return picture[..., :3].astype(np.float32), picture[..., 3].astype(np.uint8)

    def _draw(self, camera: CameraModel, placed: Sequence[Placed]) -> None:
        self._first.use()
        self._first.viewport = (0, 0, camera.width, camera.height)
        self._first.clear(0.0, 0.0, 0.0, 0.0, viewport=self._first.viewport)
        self._context.enable_only(self._context.DEPTH_TEST)
        depths = [(p.T_camera_object[2, 3], p.size * self.radii[p.mesh]) for p in placed] or [(1.0, 0.5)]
        near = max(min(z - r for z, r in depths) * 0.99, 1e-3)
        far = max(max(z + r for z, r in depths) * 1.01, 2 * near)
        self._geometry["projection"].write(_projection(camera, near, far).T.astype("f4").tobytes())
        for number, one in enumerate(placed):
            scaled = one.T_camera_object.copy()
            scaled[:3, :3] *= one.size
            self._geometry["T_camera_object"].write(scaled.T.astype("f4").tobytes())
            self._geometry["per_radius"].value = 1.0 / float(self.radii[one.mesh])
            self._geometry["id"].value = float(number + 1)
            self._meshes[one.mesh].render()
        self._context.disable(self._context.DEPTH_TEST)

    def _set_objects(self, placed: Sequence[Placed]) -> None:
        looks = [one.appearance for one in placed]
        self._write("colour", [a.colour for a in looks], 3)
        self._write("surface", [(a.model, a.specular, a.shininess, a.roughness) for a in looks], 4)
        self._write("pattern", [(a.texture, *a.grain, a.contrast) for a in looks], 4)
        self._write("index", [(a.n, a.k) for a in looks], 2)
        self._write("turn", [a.turn.T.ravel() for a in looks], 9)

    def _write(self, name: str, values: Sequence[Any], width: int) -> None:
        filled = np.zeros((OBJECTS, width), np.float32)
        if values:
            filled[: len(values)] = values
        self._light[name].write(filled.tobytes())

    def _set_light(self, camera: CameraModel, lighting: Lighting) -> None:
        k = camera.matrix
        self._light["rays"].value = (1 / k[0, 0], 1 / k[1, 1], k[0, 2], k[1, 2])
        for name, values in (
            ("light_direction", lighting.directions),
            ("light_colour", lighting.colours),
            ("lobe_direction", lighting.lobes),
            ("lobe_colour", lighting.lobe_colours),
            ("lobe_sharpness", lighting.sharpness),
            ("ambient", lighting.ambient),
            ("tilt", lighting.tilt),
        ):
            self._light[name].write(values.astype("f4").tobytes())

    def _upload(self, component: Component, centre: NDArray[np.float64]) -> Any:
        mesh = welded(simplified(component))
        data = np.concatenate([mesh.triangles - centre, corner_normals(mesh)], axis=2).astype("f4")
        buffer = self._context.buffer(data.tobytes())
        return self._context.vertex_array(self._geometry, [(buffer, "3f 3f", "in_position", "in_normal")])


def simplified(component: Component) -> Component:
    """The mesh with all vertices of a small cell drawn together at their mean.

    Source: J. Rossignac, P. Borrel, "Multi-resolution 3D approximations for rendering complex scenes" (1993).
    """
    low = component.vertices.min(axis=0)
    cell = float(np.linalg.norm(component.vertices.max(axis=0) - low)) / DETAIL
    keys = np.floor((component.vertices - low) / cell).astype(np.int64) @ np.array([1, 1 << 20, 1 << 40])
    _, own = np.unique(keys, return_inverse=True)
    counts = np.bincount(own)
    vertices = np.column_stack([np.bincount(own, axis) / counts for axis in component.vertices.T])
    faces = own[component.faces]
    flat = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 0] == faces[:, 2])
    mesh = trimesh.Trimesh(vertices, faces[~flat], process=False)
    mesh.update_faces(mesh.unique_faces())
    return Component(component.name, np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))


def _projection(camera: CameraModel, near: float, far: float) -> NDArray[np.float64]:
    """Clip coordinates of the optical frame; a pixel's centre is a whole number here and n + 0.5 in OpenGL."""
    k, w, h = camera.matrix, camera.width, camera.height
    return np.array(
        [
            [2 * k[0, 0] / w, 0, 2 * (k[0, 2] + 0.5) / w - 1, 0],
            [0, 2 * k[1, 1] / h, 2 * (k[1, 2] + 0.5) / h - 1, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )
