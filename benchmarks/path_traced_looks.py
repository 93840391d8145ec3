"""How things look in the path-traced pictures: measured metals, plastics, paints, prints, grounds, rooms of lamps.

A look is a Mitsuba BSDF as a plain dictionary; in it a tuple is a linear RGB colour, an array (h, w, 3) or (h, w) a
texture. path_traced_render turns it into plugins. Every function takes random numbers and gives another one each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Look = dict[str, Any]
Texture = NDArray[np.float32]
Colour = tuple[float, float, float]

MEASURED = ("Al", "Cr", "Cu", "W", "Ir", "Ta", "Mo", "Ag", "Rh", "Nb")
STEELS = ("Cr", "W", "Mo", "Nb", "iron", "titanium")
# n and k at 630, 532 and 465 nm, rounded; Johnson and Christy, Phys. Rev. B 9, 5056 (1974).
INDICES: dict[str, tuple[Colour, Colour]] = {
    "iron": ((2.90, 2.95, 2.60), (3.08, 2.93, 2.77)),
    "titanium": ((2.73, 2.54, 2.27), (3.80, 3.43, 3.04)),
}
TEXTURE_PX = 256
_GREY, _DOTS = (0.5, 0.5, 0.5), np.full((2, 2, 3), 0.5, np.float32)
PALETTE: tuple[Look, ...] = (
    {"type": "roughconductor", "distribution": "ggx", "material": "Al", "alpha": 0.2},
    {"type": "roughconductor", "distribution": "ggx", "material": "Al", "alpha_u": 0.1, "alpha_v": 0.2},
    {"type": "roughconductor", "distribution": "ggx", "material": "Al", "alpha": _DOTS[..., 0]},
    {"type": "roughconductor", "distribution": "ggx", "eta": _GREY, "k": _GREY, "specular_reflectance": _DOTS},
    {"type": "roughconductor", "distribution": "ggx", "material": "Al", "specular_reflectance": _GREY},
    {"type": "plastic", "diffuse_reflectance": _GREY, "nonlinear": True},
    {"type": "roughplastic", "diffuse_reflectance": _GREY, "alpha": 0.2},
    {"type": "roughplastic", "diffuse_reflectance": _DOTS, "alpha": 0.2},
    {"type": "principled", "base_color": _GREY, "roughness": 0.5, "metallic": 0.5, "clearcoat": 0.5},
    {"type": "diffuse", "reflectance": _GREY},
    {"type": "diffuse", "reflectance": _DOTS},
)
"""One of each kind that the functions below make."""


def _colour(rng: np.random.Generator, low: float = 0.03, high: float = 0.8, grey: float = 0.0) -> Colour:
    """A colour; `grey` 1 takes all hue out."""
    hue = rng.uniform(low, high, 3)
    hue += grey * (hue.mean() - hue)
    return float(hue[0]), float(hue[1]), float(hue[2])


def _pair(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours of a pattern, seldom gaudy."""
    grey = rng.uniform(0.3, 1.0)
    return _colour(rng, 0.02, 0.8, grey), _colour(rng, 0.02, 0.8, grey)


def _noise(rng: np.random.Generator, across: int, down: int | None = None) -> Texture:
    """Smooth noise, 0 to 1, of so many cells a side."""
    cells = rng.random((down or across, across)).astype(np.float32)
    return np.clip(cv2.resize(cells, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_CUBIC), 0.0, 1.0)


def _between(share: Texture, one: Colour, other: Colour) -> Texture:
    mix = share[..., None] * np.array(other) + (1 - share[..., None]) * np.array(one)
    return np.clip(mix, 0.0, 1.0).astype(np.float32)


# ---- solids


def metal(rng: np.random.Generator, names: tuple[str, ...] = MEASURED) -> Look:
    """A measured metal: blasted, brushed, or worn in spots."""
    name = str(rng.choice(names))
    look: Look = {"type": "roughconductor", "distribution": "ggx"}
    if name in INDICES:
        look["eta"], look["k"] = INDICES[name]
    else:
        look["material"] = name
    alpha = float(np.exp(rng.uniform(np.log(0.06), np.log(0.45))))
    kind = rng.random()
    if kind < 0.35:
        look["alpha_u"], look["alpha_v"] = alpha, min(0.6, alpha * float(rng.uniform(2, 6)))
    elif kind < 0.6:
        worn = _noise(rng, int(rng.integers(4, 60))) ** 2 * rng.uniform(0.1, 0.3)
        look["alpha"] = (alpha + worn).astype(np.float32)
    else:
        look["alpha"] = alpha
    if rng.random() < 0.3:
        look["specular_reflectance"] = _between(_noise(rng, int(rng.integers(3, 30))), (0.55,) * 3, (1.0,) * 3)
    return look


