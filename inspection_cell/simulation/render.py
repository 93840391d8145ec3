"""Draws meshes with moderngl on EGL: the light that reaches each pixel of a pinhole camera, before the sensor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose
from inspection_cell.simulation import shaders, textures
from inspection_cell.simulation.demo_part import Material

log = logging.getLogger(__name__)

NEAR_M, FAR_M = 0.05, 2.0
MAX_MARKS = 64
SUPERSAMPLING, SUPERSAMPLED_PIXELS = 1.5, 6_000_000
BACKGROUND = 0.018
STRAY = 0.0015
"""Light of the room that reaches the part with all lights off, as a fraction of the full ring."""
OCCLUSION_REACH_M = (0.0012, 0.0035)


@dataclass(frozen=True)
class Lighting:
    """Levels 0 to 1 of the ring around the lens and of the diffuse dome; the ring's level holds at distance_m."""

    ring: float
    dome: float
    distance_m: float


@dataclass(frozen=True)
class Item:
    """One mesh to draw.

    Attributes:
        key: of a mesh that was uploaded.
        tint, gloss, bump: factors of the material's albedo, specular reflectance and texture slope.
        texture_offset: (2,) metres.
        marks: (n, 8) float32 capsules, as `defects.marks` makes them.
    """

    key: str
    T_camera_model: Pose
    material: Material
    tint: float = 1.0
    gloss: float = 1.0
    bump: float = 1.0
    texture_offset: tuple[float, float] = (0.0, 0.0)
    print_offset: tuple[float, float] = (0.0, 0.0)
    print_ink: float = 1.0
    marks: NDArray[np.float32] | None = None


