"""What the benchmark's camera sees and from where: the real part with its deviations, its surroundings, the view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from alignment_clutter import any_object, around, attachment, body_of, finger_bodies, hall, sheet
from alignment_looks import any_finish, finish_of, plain_surface, printed_surface
from alignment_part import assembly as benchmark_assembly
from alignment_part import mirrored_assembly, other_assembly, similar_assembly
from alignment_raycast import Body, Lighting, bodies_seen, undistorted
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, rotation_from_vector, transform

PRESENT = ("nominal", "clutter", "shadow", "occluder", "missing", "extra", "displaced", "partial", "off CAD")
LENS_AND_SENSOR = ("distorted", "noise", "blur", "dark", "colour")
ABSENT = ("no part", "wrong part", "wrong CAD", "blank")
WIDTH, HEIGHT = 1280, 1024
FOCAL_PX = (1360.0, 1440.0)
DISTANCE_RADII = (3.95, 6.35)
FARTHEST_TILT_COS = 0.5
LOSABLE = 0.45
SMALL = 0.25
OFF_CAD_M = 0.0005
COARSE = 4
ATTEMPTS = 60


def some_camera(rng: np.random.Generator, distorted: bool) -> CameraModel:
    """A wide camera of 1280x1024, about 1400 px focal length, with or without a strong distortion."""
    focal = rng.uniform(*FOCAL_PX)
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]) + rng.uniform(-15, 15, 2)
    matrix = np.array([[focal, 0, centre[0]], [0, focal * rng.uniform(0.998, 1.002), centre[1]], [0, 0, 1.0]])
    if not distorted:
        return CameraModel(WIDTH, HEIGHT, matrix)
    corners = np.array([[-1, -1], [WIDTH, -1], [-1, HEIGHT], [WIDTH, HEIGHT]], float)
    for _ in range(ATTEMPTS):
        k1 = rng.uniform(0.12, 0.35) * rng.choice([-1.0, -1.0, 1.0])
        k2 = rng.uniform(-0.1, 0.25) if k1 < 0 else rng.uniform(-0.2, 0.1)
        lens = np.array([k1, k2, *rng.uniform(-0.004, 0.004, 2), rng.uniform(-0.05, 0.05)])
        camera = CameraModel(WIDTH, HEIGHT, matrix, lens)
        # A lens whose picture folds back on itself is none.
        radii = np.linspace(0, 0.75, 60)
        radial = radii * (1 + radii**2 * (lens[0] + radii**2 * (lens[1] + radii**2 * lens[4])))
        if (
            np.all(np.diff(radial) > 0.3 * radii[1])
            and np.linalg.norm(undistorted(camera, corners), axis=1).max() < 0.75
        ):
            return camera
    raise RuntimeError("no lens was found whose distortion can be inverted")


def viewpoint(rng: np.random.Generator, assembly: Assembly, camera: CameraModel) -> Pose:
    """T_part_camera from within 60 degrees of +z, any roll, the part wholly inside the image."""
    z, turn = rng.uniform(FARTHEST_TILT_COS, 1.0), rng.uniform(0, 2 * math.pi)
    side = math.sqrt(1 - z * z)
    distance = assembly.radius * rng.uniform(*DISTANCE_RADII) * camera.matrix[0, 0] / 1400.0
    eye = assembly.centre + distance * np.array([side * math.cos(turn), side * math.sin(turn), z])
    looking = look_at(eye, assembly.centre) @ make_pose(rotation_from_vector((0, 0, rng.uniform(0, 2 * math.pi))))
    room = np.array([WIDTH, HEIGHT]) / 2 - camera.matrix[0, 0] * assembly.radius / distance - 24
    aside = np.maximum(room, 0) * rng.uniform(-1, 1, 2) * distance / camera.matrix[0, 0]
    return looking @ make_pose(None, (-aside[0], -aside[1], 0.0))


def cut_by_border(rng: np.random.Generator, assembly: Assembly, camera: CameraModel, T_part_camera: Pose) -> Pose:
    """The camera moved aside until the image's border leaves 62 to 88 % of the part inside."""
    part, depth = _plain(assembly), float(transform(inverse(T_part_camera), assembly.centre[None])[0, 2])
    heading, wanted = direction(rng)[:2], rng.uniform(0.62, 0.88)
    heading *= depth / camera.matrix[0, 0] / np.linalg.norm(heading)
    low, high = 0.0, float(WIDTH)
    while high - low > 2.0:
        middle = (low + high) / 2
        inside = visible_fraction(part, [], camera, T_part_camera @ make_pose(None, (*(middle * heading), 0.0)))
        low, high = (middle, high) if inside > wanted else (low, middle)
    return T_part_camera @ make_pose(None, (*(low * heading), 0.0))


