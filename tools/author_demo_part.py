"""Authors the demo part, a moulded ring housing with clips, label plate and screws, as STEP assemblies in millimetres.

Needs cadquery 2.8 (`pip install cadquery`, in an environment of its own: the cell does not need it at run time). Run

    python tools/author_demo_part.py models/parts/ring_housing

It writes `ring_housing.step` and, for the defect "wrong component", `screw_wrong.step` and `clip_wrong.step`: other
screws and clips under the same component names and at the same places.

Part frame: origin at the base's centre, z the ring's axis, up. Both rim faces (z = 0 and z = 16) stay flat and bare in
the two grasp sectors, 125 and 235 degrees.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cadquery as cq

OUTER, INNER, HEIGHT = 30.0, 22.0, 16.0
GRASPS = (125.0, 235.0)
GRASP_HALF_ANGLE = 24.0
SCREW_RADIUS = 26.0
SCREWS = {"screw_1": 35.0, "screw_2": 162.0, "screw_3": 204.0, "screw_4": 318.0}
SCREW_TURNS = {"screw_1": 12.0, "screw_2": 57.0, "screw_3": 81.0, "screw_4": 33.0}
CLIPS = {"clip_left": 85.0, "clip_right": 275.0}
COUNTERBORE = 0.5


def sector(r_in: float, r_out: float, start: float, stop: float, z: float, height: float) -> cq.Workplane:
    """An annular sector from azimuth `start` to `stop` (degrees), its floor at z."""

    def at(radius: float, azimuth: float) -> tuple[float, float]:
        return radius * math.cos(math.radians(azimuth)), radius * math.sin(math.radians(azimuth))

    middle = (start + stop) / 2
    return (
        cq.Workplane("XY", origin=(0, 0, z))
        .moveTo(*at(r_in, start))
        .lineTo(*at(r_out, start))
        .threePointArc(at(r_out, middle), at(r_out, stop))
        .lineTo(*at(r_in, stop))
        .threePointArc(at(r_in, middle), at(r_in, start))
        .close()
        .extrude(height)
    )


def ring(r_in: float, r_out: float, z: float, height: float) -> cq.Workplane:
    """A full ring, its floor at z."""
    return cq.Workplane("XY", origin=(0, 0, z)).circle(r_out).circle(r_in).extrude(height)


def radial_box(azimuth: float, r_in: float, r_out: float, width: float, z: float, height: float) -> cq.Workplane:
    """A box along the radius at an azimuth (degrees)."""
    box = cq.Workplane("XY", origin=(0, 0, z)).center((r_in + r_out) / 2, 0).rect(r_out - r_in, width).extrude(height)
    return box.rotate((0, 0, 0), (0, 0, 1), azimuth)


def polar_cylinder(azimuth: float, radius: float, r: float, z: float, height: float) -> cq.Workplane:
    """An upright cylinder of radius r whose axis stands at (radius, azimuth)."""
    x, y = radius * math.cos(math.radians(azimuth)), radius * math.sin(math.radians(azimuth))
    return cq.Workplane("XY", origin=(x, y, z)).circle(r).extrude(height)


def in_grasp(azimuth: float) -> bool:
    """Whether an azimuth (degrees) belongs to a grasp sector."""
    return any(abs((azimuth - grasp + 180) % 360 - 180) < GRASP_HALF_ANGLE for grasp in GRASPS)


def housing() -> cq.Workplane:
    """The moulded body."""
    body = ring(INNER, OUTER, 0, HEIGHT).faces(">Z or <Z").edges().chamfer(0.4)
    body = body.union(_floor()).union(_cable_lug())
    body = body.cut(ring(22.9, 23.5, HEIGHT - 0.8, 1))
    body = _core_out(body)
    for azimuth in SCREWS.values():
        body = body.cut(polar_cylinder(azimuth, SCREW_RADIUS, 1.3, HEIGHT - 9, 10))
        body = body.cut(polar_cylinder(azimuth, SCREW_RADIUS, 2.9, HEIGHT - COUNTERBORE, 1))
    for start, stop in ((15, 70), (292, 345)):
        for azimuth in range(start, stop + 1, 3):
            body = body.cut(radial_box(azimuth, OUTER - 0.5, OUTER + 1, 0.75, 2.5, 10.5))
    body = body.cut(sector(28.6, 31, 286, 352, HEIGHT - 1.2, 2)).cut(sector(28.6, 31, 8, 76, HEIGHT - 1.2, 2))
    return _top_details(body)


def _floor() -> cq.Workplane:
    """The perforated floor on the +x side with its stiffening wall and its ribs underneath."""
    disc = cq.Workplane("XY", origin=(0, 0, 5)).circle(INNER + 0.5).extrude(2)
    floor = disc.intersect(cq.Workplane("XY").box(40, 60, 40).translate((28, 0, 0)))
    ribs = cq.Workplane("XY", origin=(0, 0, 2.5)).pushPoints([(14, -6), (14, 6)]).rect(14, 1.2).extrude(2.6)
    wall = cq.Workplane("XY", origin=(0, 0, 2.5)).center(8.8, 0).rect(1.6, 41).extrude(9)
    holes = [(x, y) for x in (12.5, 16.5) for y in (-10.5, -3.5, 0.0, 3.5, 10.5)]
    holes += [(12.5, -14.0), (12.5, 14.0), (19.5, 2.0), (19.5, -2.0)]
    vents = cq.Workplane("XY", origin=(0, 0, 4)).pushPoints(holes).circle(1.1).extrude(4)
    boss = cq.Workplane("XY", origin=(14.5, 7.0, 7)).circle(2.4).circle(1.1).extrude(4)
    return floor.cut(vents).union(ribs).union(wall).union(boss)


def _cable_lug() -> cq.Workplane:
    """The block inside the ring at azimuth 180 that holds a cable."""
    block = radial_box(180, 14.5, INNER + 0.6, 8, 2, 11).edges("|Z").chamfer(0.8)
    return block.cut(polar_cylinder(180, 18.2, 2.2, 0, 20)).cut(radial_box(180, 13, 18.2, 1.6, 0, 20))


def _core_out(body: cq.Workplane) -> cq.Workplane:
    """Pockets from below between radial ribs, so that walls are even as in moulding; none in the grasp sectors."""
    pitch, rib = 10, 1.3
    for start in range(0, 360, pitch):
        middle = start + pitch / 2
        # A screw boss in the middle of a pocket would leave slivers of it: the pocket is left solid.
        if in_grasp(start) or in_grasp(start + pitch) or any(abs(a - middle) < 1.5 for a in SCREWS.values()):
            continue
        half_rib = math.degrees(rib / 2 / SCREW_RADIUS)
        pocket = sector(24.0, 28.2, start + half_rib, start + pitch - half_rib, -1, 10.5)
        for azimuth in SCREWS.values():
            if abs(azimuth - middle) < 12:
                pocket = pocket.cut(polar_cylinder(azimuth, SCREW_RADIUS, 2.3, -2, 20))
        if pocket.solids().size() > 0:
            body = body.cut(pocket)
    return body


def _top_details(body: cq.Workplane) -> cq.Workplane:
    """What breaks the symmetry of the top face: ribbed recesses, two holes, an arrow, a notch in the outer wall."""
    for start, stop in ((286, 308), (50, 70)):
        body = body.cut(sector(24.4, 27.6, start, stop, HEIGHT - 1.5, 2))
        for step in range(1, 4):
            azimuth = start + step * (stop - start) / 4
            body = body.union(radial_box(azimuth, 24.2, 27.8, 0.8, HEIGHT - 1.6, 1.3))
    body = body.cut(polar_cylinder(177, SCREW_RADIUS + 0.8, 1.0, HEIGHT - 3, 4))
    body = body.cut(polar_cylinder(182.5, SCREW_RADIUS + 0.8, 0.7, HEIGHT - 3, 4))
    arrow = cq.Workplane("XY", origin=(0, 0, HEIGHT - 0.6)).polyline([(24.8, -1.3), (28.8, 0), (24.8, 1.3)]).close()
    body = body.cut(arrow.extrude(1).rotate((0, 0, 0), (0, 0, 1), 191))
    return body.cut(radial_box(0, OUTER - 1.0, OUTER + 1, 7, 4, 6))


def screw() -> cq.Workplane:
    """A pan head screw with a cross recess; origin on the seat, z along the head."""
    profile = [(0, 0), (2.5, 0), (2.5, 0.8), (2.4, 1.25), (2.1, 1.6), (1.6, 1.82), (0.9, 1.92), (0, 1.95)]
    head = cq.Workplane("XZ").polyline(profile).close().revolve(360, (0, 0, 0), (0, 1, 0))
    for angle in (0, 90):
        bar = cq.Workplane("XY", origin=(0, 0, 0.9)).rect(2.7, 0.6).extrude(2).rotate((0, 0, 0), (0, 0, 1), angle)
        head = head.cut(bar)
    return head.union(cq.Workplane("XY", origin=(0, 0, -6)).circle(1.2).extrude(6))


def screw_wrong() -> cq.Workplane:
    """A cap screw with a hexagon socket: lower diameter, higher head, another recess."""
    head = cq.Workplane("XY").circle(2.15).extrude(2.5).faces(">Z").edges().chamfer(0.25)
    head = head.cut(cq.Workplane("XY", origin=(0, 0, 1.1)).polygon(6, 2.9).extrude(3))
    return head.union(cq.Workplane("XY", origin=(0, 0, -6)).circle(1.2).extrude(6))


def clip() -> cq.Workplane:
    """A snap clip over the rim's outer edge; origin on that edge, x outwards, y along the rim, z up."""
    side = [
        (-4.6, 0),
        (-4.6, 0.9),
        (-4.2, 1.2),
        (1.0, 1.2),
        (1.4, 0.8),
        (1.4, -6.8),
        (2.2, -7.6),
        (1.0, -9.2),
        (-0.35, -9.2),
    ]
    side += [(-0.35, -0.1), (-0.35, 0)]
    body = cq.Workplane("XZ").polyline(side).close().extrude(3.5, both=True)
    window = cq.Workplane("XY").box(4, 3.2, 3.6).translate((0.8, 0, -3.6))
    slot = cq.Workplane("XY").box(2.2, 3.0, 4).translate((-2.6, 0, 1.0))
    return body.cut(window).cut(slot)


