"""Pictures of meshes by ray casting (Open3D), shaded in numpy: nothing is shared with the aligner's renderer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose

try:
    import open3d as o3d
except (ImportError, OSError) as error:
    raise SystemExit(
        f"the alignment benchmarks need Open3D ({error}): pip install open3d-cpu==0.20.0; apt install libusb-1.0-0"
    ) from error

Floats = NDArray[np.float32]

CREASE_RAD = np.radians(28.0)
CHUNK = 1 << 15
SUBSAMPLES = 8
LIGHT_RAYS = 3
DOME_RAYS = 2
SKIN_M = 4e-5
BENT_COS = 0.985
DOME_REACH_M = 0.12
SMOOTH_PX = 9
SHINE_LEVELS = (0.03, 0.12, 0.25, 0.5)
BRIGHTEST = 12.0
INVERSION_PX = 1e-5


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    Attributes:
        albedo: (r, g, b), diffuse reflectance; of a metal its reflectance.
        metal: whether it has no diffuse light of its own.
        specular: reflectance at normal incidence where it is no metal.
        roughness: width of the highlight, 0.05 (polished) to 0.8 (matt).
        grain: how far the albedo varies, as a fraction.
        bump: slope of the fine relief, which breaks highlights up.
        texel_m: size of the grain; `stretch` makes it longer one way, as brushing does.
        printed: (h, w, 3) float32 albedo laid over the surface, or None; `printed_m` is the size of its texels.
    """

    albedo: tuple[float, float, float] = (0.5, 0.5, 0.5)
    metal: bool = False
    specular: float = 0.04
    roughness: float = 0.4
    grain: float = 0.1
    bump: float = 0.05
    texel_m: float = 0.0004
    stretch: float = 1.0
    printed: Floats | None = None
    printed_m: float = 0.001


@dataclass(frozen=True)
class Body:
    """A mesh of one material in the stage's frame, metres."""

    name: str
    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    material: Material


@dataclass(frozen=True)
class Light:
    """A ball of light: its place in the stage's frame, its radius (metres), the irradiance it gives at the origin."""

    position: tuple[float, float, float]
    radius: float
    intensity: float


@dataclass(frozen=True)
class Lighting:
    """All the light of a stage.

    Attributes:
        ambient: diffuse light from everywhere.
        surroundings: (h, w) float32, what a mirror sees: rows by the direction's z, 1 to -1, columns by its azimuth.
    """

    lights: tuple[Light, ...]
    ambient: float
    surroundings: Floats


@dataclass(frozen=True)
class Rendering:
    """What a perfect camera receives.

    Attributes:
        light: (h, w, c) float32, linear; c is 1 or 3.
        depth: (h, w) float32, metres along the optical axis, 0 where nothing is.
        body: (h, w) int16, index of the body, -1 where nothing is.
        facing: (h, w) float32, cosine between surface and line of sight.
    """

    light: Floats
    depth: Floats
    body: NDArray[np.int16]
    facing: Floats


@dataclass(frozen=True)
class _Hits:
    """Where rays met surfaces: (n, ...) arrays; `body` is -1 where a ray met none."""

    depth: Floats
    body: NDArray[np.int32]
    at: Floats
    sight: Floats
    flat: Floats
    normal: Floats

    def taken(self, index: NDArray[np.generic]) -> _Hits:
        return _Hits(*(getattr(self, f.name)[index] for f in fields(self)))

    def on_plane(self, eye: Floats, directions: Floats) -> _Hits:
        """Where neighbouring rays meet the planes of the same surfaces."""
        slope = np.minimum(np.einsum("nc,nc->n", self.flat, directions), -1e-3)
        depth = np.einsum("nc,nc->n", self.flat, self.at - eye) / slope
        return replace(self, at=eye + depth[:, None] * directions)