def real_part(
    rng: np.random.Generator,
    traits: frozenset[str],
    assembly: Assembly,
    foreign: Sequence[Assembly],
    camera: CameraModel,
    T_part_camera: Pose,
) -> tuple[list[Body], tuple[str, ...], dict[str, Pose], bool]:
    """What really stands where the part is expected: bodies, missing and moved components, whether it is the part."""
    if traits & {"no part", "blank"}:
        return [], (), {}, False
    if "wrong part" in traits:
        shown = _wrong_part(rng, assembly, foreign)
        return [body_of(c, finish_of(c.name, rng)) for c in shown.components], (), {}, False
    if "wrong CAD" in traits:
        likely = [mirrored_assembly(assembly)]
        if assembly.sha256 == benchmark_assembly().sha256:
            likely.append(similar_assembly())
        shown = likely[rng.integers(len(likely))]
        return [body_of(c, finish_of(c.name, rng)) for c in shown.components], (), {}, False
    components = list(assembly.components)
    if "off CAD" in traits:
        components = _off_cad(rng, components, assembly.radius)
    missing: tuple[str, ...] = ()
    moved: dict[str, Pose] = {}
    if "missing" in traits:
        losable = _smaller_than(assembly, LOSABLE)
        count = min(int(rng.integers(1, 4)), len(losable))
        missing = tuple(sorted(str(name) for name in rng.choice(losable, count, replace=False)))
    if "displaced" in traits:
        seen = np.bincount(1 + bodies_seen(_plain(assembly), _small_image(camera), T_part_camera).ravel())
        there = [n for n in _smaller_than(assembly, SMALL) if n not in missing]
        names = rng.permutation([n for n in there if _seen_px(seen, assembly.index(n)) > 150] or there)
        names = names[: int(rng.integers(1, 3))]
        for name in names:
            moved[str(name)] = make_pose(None, rng.uniform(0.0003, 0.002) * direction(rng))
    components = [c.moved(moved[c.name]) if c.name in moved else c for c in components if c.name not in missing]
    bodies = [body_of(c, finish_of(c.name, rng)) for c in components]
    return bodies, missing, moved, True


def _wrong_part(rng: np.random.Generator, assembly: Assembly, foreign: Sequence[Assembly]) -> Assembly:
    """Another assembly of about the same size, turned about z, where the told one is expected."""
    others = [other_assembly(), benchmark_assembly(), *foreign]
    fitting = [a for a in others if a.sha256 != assembly.sha256 and 0.5 < a.radius / assembly.radius < 2.0]
    if not fitting:
        raise ValueError(
            f"no other assembly is about as large as {assembly.source} ({assembly.radius:.3f} m): give some"
        )
    shown = fitting[rng.integers(len(fitting))]
    rotation = rotation_from_vector((0, 0, rng.uniform(0, 2 * math.pi)))
    place = make_pose(rotation, assembly.centre - rotation @ shown.centre)
    return replace(shown, components=tuple(c.moved(place) for c in shown.components))


