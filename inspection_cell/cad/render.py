"""Pictures of an assembly from its CAD: depth, normals, component ids, and a simply shaded view. moderngl on EGL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.component import Component
from inspection_cell.cad.distortion import has_distortion, pinhole_cover
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.cad.shading import GEOMETRY_FRAGMENT, SHADE_FRAGMENT, VERTEX, Material, Shading
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose

NOTHING = -1
OCCLUDER = -2
NEAREST_M = 0.001
NOT_MOVED: Mapping[str, Pose] = MappingProxyType({})


class RenderError(RuntimeError):
    """The machine cannot render, or the renderer was used from another thread; the text says the cure."""


@dataclass(frozen=True)
class Buffers:
    """What a camera would see of the geometry.

    Attributes:
        depth: (h, w) float32, metres along the optical axis; 0 where nothing is.
        normals: (h, w, 3) float32, unit, in the camera frame, towards the camera; 0 where nothing is.
        ids: (h, w) int32, index of the component; -1 where nothing is, -2 where an occluder is (or -2, -3, ... where
            they were to be told apart).
    """

    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    ids: NDArray[np.int32]


class GeometryRenderer:
    """Draws one assembly. It belongs to the thread that made it; close it, or use it as a context manager."""

    def __init__(self, assembly: Assembly) -> None:
        """Raises RenderError where there is no OpenGL 3.3 over EGL."""
        self.assembly = assembly
        self._thread = threading.get_ident()
        self._context = open_context()
        self._closed = False
        self._targets: dict[str, Any] = {}
        with self._context:
            self._geometry = self._context.program(vertex_shader=VERTEX, fragment_shader=GEOMETRY_FRAGMENT)
            self._shade = self._context.program(vertex_shader=VERTEX, fragment_shader=SHADE_FRAGMENT)
            self._meshes = [self._upload(component) for component in assembly.components]

    @property
    def device(self) -> str:
        """What really draws, as the driver names itself (a software rasteriser says llvmpipe)."""
        return str(self._context.info["GL_RENDERER"])

    def __enter__(self) -> GeometryRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the OpenGL context; calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._context.release()

    def render(
        self,
        T_camera_part: Pose,
        camera: CameraModel,
        hidden: Collection[str] = (),
        occluders: Sequence[Component] = (),
        moved: Mapping[str, Pose] = NOT_MOVED,
        occluders_apart: bool = False,
    ) -> Buffers:
        """The geometry as `camera` sees it.

        Args:
            hidden: names of components to leave out.
            occluders: other things in the way, in the part frame; their id is -2.
            moved: by component name, a small motion of it in the part frame: p becomes T p.
            occluders_apart: give the occluders the ids -2, -3, ... in their order.

        Raises:
            RenderError: called from another thread than the renderer's.
        """
        ideal, places = _pinhole(camera)
        box, shape = (0, 0, ideal.width, ideal.height), (ideal.height, ideal.width)

        def set_id(program: Any, _: Component, index: int) -> None:
            one = index if index >= 0 or occluders_apart else OCCLUDER
            program["id"].value = float(one - NOTHING)  # the cleared framebuffer holds 0, which then means nothing

        with self._current():
            target = self._begin("geometry", ideal, ((4, "f4"), (1, "f4")))
            self._draw(self._geometry, T_camera_part, ideal, hidden, occluders, moved, set_id)
            surface: NDArray[np.float32] = np.frombuffer(
                target.read(box, 4, attachment=0, dtype="f4"), np.float32
            ).reshape(*shape, 4)
            ids: NDArray[np.float32] = np.frombuffer(target.read(box, 1, attachment=1, dtype="f4"), np.float32).reshape(
                shape
            )
        if places is not None:
            surface = _remapped(surface, places, cv2.INTER_NEAREST)
            ids = _remapped(ids, places, cv2.INTER_NEAREST)
        return Buffers(np.ascontiguousarray(surface[..., 3]), surface[..., :3], ids.astype(np.int32) + NOTHING)

    def shade(
        self,
        T_camera_part: Pose,
        camera: CameraModel,
        shading: Shading,
        hidden: Collection[str] = (),
        occluders: Sequence[Component] = (),
        moved: Mapping[str, Pose] = NOT_MOVED,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A grey picture without shadows, noise or background.

        Returns:
            (h, w) float32 brightness, 1 is white and highlights go beyond; (h, w) bool, where anything is.
        """
        ideal, places = _pinhole(camera)

        def set_material(program: Any, component: Component, _: int) -> None:
            _set_material(program, shading.materials.get(component.name, shading.material))

        with self._current():
            target = self._begin("shade", ideal, ((2, "f4"),))
            _set_light(self._shade, shading)
            self._draw(self._shade, T_camera_part, ideal, hidden, occluders, moved, set_material)
            raw = target.read((0, 0, ideal.width, ideal.height), 2, dtype="f4")
        picture: NDArray[np.float32] = np.frombuffer(raw, np.float32).reshape(ideal.height, ideal.width, 2)
        if places is not None:
            picture = _remapped(picture, places, cv2.INTER_LINEAR)
        return np.ascontiguousarray(picture[..., 0]), picture[..., 1] > 0.5

    def _current(self) -> AbstractContextManager[object]:
        """Makes the OpenGL context this thread's current one for a while: there may be other renderers beside this."""
        if self._closed:
            raise RenderError("the renderer is closed; make a new one")
        if threading.get_ident() != self._thread:
            raise RenderError("a renderer works only in the thread that made it; make one in each thread")
        scope: AbstractContextManager[object] = self._context
        return scope

    def _begin(self, name: str, camera: CameraModel, attachments: tuple[tuple[int, str], ...]) -> Any:
        """A cleared framebuffer of at least the camera's size, current, with the viewport set."""
        target = self._targets.get(name)
        if target is None or target.width < camera.width or target.height < camera.height:
            size = (
                max(camera.width, target.width if target else 0),
                max(camera.height, target.height if target else 0),
            )
            if target is not None:
                for attachment in (*target.color_attachments, target.depth_attachment, target):
                    attachment.release()
            colours = [self._context.renderbuffer(size, channels, dtype=dtype) for channels, dtype in attachments]
            target = self._context.framebuffer(colours, self._context.depth_renderbuffer(size))
            self._targets[name] = target
        target.use()
        target.viewport = (0, 0, camera.width, camera.height)
        target.clear(0.0, 0.0, 0.0, 0.0, viewport=target.viewport)
        self._context.enable_only(moderngl.DEPTH_TEST)
        return target

    def _draw(
        self,
        program: Any,
        T_camera_part: Pose,
        camera: CameraModel,
        hidden: Collection[str],
        occluders: Sequence[Component],
        moved: Mapping[str, Pose],
        configure: Callable[[Any, Component, int], None],
    ) -> None:
        extra = [self._upload(occluder) for occluder in occluders]
        try:
            program["projection"].write(self._projection(T_camera_part, camera, occluders).T.astype("f4").tobytes())
            for index, (component, mesh) in enumerate(zip(self.assembly.components, self._meshes, strict=True)):
                if component.name not in hidden:
                    motion = moved.get(component.name)
                    _set_pose(program, T_camera_part if motion is None else T_camera_part @ motion)
                    configure(program, component, index)
                    mesh.draw(program)
            _set_pose(program, T_camera_part)
            for place, (component, mesh) in enumerate(zip(occluders, extra, strict=True)):
                configure(program, component, OCCLUDER - place)
                mesh.draw(program)
        finally:
            for mesh in extra:
                mesh.release()

    def _projection(
        self, T_camera_part: Pose, camera: CameraModel, occluders: Sequence[Component]
    ) -> NDArray[np.float64]:
        """Clip coordinates of the optical frame; row 0 of the image is row 0 of the framebuffer.

        A pixel's centre is a whole number in the camera model and n + 0.5 in OpenGL.
        """
        corners = [
            self.assembly.bounds,
            *(np.stack([o.vertices.min(axis=0), o.vertices.max(axis=0)]) for o in occluders),
        ]
        boxes = np.concatenate([np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3) for box in corners])
        depths = boxes @ T_camera_part[2, :3] + T_camera_part[2, 3]
        far = max(float(depths.max()) * 1.01, 2 * NEAREST_M)
        near = min(max(float(depths.min()) * 0.99, NEAREST_M), far / 2)
        k, w, h = camera.matrix, camera.width, camera.height
        return np.array(
            [
                [2 * k[0, 0] / w, 2 * k[0, 1] / w, 2 * (k[0, 2] + 0.5) / w - 1, 0],
                [0, 2 * k[1, 1] / h, 2 * (k[1, 2] + 0.5) / h - 1, 0],
                [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, 1, 0],
            ]
        )

    def _upload(self, component: Component) -> _Mesh:
        mesh = welded(component)
        data = np.concatenate([mesh.triangles, corner_normals(mesh)], axis=2).astype("f4")
        return _Mesh(self._context, data)


