"""Which components of an assembly are the same thing in several places, as its screws are."""

from __future__ import annotations

import numpy as np

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.component import Component

SAME = 1e-5
"""Of a component's size: so far apart vertices of the same shape may lie."""


def groups_of_alike(assembly: Assembly, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Names by shape, in their order; a component that no other is like stands alone. Mirrored ones are not alike.

    Places of one shape have the same triangles in the same order: CAD files hold the shape once.
    """
    groups: list[list[Component]] = []
    for name in names:
        component = assembly.components[assembly.index(name)]
        own = next((group for group in groups if alike(group[0], component)), None)
        if own is None:
            groups.append([component])
        else:
            own.append(component)
    return [tuple(component.name for component in group) for group in groups]


def alike(one: Component, other: Component) -> bool:
    """Whether a rigid motion brings one onto the other (W. Kabsch, Acta Cryst. A32 (1976))."""
    if one.vertices.shape != other.vertices.shape or not np.array_equal(one.faces, other.faces):
        return False
    a, b = (c.vertices - c.vertices.mean(axis=0) for c in (one, other))
    u, _, v = np.linalg.svd(a.T @ b)
    u[:, 2] *= np.linalg.det(u @ v)
    size = float(np.linalg.norm(np.ptp(a, axis=0)))
    return bool(np.abs(a @ u @ v - b).max() < SAME * size)
