"""Turns that map a part onto itself: given, or found from its mesh, and how far a turn is from doing so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.mesh import welded
from inspection_cell.cad.surface import CHECK_POINTS, Deviation, Surface
from inspection_cell.core.poses import Pose, inverse, make_pose, rotation_angle, rotation_from_vector, transform

TOLERANCE = 0.001
STEP = 0.01
NEAR_SHARE = 0.1
GLANCE_SHARE = 0.02
MOST_FOLDS = 72
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
MOST_POSES = 100_000
SAME_RAD = np.radians(2.0)
ALIKE_SPREAD = 0.1
EVERY_ANGLE = tuple(2.399963 * k for k in range(1, 8))  # the golden angle's multiples are no fraction of a turn
REFINE_POINTS = 300
SWEEP_RAD = np.radians(0.5)
SWEEP_DIRECTIONS = 1000
TRIES = 6
ROUGH_EXACT, ROUGH_PLANE, ROUGH_ALL = 0.006, 0.01, 0.03


class SymmetryError(ValueError):
    """A symmetry that cannot be used; the text says the cure."""


@dataclass(frozen=True)
class Axis:
    """An axis about which a part may be turned and looks the same.

    Attributes:
        point: a point of it, metres, part frame.
        direction: along it, part frame; made a unit vector.
        order: the part is the same `order` times a turn; None: at every angle.
    """

    point: tuple[float, float, float]
    direction: tuple[float, float, float]
    order: int | None

    def __post_init__(self) -> None:
        length = float(np.linalg.norm(self.direction))
        if len(self.direction) != 3 or not np.isfinite(length) or length < 1e-9:
            raise SymmetryError(f"symmetry axis: direction {self.direction} is none; give three numbers, not all zero")
        if len(self.point) != 3 or not np.all(np.isfinite(self.point)):
            raise SymmetryError(f"symmetry axis: point {self.point} is none; give three finite numbers, metres")
        if self.order is not None and self.order < 2:
            raise SymmetryError(f"symmetry axis: order {self.order}: give 2 or more, or none for every angle")
        x, y, z = (float(v) / length for v in self.direction)
        object.__setattr__(self, "direction", (x, y, z))

    def turn(self, angle_rad: float) -> Pose:
        """T_part_part, the turn about the axis by an angle."""
        rotation = rotation_from_vector(np.array(self.direction) * angle_rad)
        return make_pose(rotation, np.array(self.point) - rotation @ np.array(self.point))


@dataclass(frozen=True)
class NearAxis:
    """An axis about which a part looks alike but for what `deviation` names."""

    axis: Axis
    deviation: Deviation


def find_axes(assembly: Assembly, tolerance_m: float | None = None) -> tuple[Axis, ...]:
    """Axes whose turns, and the turns made of them, map the part's surface onto itself; none when it is asymmetric.

    A ball has two axes of every angle. Orders above 72 are not looked for.

    Args:
        tolerance_m: how far a point may come to lie from the surface; None: 0.1 % of the part's diameter.
    """
    tolerance = _tolerance(assembly, tolerance_m)
    surface = Surface(assembly.components)
    return _Search(surface, tolerance, -1.0).run()


def find_near_axes(assembly: Assembly, tolerance_m: float | None = None) -> tuple[NearAxis, ...]:
    """Axes about which the part looks alike but for a few components or a small share of its surface.

    They are looked for on the component with the largest surface. Turns that map the whole part onto itself are not
    named.
    """
    tolerance = _tolerance(assembly, tolerance_m)
    areas = [welded(component).area for component in assembly.components]
    largest = Surface([assembly.components[int(np.argmax(areas))]])
    whole = Surface(assembly.components) if len(areas) > 1 else largest
    found = _Search(largest, tolerance, NEAR_SHARE).run()
    judged = [NearAxis(axis, _over_turns(whole, axis, tolerance)) for axis in found]
    return tuple(n for n in judged if tolerance < n.deviation.largest_m and n.deviation.share <= NEAR_SHARE)


def deviation(assembly: Assembly, T_part_part: Pose, tolerance_m: float | None = None) -> Deviation:
    """How far the part moved by `T_part_part` is from the part, both ways."""
    surface, tolerance = Surface(assembly.components), _tolerance(assembly, tolerance_m)
    return surface.deviation([T_part_part, inverse(T_part_part)], tolerance)


def symmetry_poses(axes: Sequence[Axis], assembly: Assembly, step_m: float | None = None) -> NDArray[np.float64]:
    """(k, 4, 4) T_part_part, all turns that the axes generate, the identity first.

    An axis of every angle is divided so finely that no vertex moves more than `step_m` from one turn to the next; None:
    1 % of the part's diameter, as in the BOP benchmark.

    Raises:
        SymmetryError: the turns are too many to list: a ball, or axes that do not fit each other.
    """
    step = step_m if step_m is not None else STEP * diameter(assembly)
    if not step > 0:
        raise SymmetryError(f"step {step} m: give a distance above zero")
    round_axes = [axis for axis in axes if axis.order is None]
    if any(_angle_between(axis, round_axes[0]) > SAME_RAD for axis in round_axes[1:]):
        raise SymmetryError("the part looks the same in every orientation, as a ball: its turns cannot be listed")
    if round_axes and any(SAME_RAD < _angle_between(a, round_axes[0]) < np.pi / 2 - SAME_RAD for a in axes):
        raise SymmetryError("an axis is oblique to the axis of every angle; it must lie along or across it")
    across = [a for a in axes if not round_axes or _angle_between(a, round_axes[0]) > SAME_RAD]
    if not round_axes:
        return np.array(_group(_first_turns(across)))
    # About an axis of every angle, all that can be added is to turn it end for end.
    axis = round_axes[0]
    flips = [np.eye(4), *(a.turn(np.pi) for a in across[:1])]
    points = np.vstack([c.vertices for c in assembly.components]) - np.array(axis.point)
    radius = float(np.linalg.norm(np.cross(points, axis.direction), axis=1).max())
    count = int(np.ceil(2 * np.pi / (2 * np.arcsin(min(step / (2 * max(radius, 1e-12)), 1.0)))))
    if count > MOST_POSES:
        raise SymmetryError(f"step {step:g} m gives {count} turns; take a larger one")
    return np.array([axis.turn(2 * np.pi * k / count) @ flip for flip in flips for k in range(count)])


def diameter(assembly: Assembly) -> float:
    """The largest distance between two vertices, metres, to 0.5 %."""
    points = np.vstack([c.vertices for c in assembly.components])
    along = points @ _directions(300).T
    ends = np.unique(np.concatenate([along.argmax(axis=0), along.argmin(axis=0)]))
    return float(np.linalg.norm(points[ends][:, None] - points[ends][None], axis=2).max())


class _Search:
    """Looks for axes through a surface's centre that generate all accepted turns.

    Every turn that maps a body onto itself leaves its centre and its moments of inertia: its axis is a principal one,
    or lies in the plane, or anywhere, where the moments agree.
    """

    def __init__(self, surface: Surface, tolerance: float, most_share: float) -> None:
        """`most_share` of the surface may deviate by more than the tolerance; below 0: nothing may."""
        self._surface, self._tolerance, self._most_share = surface, tolerance, most_share
        self.found: list[Axis] = []

    def run(self) -> tuple[Axis, ...]:
        """The axes, those of the highest order first."""
        surface = self._surface
        gaps = np.diff(surface.moments) < ALIKE_SPREAD * surface.moments[-1]
        if gaps.all():
            self._sweep_all()
        else:
            for k, direction in enumerate(surface.principal.T):
                self._add_highest(_axis(surface.centre, direction, None))
                if (k == 0 and gaps[1]) or (k == 2 and gaps[0]):
                    self._sweep_plane(direction)
        kept: list[Axis] = []
        for axis in sorted(self.found, key=lambda axis: -(axis.order or MOST_FOLDS + 1)):
            if not _generated(axis, kept):
                kept.append(axis)
        return tuple(kept)

    def _added(self, axis: Axis) -> bool:
        """Whether the axis, made exact, is accepted, or one of the turns known."""
        if _generated(axis, self.found):
            return True
        axis = _refined(self._surface, axis, EVERY_ANGLE[0] if axis.order is None else 2 * np.pi / axis.order)
        if _generated(axis, self.found):
            return True
        if not self._accepted(axis):
            return False
        both = [*self.found, axis]
        try:
            if all(known.order is not None for known in both):
                _group(_first_turns(both))
        except SymmetryError:  # only nearly an axis: its turns fit no others
            return False
        self.found.append(axis)
        return True

    def _accepted(self, axis: Axis) -> bool:
        turns = _turns(axis)
        glance = self._surface.deviation(turns[:1], self._tolerance, REFINE_POINTS)
        if glance.share > max(2 * self._most_share, 0.0) + GLANCE_SHARE:
            return False
        found = _over_turns(self._surface, axis, self._tolerance)
        return found.largest_m <= self._tolerance or found.share <= self._most_share

    def _add_highest(self, axis: Axis) -> None:
        """Adds the highest order about an exact axis, if there is any."""
        if self._surface.rough(np.array([axis.turn(a) for a in EVERY_ANGLE])).max() < ROUGH_EXACT and self._added(axis):
            return
        orders = np.arange(MOST_FOLDS, 1, -1)
        rough = self._surface.rough(np.array([axis.turn(2 * np.pi / n) for n in orders]))
        # A wrong high order moves hardly anything, so the lowest are tried first, then multiples of what fits.
        likely = [int(n) for n in orders[rough < ROUGH_EXACT]]
        fitting = next((n for n in likely[::-1][:TRIES] if self._accepted(replace(axis, order=n))), None)
        if fitting is None:
            return
        for prime in PRIMES:
            while fitting * prime in likely and self._accepted(replace(axis, order=fitting * prime)):
                fitting *= prime
        self._added(replace(axis, order=fitting))

    def _sweep_plane(self, normal: NDArray[np.float64]) -> None:
        """Looks for an axis of order 2 across `normal`; one is enough, turns about the normal give the others."""
        a, b = np.linalg.svd(normal[None])[2][1:]
        angles = np.arange(0, np.pi, SWEEP_RAD)
        axes = [_axis(self._surface.centre, np.cos(t) * a + np.sin(t) * b, 2) for t in angles]
        rough = self._surface.rough(np.array([axis.turn(np.pi) for axis in axes]))
        low = np.flatnonzero((rough <= np.roll(rough, 1)) & (rough <= np.roll(rough, -1)) & (rough < ROUGH_PLANE))
        for k in low[np.argsort(rough[low])][:TRIES]:
            if self._added(axes[k]):
                return

    def _sweep_all(self) -> None:
        """Looks for axes of order 2 and 3 in all directions: they generate the turns of cube, tetrahedron and such."""
        directions = _directions(2 * SWEEP_DIRECTIONS)
        directions = directions[directions[:, 2] >= 0]
        around = cKDTree(np.concatenate([directions, -directions])).query(directions, 7)[1] % len(directions)
        for order in (3, 2):
            axes = [_axis(self._surface.centre, d, order) for d in directions]
            rough = self._surface.rough(np.array([axis.turn(2 * np.pi / order) for axis in axes]))
            low = np.flatnonzero((rough <= rough[around].min(axis=1)) & (rough < ROUGH_ALL))
            for k in low[np.argsort(rough[low])][: 2 * TRIES]:
                known = len(self.found)
                if self._added(axes[k]) and len(self.found) > known:
                    self._add_highest(replace(self.found[-1], order=None))
                    if len([axis for axis in self.found if axis.order is None]) > 1:
                        return


def _refined(surface: Surface, axis: Axis, angle_rad: float) -> Axis:
    """The axis moved so that most points come to lie on the surface after a turn."""
    points = surface.asked[:REFINE_POINTS]
    across = np.linalg.svd(np.array(axis.direction)[None])[2][1:]

    def moved(x: NDArray[np.float64]) -> Axis:
        point = np.array(axis.point) + surface.size * (x[:2] @ across)
        a, b, c = np.array(axis.direction) + x[2:] @ across
        return Axis((float(point[0]), float(point[1]), float(point[2])), (float(a), float(b), float(c)), axis.order)

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        away, face = surface.nearest(transform(moved(x).turn(angle_rad), points))
        return np.asarray(np.einsum("ij,ij->i", away, surface.normals[face]) / surface.size, float)

    # The robust loss lets a small part that does not fit, a missing clip, pull the axis hardly at all.
    x = np.zeros(4)
    for scale in (20 * TOLERANCE, TOLERANCE):
        x = least_squares(residuals, x, loss="soft_l1", f_scale=scale, diff_step=1e-4, max_nfev=10).x
    return moved(x)


def _turns(axis: Axis) -> list[Pose]:
    """At most 12 of an axis's turns, the smallest first."""
    angles = EVERY_ANGLE if axis.order is None else tuple(2 * np.pi * k / axis.order for k in range(1, axis.order))
    spread = np.unique(np.linspace(0, len(angles) - 1, min(len(angles), 12)).astype(int))
    return [axis.turn(angles[k]) for k in spread]