class _Mesh:
    """One component on the graphics device, drawable by either program."""

    def __init__(self, context: Any, data: NDArray[np.float32]) -> None:
        self._context = context
        self._buffer = context.buffer(data.tobytes()) if len(data) else None
        self._arrays: dict[int, Any] = {}

    def draw(self, program: Any) -> None:
        if self._buffer is None:
            return
        array = self._arrays.get(program.glo)
        if array is None:
            array = self._context.vertex_array(program, [(self._buffer, "3f 3f", "in_position", "in_normal")])
            self._arrays[program.glo] = array
        array.render()

    def release(self) -> None:
        for array in self._arrays.values():
            array.release()
        if self._buffer is not None:
            self._buffer.release()


def _set_pose(program: Any, T_camera_component: Pose) -> None:
    program["T_camera_part"].write(T_camera_component.T.astype("f4").tobytes())


def _set_light(program: Any, shading: Shading) -> None:
    positions, intensities = shading.light_arrays()
    program["light_position"].write(positions.tobytes())
    program["light_intensity"].write(intensities.tobytes())
    program["ambient"].value = shading.ambient
    program["sky"].value = shading.sky


def _set_material(program: Any, material: Material) -> None:
    program["albedo"].value = material.albedo
    program["specular"].value = material.specular
    program["shininess"].value = material.shininess
    program["mirror"].value = material.mirror
    program["texture_amplitude"].value = material.texture
    program["texture_per_m"].value = material.texture_per_m