class Renderer:
    """An OpenGL context with its programs, meshes and framebuffers. Belongs to the thread that made it."""

    def __init__(self) -> None:
        self._gl = _context()
        log.info("renderer: %s", self.name)
        self._depth = self._gl.program(vertex_shader=shaders.VERTEX, fragment_shader=shaders.DEPTH_FRAGMENT)
        self._shade: dict[str, moderngl.Program] = {
            define: self._gl.program(vertex_shader=shaders.VERTEX, fragment_shader=_with(define))
            for define in ("", "PRINTED", "MARKED")
        }
        self._grain = self._texture(textures.grain(), mipmaps=True)
        self._print = self._texture(textures.label_print(), mipmaps=False)
        self._meshes: dict[str, tuple[moderngl.Buffer, moderngl.Buffer, dict[int, moderngl.VertexArray]]] = {}
        self._targets: dict[tuple[int, int, int], moderngl.Framebuffer] = {}

    @property
    def name(self) -> str:
        """GL_RENDERER; 'llvmpipe' where the processor draws."""
        return str(self._gl.info["GL_RENDERER"])

    def upload(self, key: str, corners: NDArray[np.float64]) -> None:
        """Keeps a mesh, (m, 3, 6) position and normal of each triangle's corners, under a key."""
        flat = corners.reshape(-1, 6).astype(np.float32)
        vertices, index = _deduplicate(flat)
        self._meshes[key] = (self._gl.buffer(vertices.tobytes()), self._gl.buffer(index.tobytes()), {})

    def has(self, key: str) -> bool:
        """Whether a mesh is kept under this key."""
        return key in self._meshes

    def forget(self, key: str) -> None:
        """Frees a mesh."""
        vertices, index, arrays = self._meshes.pop(key)
        for array in arrays.values():
            array.release()
        vertices.release()
        index.release()

    def draw(self, items: Sequence[Item], camera: CameraModel, light: Lighting, colour: bool) -> NDArray[np.float32]:
        """The light at each pixel; small images are drawn finer and averaged, so that edges are smooth.

        Returns:
            (h, w) or, with colour, (h, w, 3) float32; 1 is white under the full ring.
        """
        size = (camera.width, camera.height)
        if camera.width * camera.height <= SUPERSAMPLED_PIXELS:
            camera = camera.resized(round(SUPERSAMPLING * camera.width), round(SUPERSAMPLING * camera.height))
        target = self._target(camera.width, camera.height, 4 if colour else 1)
        target.use()
        self._gl.enable(moderngl.DEPTH_TEST)
        target.clear(-1.0, -1.0, -1.0, 1.0)
        target.color_mask = (False, False, False, False)
        self._gl.depth_func = "<"
        for item in items:
            self._draw(item, self._depth, camera, {})
        target.color_mask = (True, True, True, True)
        # Every fragment that is not the visible one now fails before it is shaded.
        self._gl.depth_func = "=="
        for item in items:
            self._draw(item, self._shade[_variant(item)], camera, _material_uniforms(item, camera, light, colour))
        pixels = np.frombuffer(target.read(components=4 if colour else 1, dtype="f4"), np.float32)
        drawn = pixels.reshape(camera.height, camera.width, -1)
        image: NDArray[np.float32] = drawn[:, :, :3] if colour else drawn[:, :, 0]
        depth = np.frombuffer(target.read(components=1, attachment=-1, dtype="f4"), np.float32).reshape(
            camera.height, camera.width
        )
        level = np.float32(BACKGROUND * (light.ring + 0.6 * light.dome) + STRAY / 3)
        behind = textures.background(camera.width, camera.height) * level
        image = np.where(image < 0, behind[:, :, None] if colour else behind, image)
        shade = _occlusion(depth, camera)
        image *= shade[:, :, None] if colour else shade
        if size != (camera.width, camera.height):
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
        return image

    def _draw(self, item: Item, program: moderngl.Program, camera: CameraModel, uniforms: Mapping[str, object]) -> None:
        k = camera.matrix
        common: dict[str, object] = {
            "T_camera_model": tuple(item.T_camera_model.T.ravel()),
            "intrinsics": (k[0, 0], k[1, 1], k[0, 2], k[1, 2]),
            "image_size": (camera.width, camera.height),
            "depth_range": (NEAR_M, FAR_M),
            "distortion": [float(c) for c in camera.distortion],
        }
        for name, value in {**common, **uniforms}.items():
            if name in program:
                program[name] = value
        if "grain" in program:
            self._grain.use(0)
            program["grain"] = 0
        if "print_image" in program:
            self._print.use(1)
            program["print_image"] = 1
        vertices, index, arrays = self._meshes[item.key]
        if program.glo not in arrays:
            names = [n for n in ("in_position", "in_normal") if n in program]
            layout = "3f 3f" if len(names) == 2 else "3f 12x"
            arrays[program.glo] = self._gl.vertex_array(program, [(vertices, layout, *names)], index)
        arrays[program.glo].render()

    def _texture(self, image: NDArray[np.uint8], mipmaps: bool) -> moderngl.Texture:
        height, width = image.shape[:2]
        texture = self._gl.texture((width, height), image.shape[2], np.ascontiguousarray(image).tobytes(), alignment=1)
        texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        if mipmaps:
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture

    def _target(self, width: int, height: int, components: int) -> moderngl.Framebuffer:
        key = (width, height, components)
        if key not in self._targets:
            colour = self._gl.texture((width, height), components, dtype="f4")
            self._targets[key] = self._gl.framebuffer([colour], self._gl.depth_texture((width, height)))
        return self._targets[key]


def _context() -> moderngl.Context:
    """A context without a display.

    Raises:
        RuntimeError: there is no EGL or no driver.
    """
    try:
        return moderngl.create_context(
            standalone=True,
            backend="egl",  # type: ignore[arg-type]
            libegl="libEGL.so.1",  # type: ignore[arg-type]
            libgl="libGL.so.1",  # type: ignore[arg-type]
        )
    except Exception as error:
        raise RuntimeError(
            f"the simulation cannot draw ({error}); install libegl1, libgl1 and libgl1-mesa-dri, or a graphics driver"
        ) from error


def _with(define: str) -> str:
    """The shading program's source with a switch set."""
    head, _, body = shaders.SHADE_FRAGMENT.lstrip().partition("\n")
    return f"{head}\n#define {define}\n{body}" if define else f"{head}\n{body}"


def _variant(item: Item) -> str:
    """Which switch an item's shading needs; printed things carry no marks."""
    if item.material.printed:
        return "PRINTED"
    return "MARKED" if item.marks is not None and len(item.marks) else ""