def surroundings_of(
    rng: np.random.Generator,
    traits: frozenset[str],
    assembly: Assembly,
    real: Sequence[Body],
    camera: CameraModel,
    T_part_camera: Pose,
) -> list[Body]:
    """Ground and hall, clutter, what hides the part, and what is attached to it."""
    cluttered = bool(traits & {"clutter", "no part"})
    radius, centre = assembly.radius, assembly.centre
    pattern = rng.random() < (0.8 if traits & set(ABSENT) else 0.25)
    pattern = cluttered or (pattern and traits != {"nominal"})
    # Whoever sets up a cell chooses a background that the part stands out from.
    surface = printed_surface(rng) if pattern else plain_surface(rng, _largest(real).material if real else None)
    towards = T_part_camera[:3, 3] - centre
    towards /= np.linalg.norm(towards)
    if rng.random() < 0.55:
        lying = rng.random() < 0.5
        gap = 0.0 if lying else radius * rng.uniform(0.1, 1.0)
        ground = make_pose(rotation_from_vector((0, 0, rng.uniform(0, 6))), (*centre[:2], assembly.bounds[0, 2] - gap))
        clear = 0.85 * radius
    else:
        tilted = towards + rng.normal(0, 0.2, 3)
        behind = radius * rng.uniform(1.5, 4.0)
        # look_at's z axis is where the sheet's normal shall be.
        ground = look_at(centre - behind * towards, centre - behind * towards + tilted)
        clear = 0.0
    others = [sheet(ground, surface), hall(plain_surface(rng))]
    if cluttered:
        others += around(rng, int(rng.integers(5, 11)), ground, clear, 0.9 * radius)
        others += _before_part(rng, assembly, real, camera, T_part_camera)
    if "occluder" in traits:
        others += _occluder(rng, assembly, real, camera, T_part_camera)
    if "extra" in traits and real:
        others.append(_extra(rng, real, towards, radius))
    return others


def _before_part(
    rng: np.random.Generator, assembly: Assembly, real: Sequence[Body], camera: CameraModel, T_part_camera: Pose
) -> list[Body]:
    """One object that reaches before the part and hides at most 15 % of it."""
    for _ in range(ATTEMPTS):
        size = assembly.radius * rng.uniform(0.25, 0.7)
        eye = T_part_camera[:3, 3]
        at = assembly.centre + rng.uniform(0.3, 0.6) * (eye - assembly.centre)
        aside = assembly.radius * rng.uniform(0.3, 0.9) * direction(rng)
        place = make_pose(rotation_from_vector(rng.normal(0, 1.5, 3)), at + aside)
        bodies = [body_of(any_object(rng, size), any_finish(rng), place, "before")]
        if not real or 0.0 < 1 - visible_fraction(real, bodies, camera, T_part_camera, whole=False) < 0.15:
            return bodies
    return []


def _occluder(
    rng: np.random.Generator, assembly: Assembly, real: Sequence[Body], camera: CameraModel, T_part_camera: Pose
) -> list[Body]:
    """A finger, bar or cable that hides 5 to 30 % of the part."""
    corners = assembly.bounds
    for _ in range(ATTEMPTS):
        target = assembly.centre + 0.5 * rng.uniform(-1, 1, 3) * (corners[1] - corners[0]) / 2
        size = assembly.radius * rng.uniform(0.5, 1.1)
        bodies = finger_bodies(rng, size, T_part_camera, target, size * rng.uniform(-0.4, 0.3))
        if not real or 0.05 < 1 - visible_fraction(real, bodies, camera, T_part_camera, whole=False) < 0.30:
            return bodies
    raise RuntimeError(f"no occluder was found that hides 5 to 30 % of {assembly.source}")


def _extra(rng: np.random.Generator, real: Sequence[Body], towards: NDArray[np.float64], radius: float) -> Body:
    """Something foreign on a face that looks towards the camera."""
    corners = np.concatenate([b.vertices[b.faces] for b in real])
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(area, 1e-12)[:, None]
    share = area * (normal @ towards > 0.5)
    face = rng.choice(len(area), p=share / share.sum())
    at = rng.dirichlet(np.ones(3)) @ corners[face]
    # An outward normal is look_at's z axis.
    place = look_at(at, at + normal[face])
    return body_of(attachment(rng, radius * rng.uniform(0.12, 0.25)), any_finish(rng), place)


def shadow_caster(
    rng: np.random.Generator, assembly: Assembly, lighting: Lighting, camera: CameraModel, T_part_camera: Pose
) -> list[Body]:
    """Something outside the image between the first lamp and the part."""
    lamp = np.array(lighting.lights[0].position)
    for _ in range(ATTEMPTS):
        at = assembly.centre + rng.uniform(0.3, 0.6) * (lamp - assembly.centre)
        place = make_pose(rotation_from_vector(rng.normal(0, 1.5, 3)), at + 0.3 * assembly.radius * direction(rng))
        caster = body_of(any_object(rng, assembly.radius * rng.uniform(0.5, 1.1)), any_finish(rng), place, "caster")
        if not np.any(bodies_seen([caster], _small_image(camera), T_part_camera) >= 0):
            return [caster]
    return []


