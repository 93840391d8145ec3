"""From a stage of bodies, lamps and a lens to a photograph: Mitsuba 3 traces the light, numpy is the sensor."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from path_traced_looks import PALETTE, Look, Texture

from inspection_cell.cad.assembly import Component
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, transform

try:
    import drjit
    import mitsuba as renderer
except ImportError as error:
    raise SystemExit(f"the path tracer is missing ({error}): pip install mitsuba") from error

# Mitsuba's ray offsets suit scenes of about this scale better than metres.
MM = 1000.0
DEPTH = 6
BRIGHTEST = 12.0
# Compiled code is three times faster, but LLVM 15 aborts on Mitsuba 3.9: only with a library that somebody named.
VARIANT = "llvm_ad_rgb" if os.environ.get("DRJIT_LIBLLVM_PATH") else "scalar_rgb"


@dataclass(frozen=True)
class Shape:
    """Triangles (n, 3, 3) with normals (n, 3, 3) at their corners, metres, in the shape's frame."""

    name: str
    corners: NDArray[np.float64]
    normals: NDArray[np.float64]

    @staticmethod
    def of(component: Component) -> Shape:
        """A component's shape, with normals that are smooth up to sharp edges."""
        mesh = welded(component)
        return Shape(component.name, np.asarray(mesh.triangles), np.asarray(corner_normals(mesh)))


@dataclass(frozen=True)
class Body:
    """A shape at its place. `texture_m` is the width of its texture; `turned` lets it run around the shape's z axis."""

    shape: Shape
    T_world_shape: Pose
    look: Look
    texture_m: float = 0.03
    turned: bool = False

    def component(self) -> Component:
        """The same as a component in the world frame."""
        points = transform(self.T_world_shape, self.shape.corners.reshape(-1, 3))
        return Component(self.shape.name, points, np.arange(len(points), dtype=np.int32).reshape(-1, 3))


@dataclass(frozen=True)
class Lamp:
    """A round lamp at `T_world_lamp`, which shines along its z axis; a ring where `hollow` of its radius is dark."""

    T_world_lamp: Pose
    radius: float
    radiance: tuple[float, float, float]
    hollow: float = 0.0


@dataclass(frozen=True)
class Stage:
    """What is traced.

    Attributes:
        camera: its principal point lies on half pixels, see `on_half_pixels`.
        aperture, focus: radius of the lens, and distance of the sharp plane, metres.
        room, T_world_room: radiance all around (h, w, 3) and how it is turned; its y axis is overhead.
    """

    bodies: list[Body]
    camera: CameraModel
    T_world_camera: Pose
    aperture: float
    focus: float
    room: Texture
    T_world_room: Pose
    lamps: list[Lamp] = field(default_factory=list)


def on_half_pixels(camera: CameraModel) -> CameraModel:
    """The camera shifted by at most half a pixel: Mitsuba's thin lens crops a centred film at whole pixels."""
    matrix = camera.matrix.copy()
    matrix[:2, 2] = np.floor(matrix[:2, 2]) + 0.5
    return CameraModel(camera.width, camera.height, matrix)


@cache
def mitsuba() -> Any:
    """The renderer's module, with one thread for each process."""
    renderer.set_variant(VARIANT)
    drjit.set_thread_count(1)
    renderer.set_log_level(renderer.LogLevel.Error)
    return renderer


def trace(stage: Stage, samples: int, seed: int) -> NDArray[np.float32]:
    """(h, w, 3) linear radiance."""
    mi = mitsuba()
    to_world = mi.ScalarTransform4f(stage.T_world_room)
    scene = _bodies(stage) | {"room": {"type": "envmap", "bitmap": mi.Bitmap(stage.room), "to_world": to_world}}
    scene |= {f"lamp_{k}": _lamp(lamp) for k, lamp in enumerate(stage.lamps)}
    return _without_sparks(np.nan_to_num(_pixels(scene, stage, samples, seed)[..., :3]))


def coverage(stage: Stage, samples: int = 64) -> NDArray[np.float32]:
    """(h, w) share of each pixel that the bodies cover."""
    return _pixels(_bodies(stage), stage, samples, 0)[..., 3]


def _bodies(stage: Stage) -> dict[str, Any]:
    return {"type": "scene"} | {f"body_{k}": _mesh(body) for k, body in enumerate(stage.bodies)}