def _material_uniforms(item: Item, camera: CameraModel, light: Lighting, colour: bool) -> dict[str, object]:
    albedo = np.asarray(item.material.albedo) * item.tint
    if not colour:
        albedo = np.full(3, albedo @ (0.30, 0.45, 0.25))
    distance = max(float(item.T_camera_model[2, 3]), NEAR_M)
    texel_px = textures.GRAIN_TEXEL_M * camera.matrix[0, 0] / distance
    uniforms: dict[str, object] = {
        "albedo": tuple(albedo),
        "f0": item.material.f0 * item.gloss,
        "lobe": item.material.lobe_rad,
        "bump": item.material.bump * item.bump,
        "tone": item.material.tone,
        "texture_offset": item.texture_offset,
        "texture_lod": max(0.0, float(-np.log2(texel_px))),
        "ring": light.ring,
        "dome": 0.5 * light.dome,
        "stray": STRAY,
        "distance_ref": light.distance_m,
        "print_frame": (
            textures.PRINT_FRAME_M[0] + item.print_offset[0],
            textures.PRINT_FRAME_M[1] + item.print_offset[1],
            *textures.PRINT_FRAME_M[2:],
        ),
        "print_ink": item.print_ink,
    }
    if item.marks is not None and len(item.marks):
        if len(item.marks) > MAX_MARKS:
            raise ValueError(
                f"{item.key}: {len(item.marks)} strokes of surface defects; at most {MAX_MARKS} can be drawn"
            )
        padded = np.zeros((MAX_MARKS, 8), np.float32)
        padded[: len(item.marks)] = item.marks
        uniforms["mark_count"] = len(item.marks)
        ends = np.vstack([item.marks[:, :3], item.marks[:, 4:7]])
        middle = (ends.min(axis=0) + ends.max(axis=0)) / 2
        reach = np.linalg.norm(ends - middle, axis=1).max() + 2 * item.marks[:, 3].max()
        uniforms["mark_ball"] = (*middle.tolist(), float(reach))
        uniforms["mark_start"] = [tuple(row) for row in padded[:, :4].tolist()]
        uniforms["mark_end"] = [tuple(row) for row in padded[:, 4:].tolist()]
    return uniforms


def _deduplicate(corners: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Equal corners made one: (n, 6) vertices and the index of each corner."""
    rows = np.ascontiguousarray(corners).view(np.dtype((np.void, corners.dtype.itemsize * 6))).reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return corners[first], inverse.reshape(-1).astype(np.uint32)


def _occlusion(depth: NDArray[np.float32], camera: CameraModel) -> NDArray[np.float32]:
    """(h, w) factor by which hollows are darker than free surfaces.

    At a quarter of the resolution: a point is in a hollow as far as it lies behind the mean of two opposite
    neighbours, which a plane never does, however tilted.
    """
    step = 4
    z = 2 * FAR_M * NEAR_M / (FAR_M + NEAR_M - (2 * depth[::step, ::step] - 1) * (FAR_M - NEAR_M))
    drawn = z < 0.99 * FAR_M
    if not drawn.any():
        return np.ones((camera.height, camera.width), np.float32)
    shade = np.zeros_like(z)
    px_per_m = camera.matrix[0, 0] / float(np.median(z[drawn])) / step
    for reach in OCCLUSION_REACH_M:
        radius = max(1, round(reach * px_per_m))
        padded = cv2.copyMakeBorder(z, radius, radius, radius, radius, cv2.BORDER_REPLICATE)
        h, w = z.shape
        diagonal = round(0.7 * radius)
        for dx, dy in ((radius, 0), (0, radius), (diagonal, diagonal), (diagonal, -diagonal)):
            behind = -2 * reach * np.ones_like(z)
            for sign in (-1, 1):
                y, x = radius + sign * dy, radius + sign * dx
                behind += np.clip(z - padded[y : y + h, x : x + w], -2 * reach, 4 * reach)
            behind += 2 * reach
            shade += np.clip(behind / (2 * reach), 0, 1)
    shade /= 4 * len(OCCLUSION_REACH_M)
    shade = cv2.GaussianBlur(shade, (5, 5), 1.0)
    factor = np.where(drawn, 1 - 0.75 * np.minimum(1, shade), 1).astype(np.float32)
    return np.asarray(cv2.resize(factor, (camera.width, camera.height)), np.float32)