def _over_turns(surface: Surface, axis: Axis, tolerance: float) -> Deviation:
    """The largest deviation over the axis's turns."""
    turns = _turns(axis)
    return surface.deviation(turns, tolerance, min(CHECK_POINTS, 3 * CHECK_POINTS // len(turns)))


def _axis(point: NDArray[np.float64], direction: NDArray[np.float64], order: int | None) -> Axis:
    return Axis(
        (float(point[0]), float(point[1]), float(point[2])),
        (float(direction[0]), float(direction[1]), float(direction[2])),
        order,
    )


def _angle_between(a: Axis, b: Axis) -> float:
    return float(np.arccos(np.clip(abs(np.dot(a.direction, b.direction)), 0.0, 1.0)))


def _generated(axis: Axis, known: Sequence[Axis]) -> bool:
    """Whether the known axes already give the turns of this one."""
    for other in known:
        if other.order is None:
            along = _angle_between(axis, other)
            flipped = any(k.order is not None and _angle_between(k, other) > SAME_RAD for k in known)
            if along < SAME_RAD or (axis.order == 2 and along > np.pi / 2 - SAME_RAD and flipped):
                return True
    if axis.order is None:
        return False
    group = _group(_first_turns(known))
    return any(_same(axis.turn(2 * np.pi / axis.order), turn) for turn in group)


def _first_turns(axes: Sequence[Axis]) -> list[Pose]:
    return [axis.turn(2 * np.pi / axis.order) for axis in axes if axis.order is not None]


def _group(generators: Sequence[Pose]) -> list[Pose]:
    """All products of some turns, the identity first."""
    turns: list[Pose] = [np.eye(4)]
    for turn in turns:  # it grows while it is run through
        for generator in generators:
            new = generator @ turn
            if not any(_same(new, known) for known in turns):
                turns.append(new)
        if len(turns) > 4 * MOST_FOLDS:
            raise SymmetryError("the axes do not fit each other: their turns have no end; check their directions")
    return turns


def _same(a: Pose, b: Pose) -> bool:
    return rotation_angle(a[:3, :3].T @ b[:3, :3]) < SAME_RAD


def _directions(count: int) -> NDArray[np.float64]:
    """(count, 3) unit vectors spread evenly over the sphere, along a spiral."""
    k = np.arange(count)
    z, angle = 1 - (2 * k + 1) / count, EVERY_ANGLE[0] * k
    radius = np.sqrt(1 - z * z)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])


def _tolerance(assembly: Assembly, stated_m: float | None) -> float:
    tolerance = stated_m if stated_m is not None else TOLERANCE * diameter(assembly)
    if not tolerance > 0:
        raise SymmetryError(f"tolerance {tolerance} m: give a distance above zero")
    return tolerance
