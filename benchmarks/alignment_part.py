"""The assemblies of the alignment benchmarks, made by code: the part, two that are like it, and one that is not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from alignment_solids import (
    Place,
    bore,
    component,
    disc,
    gear,
    hex_bolt,
    hose,
    nut,
    prism,
    rectangle,
    rib,
    rounded,
    rounded_box,
    socket_screw,
    spline,
    strip,
)
from manifold3d import CrossSection, Manifold

from inspection_cell.cad.assembly import Assembly, Component, load_assembly

PLATE_MM = 9.0


@dataclass(frozen=True)
class Layout:
    """Where an assembly's components are and how large, millimetres.

    Attributes:
        plate: length and width of the housing.
        flange, boss, bracket, connector: places on the plate.
        flange_radius, boss_height, bracket_height: sizes.
        cylinder_y, cylinder_length: of the actuator, which lies along x.
        clips: x of the clip at the upper edge, y of the clip at the left edge.
    """

    plate: tuple[float, float]
    flange: tuple[float, float]
    flange_radius: float
    boss: tuple[float, float]
    boss_height: float
    bracket: tuple[float, float]
    bracket_height: float
    connector: tuple[float, float]
    cylinder_y: float
    cylinder_length: float
    clips: tuple[float, float]


PART = Layout((200, 130), (55, -22), 32, (-66, 32), 26, (-6, 40), 42, (80, 36), -43, 76, (38, 6))
SIMILAR = Layout((192, 138), (46, 20), 27, (-58, -38), 34, (-14, -44), 33, (76, -42), 40, 92, (-2, -14))


@cache
def assembly() -> Assembly:
    """The part: 200 mm long, 14 named components, about 18,000 triangles, no symmetry; z is up from the plate."""
    return _named(_components(PART), "unit")


@cache
def similar_assembly() -> Assembly:
    """A variant of the part: the same components elsewhere and of other proportions."""
    return _named(_components(SIMILAR), "similar unit")


def mirrored_assembly(of: Assembly) -> Assembly:
    """An assembly mirrored in x about its own middle: it fills the same box, but no rotation makes it the same."""
    shift = np.array([2 * of.centre[0], 0.0, 0.0])
    parts = [Component(c.name, c.vertices * (-1.0, 1.0, 1.0) + shift, c.faces[:, ::-1].copy()) for c in of.components]
    return _named(parts, f"mirrored {of.source}")


@cache
def other_assembly() -> Assembly:
    """A part of the same size that is quite another one: a round gear unit."""
    base = disc(78, 8, 1.5) - bore(14, 9, (0, 0, 8), 1.0)
    for k in range(5):
        angle = math.radians(72 * k + 10)
        base -= bore(4, 9, (68 * math.cos(angle), 68 * math.sin(angle), 8), 0.8)
    base += prism(rectangle(50, 36, 5), 22, 1.5).translate((-40, 30, 8))
    motor = disc(24, 52, 2) + disc(9, 60, 1) + prism(rectangle(16, 12, 2), 30, 1).translate((-24, 0, 12))
    wheel = gear(34, 36, 9) - bore(6, 10, (0, 0, 9), 0.5)
    for k in range(5):
        angle = math.radians(72 * k)
        wheel -= bore(7, 10, (20 * math.cos(angle), 20 * math.sin(angle), 9))
    wheel += disc(11, 14, 0.8) - bore(6, 16, (0, 0, 14))
    parts = [
        component("base", base),
        component("motor", motor.translate((28, 34, 8))),
        component("wheel", wheel.translate((-22, -30, 16))),
        component("pinion", (gear(11, 12, 9) + disc(4, 18, 0.5, 32)).translate((20, -24, 16))),
        component("cover", rounded_box(40, 26, 14, 3).translate((40, -34, 8))),
        component("shaft", disc(5.5, 34, 0.6, 32).translate((-22, -30, 8))),
        component("screw_1", socket_screw(5, 6).translate((-56, 38, 30))),
        component("screw_2", socket_screw(5, 6).translate((-26, 24, 30))),
        component("bolt_1", hex_bolt(10, 5).translate((68 * math.cos(0.17), 68 * math.sin(0.17), 8))),
    ]
    return _named(parts, "gear unit")


def taskboard(data: Path) -> list[Assembly]:
    """The nine parts of `wrs_taskboard` below the folder of the real data; empty where they are not there."""
    return [load_assembly(path, "mm") for path in sorted((data / "wrs_taskboard" / "meshes").glob("*.stl"))]


def _named(parts: Sequence[Component], source: str) -> Assembly:
    ordered = sorted(parts, key=lambda c: c.name)
    digest = hashlib.sha256()
    for part in ordered:
        digest.update(part.name.encode() + part.vertices.tobytes() + part.faces.tobytes())
    return Assembly(tuple(ordered), digest.hexdigest(), source)


def _components(layout: Layout) -> list[Component]:
    flange_x, flange_y = layout.flange
    holes = [
        (flange_x + 0.8 * layout.flange_radius * math.cos(a), flange_y + 0.8 * layout.flange_radius * math.sin(a))
        for a in np.radians(np.arange(6) * 60.0 + 15.0)
    ]
    length, width = layout.plate
    port: Place = (-length / 2 + 22, layout.cylinder_y, PLATE_MM + 32)
    inlet: Place = (*layout.boss, PLATE_MM + layout.boss_height + 4)
    line = _hose_path(port, inlet)
    bracket_x, bracket_y = layout.bracket
    away = 1.0 if bracket_y > 0 else -1.0
    solids = {
        "housing": _housing(layout, holes),
        "flange": _flange(layout, holes),
        "bracket": _bracket(layout, away),
        "cylinder": _cylinder(layout),
        "connector": _connector().translate((*layout.connector, PLATE_MM)),
        "clip_left": _clip().rotate((0, 0, 180)).translate((-length / 2, layout.clips[1], PLATE_MM)),
        "clip_right": _clip().rotate((0, 0, 90)).translate((layout.clips[0], width / 2, PLATE_MM)),
        "hose": hose(line, 4.5),
        "hose_clamp": _hose_clamp(line[-14], line[-12]),
        "screw_1": socket_screw(5.0, 3).translate((bracket_x - 13, bracket_y - 4 * away, PLATE_MM + 3)),
        "nut_1": nut(9.0, 5.0).translate((bracket_x + 13, bracket_y - 7 * away, PLATE_MM + 3)),
    }
    # Neither all the bolts nor evenly spaced ones: the bolt circle tells one turn from another.
    for number, (x, y) in enumerate([holes[0], holes[1], holes[3]], start=1):
        turned = hex_bolt(10.0, 6.0).rotate((0, 0, 17.0 * number))
        solids[f"bolt_{number}"] = turned.translate((x, y, PLATE_MM + 8))
    return [component(name, solid) for name, solid in solids.items()]


def _housing(layout: Layout, holes: list[tuple[float, float]]) -> Manifold:
    length, width = layout.plate
    x, y = length / 2, width / 2
    outline = rounded([(-x, -y), (x, -y), (x, y - 26), (x - 30, y), (-x, y)], 9.0)
    body = prism(outline, PLATE_MM, 1.2)
    # A wall along the edge that the cylinder lies at, and ribs that hold it.
    side = 1.0 if layout.cylinder_y > 0 else -1.0
    wall_y = side * (y - 4)
    end = x - 62
    body += rib((-x + 6, wall_y, PLATE_MM - 1), (end, wall_y, PLATE_MM - 1), 6, 27)
    for k, at in enumerate((end - 4, end - 24)):
        foot = Manifold.cube((3, 16, 1)).translate((0, -8, 0))
        top = Manifold.cube((3, 1, 1)).translate((0, side * 7.5 - 0.5, 17 - 4 * k))
        body += Manifold.batch_hull([foot, top]).translate((at, wall_y - 9 * side, PLATE_MM - 0.5))
    body += rib((-x + 10, -6 * side, PLATE_MM - 1), (-6, -2 * side, PLATE_MM - 1), 5, 9)
    body += rib((-x + 34, -side * 10, PLATE_MM - 1), (-x + 40, -side * (y - 6), PLATE_MM - 1), 4, 8)
    body += rib((x - 8, 8, PLATE_MM - 1), (x - 40, 22, PLATE_MM - 1), 5, 7)
    for at in (-x + 18, -x + layout.cylinder_length - 6):
        saddle = prism(rectangle(9, 24, 1.0), 12).translate((at, layout.cylinder_y, PLATE_MM - 1))
        body += saddle
    boss_x, boss_y = layout.boss
    tower = Manifold.cylinder(layout.boss_height, 19, 17, 64)
    tower += Manifold.cylinder(2.5, 22, 19, 64)
    body += tower.translate((boss_x, boss_y, PLATE_MM - 0.5))
    top = PLATE_MM + layout.boss_height - 0.5
    body -= bore(6, 20, (boss_x, boss_y, top), 1.0)
    for a in (40.0, 160.0, 280.0):
        place = (boss_x + 12 * math.cos(math.radians(a)), boss_y + 12 * math.sin(math.radians(a)), top)
        body -= bore(1.8, 10, place, 0.5, 20)
    pocket = prism(rectangle(40, 17, 5), 10).translate((boss_x + 44, 15 * side, PLATE_MM - 4))
    body -= pocket
    slot = prism(rectangle(8, 26, 3.9), 30).translate((x - 12, -y + 22, -5))
    body -= slot
    for hole_x, hole_y, radius in (
        (-x + 12, y - 12, 4.5),
        (x - 12, -y + 48, 3.4),
        (-x + 12, -y + 12, 4.5),
        (8, -14, 6),
    ):
        body -= bore(radius, 30, (hole_x, hole_y, PLATE_MM), 1.0)
    notch = prism(rectangle(22, 14, 3), 40).translate((12, -side * y, -10))
    body -= notch
    for hole_x, hole_y in holes:
        body -= bore(2.7, 30, (hole_x, hole_y, PLATE_MM))
    under = prism(rectangle(length - 30, width - 60, 8), 4).translate((0, 0, -1))
    return body - under


def _flange(layout: Layout, holes: list[tuple[float, float]]) -> Manifold:
    radius = layout.flange_radius
    hub = 0.55 * radius
    body = disc(radius, 8, 1.0, 80) + Manifold.cylinder(1, hub + 1, hub, 80).translate((0, 0, 8))
    body += disc(hub, 25, 1.5)
    body -= bore(0.62 * hub, 30, (0, 0, 25), 1.0, 48)
    key = Manifold.cube((3.5, 8, 40)).translate((-1.75, 0.62 * hub - 5, -5))
    body -= key
    body -= prism(rectangle(12, 5, 1.5), 4).rotate((0, 0, 35)).translate((-0.78 * radius * 0.9, -2, 6))
    body = body.translate((*layout.flange, PLATE_MM))
    for x, y in holes:
        body -= bore(3.3, 30, (x, y, PLATE_MM + 8), 0.6, 24)
    return body


def _bracket(layout: Layout, away: float) -> Manifold:
    height = layout.bracket_height
    sheet = strip([(-16.0, 1.5), (11.0, 1.5), (12.6, 2.2), (13.3, 3.8), (13.3, height)], 3.0, 44)
    sheet -= Manifold.cylinder(10, 7, 7, 40).rotate((0, 90, 0)).translate((8, -11, 0.62 * height))
    sheet -= prism(rectangle(5, 16, 2.4), 10).rotate((0, 90, 0)).translate((8, 15, 0.5 * height))
    corner = Manifold.cube((10, 20, 20)).rotate((45, 0, 0)).translate((8, 24, height - 12))
    sheet -= corner
    for y in (-13.0, 13.0):
        sheet -= bore(3.2, 8, (-4, y, 3), 0.0, 24)
    gusset = CrossSection([[(-6, 0), (12, 0), (12, 16)]])
    sheet += Manifold.extrude(gusset, 2.5).rotate((90, 0, 0)).translate((0, 1.5, 2.5))
    turn = 90.0 if away > 0 else -90.0
    return sheet.rotate((0, 0, turn)).translate((*layout.bracket, PLATE_MM))


def _cylinder(layout: Layout) -> Manifold:
    length = layout.cylinder_length
    barrel = Manifold.cylinder(length - 16, 11.5, 11.5, 64).translate((0, 0, 8))
    cap = prism(rectangle(28, 28, 3), 11, 0.8)
    body = barrel + cap + cap.rotate((180, 0, 0)).translate((0, 0, length))
    for x, y in ((-10.5, -10.5), (10.5, -10.5), (-10.5, 10.5), (10.5, 10.5)):
        body += Manifold.cylinder(length + 4, 1.8, 1.8, 16).translate((x, y, -2))
    body += disc(5, 30, 0.8, 40).translate((0, 0, length - 2))
    body += prism(rectangle(15, 12, 2), 13, 1.0).translate((0, 0, length + 22))
    body -= Manifold.cylinder(40, 3.2, 3.2, 24).rotate((90, 0, 0)).translate((0, 20, length + 30))
    body = body.rotate((0, 90, 0)).translate((-layout.plate[0] / 2 + 12, layout.cylinder_y, PLATE_MM + 18))
    port = disc(6, 8, 0.6, 32).translate((-layout.plate[0] / 2 + 22, layout.cylinder_y, PLATE_MM + 26))
    return body + port


def _connector() -> Manifold:
    body = rounded_box(26, 34, 25, 1.5) - rounded_box(20, 26, 30, 1.2).translate((0, -1, 7))
    body += prism(rectangle(34, 42, 4), 3.0, 0.6)
    for y in range(4):
        for x in range(2):
            body += disc(1.3, 17, 0.4, 16).translate((-4 + 8 * x, -9 + 5.5 * y, 4))
    latch = strip([(12.5, 5.0), (16.5, 8.0), (16.5, 17.0), (14.5, 21.0)], 1.8, 12)
    body += latch
    for y in (-13.0, 13.0):
        body += Manifold.cube((2.0, 3.0, 18)).translate((-14.5, y - 1.5, 2))
    return body


def _clip() -> Manifold:
    """A spring clip pushed over an edge that lies in x = 0, the plate at x < 0 and below z = 0."""
    path = [
        (-13.0, 3.4),
        (-11.5, 0.9),
        (-6.0, 1.7),
        (1.3, 1.6),
        (2.1, 0.4),
        (2.1, -PLATE_MM - 0.4),
        (1.4, -10.4),
        (-8, -10.2),
    ]
    sheet = strip(path, 1.2, 15)
    return sheet - prism(rectangle(5, 8, 2), 8).translate((-5, 0, -1.5))


def _hose_path(port: Place, inlet: Place) -> np.ndarray:
    (x0, y0, z0), (x1, y1, z1) = port, inlet
    high = max(z0, z1) + 20
    lean = 10.0
    points = [
        (x0, y0, z0),
        (x0 - 0.1 * lean, y0 + 0.06 * (y1 - y0), z0 + 11),
        (x0 + lean, y0 + 0.45 * (y1 - y0), high),
        (x1 + 0.7 * lean, y0 + 0.84 * (y1 - y0), high - 3),
        (x1, y1, z1 + 3),
        (x1, y1, z1 - 10),
    ]
    return spline(points, 56)


def _hose_clamp(start: np.ndarray, end: np.ndarray) -> Manifold:
    ring = disc(5.6, 7, 0.4, 40) - Manifold.cylinder(9, 4.4, 4.4, 40).translate((0, 0, -1))
    block = prism(rectangle(7, 8, 1), 7, 0.5).translate((8.2, 0, 0))
    screw = disc(2.6, 13, 0.4, 24).rotate((90, 0, 0)).translate((8.5, 6.5, 3.5))
    axis = end - start
    yaw = math.degrees(math.atan2(axis[1], axis[0]))
    pitch = math.degrees(math.acos(axis[2] / np.linalg.norm(axis)))
    whole = (ring + block + screw).translate((0, 0, -3.5))
    middle = (start + end) / 2
    return (
        whole.rotate((0, pitch, 0))
        .rotate((0, 0, yaw))
        .translate((float(middle[0]), float(middle[1]), float(middle[2])))
    )