def open_context() -> Any:
    """An OpenGL context without a display.

    Raises:
        RenderError: there is no OpenGL 3.3 over EGL.
    """
    try:
        # A variable, because the package declares these arguments with another type than it takes.
        libraries: Any = {"backend": "egl", "libegl": "libEGL.so.1", "libgl": "libGL.so.1"}
        return moderngl.create_context(standalone=True, require=330, **libraries)
    except Exception as error:
        cure = "install libegl1, libgl1 and libgl1-mesa-dri, or the graphics card's driver"
        raise RenderError(f"no OpenGL 3.3 over EGL ({error}); {cure}") from error


def _pinhole(camera: CameraModel) -> tuple[CameraModel, NDArray[np.float32] | None]:
    """The camera to render with, and where each pixel of the real one looks in its picture; None if it is the same."""
    if not has_distortion(camera):
        return camera, None
    key = (camera.width, camera.height, camera.matrix.tobytes(), camera.distortion.tobytes())
    return _cover(key)


def _remapped(values: NDArray[np.float32], places: NDArray[np.float32], how: int) -> NDArray[np.float32]:
    return np.asarray(cv2.remap(values, places[..., 0], places[..., 1], how), np.float32)


@lru_cache(maxsize=8)
def _cover(key: tuple[int, int, bytes, bytes]) -> tuple[CameraModel, NDArray[np.float32]]:
    width, height, matrix, distortion = key
    return pinhole_cover(CameraModel(width, height, np.frombuffer(matrix).reshape(3, 3), np.frombuffer(distortion)))