def clip_wrong() -> cq.Workplane:
    """A narrower, shorter clip without window and barb, but with two ridges across its leg."""
    side = [(-4.6, 0), (-4.6, 0.9), (-4.2, 1.2), (1.0, 1.2), (1.4, 0.8), (1.4, -6.2), (-0.35, -6.2), (-0.35, 0)]
    body = cq.Workplane("XZ").polyline(side).close().extrude(2.2, both=True)
    for z in (-2.0, -4.2):
        body = body.union(cq.Workplane("XY").box(1.0, 4.4, 0.8).translate((1.4, 0, z)))
    return body


def label_plate() -> cq.Workplane:
    """The plate that carries the printed label; origin at its centre on the top face, x outwards."""
    plate = sector(23.9, 28.3, -13, 13, 0, 0.6).edges("|Z").fillet(0.6)
    return plate.translate((-SCREW_RADIUS, 0, 0))


def polar_location(azimuth: float, radius: float, z: float, turn: float = 0.0) -> cq.Location:
    """Where a component sits: its x axis radially outwards, then turned about its own z (degrees)."""
    x, y = radius * math.cos(math.radians(azimuth)), radius * math.sin(math.radians(azimuth))
    return cq.Location(cq.Plane(origin=(x, y, z))) * cq.Location((0, 0, 0), (0, 0, 1), azimuth + turn)