def _pixels(scene: dict[str, Any], stage: Stage, samples: int, seed: int) -> NDArray[np.float32]:
    """(h, w, 4) radiance and coverage."""
    mi = mitsuba()
    integrator = mi.load_dict({"type": "path", "max_depth": DEPTH})
    if VARIANT == "scalar_rgb":
        scene["sensor"] = _sensor(stage, samples)
        return np.asarray(mi.render(mi.load_dict(scene), integrator=integrator, seed=seed), np.float32)
    # The rays are made here, of numbers that the compiled code does not contain: Mitsuba's own sensors would have it
    # compiled anew for every picture. A scene with some of every look makes the same code, too.
    behind = stage.T_world_camera @ make_pose(None, (0, 0, -1.0))
    speck = Shape("speck", 1e-6 * np.eye(3)[None], np.full((1, 3, 3), 3**-0.5))
    scene |= {f"speck_{k}": _mesh(Body(speck, behind, look)) for k, look in enumerate(PALETTE)}
    sampler = mi.load_dict({"type": "independent"})
    sampler.seed(seed, stage.camera.width * stage.camera.height * samples)
    # The scene has a name because it must live until all is evaluated.
    loaded = mi.load_dict(scene)
    light, covered, _ = integrator.sample(loaded, sampler, _rays(stage, samples, sampler))
    drjit.eval(light, covered)
    # A few paths that found a lamp by chance would be sparks.
    light = drjit.minimum(light, BRIGHTEST * drjit.mean(drjit.mean(light)))
    sums = [drjit.block_sum(channel, samples) for channel in (*light, drjit.select(covered, mi.Float(1), 0))]
    picture = np.stack([np.asarray(channel, np.float32) for channel in sums], axis=-1) / samples
    return picture.reshape(stage.camera.height, stage.camera.width, 4)


