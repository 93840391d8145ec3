"""Assemblies: named components with their meshes in the part frame, read from STEP, STL, PLY, OBJ or GLB."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.cad.quality import MeshQuality, checked
from inspection_cell.core.poses import transform

UNITS = {"m": 1.0, "mm": 0.001, "inch": 0.0254}
STEP_SUFFIXES = {".step", ".stp"}
MESH_SUFFIXES = {".stl", ".ply", ".obj", ".glb"}
LARGEST_M = 5.0
SMALLEST_M = 0.0001
USUAL_M = (0.005, 1.0)
STEP_TOLERANCE_MM = 0.02
STEP_TOLERANCE_RAD = 0.25
CACHE_VERSION = "2"


class CadError(ValueError):
    """A CAD file that cannot be used; the text names the file and the cure."""


@dataclass(frozen=True)
class Assembly:
    """What the CAD says about a part.

    Attributes:
        components: sorted by name (STEP keeps no order); names are unique.
        sha256: of the file's bytes, and of the unit where one was stated.
        notes: what was changed or is remarkable, for people.
        quality: of each component's mesh, in the components' order, where it was read from a file.
    """

    components: tuple[Component, ...]
    sha256: str
    source: str = ""
    notes: tuple[str, ...] = ()
    quality: tuple[MeshQuality, ...] = ()
    bounds: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.components:
            cure = "check that the file is complete and has solids or faces"
            raise CadError(f"{self.source or 'assembly'}: holds no component; {cure}")
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
    def corners(self) -> NDArray[np.float64]:
        """(8, 3) corners of the bounding box, metres, part frame."""
        return np.stack(np.meshgrid(*self.bounds.T), axis=-1).reshape(-1, 3)

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
    if path.is_dir():
        raise CadError(f"{path}: is a folder; name the CAD file in it")
    if not path.is_file():
        raise CadError(f"{path}: no such file; check the recipe's path to the CAD model")
    if suffix not in STEP_SUFFIXES | MESH_SUFFIXES:
        allowed = ", ".join(sorted(STEP_SUFFIXES | MESH_SUFFIXES))
        raise CadError(f"{path}: format {suffix or 'without a suffix'} is not read; export it as one of {allowed}")
    if unit is not None and suffix in STEP_SUFFIXES:
        raise CadError(f"{path}: unit {unit!r} was stated, but STEP carries its own; remove the unit")
    if unit is not None and unit not in UNITS:
        raise CadError(f"{path}: unit {unit!r} is unknown; use one of {', '.join(UNITS)}")

    try:
        data = path.read_bytes()
    except OSError as error:
        raise CadError(f"{path}: cannot be read ({error.strerror}); check the file's rights") from error
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
    good, quality = _checked(components, path)
    assembly = Assembly(good, sha256, path.name, (*notes, *(n for q in quality for n in q.notes)), quality)
    note = _size_note(assembly, path, unit)
    assembly = replace(assembly, notes=(*assembly.notes, *note))
    if cached is not None:
        _write_cache(cached, assembly)
    return assembly


def _checked(components: list[Component], path: Path) -> tuple[tuple[Component, ...], tuple[MeshQuality, ...]]:
    """The components fit for use; a CadError names that which is not."""
    done = []
    for component in components:
        try:
            done.append(checked(component))
        except ValueError as error:
            cure = "export the CAD model again, or without it" if len(components) > 1 else "export the CAD model again"
            raise CadError(f"{path}: component {component.name!r} {error}; {cure}") from error
    return tuple(c for c, _ in done), tuple(q for _, q in done)


def _size_note(assembly: Assembly, path: Path, unit: str | None) -> tuple[str, ...]:
    """A sentence where the part's size makes one doubt the unit; refuses an impossible size."""
    extent = float(np.max(assembly.bounds[1] - assembly.bounds[0]))
    step = path.suffix.lower() in STEP_SUFFIXES
    stated = unit or "m"
    others = {name: extent / UNITS[stated] * scale for name, scale in UNITS.items() if name != stated}
    if not SMALLEST_M <= extent <= LARGEST_M:
        would = " or ".join(f"{name!r} makes it {_length(e)}" for name, e in others.items() if _usual(e))
        cure = "export it in its true unit" if step else f"state the file's unit: {would or 'm, mm or inch'}"
        limits = f"{SMALLEST_M * 1000:g} mm to {LARGEST_M:g} m"
        raise CadError(f"{path}: the part would be {extent:.6g} m wide, outside {limits}; {cure}")
    if _usual(extent) or step:
        return ()
    usual = " or ".join(f"{name!r} would make it {_length(e)}" for name, e in others.items() if _usual(e))
    return (f"the part is {_length(extent)} wide in {stated!r}: check the unit; {usual}",) if usual else ()


def _usual(extent_m: float) -> bool:
    return USUAL_M[0] <= extent_m <= USUAL_M[1]


def _length(extent_m: float) -> str:
    return f"{extent_m:.3g} m" if extent_m >= 1 else f"{extent_m * 1000:.3g} mm"


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
        # Only the OBJ reader knows this option: without it named objects become one.
        options: dict[str, Any] = {"split_objects": True} if path.suffix.lower() == ".obj" else {}
        scene = trimesh.load_scene(path, **options)
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
        T = np.asarray(T_part_node, float)
        faces = mesh.faces if np.linalg.det(T[:3, :3]) > 0 else mesh.faces[:, ::-1]  # a mirrored placement
        components.append(Component(str(node), transform(T, mesh.vertices), np.ascontiguousarray(faces, np.int32)))
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
            quality = tuple(MeshQuality(**q) for q in json.loads(str(store["quality"])))
            parts = tuple(Component(n, store[f"v{i}"], store[f"f{i}"]) for i, n in enumerate(names))
        return Assembly(parts, sha256, source, notes, quality)
    except Exception:  # a cache is never worth an error: whatever is wrong with it, the CAD file itself is read
        return None


def _write_cache(path: Path, assembly: Assembly) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "names": json.dumps(assembly.names),
        "notes": json.dumps(assembly.notes),
        "quality": json.dumps([asdict(q) for q in assembly.quality]),
    }
    for i, component in enumerate(assembly.components):
        arrays[f"v{i}"], arrays[f"f{i}"] = component.vertices, component.faces
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)