def add_screws(assembly: cq.Assembly, shape: cq.Workplane) -> cq.Assembly:
    """Puts a screw into each of the four holes."""
    for name, azimuth in SCREWS.items():
        location = polar_location(azimuth, SCREW_RADIUS, HEIGHT - COUNTERBORE, SCREW_TURNS[name])
        assembly.add(shape, name=name, loc=location)
    return assembly


def add_clips(assembly: cq.Assembly, shape: cq.Workplane) -> cq.Assembly:
    """Puts a clip at each of the two places on the rim."""
    for name, azimuth in CLIPS.items():
        assembly.add(shape, name=name, loc=polar_location(azimuth, OUTER, HEIGHT))
    return assembly


def main(folder: Path) -> None:
    """Writes the three STEP files."""
    folder.mkdir(parents=True, exist_ok=True)
    part = cq.Assembly(name="ring_housing").add(housing(), name="housing")
    part.add(label_plate(), name="label_plate", loc=polar_location(0, SCREW_RADIUS, HEIGHT))
    add_screws(add_clips(part, clip()), screw()).export(str(folder / "ring_housing.step"))
    add_screws(cq.Assembly(name="screw_wrong"), screw_wrong()).export(str(folder / "screw_wrong.step"))
    add_clips(cq.Assembly(name="clip_wrong"), clip_wrong()).export(str(folder / "clip_wrong.step"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
