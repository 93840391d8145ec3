"""Finishes, lights, surroundings and printed backgrounds, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
from alignment_raycast import Light, Lighting, Material
from numpy.typing import NDArray

DISTINCT_TONE = 1.6

FINISHES: Mapping[str, Material] = {
    "cast aluminium": Material((0.52, 0.52, 0.53), False, 0.25, 0.45, 0.06, 0.05, 0.0005),
    "machined steel": Material((0.60, 0.60, 0.58), True, 0.5, 0.22, 0.06, 0.04, 0.0003, 12.0),
    "zinc": Material((0.68, 0.68, 0.66), True, 0.5, 0.28, 0.06, 0.05, 0.0005),
    "blackened steel": Material((0.10, 0.10, 0.10), False, 0.10, 0.25, 0.10, 0.05, 0.0004),
    "brass": Material((0.72, 0.56, 0.28), True, 0.5, 0.20, 0.06, 0.05, 0.0005),
    "grey paint": Material((0.33, 0.35, 0.37), False, 0.05, 0.30, 0.05, 0.04, 0.0006),
    "blue paint": Material((0.10, 0.19, 0.38), False, 0.05, 0.22, 0.04, 0.03, 0.0006),
    "red plastic": Material((0.50, 0.08, 0.06), False, 0.05, 0.25, 0.03, 0.02, 0.0005),
    "yellow plastic": Material((0.66, 0.50, 0.08), False, 0.05, 0.30, 0.03, 0.02, 0.0005),
    "green plastic": Material((0.10, 0.34, 0.17), False, 0.05, 0.30, 0.04, 0.02, 0.0005),
    "white plastic": Material((0.74, 0.73, 0.69), False, 0.05, 0.30, 0.02, 0.02, 0.0005),
    "black plastic": Material((0.050, 0.050, 0.052), False, 0.05, 0.35, 0.08, 0.05, 0.0004),
    "rubber": Material((0.035, 0.035, 0.036), False, 0.03, 0.55, 0.10, 0.06, 0.0005),
    "wood": Material((0.50, 0.36, 0.22), False, 0.03, 0.60, 0.25, 0.02, 0.0008, 10.0),
}

USUAL: Mapping[str, tuple[str, ...]] = {
    "housing": ("cast aluminium", "cast aluminium", "grey paint", "black plastic", "blue paint", "machined steel"),
    "flange": ("machined steel", "machined steel", "zinc", "cast aluminium"),
    "bracket": ("zinc", "machined steel", "blackened steel", "yellow plastic"),
    "cylinder": ("cast aluminium", "machined steel", "grey paint"),
    "connector": ("black plastic", "white plastic", "green plastic"),
    "hose_clamp": ("zinc", "machined steel"),
    "hose": ("rubber", "rubber", "blue paint", "red plastic"),
    "clip": ("white plastic", "black plastic", "machined steel"),
    "bolt": ("zinc", "blackened steel", "machined steel"),
    "screw": ("blackened steel", "zinc"),
    "nut": ("zinc", "brass"),
}


def finish_of(name: str, rng: np.random.Generator) -> Material:
    """A likely finish for a component of this name, no two quite the same."""
    fitting = next((USUAL[kind] for kind in USUAL if name.startswith(kind)), tuple(FINISHES))
    return varied(FINISHES[fitting[rng.integers(len(fitting))]], rng)


def any_finish(rng: np.random.Generator) -> Material:
    """Some finish."""
    return varied(FINISHES[tuple(FINISHES)[rng.integers(len(FINISHES))]], rng)


def varied(material: Material, rng: np.random.Generator) -> Material:
    """The material a little lighter or darker, rougher or smoother."""
    albedo = np.clip(np.array(material.albedo) * rng.uniform(0.8, 1.2), 0.0, 0.95)
    return replace(
        material,
        albedo=(float(albedo[0]), float(albedo[1]), float(albedo[2])),
        roughness=float(np.clip(material.roughness * rng.uniform(0.75, 1.35), 0.06, 0.8)),
        bump=material.bump * float(rng.uniform(0.6, 1.5)),
    )


def soft_lighting(rng: np.random.Generator, to_camera: NDArray[np.float64], reach: float) -> Lighting:
    """One to three lamps above the part, the first of them often near the camera.

    Args:
        to_camera: (3,) unit, from the stage's origin.
        reach: how far the lamps are away, metres.
    """
    count = int(rng.integers(1, 4))
    shares = rng.dirichlet(np.full(count, 3.0)) if count > 1 else np.ones(1)
    lights = []
    for k in range(count):
        direction = to_camera + rng.normal(0, 0.3, 3) if k == 0 and rng.random() < 0.5 else _from_above(rng, 0.35, 1.0)
        distance = reach * rng.uniform(0.9, 1.8)
        lights.append(_lamp(direction, distance, distance * rng.uniform(0.01, 0.09), 1.5 * float(shares[k])))
    return Lighting(tuple(lights), float(rng.uniform(0.25, 0.7)), surroundings(rng))


def hard_lighting(rng: np.random.Generator, reach: float) -> Lighting:
    """One or two small lamps low above the horizon, little light else: strong cast shadows."""
    lights = [
        _lamp(_from_above(rng, 0.30, 0.65), reach * rng.uniform(1.0, 1.6), reach * rng.uniform(0.0, 0.015), intensity)
        for intensity in ((1.6,), (1.1, 0.8))[rng.integers(2)]
    ]
    return Lighting(tuple(lights), float(rng.uniform(0.10, 0.22)), 0.6 * surroundings(rng))


def surroundings(rng: np.random.Generator, height: int = 256, width: int = 512) -> NDArray[np.float32]:
    """(h, w) a hall as a mirror sees it, by azimuth and z: a dark floor, walls, a light ceiling, lamps and windows."""
    up = np.linspace(1, -1, height)[:, None]
    turn = np.linspace(-math.pi, math.pi, width, endpoint=False)[None]
    hall = np.where(up > 0, 0.25 + 0.35 * up, 0.22 + 0.12 * up) + 0.06 * np.sin(turn + rng.uniform(0, 6)) * (1 - up**2)
    image = np.ascontiguousarray(hall, np.float32)
    for _ in range(int(rng.integers(5, 11))):
        x, y = rng.uniform(0, width), rng.uniform(0.02, 0.45) * height
        size = (rng.uniform(10, 70), rng.uniform(5, 25))
        corners = cv2.boxPoints(((float(x), float(y)), (float(size[0]), float(size[1])), float(rng.uniform(0, 180))))
        value = float(rng.uniform(1.0, 4.0)) if rng.random() < 0.7 else float(rng.uniform(0.02, 0.1))
        for shift in (-width, 0, width):
            cv2.fillConvexPoly(image, np.rint(corners + (shift, 0)).astype(np.int32), value)
    return image


def plain_surface(rng: np.random.Generator, beside: Material | None = None) -> Material:
    """A background without a pattern: a mat, a sheet, a painted bench; of another tone than what is `beside` it."""
    tones = [rng.uniform(0.03, 0.10), rng.uniform(0.15, 0.4), rng.uniform(0.5, 0.75)]
    if beside is not None:
        of = float(np.mean(beside.albedo))
        tones = [tone for tone in tones if max(tone / of, of / tone) > DISTINCT_TONE] or tones
    tone = float(rng.choice(tones))
    tint = np.clip(tone * rng.uniform(0.85, 1.15, 3), 0, 1)
    albedo = (float(tint[0]), float(tint[1]), float(tint[2]))
    return Material(albedo, False, 0.03, float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.02, 0.10)), 0.03, 0.0012)


def printed_surface(rng: np.random.Generator) -> Material:
    """A background full of edges: papers, lines, print, patches, scratches."""
    size = 900
    image = np.full((size, size, 3), rng.uniform(0.1, 0.6, 3) * rng.uniform(0.6, 1.0), np.float32)
    for _ in range(int(rng.integers(25, 70))):
        colour = tuple(float(c) for c in np.clip(rng.uniform(0.03, 0.85) + rng.normal(0, 0.08, 3), 0.02, 0.9))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        kind = rng.integers(5)
        if kind == 0:
            sides = (float(rng.uniform(20, 250)), float(rng.uniform(15, 180)))
            corners = cv2.boxPoints(((float(x), float(y)), sides, float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(image, corners.astype(np.int32), colour, cv2.LINE_AA)
        elif kind == 1:
            end = (int(x + rng.integers(-400, 400)), int(y + rng.integers(-400, 400)))
            cv2.line(image, (x, y), end, colour, int(rng.integers(1, 7)), cv2.LINE_AA)
        elif kind == 2:
            cv2.circle(image, (x, y), int(rng.integers(5, 70)), colour, int(rng.choice([-1, 2, 4])), cv2.LINE_AA)
        elif kind == 3:
            for line in range(int(rng.integers(2, 9))):
                text = "".join(rng.choice(list("AEIORSTNLKXZ 0123456789-/"), 18))
                scale = float(rng.uniform(0.4, 0.8))
                cv2.putText(image, text, (x, y + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
        else:
            step = int(rng.integers(6, 22))
            for k in range(int(rng.integers(4, 16))):
                cv2.line(image, (x + k * step, y), (x + k * step, y + 12 * step), colour, max(1, step // 3))
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    return Material((0.5, 0.5, 0.5), False, 0.04, float(rng.uniform(0.3, 0.7)), 0.05, 0.03, 0.001, 1.0, image, 0.0007)


def _from_above(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """A unit vector whose z lies between two values."""
    z, turn = rng.uniform(low, high), rng.uniform(0, 2 * math.pi)
    side = math.sqrt(1 - z * z)
    return np.array([side * math.cos(turn), side * math.sin(turn), z])


def _lamp(direction: NDArray[np.float64], distance: float, radius: float, intensity: float) -> Light:
    at = direction / np.linalg.norm(direction) * distance
    return Light((float(at[0]), float(at[1]), float(at[2])), radius, intensity)