def _rays(stage: Stage, samples: int, sampler: Any) -> Any:
    """So many rays of each pixel in turn, from all over the lens."""
    mi, matrix = mitsuba(), stage.camera.matrix
    pixel = drjit.arange(mi.UInt32, stage.camera.width * stage.camera.height * samples) // samples
    place = mi.Point2f(pixel % stage.camera.width, pixel // stage.camera.width) + sampler.next_2d() - 0.5
    lengths = (float(matrix[0, 0]), stage.focus * MM, stage.aperture * MM)
    focal, focus, aperture = (drjit.opaque(mi.Float, v) for v in lengths)
    centre = mi.Point2f(matrix[:2, 2].tolist())
    turn, eye = (
        mi.Matrix3f(stage.T_world_camera[:3, :3].tolist()),
        mi.Point3f((stage.T_world_camera[:3, 3] * MM).tolist()),
    )
    drjit.make_opaque(centre, turn, eye)
    lens = aperture * mi.warp.square_to_uniform_disk_concentric(sampler.next_2d())
    sharp = (place - centre) / focal * focus
    start, end = mi.Vector3f(lens.x, lens.y, 0), mi.Vector3f(sharp.x, sharp.y, focus)
    return mi.RayDifferential3f(eye + turn @ start, turn @ drjit.normalize(end - start))


def _sensor(stage: Stage, samples: int) -> dict[str, Any]:
    """The thin lens behind a film so large that the principal point is its middle."""
    camera, mi = stage.camera, mitsuba()
    focal = float(camera.matrix[0, 0])
    size = np.array((camera.width, camera.height))
    edge = camera.matrix[:2, 2] + 0.5
    half = np.rint(np.maximum(edge, size - edge)).astype(int)
    offset = np.rint(half - edge).astype(int)
    # Mitsuba's camera has x to the left and y up.
    T = stage.T_world_camera @ np.diag((-1.0, -1.0, 1.0, 1.0))
    T[:3, 3] *= MM
    film = {
        "type": "hdrfilm",
        "width": int(2 * half[0]),
        "height": int(2 * half[1]),
        "crop_width": camera.width,
        "crop_height": camera.height,
        "crop_offset_x": int(offset[0]),
        "crop_offset_y": int(offset[1]),
        "pixel_format": "rgba",
        "component_format": "float32",
        "rfilter": {"type": "box"},
    }
    return {
        "type": "thinlens",
        "to_world": mi.ScalarTransform4f(T),
        "fov_axis": "x",
        "fov": math.degrees(2 * math.atan(half[0] / focal)),
        "aperture_radius": stage.aperture * MM,
        "focus_distance": stage.focus * MM,
        "near_clip": 5.0,
        "far_clip": 1e5,
        "film": film,
        "sampler": {"type": "independent", "sample_count": samples},
    }


def _mesh(body: Body) -> Any:
    mi = mitsuba()
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict({"type": "twosided", "bsdf": _plugin(body.look)})
    count = len(body.shape.corners)
    mesh = mi.Mesh(body.shape.name, 3 * count, count, properties, True, True)
    to_mm = make_pose(np.eye(3) * MM) @ body.T_world_shape
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = np.ravel(transform(to_mm, body.shape.corners.reshape(-1, 3))).astype(np.float32)
    normals = body.shape.normals.reshape(-1, 3) @ body.T_world_shape[:3, :3].T
    parameters["vertex_normals"] = np.ravel(normals).astype(np.float32)
    parameters["vertex_texcoords"] = np.ravel(_texture_places(body)).astype(np.float32)
    parameters["faces"] = np.arange(3 * count, dtype=np.uint32)
    parameters.update()
    return mesh


def _texture_places(body: Body) -> NDArray[np.float64]:
    """(3 n, 2) texture coordinates: each triangle flat along the axis it faces most, or around the z axis."""
    corners = body.shape.corners - (0.0 if body.turned else body.shape.corners.min(axis=(0, 1)))
    if body.turned:
        around = np.arctan2(corners[..., 1], corners[..., 0])
        # All corners of a triangle on the same turn.
        around -= 2 * math.pi * np.rint((around - around[:, :1]) / (2 * math.pi))
        along = np.hypot(corners[..., 0], corners[..., 1]) + corners[..., 2]
        radius = float(np.abs(corners[..., :2]).max())
        return np.stack([around * radius, along], axis=-1).reshape(-1, 2) / body.texture_m
    facing = np.abs(body.shape.normals.mean(axis=1)).argmax(axis=1)
    axes = np.array([[1, 2], [0, 2], [1, 0]])[facing]
    return np.take_along_axis(corners, np.repeat(axes[:, None], 3, axis=1), axis=2).reshape(-1, 2) / body.texture_m


def _plugin(value: Any) -> Any:
    """A look with its colours and textures as Mitsuba's own."""
    if isinstance(value, dict):
        return {key: _plugin(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return {"type": "rgb", "value": list(value)}
    if isinstance(value, np.ndarray):
        pixels = value if value.ndim == 3 else value[..., None]
        return {"type": "bitmap", "bitmap": mitsuba().Bitmap(pixels), "raw": True, "wrap_mode": "mirror"}
    return value


def _lamp(lamp: Lamp) -> dict[str, Any]:
    mi = mitsuba()
    # A disc's texture runs from its middle to its rim.
    radial = np.zeros((1, 32, 3), np.float32)
    radial[:, int(32 * lamp.hollow) :] = lamp.radiance
    T = lamp.T_world_lamp @ np.diag((lamp.radius, lamp.radius, lamp.radius, 1.0))
    T[:3] *= MM
    radiance = {"type": "bitmap", "bitmap": mi.Bitmap(radial), "raw": True, "wrap_mode": "clamp"}
    return {"type": "disk", "to_world": mi.ScalarTransform4f(T), "emitter": {"type": "area", "radiance": radiance}}


def _without_sparks(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Single pixels far brighter than all around are the tracer's noise."""
    calm = cv2.medianBlur(light, 3)
    spark = light.sum(axis=2) > 4 * calm.sum(axis=2) + 0.1 * light.mean()
    return np.where(spark[..., None], calm, light)


def photographed(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a camera makes of the light: lens, exposure, sensor noise, white balance, tone curve, perhaps JPEG."""
    h, w = light.shape[:2]
    v, u = np.mgrid[:h, :w]
    middle = rng.uniform(0.3, 0.7, 2) * (h, w)
    fall = ((v - middle[0]) ** 2 + (u - middle[1]) ** 2) / (h * w / 2)
    picture = light * (1 - rng.uniform(0, 0.3) * fall[..., None])
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    level = max(float(np.percentile(picture.mean(axis=2), rng.uniform(75, 97))), 1e-6)
    exposed = picture / level * rng.uniform(0.35, 1.1) * (1 + rng.normal(0, 0.04, 3))
    electrons = float(np.exp(rng.uniform(np.log(3000), np.log(40000))))
    noisy = exposed + rng.normal(size=exposed.shape) * np.sqrt(np.maximum(exposed, 0) / electrons)
    noisy += rng.normal(size=exposed.shape) * rng.uniform(0.0002, 0.002)
    tone = np.clip(noisy, 0, 1) ** (1 / rng.uniform(1.5, 2.4))
    if rng.random() < 0.5:
        tone = tone + rng.uniform(0, 0.6) * tone * (1 - tone) * (2 * tone - 1)
    if rng.random() < 0.4:
        tone = tone + rng.uniform(0.2, 0.6) * (tone - cv2.GaussianBlur(tone, (0, 0), 1.0))
    image = np.rint(np.clip(tone, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return image
