"""Assemblies: named components with their meshes in the part frame, read from STEP, STL, PLY, OBJ or GLB."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose, transform

UNITS = {"m": 1.0, "mm": 0.001, "inch": 0.0254}
STEP_SUFFIXES = {".step", ".stp"}
MESH_SUFFIXES = {".stl", ".ply", ".obj", ".glb"}
LARGEST_M = 5.0
SMALLEST_M = 0.0001
STEP_TOLERANCE_MM = 0.02
STEP_TOLERANCE_RAD = 0.25
CACHE_VERSION = "1"


class CadError(ValueError):
    """A CAD file that cannot be used; the text names the file and the cure."""


@dataclass(frozen=True)
class Component:
    """One named piece of an assembly.

    Attributes:
        vertices: (n, 3) float64, metres, in the part frame.
        faces: (m, 3) int32, indices into vertices.
    """

    name: str
    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]

    def moved(self, T_part_new: Pose) -> Component:
        """The same mesh after the rigid motion `T_part_new`, e.g. a gripper given in the tool frame by T_part_tool."""
        return Component(self.name, transform(T_part_new, self.vertices), self.faces)


@dataclass(frozen=True)
class Assembly:
    """What the CAD says about a part.

    Attributes:
        components: sorted by name (STEP keeps no order); names are unique.
        sha256: of the file's bytes, and of the unit where one was stated.
        notes: what was changed or is remarkable, for people.
    """

    components: tuple[Component, ...]
    sha256: str
    source: str = ""
    notes: tuple[str, ...] = ()
    bounds: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.components:
            raise CadError(f"{self.source or 'assembly'}: holds no component; check that the file has solids or faces")
        names = Counter(c.name for c in self.components)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise CadError(f"{self.source or 'assembly'}: component names used twice: {', '.join(twice)}; rename them")
        points = np.vstack([c.vertices for c in self.components])
        object.__setattr__(self, "bounds", np.stack([points.min(axis=0), points.max(axis=0)]))

    @property
    def names(self) -> tuple[str, ...]:
        """The components' names, in order."""
        return tuple(c.name for c in self.components)

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) centre of the bounding box, metres, part frame."""
        return self.bounds.mean(axis=0)

    @property
    def radius(self) -> float:
        """Radius of a sphere about the centre that holds the part, metres."""
        return float(np.linalg.norm(self.bounds[1] - self.bounds[0])) / 2

    def index(self, name: str) -> int:
        """The place of a component.

        Raises:
            CadError: there is none of this name.
        """
        if name not in self.names:
            raise CadError(f"component {name!r} is not in {self.source or 'the assembly'}; it has {list(self.names)}")
        return self.names.index(name)


def load_assembly(path: Path | str, unit: str | None = None, cache: Path | None = None) -> Assembly:
    """Reads a CAD file.

    Args:
        path: .step, .stp, .stl, .ply, .obj or .glb.
        unit: 'm', 'mm' or 'inch', for meshes, which state no unit; None means metres. STEP states its own.
        cache: folder for the converted meshes, keyed by the file's hash; None keeps none.

    Raises:
        CadError: the file is missing, unreadable, empty or of an impossible size, or the unit is unknown or not needed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise CadError(f"{path}: no such file; check the recipe's path to the CAD model")
    if suffix not in STEP_SUFFIXES | MESH_SUFFIXES:
        allowed = ", ".join(sorted(STEP_SUFFIXES | MESH_SUFFIXES))
        raise CadError(f"{path}: format {suffix or 'without a suffix'} is not read; export it as one of {allowed}")
    if unit is not None and suffix in STEP_SUFFIXES:
        raise CadError(f"{path}: unit {unit!r} was stated, but STEP carries its own; remove the unit")
    if unit is not None and unit not in UNITS:
        raise CadError(f"{path}: unit {unit!r} is unknown; use one of {', '.join(UNITS)}")

    data = path.read_bytes()
    sha256 = hashlib.sha256(data + (unit or "").encode()).hexdigest()
    cached = cache / f"assembly-{sha256}-{CACHE_VERSION}.npz" if cache is not None else None
    if cached is not None:
        known = _read_cache(cached, sha256, path.name)
        if known is not None:
            return known
    if suffix in STEP_SUFFIXES:
        components, notes = _from_glb(_step_to_glb(path, data), path)
    elif suffix == ".glb":
        components, notes = _from_glb(data, path)
    else:
        components, notes = _from_mesh(path)
    scale = UNITS[unit or "m"]
    if scale != 1.0:
        components = [Component(c.name, c.vertices * scale, c.faces) for c in components]
    assembly = Assembly(tuple(components), sha256, path.name, tuple(notes))
    _check_size(assembly, path, suffix)
    if cached is not None:
        _write_cache(cached, assembly)
    return assembly


