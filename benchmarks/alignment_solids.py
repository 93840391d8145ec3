"""Solids that the benchmark's assemblies are made of, in millimetres: chamfered prisms, screws, clips, hoses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold, Mesh
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Component

Point = tuple[float, float]
Place = tuple[float, float, float]

SEGMENTS = 80
FINE_SEGMENTS = 40


def component(name: str, solid: Manifold) -> Component:
    """The solid as a component in metres."""
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties, float)[:, :3] / 1000.0
    return Component(name, vertices, np.asarray(mesh.tri_verts, np.int32))


def rounded(outline: Sequence[Point], radius: float) -> CrossSection:
    """A convex outline with its corners rounded."""
    return CrossSection([outline]).offset(-radius, JoinType.Miter).offset(radius, JoinType.Round, 2.0, FINE_SEGMENTS)


def rectangle(width: float, depth: float, radius: float = 0.0) -> CrossSection:
    """A rectangle about the origin."""
    x, y = width / 2, depth / 2
    corners = [(-x, -y), (x, -y), (x, y), (-x, y)]
    return rounded(corners, radius) if radius > 0 else CrossSection([corners])


def prism(outline: CrossSection, height: float, chamfer: float = 0.0) -> Manifold:
    """A convex outline pulled up from z = 0; the upper edge has a chamfer."""
    if chamfer <= 0:
        return Manifold.extrude(outline, height)
    inner = outline.offset(-chamfer, JoinType.Miter)
    return Manifold.batch_hull([Manifold.extrude(outline, height - chamfer), Manifold.extrude(inner, height)])


def disc(radius: float, height: float, chamfer: float = 0.0, segments: int = SEGMENTS) -> Manifold:
    """An upright cylinder from z = 0 with a chamfer at the top."""
    if chamfer <= 0:
        return Manifold.cylinder(height, radius, radius, segments)
    top = Manifold.cylinder(chamfer, radius, radius - chamfer, segments).translate((0, 0, height - chamfer))
    return Manifold.cylinder(height - chamfer, radius, radius, segments) + top


def bore(radius: float, depth: float, at: Place, chamfer: float = 0.0, segments: int = FINE_SEGMENTS) -> Manifold:
    """What a drill takes away downwards from `at`, with a countersink of `chamfer`."""
    hole = Manifold.cylinder(depth + 1, radius, radius, segments).translate((0, 0, -depth))
    if chamfer > 0:
        sink = Manifold.cylinder(chamfer + 1, radius, radius + chamfer + 1, segments)
        hole += sink.translate((0, 0, -chamfer))
    return hole.translate(at)


def rib(start: Place, end: Place, width: float, height: float) -> Manifold:
    """A cast rib between two points of its foot: drafted, with a round back."""
    (x0, y0, _), (x1, y1, _) = start, end
    length, angle = math.hypot(x1 - x0, y1 - y0), math.degrees(math.atan2(y1 - y0, x1 - x0))
    foot = Manifold.cube((length, width, 0.5)).translate((0, -width / 2, 0))
    radius = 0.35 * width
    back = Manifold.cylinder(length - 2 * radius, radius, radius, 16).rotate((0, 90, 0))
    return (
        Manifold.batch_hull([foot, back.translate((radius, 0, height - radius))]).rotate((0, 0, angle)).translate(start)
    )


def rounded_box(width: float, depth: float, height: float, radius: float) -> Manifold:
    """A box on z = 0 with all edges rounded."""
    ball = Manifold.sphere(radius, 16)
    x, y = width / 2 - radius, depth / 2 - radius
    places = [(a, b, c) for a in (-x, x) for b in (-y, y) for c in (radius, height - radius)]
    return Manifold.batch_hull([ball.translate(at) for at in places])


def strip(path: Sequence[Point], thickness: float, width: float) -> Manifold:
    """Sheet metal bent along a path in x and z, `width` wide in y, bends rounded."""
    radius = thickness / 2
    dots = [CrossSection.circle(radius, 12).translate(p) for p in path]
    legs = [CrossSection.batch_hull([a, b]) for a, b in pairwise(dots)]
    outline = legs[0]
    for leg in legs[1:]:
        outline += leg
    return Manifold.extrude(outline, width).rotate((90, 0, 0)).translate((0, width / 2, 0))


def hexagon(across_flats: float) -> CrossSection:
    """A hexagon about the origin."""
    return CrossSection.circle(across_flats / math.sqrt(3), 6)


def hex_bolt(across_flats: float, shank: float) -> Manifold:
    """A hexagon bolt whose washer lies on z = 0, the shank below."""
    washer, head = 0.13 * across_flats, 0.42 * across_flats
    cone = Manifold.cylinder(4 * head, 0.58 * across_flats + 2.9 * head, 0.0, FINE_SEGMENTS)
    cap = (prism(hexagon(across_flats), head) ^ cone.translate((0, 0, -head / 3))).translate((0, 0, washer))
    radius = 0.31 * across_flats
    stem = Manifold.cylinder(shank + washer, radius, radius, FINE_SEGMENTS).translate((0, 0, -shank))
    return disc(0.64 * across_flats, washer, 0.2, FINE_SEGMENTS) + cap + stem


def socket_screw(radius: float, shank: float) -> Manifold:
    """A socket head screw whose head stands on z = 0."""
    head = disc(radius, 1.2 * radius, 0.12 * radius, FINE_SEGMENTS)
    socket = prism(hexagon(1.0 * radius), 1.2 * radius).translate((0, 0, 0.55 * radius))
    stem = Manifold.cylinder(shank + 0.2, 0.58 * radius, 0.58 * radius, FINE_SEGMENTS).translate((0, 0, -shank))
    return head - socket + stem


def nut(across_flats: float, stud: float) -> Manifold:
    """A hexagon nut on z = 0 with the stud that sticks out of it."""
    height = 0.8 * across_flats
    body = prism(hexagon(across_flats), height, 0.08 * across_flats)
    return body + disc(0.31 * across_flats, height + stud, 0.6, FINE_SEGMENTS)


def gear(radius: float, teeth: int, height: float) -> Manifold:
    """A spur gear with trapezoid teeth on z = 0."""
    pitch = 2 * math.pi / teeth
    depth = 0.09 * radius
    outline = [
        (r * math.cos(pitch * (i + share)), r * math.sin(pitch * (i + share)))
        for i in range(teeth)
        for share, r in ((0.0, radius - depth), (0.25, radius - depth), (0.38, radius), (0.87, radius))
    ]
    return Manifold.extrude(CrossSection([outline]), height)


def hose(path: NDArray[np.float64], radius: float, around: int = 24) -> Manifold:
    """A tube of solid rubber along a path (n, 3)."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along[0], (0.3, 0.9, 0.2))
    rings = []
    for point, direction in zip(path, along, strict=True):
        side = side - direction * (side @ direction)
        side /= np.linalg.norm(side)
        other = np.cross(direction, side)
        turn = np.linspace(0, 2 * np.pi, around, endpoint=False)[:, None]
        rings.append(point + radius * (np.cos(turn) * side + np.sin(turn) * other))
    count = len(path)
    index = np.arange(count * around).reshape(count, around)
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = index[1:], np.roll(index, -1, axis=1)[1:]
    walls = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    first, last = count * around, count * around + 1
    caps = [(first, index[0, (k + 1) % around], index[0, k]) for k in range(around)]
    caps += [(last, index[-1, k], index[-1, (k + 1) % around]) for k in range(around)]
    vertices = np.concatenate([*rings, path[:1], path[-1:]]).astype(np.float32)
    return Manifold(Mesh(vertices, np.concatenate([walls, np.array(caps)]).astype(np.uint32)))


def spline(points: Sequence[Place], count: int) -> NDArray[np.float64]:
    """(count, 3) points of a smooth curve through some points."""
    from scipy.interpolate import CubicSpline

    known = np.array(points, float)
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(known, axis=0), axis=1))])
    return np.asarray(CubicSpline(steps, known)(np.linspace(0, steps[-1], count)), float)