class Stage:
    """Bodies and light, ready to be looked at."""

    def __init__(self, bodies: Sequence[Body], lighting: Lighting) -> None:
        self.bodies, self.lighting = tuple(bodies), lighting
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        normals, self._first = [], [0]
        for body in bodies:
            mesh = trimesh.Trimesh(body.vertices, body.faces, process=False)
            shaded = trimesh.graph.smooth_shade(mesh, angle=CREASE_RAD)
            faces = np.asarray(shaded.faces, np.uint32)
            self._scene.add_triangles(o3d.core.Tensor(np.asarray(shaded.vertices, np.float32)), o3d.core.Tensor(faces))
            normals.append(np.asarray(shaded.vertex_normals, np.float32)[faces])
            self._first.append(self._first[-1] + len(faces))
        self._normals = np.concatenate(normals)
        materials = [body.material for body in bodies]
        self._albedo = np.array([m.albedo for m in materials], np.float32)
        self._metal = np.array([m.metal for m in materials], np.float32)
        self._specular = np.array([m.specular for m in materials], np.float32)
        roughness = np.array([m.roughness for m in materials], np.float32)
        self._shininess = 2.0 / roughness**2
        self._grain = np.array([m.grain for m in materials], np.float32)
        self._bump = np.array([m.bump for m in materials], np.float32)
        self._texels = np.array([1.0 / m.texel_m for m in materials], np.float32)
        self._stretch = np.array([1.0 / m.stretch for m in materials], np.float32)
        self._level = np.abs(np.log(roughness[:, None] / np.array(SHINE_LEVELS))).argmin(axis=1)
        self._surroundings = _blurred(lighting.surroundings)
        self._noise = _noise_tile()

    def render(
        self, camera: CameraModel, T_stage_camera: Pose, rng: np.random.Generator, colour: bool = False
    ) -> Rendering:
        """What a perfect camera sees: one ray a pixel, eight where surfaces, creases or shadows have their borders."""
        height, width = camera.height, camera.width
        eye = np.asarray(T_stage_camera[:3, 3], np.float32)
        sight = sight_lines(camera) @ T_stage_camera[:3, :3].T.astype(np.float32)
        hits = self._cast(eye, sight.reshape(-1, 3))
        seen, shadow = self._light_seen(hits, (height, width), rng)
        kernel = np.ones((3, 3), np.uint8)
        border = cv2.dilate(_borders(hits, (height, width)).astype(np.uint8), kernel).astype(bool)
        shadow = cv2.dilate(shadow.astype(np.uint8), kernel).astype(bool) & ~border
        bands = 3 if colour else 1
        light = np.zeros((height * width, bands), np.float32)
        for index in _pieces(np.flatnonzero(~border & ~shadow), CHUNK):
            row, column = np.divmod(index, width)
            light[index] = self._shade(hits.taken(index), seen[row // 2, column // 2], bands)
        across = np.gradient(sight, axis=1).reshape(-1, 3)
        down = np.gradient(sight, axis=0).reshape(-1, 3)
        # A lattice of rank one: each subsample has its own row and its own column of the pixel.
        steps = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5).astype(np.float32)
        u, v = steps[:, None], steps[(np.arange(SUBSAMPLES) * 3) % SUBSAMPLES, None]
        lights = range(len(self.lighting.lights))
        for index in _pieces(np.flatnonzero(border | shadow), CHUNK // SUBSAMPLES):
            directions = sight.reshape(-1, 3)[index, None] + u * across[index, None] + v * down[index, None]
            new = border.ravel()[index]
            near = self._cast(eye, directions[new].reshape(-1, 3))
            lit = np.stack([self._seen_once(near, k, rng) for k in (*lights, len(lights))], axis=1)
            shaded = self._shade(near, lit, bands).reshape(-1, SUBSAMPLES, bands)
            light[index[new]] = shaded.mean(axis=1)
            # Where only a shadow's border runs the surface is known: its light alone is sampled, over the pixel's area.
            same = index[~new]
            spread = hits.taken(np.repeat(same, SUBSAMPLES)).on_plane(eye, directions[~new].reshape(-1, 3))
            row, column = np.divmod(same, width)
            lit = seen[row // 2, column // 2].copy()
            for k in lights:
                lit[:, k] = self._seen_once(spread, k, rng).reshape(-1, SUBSAMPLES).mean(axis=1)
            light[same] = self._shade(hits.taken(same), lit, bands)
        facing = -np.einsum("nc,nc->n", hits.normal, hits.sight)
        return Rendering(
            light.reshape(height, width, bands),
            hits.depth.reshape(height, width),
            hits.body.astype(np.int16).reshape(height, width),
            facing.reshape(height, width),
        )

    def _cast(self, eye: NDArray[np.floating], directions: Floats) -> _Hits:
        # In pieces that stay in the processor's cache.
        starts = range(0, max(len(directions), 1), CHUNK)
        pieces = [self._cast_piece(eye, directions[i : i + CHUNK]) for i in starts]
        return _Hits(*(np.concatenate([getattr(piece, f.name) for piece in pieces]) for f in fields(_Hits)))

    def _cast_piece(self, eye: NDArray[np.floating], directions: Floats) -> _Hits:
        rays = np.empty((len(directions), 6), np.float32)
        rays[:, :3], rays[:, 3:] = eye, directions
        answer = self._scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
        depth, body, face = (answer[n].numpy() for n in ("t_hit", "geometry_ids", "primitive_ids"))
        met = np.isfinite(depth)
        depth = np.where(met, depth, 0.0).astype(np.float32)
        body = np.where(met, body, -1).astype(np.int32)
        first = np.array(self._first, np.int64)
        corner = self._normals[np.where(met, face + first[body], 0)]
        uv = answer["primitive_uvs"].numpy()
        normal = corner[:, 0] + uv[:, :1] * (corner[:, 1] - corner[:, 0]) + uv[:, 1:] * (corner[:, 2] - corner[:, 0])
        sight = directions / np.sqrt(np.einsum("nc,nc->n", directions, directions))[:, None]
        flat = _unit(answer["primitive_normals"].numpy())
        flat *= -np.sign(np.einsum("nc,nc->n", flat, sight))[:, None]
        normal = _unit(normal)
        normal *= np.where(np.einsum("nc,nc->n", normal, flat) < 0, -1.0, 1.0).astype(np.float32)[:, None]
        return _Hits(depth, body, rays[:, :3] + depth[:, None] * directions, sight, flat, normal)

    def _light_seen(
        self, hits: _Hits, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """What every second pixel sees of each light, and last of the dome; and which pixels shadows' borders cross."""
        height, width = shape
        every = np.arange(height * width).reshape(shape)[::2, ::2]
        small = hits.taken(every.ravel())
        count = len(self.lighting.lights)
        seen = np.zeros((*every.shape, count + 1), np.float32)
        border = np.zeros(every.shape, bool)
        for k in range(count + 1):
            rays = LIGHT_RAYS if k < count else DOME_RAYS
            total = sum(self._seen_once(small, k, rng) for _ in range(rays))
            seen[..., k] = np.reshape(total, every.shape) / rays
            if k < count:
                kernel = np.ones((3, 3), np.uint8)
                border |= cv2.dilate(seen[..., k], kernel) > cv2.erode(seen[..., k], kernel)
        seen[..., count] = _smooth_per_body(seen[..., count], small.body.reshape(every.shape))
        large = np.repeat(np.repeat(border, 2, axis=0), 2, axis=1)[:height, :width]
        return seen, large

    def _seen_once(self, hits: _Hits, light: int, rng: np.random.Generator) -> Floats:
        """1 where one random point of a light (the last index: of the dome above the surface) is seen, 0 else."""
        count = len(hits.body)
        random = rng.random((count, 3), np.float32) * 2 - 1
        if light < len(self.lighting.lights):
            lamp = self.lighting.lights[light]
            away = np.array(lamp.position, np.float32) + lamp.radius * random - hits.at
            reach = 1.0
        else:
            # A point of the sphere that touches the surface from above: a cosine distribution.
            away = DOME_REACH_M * (hits.flat + 0.98 * _unit(random))
            reach = 1.0
        lit = np.flatnonzero((np.einsum("nc,nc->n", away, hits.flat) > 0) & (hits.body >= 0))
        rays = np.concatenate([hits.at[lit] + SKIN_M * hits.flat[lit], away[lit]], axis=1)
        free = ~self._scene.test_occlusions(o3d.core.Tensor.from_numpy(rays), tnear=0.0, tfar=reach, nthreads=1).numpy()
        seen = np.zeros(count, np.float32)
        seen[lit] = free
        return seen

    def _shade(self, hits: _Hits, seen: Floats, bands: int) -> Floats:
        """Light (n, bands) to the eye: Lambert, a normalised Blinn-Phong lobe, surroundings mirrored after Schlick."""
        body = np.maximum(hits.body, 0)
        albedo, normal = self._surface(hits, body)
        if bands == 1:
            albedo = albedo @ np.array([[0.3], [0.59], [0.11]], np.float32)
        metal = self._metal[body][:, None]
        to_eye = -hits.sight
        shininess = self._shininess[body]
        facing = np.maximum(np.einsum("nc,nc->n", normal, to_eye), 0.02)
        base = metal * albedo + (1 - metal) * self._specular[body][:, None]
        schlick = base + (1 - base) * ((1 - facing) ** 5 / (1 + 8 / shininess))[:, None]
        diffuse = self.lighting.ambient * seen[:, -1] * (0.75 + 0.25 * normal[:, 2])
        gloss = np.zeros(len(body), np.float32)
        for k, lamp in enumerate(self.lighting.lights):
            position = np.array(lamp.position, np.float32)
            away = position - hits.at
            squared = np.einsum("nc,nc->n", away, away)
            away /= np.sqrt(squared)[:, None]
            lambert = np.maximum(np.einsum("nc,nc->n", normal, away), 0.0)
            received = lamp.intensity * float(position @ position) / squared * lambert * seen[:, k]
            half = away + to_eye
            cosine = np.einsum("nc,nc->n", normal, half) / np.sqrt(np.einsum("nc,nc->n", half, half))
            # A larger lamp makes a broader and weaker highlight.
            lobe = 1 / (1 / shininess + lamp.radius**2 / squared)
            diffuse += received
            gloss += received * (lobe + 2) / 8 * np.exp(lobe * np.log(np.clip(cosine, 1e-3, 1.0)))
        mirrored = hits.sight + 2 * facing[:, None] * normal
        around = self._mirror(mirrored, self._level[body]) * (0.25 + 0.75 * seen[:, -1])
        out = (1 - metal) * albedo * diffuse[:, None] + schlick * (gloss + around)[:, None]
        out[hits.body < 0] = 0.0
        return np.minimum(out, BRIGHTEST)

    def _surface(self, hits: _Hits, body: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Albedo (n, 3) and normal (n, 3) with grain, print and relief, laid on along the axis the surface faces."""
        axis = np.abs(hits.flat).argmax(axis=1)
        rows = np.arange(len(body))
        first, second = np.array([1, 0, 0])[axis], np.array([2, 2, 1])[axis]
        s, t = hits.at[rows, first], hits.at[rows, second]
        size = len(self._noise)
        i = (s * self._texels[body] * self._stretch[body]).astype(np.int32) & (size - 1)
        j = (t * self._texels[body] + 57 * body).astype(np.int32) & (size - 1)
        noise = self._noise[j, i]
        albedo = self._albedo[body]
        for k in np.unique(body):
            material = self.bodies[k].material
            if material.printed is not None:
                of = np.flatnonzero(body == k)
                albedo[of] = _print_at(material.printed, s[of] / material.printed_m, -t[of] / material.printed_m)
        albedo = np.clip(albedo * (1 + self._grain[body] * noise[:, 0])[:, None], 0.0, 1.0)
        normal = hits.normal.copy()
        bump = self._bump[body]
        normal[rows, first] += bump * noise[:, 1]
        normal[rows, second] += bump * noise[:, 2]
        return albedo, _unit(normal)

    def _mirror(self, direction: Floats, level: NDArray[np.int64]) -> Floats:
        _, height, width = self._surroundings.shape
        row = np.clip((1 - direction[:, 2]) * (0.5 * height), 0, height - 1).astype(np.int32)
        turn = np.arctan2(direction[:, 1], direction[:, 0]) * np.float32(width / (2 * np.pi))
        return self._surroundings[level, row, turn.astype(np.int32) % width]


def bodies_seen(bodies: Sequence[Body], camera: CameraModel, T_stage_camera: Pose) -> NDArray[np.int16]:
    """(h, w) index of the body at each pixel's centre, -1 where there is none: no light, quick."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    for body in bodies:
        vertices, faces = np.asarray(body.vertices, np.float32), np.asarray(body.faces, np.uint32)
        scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(faces))
    rays = np.empty((camera.height, camera.width, 6), np.float32)
    rays[..., :3] = T_stage_camera[:3, 3]
    rays[..., 3:] = sight_lines(camera) @ T_stage_camera[:3, :3].T.astype(np.float32)
    index = scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)["geometry_ids"].numpy()
    return np.where(index == scene.INVALID_ID, -1, index).astype(np.int16)


def sight_lines(camera: CameraModel) -> Floats:
    """(h, w, 3) float32 directions (x, y, 1) in the optical frame that `camera.project` puts on the pixels' centres."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    lines = np.ones((camera.height, camera.width, 3), np.float32)
    band = max(1, CHUNK // camera.width)
    for i in range(0, camera.height, band):
        rows = slice(i, i + band)
        pixels = np.stack([u[rows].ravel(), v[rows].ravel()], axis=1)
        lines[rows, :, :2] = undistorted(camera, pixels).reshape(-1, camera.width, 2)
    return lines


def undistorted(camera: CameraModel, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalised coordinates (n, 2) of pixels (n, 2): the lens model inverted by Newton's method.

    Raises:
        ValueError: the distortion folds the image, so that some pixel is never reached.
    """
    k = camera.matrix
    yd = (pixels[:, 1] - k[1, 2]) / k[1, 1]
    xd = (pixels[:, 0] - k[0, 2] - k[0, 1] * yd) / k[0, 0]
    x, y = xd.copy(), yd.copy()
    if not np.any(camera.distortion):
        return np.column_stack([x, y])
    k1, k2, p1, p2, k3 = camera.distortion
    for _ in range(30):
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))
        ex = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - xd
        ey = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - yd
        if max(np.abs(ex).max(), np.abs(ey).max()) * k[0, 0] < INVERSION_PX:
            return np.column_stack([x, y])
        a = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        b = slope * x * y + 2 * p1 * x + 2 * p2 * y
        d = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        determinant = a * d - b * b
        x -= (d * ex - b * ey) / determinant
        y -= (a * ey - b * ex) / determinant
    raise ValueError(f"distortion {camera.distortion.tolist()} cannot be inverted over the whole image")


def _pieces(index: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    return (index[i : i + size] for i in range(0, len(index), size))


def _borders(hits: _Hits, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour shows another body, another face or another surface of the same body."""
    body, depth = hits.body.reshape(shape), hits.depth.reshape(shape)
    flat, normal = hits.flat.reshape(*shape, 3), hits.normal.reshape(*shape, 3)
    at = hits.at.reshape(*shape, 3)
    border = np.zeros(shape, bool)
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        apart = np.abs(np.einsum("...c,...c->...", at[one] - at[other], flat[one]))
        differs = (
            (body[one] != body[other])
            | (np.einsum("...c,...c->...", normal[one], normal[other]) < BENT_COS)
            | (apart > 0.002 * depth[one])
        )
        border[one] |= differs
        border[other] |= differs
    return border


def _smooth_per_body(values: Floats, body: NDArray[np.int32]) -> Floats:
    """Values averaged over each body's own neighbourhood."""
    smooth = values.copy()
    for k in np.unique(body):
        own = body == k
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        weight = own[box].astype(np.float32)
        size = (SMOOTH_PX, SMOOTH_PX)
        total = cv2.blur(values[box] * weight, size, borderType=cv2.BORDER_CONSTANT)
        share = cv2.blur(weight, size, borderType=cv2.BORDER_CONSTANT)
        smooth[box] = np.where(own[box], total / np.maximum(share, 1e-6), smooth[box])
    return smooth


def _blurred(surroundings: Floats) -> Floats:
    """(levels, h, w): the surroundings as surfaces of each roughness mirror them."""
    height, width = surroundings.shape
    wide = np.concatenate([surroundings] * 3, axis=1)
    levels = [
        cv2.GaussianBlur(wide, (0, 0), r * width / 6, sigmaY=r * height / 4, borderType=cv2.BORDER_REPLICATE)
        for r in SHINE_LEVELS
    ]
    return np.stack([level[:, width : 2 * width] for level in levels])


def _noise_tile(size: int = 512) -> Floats:
    """(size, size, 3) float32 noise of three scales that repeats without a seam; mean 0, standard deviation 1."""
    rng = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    bands = []
    # The relief is fine, or light would make clouds of it; the tone varies at all scales.
    for lowest in (16.0, 40.0, 40.0):
        shape = np.where(frequency > 0, 1.0 / np.maximum(frequency, lowest) ** 0.9, 0.0)
        band = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * shape).real
        bands.append(band / band.std())
    return np.clip(np.stack(bands, axis=-1), -3, 3).astype(np.float32)


def _print_at(picture: Floats, column: Floats, row: Floats) -> Floats:
    """The printed picture, repeated, at places (n,) in texels: bilinear."""
    height, width = picture.shape[:2]
    x0, y0 = np.floor(column), np.floor(row)
    fx, fy = (column - x0)[:, None], (row - y0)[:, None]
    x0, y0 = x0.astype(np.int32) % width, y0.astype(np.int32) % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    upper = picture[y0, x0] * (1 - fx) + picture[y0, x1] * fx
    lower = picture[y1, x0] * (1 - fx) + picture[y1, x1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("nc,nc->n", vectors, vectors))
    return np.asarray(vectors / np.maximum(length, 1e-12)[:, None], np.float32)
