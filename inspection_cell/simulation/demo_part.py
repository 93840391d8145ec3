"""What the simulation knows about the demo part beyond its CAD: masses, materials, and where defects may lie.

Angles are azimuths about the part's z axis, degrees; lengths metres; everything in the part frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Point = tuple[float, float, float]

CAD_FILE = "ring_housing.step"
WRONG_FILES = ("screw_wrong.step", "clip_wrong.step")

_SCREWS = {"screw_1": 35.0, "screw_2": 162.0, "screw_3": 204.0, "screw_4": 318.0}
_CLIPS = {"clip_left": 85.0, "clip_right": 275.0}

MASS_KG = {
    "housing": 0.0200,
    "label_plate": 0.00008,
    **dict.fromkeys(_CLIPS, 0.00019),
    **dict.fromkeys(_SCREWS, 0.00045),
}
NOMINAL_MASS_KG = sum(MASS_KG.values())
WRONG_MASS_CHANGE_KG = {**dict.fromkeys(_CLIPS, -0.00008), **dict.fromkeys(_SCREWS, -0.00001)}
LOOSE_COMPONENTS = ("label_plate", *_CLIPS, *_SCREWS)
REPLACEABLE_COMPONENTS = (*_CLIPS, *_SCREWS)


def _polar(azimuth: float, radius: float, z: float) -> Point:
    return radius * math.cos(math.radians(azimuth)), radius * math.sin(math.radians(azimuth)), z


COMPONENT_PLACES: dict[str, Point] = {
    "label_plate": _polar(0, 0.026, 0.0166),
    **{name: _polar(azimuth, 0.0295, 0.0165) for name, azimuth in _CLIPS.items()},
    **{name: _polar(azimuth, 0.026, 0.0172) for name, azimuth in _SCREWS.items()},
}


@dataclass(frozen=True)
class Zone:
    """A stretch of the housing's surface where a defect may lie, bare of other components.

    Attributes:
        facing: which way the surface looks; "edge" is outwards and upwards (or downwards where z is 0).
    """

    name: str
    azimuth: tuple[float, float]
    radius: tuple[float, float]
    z: tuple[float, float]
    facing: Literal["up", "down", "out", "edge"]

    def sample(self, rng: np.random.Generator) -> tuple[str, Point, Point]:
        """A random place: its name, the point, the outward normal."""
        azimuth, radius, z = (float(rng.uniform(*limits)) for limits in (self.azimuth, self.radius, self.z))
        out = _polar(azimuth, 1.0, 0.0)
        slope = math.sqrt(0.5) * (1 if z > 0 else -1)
        normal: dict[str, Point] = {
            "up": (0.0, 0.0, 1.0),
            "down": (0.0, 0.0, -1.0),
            "out": out,
            "edge": (out[0] * math.sqrt(0.5), out[1] * math.sqrt(0.5), slope),
        }
        return f"{self.name} {azimuth:.0f} deg", _polar(azimuth, radius, z), normal[self.facing]


# The fingers hide the grasp sectors of one grasp only, so that each zone is seen in views of the other grasp at least.
MARK_ZONES = (
    Zone("top", (110, 140), (0.0255, 0.0275), (0.016, 0.016), "up"),
    Zone("top", (220, 250), (0.0255, 0.0275), (0.016, 0.016), "up"),
    Zone("bottom", (110, 140), (0.025, 0.027), (0.0, 0.0), "down"),
    Zone("bottom", (220, 250), (0.025, 0.027), (0.0, 0.0), "down"),
    Zone("floor", (322, 338), (0.0155, 0.0165), (0.007, 0.007), "up"),
    Zone("outer wall", (160, 200), (0.030, 0.030), (0.006, 0.010), "out"),
)
EDGE_ZONES = (
    Zone("top edge", (170, 196), (0.030, 0.030), (0.016, 0.016), "edge"),
    Zone("top edge", (96, 102), (0.030, 0.030), (0.016, 0.016), "edge"),
    Zone("bottom edge", (165, 200), (0.030, 0.030), (0.0, 0.0), "edge"),
    Zone("bottom edge", (20, 65), (0.030, 0.030), (0.0, 0.0), "edge"),
)
CUT_ZONES = (
    *EDGE_ZONES,
    Zone("bottom rib", (40, 40), (0.0262, 0.0262), (0.0, 0.0), "down"),
    Zone("bottom rib", (180, 180), (0.0262, 0.0262), (0.0, 0.0), "down"),
    Zone("bottom rib", (340, 340), (0.0262, 0.0262), (0.0, 0.0), "down"),
)


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    Attributes:
        albedo: (r, g, b) diffuse reflectance.
        f0: specular reflectance at normal incidence; metals have much of it and no albedo.
        lobe_rad: width of the highlight, half a standard deviation of the mirrored direction.
        bump: slope of the fine surface texture.
        tone: how far the albedo varies over centimetres.
        printed: whether the label's print is on it.
    """

    albedo: Point
    f0: float
    lobe_rad: float
    bump: float
    tone: float
    printed: bool = False


_METAL = Material((0.20, 0.20, 0.19), 0.60, 0.15, 0.10, 0.0)
_CLIP = Material((0.62, 0.60, 0.54), 0.05, 0.22, 0.03, 0.02)
MATERIALS = {
    "housing": Material((0.34, 0.37, 0.42), 0.05, 0.30, 0.30, 0.10),
    "label_plate": Material((0.52, 0.52, 0.51), 0.06, 0.25, 0.01, 0.01, printed=True),
    **dict.fromkeys(_CLIPS, _CLIP),
    **dict.fromkeys(_SCREWS, _METAL),
}
FINGER = Material((0.10, 0.10, 0.105), 0.04, 0.35, 0.08, 0.1)
HAND = Material((0.30, 0.30, 0.30), 0.04, 0.40, 0.02, 0.03)
