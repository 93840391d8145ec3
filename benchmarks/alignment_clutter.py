"""What is in a picture besides the part: the ground, other objects, and things before it such as a gripper's finger."""

from __future__ import annotations

import math

import numpy as np
from alignment_looks import FINISHES, any_finish, varied
from alignment_raycast import Body, Material
from alignment_solids import (
    component,
    disc,
    gear,
    hex_bolt,
    hexagon,
    hose,
    nut,
    prism,
    rectangle,
    rounded_box,
    socket_screw,
    spline,
    strip,
)
from manifold3d import Manifold
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Component
from inspection_cell.core.poses import Pose, make_pose, rotation_from_vector, transform

HALL_M = 6.0


def body_of(part: Component, material: Material, T_stage_part: Pose | None = None, name: str = "") -> Body:
    """A component as a body of the stage."""
    vertices = part.vertices if T_stage_part is None else transform(T_stage_part, part.vertices)
    return Body(name or part.name, vertices, part.faces, material)


def sheet(T_stage_sheet: Pose, material: Material, size: float = 2 * HALL_M) -> Body:
    """A flat ground in the x-y plane of its own frame."""
    half = size / 2
    corners = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Body("ground", transform(T_stage_sheet, corners), faces, material)


def hall(material: Material) -> Body:
    """Walls around everything, so that every ray ends somewhere."""
    half = HALL_M / 2
    solid = component("hall", Manifold.cube((1000 * half,) * 3, True).scale((2, 2, 2)))
    return body_of(solid, material)


def any_object(rng: np.random.Generator, size: float) -> Component:
    """Some object that stands on z = 0 about the origin, `size` metres across at most."""
    s = 1000 * size
    kind = rng.integers(9)
    if kind == 0:
        solid = rounded_box(s, s * rng.uniform(0.3, 0.8), s * rng.uniform(0.15, 0.7), 0.05 * s)
    elif kind == 1:
        solid = disc(s / 2, s * rng.uniform(0.2, 0.8), 0.04 * s) - disc(s * rng.uniform(0.1, 0.4), s, 0).translate(
            (0, 0, 3)
        )
    elif kind == 2:
        solid = gear(s / 2, int(rng.integers(14, 40)), 0.15 * s) - Manifold.cylinder(s, 0.12 * s, 0.12 * s, 32)
    elif kind == 3:
        solid = hex_bolt(0.5 * s, s).rotate((90, 0, float(rng.uniform(0, 360)))).translate((0, 0, 0.32 * s))
    elif kind == 4:
        leg = 0.5 * s
        solid = strip([(-leg, 2.0), (0.3 * leg, 2.0), (0.4 * leg, 4.0), (0.4 * leg, 1.2 * leg)], 3.0, 0.6 * s)
        solid -= Manifold.cylinder(20, 0.12 * s, 0.12 * s, 32).translate((-0.4 * leg, 0, -5))
    elif kind == 5:
        points = rng.uniform(-s / 2, s / 2, (7, 3)) * (1, 1, 0.0) + (0, 0, 6)
        points[:, 2] += rng.uniform(0, 0.15 * s, 7)
        solid = hose(spline([(float(a), float(b), float(c)) for a, b, c in points], 60), float(rng.uniform(2, 5)), 16)
    elif kind == 6:
        solid = prism(rectangle(s, 0.6 * s, 0.08 * s), 0.12 * s, 0.02 * s)
        for x in (-0.3, 0.0, 0.3):
            solid -= Manifold.cylinder(s, 0.07 * s, 0.07 * s, 32).translate((x * s, 0.1 * s, 0))
        solid += prism(rectangle(0.3 * s, 0.2 * s), 0.3 * s, 0.02 * s).translate((0.2 * s, -0.12 * s, 0))
    elif kind == 7:
        # A spanner.
        solid = prism(rectangle(s, 0.11 * s, 0.03 * s), 0.05 * s, 0.01 * s)
        jaw = prism(rectangle(0.26 * s, 0.26 * s, 0.1 * s), 0.06 * s) - prism(hexagon(0.15 * s), s).translate(
            (0.05 * s, 0, -1)
        )
        solid += jaw.translate((0.45 * s, 0, 0))
    else:
        solid = Manifold.hull_points(rng.normal(0, 0.25 * s, (14, 3)))
        solid = solid.translate((0, 0, -solid.bounding_box()[2]))
    return component("object", solid)