def _check_size(assembly: Assembly, path: Path, suffix: str) -> None:
    points = assembly.bounds
    if not np.all(np.isfinite(points)):
        raise CadError(f"{path}: has coordinates that are not finite; export the CAD model again")
    extent = float(np.max(points[1] - points[0]))
    if extent == 0.0:
        raise CadError(f"{path}: has no size, all points coincide; export the CAD model again")
    if SMALLEST_M <= extent <= LARGEST_M:
        return
    cure = (
        "export it in its true unit" if suffix in STEP_SUFFIXES else "state the file's unit: unit 'mm', 'm' or 'inch'"
    )
    raise CadError(
        f"{path}: the part would be {extent:.6g} m wide, outside {SMALLEST_M * 1000:g} mm to {LARGEST_M:g} m; {cure}"
    )


def _step_to_glb(path: Path, data: bytes) -> bytes:
    import cascadio

    # cascadio raises nothing on a bad file: it answers with no bytes.
    glb: bytes = cascadio.to_glb_bytes(
        data, cascadio.FileType.STEP, STEP_TOLERANCE_MM, STEP_TOLERANCE_RAD, use_parallel=False
    )
    if len(glb) < 20:
        raise CadError(
            f"{path}: cannot be read as STEP; check that it is complete, or export it again as AP214 or AP242"
        )
    return glb


def _from_glb(glb: bytes, path: Path) -> tuple[list[Component], list[str]]:
    import io

    try:
        scene = trimesh.load_scene(io.BytesIO(glb), file_type="glb")
        stated = _glb_mesh_node_names(glb)
    except Exception as error:
        raise CadError(f"{path}: its meshes cannot be read ({error}); export the CAD model again") from error
    return _from_scene(scene, stated)


def _from_mesh(path: Path) -> tuple[list[Component], list[str]]:
    try:
        scene = trimesh.load_scene(path)
    except Exception as error:
        raise CadError(f"{path}: cannot be read as {path.suffix} ({error}); export the CAD model again") from error
    components, notes = _from_scene(scene, Counter())
    if len(components) == 1:
        only = components[0]
        components = [Component(path.stem, only.vertices, only.faces)]
    return components, notes


def _from_scene(scene: Any, stated: Counter[str]) -> tuple[list[Component], list[str]]:
    """The scene's meshes with their placements applied; the names stand on the graph's nodes."""
    components: list[Component] = []
    notes = [f"component name {n!r} is used {k} times: made unique by a number" for n, k in stated.items() if k > 1]
    for node in scene.graph.nodes_geometry:
        T_part_node, geometry = scene.graph[node]
        mesh = scene.geometry[geometry]
        if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
            notes.append(f"node {node!r} has no faces: left out")
            continue
        vertices = transform(np.asarray(T_part_node, float), mesh.vertices)
        components.append(Component(str(node), vertices, np.asarray(mesh.faces, np.int32)))
    return sorted(components, key=lambda c: c.name), notes


def _glb_mesh_node_names(glb: bytes) -> Counter[str]:
    """How often each name stands on a node with a mesh: the loader renames the second of two."""
    length = struct.unpack_from("<I", glb, 12)[0]
    tree = json.loads(glb[20 : 20 + length])
    return Counter(str(node.get("name", "")) for node in tree.get("nodes", []) if "mesh" in node and node.get("name"))


def _read_cache(path: Path, sha256: str, source: str) -> Assembly | None:
    """The cached assembly; None where there is none or it is damaged (it is then made anew)."""
    try:
        with np.load(path) as store:
            names = json.loads(str(store["names"]))
            notes = tuple(json.loads(str(store["notes"])))
            parts = tuple(Component(n, store[f"v{i}"], store[f"f{i}"]) for i, n in enumerate(names))
        return Assembly(parts, sha256, source, notes)
    except Exception:  # a cache is never worth an error: whatever is wrong with it, the CAD file itself is read
        return None


def _write_cache(path: Path, assembly: Assembly) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"names": json.dumps(assembly.names), "notes": json.dumps(assembly.notes)}
    for i, component in enumerate(assembly.components):
        arrays[f"v{i}"], arrays[f"f{i}"] = component.vertices, component.faces
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)
