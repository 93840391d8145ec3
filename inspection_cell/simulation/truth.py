"""What a physical part is: its serial, how it was made, its defects. Only the simulated world knows this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from inspection_cell.simulation import demo_part


class DefectKind(StrEnum):
    """What can be wrong with a part; the names are those of the labels."""

    SCRATCH = "scratch"
    CRACK = "crack"
    DOTS = "dots"
    MISSING_GEOMETRY = "missing_geometry"
    DEFORMATION = "deformation"
    MISSING_COMPONENT = "missing_component"
    WRONG_COMPONENT = "wrong_component"
    WRONG_WEIGHT = "wrong_weight"


MARKS = (DefectKind.SCRATCH, DefectKind.CRACK, DefectKind.DOTS)
"""Defects that are drawn on the surface."""
MESH_EDITS = (DefectKind.MISSING_GEOMETRY, DefectKind.DEFORMATION)
"""Defects that change the shape."""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        component: which one it is on; empty for wrong_weight.
        place: where on the component, in words, e.g. "top 128 deg".
        point: metres, part frame, the middle of it.
        normal: outward unit normal of the surface there.
        size_m: how far it reaches from end to end; 0 where it has no extent.
        mass_kg: what it adds to the part's mass.
        seed: makes its shape; the same seed gives the same defect.
    """

    kind: DefectKind
    component: str
    place: str = ""
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    size_m: float = 0.0
    mass_kg: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class PartTruth:
    """One physical part.

    Attributes:
        seed: makes everything that differs between good parts: tone, gloss, mould texture, how components sit.
        mass_kg: true mass, defects included.
    """

    serial: str
    seed: int
    defects: tuple[Defect, ...] = ()
    mass_kg: float = demo_part.NOMINAL_MASS_KG

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.defects

    def components_with(self, kind: DefectKind) -> frozenset[str]:
        """Names of the components that have a defect of this kind."""
        return frozenset(d.component for d in self.defects if d.kind is kind)


def make_part(serial: str, seed: int, kinds: Sequence[DefectKind | str] = ()) -> PartTruth:
    """A part as it comes from the line, with one defect of each of `kinds`; the same arguments give the same part."""
    rng = np.random.default_rng([seed, 1])
    defects: list[Defect] = []
    for i, kind in enumerate(kinds):
        defect = make_defect(DefectKind(kind), seed * 101 + i)
        taken = {d.component for d in defects} - {"housing", ""}
        # No component can be both missing and wrong, nor missing twice.
        while defect.component in taken:
            defect = make_defect(DefectKind(kind), defect.seed + 7919)
        defects.append(defect)
    mass = demo_part.NOMINAL_MASS_KG * (1 + 0.003 * float(np.clip(rng.standard_normal(), -2.5, 2.5)))
    return PartTruth(serial, seed, tuple(defects), mass + sum(d.mass_kg for d in defects))


def make_defect(kind: DefectKind, seed: int) -> Defect:
    """A defect of this kind at a place, and of a size, that its seed decides."""
    rng = np.random.default_rng([seed, 2])
    base = Defect(kind, "housing", seed=seed)
    if kind in MARKS or kind is DefectKind.DEFORMATION:
        zones = demo_part.MARK_ZONES if kind in MARKS else demo_part.EDGE_ZONES
        zone = zones[rng.integers(len(zones))]
        place, point, normal = zone.sample(rng)
        low, high = {
            DefectKind.SCRATCH: (0.004, 0.009),
            DefectKind.CRACK: (0.004, 0.008),
            DefectKind.DOTS: (0.003, 0.005),
            DefectKind.DEFORMATION: (0.006, 0.010),
        }[kind]
        return replace(base, place=place, point=point, normal=normal, size_m=float(rng.uniform(low, high)))
    if kind is DefectKind.MISSING_GEOMETRY:
        cut = demo_part.CUT_ZONES[rng.integers(len(demo_part.CUT_ZONES))]
        place, point, normal = cut.sample(rng)
        return replace(base, place=place, point=point, normal=normal, size_m=float(rng.uniform(0.003, 0.005)))
    if kind is DefectKind.WRONG_WEIGHT:
        change = float(rng.choice([-1, 1]) * rng.uniform(0.05, 0.10))
        return replace(base, component="", place="inside", mass_kg=change * demo_part.NOMINAL_MASS_KG)
    names = demo_part.LOOSE_COMPONENTS if kind is DefectKind.MISSING_COMPONENT else demo_part.REPLACEABLE_COMPONENTS
    name = str(rng.choice(names))
    mass = -demo_part.MASS_KG[name] if kind is DefectKind.MISSING_COMPONENT else demo_part.WRONG_MASS_CHANGE_KG[name]
    point = demo_part.COMPONENT_PLACES[name]
    return replace(base, component=name, place=name, point=point, mass_kg=mass)