def around(rng: np.random.Generator, count: int, T_stage_ground: Pose, clear: float, size: float) -> list[Body]:
    """Objects on the ground beside the part, none nearer to the ground's origin than `clear`, metres."""
    bodies = []
    for k in range(count):
        wide = size * rng.uniform(0.25, 0.9)
        turn, away = rng.uniform(0, 2 * math.pi), clear + 0.5 * wide + size * rng.uniform(0.0, 1.6)
        rotation = rotation_from_vector((0, 0, rng.uniform(0, 2 * math.pi)))
        place = make_pose(rotation, (away * math.cos(turn), away * math.sin(turn), 0.0))
        bodies.append(body_of(any_object(rng, wide), any_finish(rng), T_stage_ground @ place, f"object_{k}"))
    return bodies


def finger(rng: np.random.Generator, size: float) -> list[Component]:
    """A gripper's finger that comes in along +x and ends near the origin, metres; or a bar, or a cable."""
    s = 1000 * size
    kind = rng.integers(3)
    if kind == 0:
        tip = rounded_box(0.5 * s, 0.22 * s, 0.14 * s, 0.02 * s).translate((0.15 * s, 0, -0.07 * s))
        pad = rounded_box(0.12 * s, 0.26 * s, 0.05 * s, 0.01 * s).translate((-0.02 * s, 0, -0.11 * s))
        jaw = prism(rectangle(2 * s, 0.4 * s, 0.03 * s), 0.3 * s, 0.02 * s).translate((1.35 * s, 0, -0.15 * s))
        jaw -= Manifold.cylinder(s, 0.05 * s, 0.05 * s, 32).translate((0.5 * s, 0.1 * s, -0.5 * s))
        return [component("finger", tip + pad), component("jaw", jaw)]
    if kind == 1:
        width = s * rng.uniform(0.1, 0.25)
        bar = prism(rectangle(3 * s, width), 0.3 * width, 0.03 * width).translate((1.2 * s, 0, 0))
        return [component("bar", bar)]
    points = [
        (-0.8 * s, -1.2 * s, 0.0),
        (-0.1 * s, -0.3 * s, 0.1 * s),
        (0.1 * s, 0.25 * s, 0.0),
        (1.2 * s, 1.0 * s, 0.2 * s),
    ]
    return [component("cable", hose(spline(points, 60), 0.055 * s, 20))]


def finger_bodies(
    rng: np.random.Generator, size: float, T_stage_camera: Pose, target: NDArray[np.float64], offset: float
) -> list[Body]:
    """The finger between camera and `target` (a point of the part, stage frame), `offset` metres to the side of it."""
    middle = target - T_stage_camera[:3, 3]
    distance = float(np.linalg.norm(middle))
    turn = rng.uniform(0, 2 * math.pi)
    inward = rotation_from_vector((0, 0, turn))
    before = T_stage_camera[:3, :3].T @ (middle * (1 - rng.uniform(0.25, 0.6) * size / distance))
    tilt = rotation_from_vector(rng.normal(0, 0.25, 3))
    place = make_pose(inward @ tilt, before + inward @ (offset, 0.0, 0.0))
    # The optical frame looks along z: turn the finger's upper side to the camera.
    facing = make_pose(np.diag([1.0, -1.0, -1.0]))
    metal = varied(
        FINISHES[("cast aluminium", "blackened steel", "machined steel", "black plastic")[rng.integers(4)]], rng
    )
    soft = varied(FINISHES["rubber"], rng)
    parts = finger(rng, size)
    return [
        body_of(part, soft if part.name in ("finger", "cable") else metal, T_stage_camera @ place @ facing)
        for part in parts
    ]


def attachment(rng: np.random.Generator, size: float) -> Component:
    """A small foreign thing, standing on z = 0 of its own frame, metres."""
    s = 1000 * size
    kind = rng.integers(5)
    if kind == 0:
        solid = nut(0.6 * s, 0.3 * s)
    elif kind == 1:
        solid = rounded_box(s, 0.6 * s, 0.5 * s, 0.06 * s)
    elif kind == 2:
        solid = socket_screw(0.4 * s, 0.2 * s)
    elif kind == 3:
        solid = strip([(-0.5 * s, 0.6), (0.3 * s, 0.6), (0.4 * s, 2.5), (0.4 * s, 0.8 * s)], 1.6, 0.5 * s)
    else:
        solid = disc(0.4 * s, 0.6 * s, 0.05 * s) - Manifold.cylinder(s, 0.2 * s, 0.2 * s, 32).translate((0, 0, 0.3 * s))
    return component("foreign", solid)