def _off_cad(rng: np.random.Generator, components: list[Component], radius: float) -> list[Component]:
    """The components up to 0.5 mm off their CAD, bent as a whole or each shifted, without a rigid motion of all."""
    corners = [c.vertices[c.faces] for c in components]
    middles = [t.mean(axis=1) for t in corners]
    areas = np.concatenate([np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1) for t in corners])
    bent = rng.random() < 0.5 or len(components) == 1
    centre = np.average(np.concatenate(middles), axis=0, weights=areas)
    curvature = rng.normal(0, 1, (3, 6)) * (1, 1, 0.3, 1, 0.3, 0.3)
    shifts = [direction(rng) for _ in components]

    def raw(points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        if not bent:
            return np.tile(shifts[k], (len(points), 1))
        x, y, z = ((points - centre) / radius).T
        return np.asarray(np.stack([x * x, y * y, z * z, x * y, y * z, z * x], axis=1) @ curvature.T)

    # The truth is the pose that fits the real surface best: what looks like a rigid motion is taken out.
    samples = np.concatenate(middles)
    field = np.concatenate([raw(m, k) for k, m in enumerate(middles)])
    weight = np.sqrt(np.repeat(areas, 3))
    twist = np.linalg.lstsq(
        _rigid(samples - centre).reshape(-1, 6) * weight[:, None], field.ravel() * weight, rcond=None
    )[0]
    left = [raw(c.vertices, k) - _rigid(c.vertices - centre) @ twist for k, c in enumerate(components)]
    largest = max(float(np.linalg.norm(shift, axis=1).max()) for shift in left)
    return [
        Component(c.name, c.vertices + OFF_CAD_M / largest * shift, c.faces)
        for c, shift in zip(components, left, strict=True)
    ]


def _rigid(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3, 6): how a small twist (translation, rotation) moves points (n, 3)."""
    motion = np.zeros((len(points), 3, 6))
    motion[:, :, :3] = np.eye(3)
    x, y, z = points.T
    motion[:, 0, 4], motion[:, 0, 5] = z, -y
    motion[:, 1, 3], motion[:, 1, 5] = -z, x
    motion[:, 2, 3], motion[:, 2, 4] = y, -x
    return motion


def _smaller_than(assembly: Assembly, share: float) -> list[str]:
    """The components whose size is less than this share of the assembly's."""
    sizes = {c.name: np.linalg.norm(np.ptp(c.vertices, axis=0)) for c in assembly.components}
    names = [name for name, size in sizes.items() if size < share * 2 * assembly.radius]
    if not names:
        raise ValueError(f"{assembly.source} has no small component that could be missing or displaced")
    return names


def _largest(bodies: Sequence[Body]) -> Body:
    return max(bodies, key=lambda body: float(np.linalg.norm(np.ptp(body.vertices, axis=0))))


def _plain(assembly: Assembly) -> list[Body]:
    grey = plain_surface(np.random.default_rng(0))
    return [body_of(c, grey) for c in assembly.components]


def _small_image(camera: CameraModel) -> CameraModel:
    return camera.resized(camera.width // COARSE, camera.height // COARSE)


def _wider(camera: CameraModel) -> CameraModel:
    """Twice as wide and high about the same middle, without the lens's distortion, in coarse pixels."""
    ideal = replace(camera, distortion=np.zeros(5))
    wide = ideal.cropped(-camera.width // 2, -camera.height // 2, 2 * camera.width, 2 * camera.height)
    return _small_image(wide)


def _seen_px(counts: NDArray[np.intp], index: int) -> int:
    return int(counts[index + 1]) * COARSE**2 if index + 1 < len(counts) else 0


def visible_fraction(
    part: Sequence[Body], others: Sequence[Body], camera: CameraModel, T_part_camera: Pose, whole: bool = True
) -> float:
    """The fraction of the part's projection that others do not hide; with `whole`, also that is inside the image."""
    area = int((bodies_seen(part, _wider(camera) if whole else _small_image(camera), T_part_camera) >= 0).sum())
    index = bodies_seen([*part, *others], _small_image(camera), T_part_camera)
    return min(1.0, int(((index >= 0) & (index < len(part))).sum()) / max(area, 1))


def direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,) unit vector, any direction as likely."""
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))