def anodised(rng: np.random.Generator) -> Look:
    """Aluminium under a coloured layer, zinc with a yellow tinge, or steel blackened."""
    tint = (_colour(rng, 0.1, 0.9, 0.3), (0.9, 0.75, 0.35), (0.12, 0.12, 0.13))[rng.integers(3)]
    return _foil(tint, float(rng.uniform(0.12, 0.4)))


def _foil(tint: Colour | Texture, alpha: float) -> Look:
    """Aluminium of another colour."""
    look: Look = {"type": "roughconductor", "distribution": "ggx", "material": "Al"}
    return look | {"alpha": alpha, "specular_reflectance": tint}


def plastic(rng: np.random.Generator, colour: Colour | None = None) -> Look:
    """A moulded or painted surface, glossy to dull."""
    colour = colour or _colour(rng, 0.02, 0.85, rng.uniform(0.2, 1))
    kind = rng.random()
    if kind < 0.2:
        return {"type": "plastic", "diffuse_reflectance": colour, "nonlinear": True}
    if kind < 0.75:
        return {"type": "roughplastic", "diffuse_reflectance": colour, "alpha": float(rng.uniform(0.05, 0.4))}
    return {
        "type": "principled",
        "base_color": colour,
        "roughness": float(rng.uniform(0.2, 0.8)),
        "metallic": float(rng.choice([0.02, 0.02, 0.6])),
        "clearcoat": float(rng.uniform(0.3, 1.0)),
        "clearcoat_gloss": float(rng.uniform(0.4, 1.0)),
    }


def black_plastic(rng: np.random.Generator) -> Look:
    """Black or dark grey."""
    return plastic(rng, _colour(rng, 0.01, 0.07, 0.8))


def dull(rng: np.random.Generator) -> Look:
    """Chalk, paper, primer: no highlight at all."""
    return {"type": "diffuse", "reflectance": _colour(rng, 0.05, 0.85, rng.uniform(0.2, 1))}


def any_look(rng: np.random.Generator) -> Look:
    """Any of the solids."""
    kinds: tuple[Callable[[np.random.Generator], Look], ...] = (metal, anodised, plastic, black_plastic, dull)
    return kinds[rng.choice(len(kinds), p=[0.35, 0.15, 0.25, 0.15, 0.1])](rng)


def printed(rng: np.random.Generator) -> Look:
    """A label: bars, lines of text, a frame, on paper or on metal foil."""
    paper, ink = np.array(_colour(rng, 0.5, 0.9, 0.8)), np.array(_colour(rng, 0.01, 0.3, rng.uniform(0, 1)))
    if rng.random() < 0.25:
        paper, ink = ink, paper
    drawn = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    y = int(rng.integers(5, 25))
    while y < TEXTURE_PX - 10:
        height = int(rng.integers(14, 60))
        if rng.random() < 0.35:
            edges = np.cumsum(rng.integers(2, 9, 80))
            for a, b in zip(edges[::2], edges[1::2], strict=True):
                cv2.rectangle(drawn, (int(a), y), (int(b), y + height), 255, -1)
        else:
            text = "".join(rng.choice(list("ABEHKLNRTX0123456789-./ "), 14))
            cv2.putText(drawn, text, (4, y + height), cv2.FONT_HERSHEY_SIMPLEX, height / 24, 255, height // 12 + 1)
        y += height + int(rng.integers(6, 30))
    picture = _between(drawn.astype(np.float32) / 255, tuple(paper), tuple(ink))
    if rng.random() < 0.3:
        return {
            "type": "roughconductor",
            "distribution": "ggx",
            "material": "Al",
            "alpha": 0.25,
            "specular_reflectance": picture,
        }
    return {"type": "roughplastic", "diffuse_reflectance": picture, "alpha": float(rng.uniform(0.08, 0.4))}


# ---- grounds


def _wood(rng: np.random.Generator) -> Texture:
    rings = np.sin(40 * _noise(rng, 3, 2) + 30 * _noise(rng, 12, 2) + 4 * _noise(rng, 64, 4)) * 0.5 + 0.5
    dark = np.array((0.22, 0.12, 0.06)) * rng.uniform(0.6, 1.6)
    return _between(rings.astype(np.float32), tuple(dark), tuple(np.clip(dark * rng.uniform(1.3, 2.6), 0, 0.9)))


def _streaks(rng: np.random.Generator) -> Texture:
    lines = cv2.GaussianBlur(rng.random((TEXTURE_PX, TEXTURE_PX)).astype(np.float32), (0, 0), 30, sigmaY=0.6)
    lines = (lines - lines.min()) / np.ptp(lines)
    return _between(lines, _colour(rng, 0.15, 0.4, 0.8), _colour(rng, 0.4, 0.8, 0.9))


def _cardboard(rng: np.random.Generator) -> Texture:
    waves = 0.5 + 0.5 * np.sin(np.arange(TEXTURE_PX) * rng.uniform(0.1, 0.4))[:, None]
    share = 0.4 * _noise(rng, 6) + 0.35 * _noise(rng, 128) + 0.25 * waves
    return _between(share.astype(np.float32), (0.30, 0.19, 0.10), (0.55, 0.40, 0.25))


def _checker(rng: np.random.Generator) -> Texture:
    v, u = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] // int(2 ** rng.integers(4, 7))
    return _between(((u + v) % 2).astype(np.float32), *_pair(rng))


