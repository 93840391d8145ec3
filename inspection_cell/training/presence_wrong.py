"""Components that are not the right one, made from the right ones: other shapes, sizes, seats."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.core.poses import make_pose, rotation_from_vector, transform

SEPARATOR = "#"


def with_wrong_ones(assembly: Assembly, names: list[str], each: int, rng: np.random.Generator) -> Assembly:
    """The assembly and, for every named component, `each` wrong ones called `<name>#<number>` in its place."""
    wrong = [
        Component(f"{name}{SEPARATOR}{i}", *_wrong(assembly, assembly.components[assembly.index(name)], i, rng))
        for name in names
        for i in range(each)
    ]
    return Assembly((*assembly.components, *wrong), assembly.sha256, assembly.source)


def _wrong(
    assembly: Assembly, right: Component, number: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    low, high = right.vertices.min(axis=0), right.vertices.max(axis=0)
    # Every kind in turn: none of them is what the cell will meet, together they surround it.
    kind = number % 7
    if kind == 0:
        mesh = _shape_in(low, high, rng)
    elif kind == 1:
        hull = trimesh.Trimesh(right.vertices, right.faces).convex_hull
        mesh = trimesh.Trimesh(_stretched(hull.vertices, low, rng, 0.12), hull.faces)
    elif kind == 2:
        others = [c for c in assembly.components if c.name != right.name and _size(c) < 2.5 * _size(right)]
        other = others[rng.integers(len(others))] if others else right
        turned = transform(make_pose(_quarter_turn(rng)), other.vertices - other.vertices.mean(axis=0))
        scale = _size(right) / max(_size(other), 1e-9) * rng.uniform(0.8, 1.2)
        mesh = trimesh.Trimesh(turned * scale + (low + high) / 2, other.faces)
    elif kind == 3:
        mesh = trimesh.Trimesh(_stretched(right.vertices, low, rng, 0.35), right.faces)
    elif kind == 4:
        mesh = _socket(low, high, rng)
    elif kind == 5:
        mesh = trimesh.Trimesh(_misplaced(right.vertices, rng), right.faces)
    else:
        mesh = trimesh.Trimesh(_misplaced(_stretched(right.vertices, low, rng, 0.2), rng), right.faces)
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32)


def _shape_in(low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator) -> trimesh.Trimesh:
    """A box, prism, cylinder, cone or ball of about the component's size."""
    size = (high - low) * rng.uniform(0.75, 1.2, 3)
    sections = int(rng.choice([3, 4, 6, 6, 8, 32]))
    shapes = [
        lambda: trimesh.creation.box((1, 1, 1)),
        lambda: trimesh.creation.cylinder(0.5, 1.0, sections=sections),
        lambda: trimesh.creation.cone(0.5, 1.0, sections=sections).apply_translation((0, 0, -0.5)),
        lambda: trimesh.creation.icosphere(2, 0.5),
    ]
    mesh = shapes[rng.choice(4, p=[0.3, 0.4, 0.15, 0.15])]()
    mesh.apply_transform(make_pose(rotation_from_vector((0, 0, rng.uniform(-np.pi, np.pi)))))
    mesh.apply_scale(size)
    mesh.apply_translation((low + high) / 2)
    return mesh


def _socket(low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator) -> trimesh.Trimesh:
    """A round, square or six-sided block of about the component's size with a hollow in its top."""
    outer, inner = int(rng.choice([4, 6, 32])), int(rng.choice([3, 4, 6, 32]))
    body = trimesh.creation.cylinder(0.5, 1.0, sections=outer)
    hollow = rng.uniform(0.2, 0.4)
    walls = trimesh.creation.annulus(hollow, 0.5, rng.uniform(0.05, 0.3), sections=inner)
    walls.apply_translation((0, 0, 0.5 + walls.extents[2] / 2))
    mesh: trimesh.Trimesh = trimesh.util.concatenate([body, walls])  # type: ignore[assignment]
    mesh.apply_transform(make_pose(rotation_from_vector((0, 0, rng.uniform(-np.pi, np.pi)))))
    mesh.apply_translation((0, 0, -mesh.bounds.mean(axis=0)[2]))
    mesh.apply_scale((high - low) * rng.uniform(0.75, 1.1, 3) / mesh.extents)
    mesh.apply_translation((low + high) / 2)
    return mesh


def _stretched(
    vertices: NDArray[np.float64], low: NDArray[np.float64], rng: np.random.Generator, amount: float
) -> NDArray[np.float64]:
    """Another size along and across its axis; it still stands where it stood."""
    across = np.exp(rng.uniform(-amount, amount))
    factor = np.array([across, across * np.exp(rng.uniform(-0.1, 0.1)), np.exp(rng.uniform(-amount, amount))])
    foot = np.array([vertices[:, 0].mean(), vertices[:, 1].mean(), low[2]])
    return (vertices - foot) * factor + foot


def _misplaced(vertices: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Shifted by a quarter of its size, or clearly tilted."""
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    size = float(np.max(vertices.max(axis=0) - vertices.min(axis=0)))
    axis = rng.normal(size=3)
    tilt = rotation_from_vector(axis / np.linalg.norm(axis) * rng.uniform(0.2, 0.9))
    shift = rng.normal(size=3)
    shift *= rng.uniform(0.15, 0.4) * size / np.linalg.norm(shift)
    return transform(make_pose(tilt if rng.random() < 0.6 else None, shift + centre), vertices - centre)


def _quarter_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    axis = np.eye(3)[rng.integers(3)]
    return rotation_from_vector(axis * np.pi / 2 * rng.integers(4))


def _size(component: Component) -> float:
    return float(np.linalg.norm(component.vertices.max(axis=0) - component.vertices.min(axis=0)))
