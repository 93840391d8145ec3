"""What is around a path-traced part: the ground, things that lie about, a gripper's jaws, the lamps, the lens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import trimesh
from alignment_clutter import any_object
from numpy.typing import NDArray
from path_traced_looks import any_look, black_plastic, ground, metal, room
from path_traced_render import Body, Lamp, Shape, Stage

from inspection_cell.cad.assembly import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, rotation_from_vector, transform

GROUND_M = 1.5
USUAL_M = 0.06
GROUND = "ground"


def surroundings(
    rng: np.random.Generator,
    T_world_ground: Pose,
    clear: float,
    middle: NDArray[np.float64],
    radius: float,
    loose: Sequence[Shape],
) -> list[Body]:
    """The ground and what stands on it, and in a third of the pictures a gripper's jaws beside the part.

    Args:
        clear: nothing lies nearer to the ground's origin, metres.
        middle, radius: of the part, world frame. loose: shapes that may lie about beside those made here.
    """
    half = GROUND_M / 2
    corners = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    plane = Shape.of(Component(GROUND, corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
    drawn_from = make_pose(rotation_from_vector((0, 0, rng.uniform(0, 6))), (*rng.uniform(-0.2, 0.2, 2), 0.0))
    bodies = [Body(plane, T_world_ground @ drawn_from, ground(rng), radius * float(rng.uniform(1.0, 6.0)))]
    for _ in range(int(rng.choice([0, 2, 4, 7]))):
        if loose and rng.random() < 0.25:
            shape = loose[rng.integers(len(loose))]
        else:
            # Made at the size they are meant for, then shrunk: some of their measures are millimetres.
            made = Shape.of(any_object(rng, USUAL_M))
            shape = Shape(made.name, made.corners * (radius / USUAL_M * rng.uniform(0.2, 0.9)), made.normals)
        points = shape.corners.reshape(-1, 3)
        low, high = points.min(axis=0), points.max(axis=0)
        turn, away = rng.uniform(0, 2 * math.pi), clear + max(high - low) * 0.6 + radius * rng.exponential(0.4)
        place = make_pose(
            rotation_from_vector((0, 0, rng.uniform(0, 2 * math.pi))), (away * math.cos(turn), away * math.sin(turn), 0)
        )
        standing = make_pose(None, (*(-(low + high)[:2] / 2), -low[2]))
        bodies.append(Body(shape, T_world_ground @ place @ standing, any_look(rng), radius))
    if rng.random() < 0.33:
        bodies += _jaws(rng, middle, radius)
    return bodies


def _jaws(rng: np.random.Generator, middle: NDArray[np.float64], radius: float) -> list[Body]:
    """One or two blocks at opposite sides, wholly outside the part."""
    look = metal(rng) if rng.random() < 0.5 else black_plastic(rng)
    size = radius * rng.uniform((0.15, 0.2, 0.3), (0.4, 0.7, 1.2))
    block = trimesh.creation.box(size)
    shape = Shape.of(Component("jaw", np.asarray(block.vertices), np.asarray(block.faces, np.int32)))
    turn, away = rng.uniform(0, 2 * math.pi), radius * rng.uniform(0.72, 1.1) + size[0] / 2
    height = radius * rng.uniform(-0.3, 0.2)
    turns = (turn, turn + math.pi)[: int(rng.integers(1, 3))]
    rotations = [rotation_from_vector((0, 0, t)) for t in turns]
    return [Body(shape, make_pose(r, middle + r @ (away, 0.0, height)), look, radius) for r in rotations]


def something_else(rng: np.random.Generator, radius: float, middle: NDArray[np.float64]) -> list[Body]:
    """A block, cone, ball or stone where the part was, unlike anything on the taskboard; or nothing."""
    if rng.random() < 0.3:
        return []
    size = radius * rng.uniform(0.5, 1.4)
    kind = rng.integers(5)
    if kind == 0:
        mesh = trimesh.creation.box(size * rng.uniform(0.4, 1.0, 3))
    elif kind == 1:
        mesh = trimesh.creation.cone(size / 2, size * rng.uniform(0.5, 1.2), sections=int(rng.choice([3, 4, 6, 48])))
    elif kind == 2:
        mesh = trimesh.creation.icosphere(3, size / 2).apply_scale(rng.uniform(0.5, 1.0, 3))
    elif kind == 3:
        mesh = trimesh.Trimesh(rng.normal(0, size / 4, (16, 3))).convex_hull
    else:
        bars = [trimesh.creation.box(size * np.array(b)) for b in ((1.0, 0.3, 0.2), (0.25, 0.3, 0.8))]
        bars[1].apply_translation((0.35 * size, 0, 0.4 * size))
        mesh = trimesh.util.concatenate(bars)
    turn = rotation_from_vector(rng.normal(0, 1.0, 3) if kind == 3 else (0, 0, rng.uniform(0, 6)))
    mesh.apply_transform(make_pose(turn))
    shape = Shape.of(Component("something else", np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int32)))
    at = (middle[0], middle[1], -float(mesh.bounds[0, 2]))
    return [Body(shape, make_pose(None, at), any_look(rng), size)]


def stage_of(
    rng: np.random.Generator,
    bodies: list[Body],
    camera: CameraModel,
    T_world_camera: Pose,
    target: NDArray[np.float64],
    radius: float,
) -> Stage:
    """Light and lens: sharp near `target`; a fifth of `radius` before or behind it blurs by 2 px at most."""
    distance = float(transform(inverse(T_world_camera), target[None])[0, 2])
    blur_px, depth = rng.uniform(0.1, 2.0), 0.2 * radius
    aperture = blur_px * distance**2 / (2 * camera.matrix[0, 0] * depth)
    upright = rotation_from_vector((math.pi / 2, 0, 0))
    turn = rng.normal(0, 1, 3) if rng.random() < 0.3 else np.array([0, 0, rng.uniform(0, 2 * math.pi)])
    return Stage(
        bodies,
        camera,
        T_world_camera,
        aperture=float(aperture),
        focus=distance + float(rng.normal(0, 0.3)) * depth,
        room=room(rng),
        T_world_room=make_pose(rotation_from_vector(turn) @ upright),
        lamps=_lamps(rng, T_world_camera, target),
    )


def _lamps(rng: np.random.Generator, T_world_camera: Pose, target: NDArray[np.float64]) -> list[Lamp]:
    """None to two lamps above the part, in a quarter of the pictures a ring about the lens; the room gives 1."""
    lamps = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25]))):
        towards = rng.normal(size=3) + (0, 0, 0.4)
        towards[2] = abs(towards[2])
        distance = rng.uniform(0.25, 0.9)
        place = look_at(target + distance * towards / np.linalg.norm(towards), target)
        lamps.append(_lamp(rng, place, distance, distance * float(np.exp(rng.uniform(np.log(0.02), np.log(0.3))))))
    if rng.random() < 0.25:
        distance = float(np.linalg.norm(T_world_camera[:3, 3] - target))
        behind = T_world_camera @ make_pose(None, (0, 0, -0.003))
        lamps.append(_lamp(rng, behind, distance, float(rng.uniform(0.03, 0.08)), 0.6))
    return lamps


def _lamp(rng: np.random.Generator, place: Pose, distance: float, radius: float, hollow: float = 0.0) -> Lamp:
    share = float(np.exp(rng.uniform(np.log(0.3), np.log(4.0))))
    level = share * distance**2 / (radius**2 * (1 - hollow**2))
    tint = rng.uniform(0.4, 1.0, 3) if rng.random() < 0.1 else 1 + rng.normal(0, 0.1) * np.array((1, 0, -1))
    red, green, blue = level * tint
    return Lamp(place, radius, (float(red), float(green), float(blue)), hollow)