def _mat(rng: np.random.Generator) -> Texture:
    share = 0.15 * _noise(rng, 200)
    step = int(rng.integers(16, 64))
    share[::step], share[:, ::step] = 1.0, 1.0
    return _between(share, _colour(rng, 0.02, 0.4), _colour(rng, 0.3, 0.9, 0.7))


def _speckle(rng: np.random.Generator) -> Texture:
    share = 0.5 * _noise(rng, 20) + 0.5 * (_noise(rng, 128) > rng.uniform(0.4, 0.8))
    return _between(share.astype(np.float32), _colour(rng, 0.02, 0.7, 0.7), _colour(rng, 0.05, 0.9, 0.7))


def _weave(rng: np.random.Generator) -> Texture:
    v, u = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] * (2 * math.pi / int(rng.integers(5, 17)))
    share = 0.5 + 0.4 * np.sin(u) * np.sin(v) + 0.1 * _noise(rng, 30)
    return _between(np.clip(share, 0, 1).astype(np.float32), *_pair(rng))


def ground(rng: np.random.Generator) -> Look:
    """What lies under the part: wood, sheet metal, cardboard, a checked plate, a mat, stone, cloth, or one colour."""
    kinds = (_wood, _streaks, _cardboard, _checker, _mat, _speckle, _weave)
    kind = int(rng.integers(len(kinds) + 2))
    if kind >= len(kinds):
        return any_look(rng)
    texture = kinds[kind](rng)
    if kind == 1 or rng.random() < 0.15:
        return {
            "type": "roughconductor",
            "distribution": "ggx",
            "material": "Al",
            "alpha": 0.3,
            "specular_reflectance": texture,
        }
    if rng.random() < 0.6:
        return {"type": "diffuse", "reflectance": texture}
    return {"type": "roughplastic", "diffuse_reflectance": texture, "alpha": float(rng.uniform(0.15, 0.5))}


# ---- light


def room(rng: np.random.Generator, height: int = 64, width: int = 128) -> Texture:
    """(h, w, 3) radiance all around, mean 1, top row overhead: a dim room with softboxes, windows, lamps, spots."""
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    image = _dim(rng) * up + _dim(rng) * (1 - up) + np.zeros((height, width, 1), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        light = np.zeros((height, width), np.float32)
        centre = (float(rng.uniform(0, width)), float(rng.beta(1.5, 2.5) * height))
        kind = rng.random()
        if kind < 0.45:
            size = (float(rng.uniform(4, 40)), float(rng.uniform(2, 16)))
            corners = cv2.boxPoints((centre, size, float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(light, np.rint(corners).astype(np.int32), 1.0)
            light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 3.0))
            strength = rng.uniform(2, 15)
        elif kind < 0.65:
            x, y, pane = int(centre[0]), int(centre[1]), int(rng.integers(4, 9))
            for column in range(int(rng.integers(1, 5))):
                left = (x + column * (pane + 1)) % width
                light[y : y + 2 * pane, left : left + pane] = 1.0
            strength = rng.uniform(2, 10)
        else:
            cv2.circle(light, (int(centre[0]), int(centre[1])), int(rng.integers(1, 4)), 1.0, -1)
            strength = rng.uniform(20, 150)
        image += light[..., None] * strength * _tint(rng)
    weight = np.sin(np.linspace(0, math.pi, height))[:, None, None]
    return np.asarray(image / (image * weight).sum() * weight.sum() * width * 3, np.float32)


def _tint(rng: np.random.Generator) -> NDArray[np.float32]:
    """White of some colour temperature; one lamp in ten is coloured."""
    warm = rng.normal(0, 0.12)
    white = np.array((1 + warm, 1.0, 1 - warm))
    return np.asarray(rng.uniform(0.3, 1.0, 3) if rng.random() < 0.1 else white, np.float32)


def _dim(rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(np.exp(rng.uniform(np.log(0.03), np.log(0.8))) * _tint(rng), np.float32)
