"""Files that are wrong on purpose, and meshes whose normals are: each is named, mended or refused with the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.cad.assembly import CadError, load_assembly
from inspection_cell.cad.component import Component
from inspection_cell.cad.quality import checked

STEP = Path(__file__).parents[2] / "models/parts/ring_housing/ring_housing.step"
MESHES = ("stl", "ply", "obj", "glb")


def write(mesh: trimesh.Trimesh, path: Path) -> Path:
    (trimesh.Scene({path.stem: mesh}) if path.suffix == ".glb" else mesh).export(path)
    return path


def component(mesh: trimesh.Trimesh) -> Component:
    return Component("part", np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))


def volume(made: Component) -> float:
    return float(trimesh.Trimesh(made.vertices, made.faces, process=False).volume)


def hollow_ball_and_box() -> trimesh.Trimesh:
    hollow = trimesh.creation.icosphere(2, 0.01)
    hollow.invert()
    box = trimesh.creation.box((0.02, 0.02, 0.02)).apply_translation((0.1, 0, 0))
    return trimesh.util.concatenate([trimesh.creation.icosphere(2, 0.02), hollow, box])


@pytest.mark.parametrize("suffix", MESHES)
@pytest.mark.parametrize("content", [b"", b"this is no mesh\n" * 60, bytes(range(256)) * 20])
def test_what_is_no_mesh_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"part.{suffix}"
    path.write_bytes(content)
    with pytest.raises(CadError, match=rf"part.{suffix}.*(export the CAD model again|check that the file is complete)"):
        load_assembly(path)


@pytest.mark.parametrize("suffix", MESHES)
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(trimesh.creation.box((0.02, 0.03, 0.04)), tmp_path / f"part.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CadError, match=rf"part.{suffix}"):
        load_assembly(path)


@pytest.mark.parametrize("suffix", [*MESHES, "step"])
def test_a_folder_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"part.{suffix}").mkdir()
    with pytest.raises(CadError, match="is a folder; name the CAD file in it"):
        load_assembly(tmp_path / f"part.{suffix}")


def test_units_that_make_no_sense_are_refused_and_doubtful_ones_noted(tmp_path: Path) -> None:
    path = write(trimesh.creation.box((30, 40, 60)), tmp_path / "part.stl")
    with pytest.raises(CadError, match=r"would be 60 m wide, outside 0.1 mm to 5 m; state.*'mm' makes it 60 mm$"):
        load_assembly(path)
    assert load_assembly(path, unit="mm").notes == ()
    (note,) = load_assembly(path, unit="inch").notes
    assert "1.52 m wide in 'inch': check the unit; 'mm' would make it 60 mm" in note
    inches = write(trimesh.creation.box((30 / 25.4, 40 / 25.4, 60 / 25.4)), tmp_path / "inches.ply")
    (note,) = load_assembly(inches, unit="mm").notes
    assert "2.36 mm wide in 'mm': check the unit; 'inch' would make it 60 mm" in note
    assert load_assembly(inches, unit="inch").notes == ()
    dust = write(trimesh.creation.box((0.03, 0.04, 0.06)), tmp_path / "dust.obj")
    with pytest.raises(CadError, match=r"6e-05 m wide.*'m' makes it 60 mm"):
        load_assembly(dust, unit="mm")


def test_a_component_without_size_is_named(tmp_path: Path) -> None:
    flat = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    line = trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]], [[0, 1, 2]], process=False)
    box = trimesh.creation.box((0.02, 0.03, 0.04))
    for wrong in (flat, line):
        trimesh.Scene({"housing": box, "pin": wrong}).export(tmp_path / "part.glb")
        with pytest.raises(CadError, match=r"part.glb: component 'pin' has no size.*or without it"):
            load_assembly(tmp_path / "part.glb")
    far = Component("far", np.array([[0, 0, 0], [1, 0, np.inf], [0, 1, 0]], float), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(ValueError, match="not finite"):
        checked(far)


def test_named_objects_of_an_obj_are_components(tmp_path: Path) -> None:
    text = ""
    for k, name in enumerate(("lid", "pin")):
        box = trimesh.creation.box((0.02, 0.03, 0.04)).apply_translation((0.1 * k, 0, 0))
        text += f"o {name}\n" + "".join(f"v {x} {y} {z}\n" for x, y, z in box.vertices)
        text += "".join(f"f {a} {b} {c}\n" for a, b, c in box.faces + 1 + 8 * k)
    (tmp_path / "part.obj").write_text(text)
    assembly = load_assembly(tmp_path / "part.obj")
    assert assembly.names == ("lid", "pin") and assembly.notes == ()


@pytest.mark.parametrize("suffix", MESHES)
def test_a_part_inside_out_is_turned_and_the_cache_keeps_the_note(tmp_path: Path, suffix: str) -> None:
    mesh = trimesh.creation.box((0.02, 0.03, 0.04))
    mesh.invert()
    path = write(mesh, tmp_path / f"part.{suffix}")
    first = load_assembly(path, cache=tmp_path)
    again = load_assembly(path, cache=tmp_path)
    for assembly in (first, again):
        assert assembly.notes == ("component 'part': was inside out: all normals turned",)
        assert assembly.quality[0].turned == 12 and assembly.quality[0].outward and assembly.quality[0].watertight
        assert volume(assembly.components[0]) == pytest.approx(0.02 * 0.03 * 0.04)


def test_a_mirrored_placement_keeps_its_normals_outward(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.cone(0.01, 0.03), node_name="cone", transform=np.diag([-1.0, 1, 1, 1]))
    (tmp_path / "part.glb").write_bytes(scene.export(file_type="glb"))
    assembly = load_assembly(tmp_path / "part.glb")
    assert assembly.notes == () and volume(assembly.components[0]) > 0


@given(st.sets(st.integers(0, 651), max_size=652), st.booleans())
@settings(max_examples=25, deadline=None)
def test_single_triangles_of_closed_bodies_are_turned_outward(some: set[int], all_too: bool) -> None:
    right = hollow_ball_and_box()
    wrong = right.faces.copy()
    index = sorted(some)
    wrong[index] = wrong[index, ::-1]
    if all_too:
        wrong = wrong[:, ::-1]
    made, quality = checked(Component("part", np.asarray(right.vertices), wrong.astype(np.int32)))
    turned = trimesh.Trimesh(made.vertices, made.faces, process=False)
    assert np.allclose(turned.face_normals, right.face_normals)
    assert quality.turned == (652 - len(some) if all_too else len(some))
    assert quality.watertight and quality.outward


def test_open_meshes_are_told_from_closed_and_left_where_nothing_tells_the_outside() -> None:
    ball = trimesh.creation.icosphere(3, 0.02)
    cup = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] < 0.01], process=False)
    made, quality = checked(component(cup))
    assert not quality.watertight and quality.outward and quality.turned == 0 and "not closed" in quality.notes[0]
    cup.invert()
    made, quality = checked(component(cup))
    assert quality.turned == len(cup.faces) and volume(made) > 0
    sheet = Component(
        "sheet", np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
    )
    made, quality = checked(sheet)
    assert np.array_equal(made.faces, sheet.faces) and not quality.outward and quality.consistent
    made, quality = checked(Component("sheet", sheet.vertices, np.array([[0, 1, 2], [3, 2, 0]])))
    assert not quality.consistent and "neighbouring triangles disagree" in quality.notes[-1]


def test_triangles_without_area_are_counted_and_left_out() -> None:
    box = trimesh.creation.box((0.02, 0.03, 0.04))
    faces = np.vstack([box.faces, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
    made, quality = checked(Component("part", np.asarray(box.vertices), faces))
    assert quality.degenerate == 2 and len(made.faces) == 12 and quality.watertight
    assert "2 of 14 triangles have no area: left out" in quality.notes[0]


@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_a_truncated_step_is_refused_or_says_what_is_missing(tmp_path: Path, share: float) -> None:
    data = STEP.read_bytes()
    (tmp_path / "part.step").write_bytes(data[: int(share * len(data))])
    with pytest.raises(CadError, match=r"part.step: cannot be read as STEP; check that it is complete"):
        load_assembly(tmp_path / "part.step")
