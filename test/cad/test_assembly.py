"""Assemblies: names, placements, units, and each way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from inspection_cell.cad.assembly import CadError, load_assembly
from inspection_cell.core.poses import make_pose, rotation_from_rpy, transform

ROOT = Path(__file__).parents[2]
STEP = ROOT / "models/parts/ring_housing/ring_housing.step"
TASKBOARD = ROOT.parent / "shared/data/wrs_taskboard/meshes"
NAMES = ("clip_left", "clip_right", "housing", "label_plate", "screw_1", "screw_2", "screw_3", "screw_4")


def test_step_keeps_names_places_and_metres() -> None:
    assembly = load_assembly(STEP)
    assert assembly.names == NAMES
    size = assembly.bounds[1] - assembly.bounds[0]
    assert 0.055 < size[0] < 0.07 and 0.01 < size[2] < 0.03
    left, right = (assembly.components[assembly.index(n)].vertices.mean(axis=0) for n in ("clip_left", "clip_right"))
    assert left[1] > 0.02 and right[1] < -0.02


def test_cache_gives_the_same_and_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    first = load_assembly(STEP, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    again = load_assembly(STEP, cache=tmp_path)
    assert again.names == first.names and again.sha256 == first.sha256
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(first.components, again.components, strict=True))
    file.write_bytes(b"damaged")
    assert load_assembly(STEP, cache=tmp_path).names == first.names
    assert len(file.read_bytes()) > 1000


@pytest.mark.parametrize("suffix", ["stl", "ply", "obj", "glb"])
def test_meshes_are_scaled_by_the_stated_unit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"block.{suffix}"
    trimesh.Scene({"block": trimesh.creation.box((20, 30, 40))}).export(path) if suffix == "glb" else (
        trimesh.creation.box((20, 30, 40)).export(path)
    )
    assembly = load_assembly(path, unit="mm")
    assert assembly.names == ("block",)
    assert np.allclose(assembly.bounds[1] - assembly.bounds[0], (0.02, 0.03, 0.04), atol=1e-6)
    with pytest.raises(CadError, match=r"40 m wide.*state the file's unit"):
        load_assembly(path)


def test_scene_placements_are_applied_and_equal_names_made_unique(tmp_path: Path) -> None:
    place = make_pose(rotation_from_rpy(0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    scene = trimesh.Scene()
    box = trimesh.creation.box((0.01, 0.02, 0.03))
    scene.add_geometry(box, node_name="pin", geom_name="a")
    scene.add_geometry(box, node_name="bolt", geom_name="b", transform=place)
    data = scene.export(file_type="glb").replace(b'"bolt"', b'"pin" ')
    path = tmp_path / "two.glb"
    path.write_bytes(data)
    assembly = load_assembly(path)
    assert len(set(assembly.names)) == 2 and "pin" in assembly.names
    assert any("'pin' is used 2 times" in note for note in assembly.notes)
    moved = next(c for c in assembly.components if np.linalg.norm(c.vertices.mean(axis=0)) > 0.1)
    expected = transform(place, box.vertices)
    distance = np.linalg.norm(moved.vertices[:, None] - expected[None], axis=2)
    assert distance.min(axis=1).max() < 1e-7


def test_refusals_name_the_file_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(CadError, match=r"gone.step: no such file"):
        load_assembly(tmp_path / "gone.step")
    (tmp_path / "part.docx").write_text("x")
    with pytest.raises(CadError, match=r"format .docx is not read; export it as one of"):
        load_assembly(tmp_path / "part.docx")
    for content in (b"", b"no step at all", STEP.read_bytes()[:3000]):
        (tmp_path / "bad.step").write_bytes(content)
        with pytest.raises(CadError, match=r"bad.step: cannot be read as STEP"):
            load_assembly(tmp_path / "bad.step")
    for suffix in ("stl", "ply", "obj", "glb"):
        (tmp_path / f"bad.{suffix}").write_bytes(b"")
        with pytest.raises(CadError, match=f"bad.{suffix}"):
            load_assembly(tmp_path / f"bad.{suffix}")
    with pytest.raises(CadError, match=r"unit 'mm' was stated, but STEP carries its own"):
        load_assembly(STEP, unit="mm")
    trimesh.creation.box((1, 1, 1)).export(tmp_path / "block.stl")
    with pytest.raises(CadError, match=r"unit 'ell' is unknown; use one of m, mm, inch"):
        load_assembly(tmp_path / "block.stl", unit="ell")
    trimesh.creation.box((0.00005, 0.00005, 0.00005)).export(tmp_path / "dust.stl")
    with pytest.raises(CadError, match=r"dust.stl.*0.1 mm"):
        load_assembly(tmp_path / "dust.stl")
    trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False).export(tmp_path / "point.stl")
    with pytest.raises(CadError, match=r"point.stl"):
        load_assembly(tmp_path / "point.stl")


def test_unknown_component_names_what_there_is() -> None:
    with pytest.raises(CadError, match=r"component 'lid' is not in ring_housing.step; it has \['clip_left'"):
        load_assembly(STEP).index("lid")


@pytest.mark.skipif(not TASKBOARD.is_dir(), reason="../shared/data/wrs_taskboard is absent")
def test_real_stl_files_in_millimetres() -> None:
    assembly = load_assembly(TASKBOARD / "taskboard_02_plate.stl", unit="mm")
    assert np.allclose(assembly.bounds[1] - assembly.bounds[0], (0.2, 0.15, 0.025), atol=1e-4)
    with pytest.raises(CadError, match="state the file's unit"):
        load_assembly(TASKBOARD / "taskboard_02_plate.stl")
