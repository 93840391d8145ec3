"""What a surface and its light look like, at random.

The ranges are those of the conformity check of mechanical assemblies by augmented autoencoders that were trained on CAD
renders (Sec. 3.1.1 and 3.1.2 of that paper).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import rotation_from_vector

ShadingModel = Literal["phong", "cook_torrance", "mixed"]
PLAIN, SIMPLEX, SPECKLED = range(3)
PHONG, COOK_TORRANCE = range(2)
LIGHTS, LOBES = 3, 4
LIGHT_BINS = 16
TEXTURE_BINS = 3


@dataclass(frozen=True)
class AppearanceRanges:
    """What the appearance is drawn from, evenly.

    Attributes:
        shading: which model; "mixed" draws one for each object.
        greyish: how far the green and blue of a colour may lie from its red.
        specular_phong, specular_cook_torrance: reflection coefficients.
        shininess: Phong's exponent. roughness: root mean square slope of Cook and Torrance's facets.
        n, k: complex refractive index n + ik.
        grains: size of a texture's features, as fractions of the object's radius.
    """

    shading: ShadingModel = "mixed"
    greyish: float = 0.1
    specular_phong: tuple[float, float] = (0.5, 1.0)
    specular_cook_torrance: tuple[float, float] = (0.1, 0.5)
    shininess: tuple[float, float] = (2.0, 16.0)
    roughness: tuple[float, float] = (0.2, 0.8)
    n: tuple[float, float] = (0.5, 2.0)
    k: tuple[float, float] = (0.5, 7.0)
    grains: tuple[float, float] = (0.02, 0.6)


@dataclass(frozen=True)
class Appearance:
    """One object's surface.

    Attributes:
        colour: RGB, 0 to 1. model: PHONG or COOK_TORRANCE. texture: PLAIN, SIMPLEX or SPECKLED.
        grain: the texture's frequencies, features a radius, of its two scales. turn: (3, 3) of the texture.
        contrast: of the texture, 0 to 1.
    """

    colour: tuple[float, float, float]
    model: int
    specular: float
    shininess: float
    roughness: float
    n: float
    k: float
    texture: int
    grain: tuple[float, float]
    turn: NDArray[np.float64]
    contrast: float


@dataclass(frozen=True)
class Lighting:
    """Point lights, and surroundings that surfaces mirror.

    Attributes:
        directions: (LIGHTS, 3) unit, optical frame, towards each light. colours: (LIGHTS, 3), 0 where there is none.
        lobes: (LOBES, 3) unit, towards bright things around (windows, lamps with an area). lobe_colours: (LOBES, 3).
        sharpness: (LOBES,) of those things; 5 is a bright half of the room, 300 a lamp.
        ambient: (3,) from everywhere. tilt: (3,) direction towards which the surroundings grow brighter, by its length.
    """

    directions: NDArray[np.float64]
    colours: NDArray[np.float64]
    lobes: NDArray[np.float64]
    lobe_colours: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    ambient: NDArray[np.float64]
    tilt: NDArray[np.float64]


def draw_appearance(rng: np.random.Generator, ranges: AppearanceRanges, texture: int) -> Appearance:
    """A random surface with one of the textures."""
    models = {"phong": (PHONG,), "cook_torrance": (COOK_TORRANCE,), "mixed": (PHONG, COOK_TORRANCE)}[ranges.shading]
    model = int(rng.choice(models))
    red = rng.uniform(0.0, 1.0)
    green, blue = np.clip(red + rng.uniform(-ranges.greyish, ranges.greyish, 2), 0.0, 1.0)
    specular = ranges.specular_cook_torrance if model == COOK_TORRANCE else ranges.specular_phong
    low, high = np.log(ranges.grains)
    grain = np.exp(-rng.uniform(low, high, 2))
    return Appearance(
        colour=(red, float(green), float(blue)),
        model=model,
        specular=rng.uniform(*specular),
        shininess=rng.uniform(*ranges.shininess),
        roughness=rng.uniform(*ranges.roughness),
        n=rng.uniform(*ranges.n),
        k=rng.uniform(*ranges.k),
        texture=texture,
        # Half of the textures have one scale, half two across each other.
        grain=(float(grain[0]), float(grain[1]) if rng.random() < 0.5 else 0.0),
        turn=rotation_from_vector(rng.uniform(-np.pi, np.pi, 3)),
        contrast=rng.uniform(0.1, 0.8),
    )


def draw_lighting(rng: np.random.Generator, bin_: int) -> Lighting:
    """Random light whose strongest lamp stands in one of LIGHT_BINS directions: eight around, near the axis or not."""
    around, far = divmod(bin_, 2)
    azimuth = (around + rng.random()) / 8 * 2 * math.pi
    polar = math.radians(rng.uniform(0, 45) if far == 0 else rng.uniform(45, 100))
    main = np.array([math.sin(polar) * math.cos(azimuth), math.sin(polar) * math.sin(azimuth), -math.cos(polar)])
    directions = np.vstack([main, _directions(rng, LIGHTS - 1)])
    there = np.arange(LIGHTS) < rng.integers(1, LIGHTS + 1)
    strength = np.where(there, rng.uniform(0.2, 1.0, LIGHTS), 0.0) * [1.0, 0.5, 0.5]
    lobes = np.arange(LOBES) < rng.integers(1, LOBES + 1)
    return Lighting(
        directions=directions,
        colours=strength[:, None] * _tints(rng, LIGHTS),
        lobes=_directions(rng, LOBES),
        lobe_colours=np.where(lobes, rng.uniform(0.2, 2.0, LOBES), 0.0)[:, None] * _tints(rng, LOBES),
        sharpness=np.exp(rng.uniform(np.log(4), np.log(300), LOBES)),
        ambient=rng.uniform(0.02, 0.45) * _tints(rng, 1)[0],
        tilt=rng.normal(0, 0.15, 3),
    )


def _directions(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Unit vectors, most of them on the camera's side."""
    vectors = rng.normal(size=(count, 3)) - [0.0, 0.0, 0.7]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _tints(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Colours of light around white."""
    return np.asarray(1.0 + rng.uniform(-0.12, 0.12, (count, 3)))
