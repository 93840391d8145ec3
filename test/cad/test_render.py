"""Rendering and visibility against geometry that is known exactly: a ball, boxes, and ray casting in numpy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from inspection_cell.cad.assembly import Assembly, Component, load_assembly
from inspection_cell.cad.distortion import pinhole_cover
from inspection_cell.cad.render import NOTHING, OCCLUDER, GeometryRenderer, RenderError
from inspection_cell.cad.shading import Light, Shading
from inspection_cell.cad.visibility import visibility, visible_fraction, visible_fractions
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, make_pose, transform

ROOT = Path(__file__).parents[2]
RADIUS = 0.03
FACING = make_pose(np.diag([1.0, -1.0, -1.0]), (0.0, 0.0, 0.4))


def component(name: str, mesh: trimesh.Trimesh) -> Component:
    return Component(name, np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))


def block(name: str, size: tuple[float, float, float], at: tuple[float, float, float]) -> Component:
    return component(name, trimesh.creation.box(size, make_pose(None, at)))


@pytest.fixture(scope="module")
def ball() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(Assembly((component("ball", trimesh.creation.icosphere(5, RADIUS)),), "0")) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def ring() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(load_assembly(ROOT / "models/parts/ring_housing/ring_housing.step")) as renderer:
        yield renderer


def rays(camera: CameraModel) -> np.ndarray:
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera.matrix).T


def test_a_balls_depth_normals_and_outline(ball: GeometryRenderer) -> None:
    camera = CameraModel(180, 130, np.array([[520.0, 0, 80.3], [0, 510.0, 70.6], [0, 0, 1]]))
    pose = make_pose(None, (0.008, -0.005, 0.3))
    buffers = ball.render(pose, camera)
    direction, centre = rays(camera), pose[:3, 3]
    a, b = np.sum(direction**2, axis=-1), direction @ centre
    inside = b**2 - a * (centre @ centre - RADIUS**2)
    hit = inside > 0
    assert np.count_nonzero(hit != (buffers.ids == 0)) <= 12  # the ball is a polyhedron, its rim lies within it
    both = hit & (buffers.ids == 0) & (inside > inside.max() * 0.05)
    depth = (b - np.sqrt(np.where(hit, inside, 0))) / a
    assert np.abs(buffers.depth - depth)[both].max() < 5e-5
    normal = (direction * depth[..., None] - centre) / RADIUS
    assert np.sum(buffers.normals * normal, axis=-1)[both].min() > 0.999
    assert np.all(buffers.depth[buffers.ids == NOTHING] == 0)


def test_the_ring_agrees_with_ray_casting(ring: GeometryRenderer) -> None:
    camera = CameraModel.pinhole(90, 70, 110.0)
    pose = inverse(look_at((0.05, 0.04, 0.06), ring.assembly.centre, (0.3, 0.2, -1)))
    buffers = ring.render(pose, camera)
    rng = np.random.default_rng(0)
    triangles = [transform(pose, c.vertices)[c.faces] for c in ring.assembly.components]
    owner = np.repeat(np.arange(len(triangles)), [len(t) for t in triangles])
    a, b, c = np.concatenate(triangles).transpose(1, 0, 2)
    wrong = 0
    for u, v in rng.integers(0, (90, 70), (150, 2)):
        direction = np.linalg.inv(camera.matrix) @ (u, v, 1.0)
        # Moeller and Trumbore: the ray meets a triangle where both barycentric coordinates are in range.
        p = np.cross(direction, c - a)
        det = np.einsum("ij,ij->i", p, b - a)
        safe = np.where(np.abs(det) > 1e-15, det, np.inf)
        s = np.einsum("ij,ij->i", p, -a) / safe
        q = np.cross(-a, b - a)
        t = q @ direction / safe
        depth = np.einsum("ij,ij->i", q, c - a) / safe
        met = (s >= 0) & (t >= 0) & (s + t <= 1) & (depth > 0) & np.isfinite(safe)
        if not met.any():
            wrong += buffers.ids[v, u] != NOTHING
            continue
        nearest = int(np.argmin(np.where(met, depth, np.inf)))
        wrong += buffers.ids[v, u] != owner[nearest] or abs(buffers.depth[v, u] - depth[nearest]) > 1e-5
    assert wrong <= 2  # a ray may fall between two pixels' worth of an edge


def test_distortion_puts_surfaces_where_the_camera_model_does(ball: GeometryRenderer) -> None:
    distortion = np.array([-0.25, 0.12, 0.002, -0.003, 0.0])
    camera = CameraModel(320, 240, np.array([[400.0, 0, 150], [0, 400, 130], [0, 0, 1]]), distortion)
    for place in ((0.07, 0.05, 0.3), (-0.08, -0.06, 0.3), (0.0, 0.0, 0.3)):
        pose = make_pose(None, place)
        points = transform(pose, ball.assembly.components[0].vertices)
        pixels = camera.project(points)
        v, u = np.nonzero(ball.render(pose, camera).ids == 0)
        assert abs(u.min() - pixels[:, 0].min()) < 1.5 and abs(u.max() - pixels[:, 0].max()) < 1.5
        assert abs(v.min() - pixels[:, 1].min()) < 1.5 and abs(v.max() - pixels[:, 1].max()) < 1.5


def test_a_lens_picture_is_the_pinholes_looked_up_where_the_lens_bends_to() -> None:
    camera = CameraModel(
        640, 480, np.array([[700.0, 0, 322], [0, 695, 235], [0, 0, 1]]), np.array([-0.2, 0.08, 0.002, -0.003, 0])
    )
    pinhole, places = pinhole_cover(camera)
    ideal = (places.reshape(-1, 2) - pinhole.matrix[:2, 2]) / pinhole.matrix[[0, 1], [0, 1]]
    v, u = np.mgrid[: camera.height, : camera.width]
    back = camera.project(np.column_stack([ideal, np.ones(len(ideal))])).reshape(480, 640, 2)
    assert np.abs(back - np.dstack([u, v])).max() < 0.03
    assert places.min() >= 0 and np.all(places.max(axis=(0, 1)) <= (pinhole.width - 1, pinhole.height - 1))


def test_hidden_moved_and_occluding_things(ring: GeometryRenderer) -> None:
    camera = CameraModel.pinhole(160, 120, 350.0)
    pose = inverse(look_at((0.02, 0.01, 0.25), ring.assembly.centre, (0, 1, 0)))
    index = ring.assembly.index("clip_left")
    before = ring.render(pose, camera).ids
    assert (before == index).any()
    assert not (ring.render(pose, camera, hidden=["clip_left"]).ids == index).any()
    away = ring.render(pose, camera, moved={"clip_left": make_pose(None, (0, 0.004, 0))}).ids
    assert np.argwhere(away == index).mean(axis=0) != pytest.approx(np.argwhere(before == index).mean(axis=0), abs=3)
    lid = block("lid", (0.1, 0.1, 0.001), (0, 0, 0.05))
    covered = ring.render(pose, camera, occluders=[lid]).ids
    assert set(np.unique(covered)) <= {NOTHING, OCCLUDER}


def test_shading_is_brighter_where_the_light_is(ball: GeometryRenderer) -> None:
    camera = CameraModel.pinhole(101, 101, 300.0)
    picture, covered = ball.shade(make_pose(None, (0, 0, 0.3)), camera, Shading((Light((-1.0, 0, 0), 0.8),)))
    assert covered[50, 50] and not covered[0, 0] and picture[0, 0] == 0
    assert picture[50, 30] > 2 * picture[50, 70]


def test_visible_fraction_of_a_half_covered_plate() -> None:
    plate = block("plate", (0.04, 0.04, 0.001), (0, 0, 0))
    cover = block("cover", (0.04, 0.04, 0.001), (0.02, 0, 0.01))
    camera = CameraModel.pinhole(400, 400, 4000.0)
    far = make_pose(np.diag([1.0, -1.0, -1.0]), (0.0, 0.0, 2.0))
    with GeometryRenderer(Assembly((plate, cover), "0")) as renderer:
        seen = visible_fractions(renderer, far, camera)
        assert seen["cover"] == pytest.approx(1.0)
        assert seen["plate"] == pytest.approx(0.5, abs=0.02)
        assert visible_fraction(renderer, "plate", far, camera, hidden=["cover"]) == pytest.approx(1.0)
        lid = block("lid", (0.1, 0.02, 0.001), (0, 0.01, 0.03))
        assert visible_fraction(renderer, "plate", far, camera, [lid]) == pytest.approx(0.25, abs=0.02)
        half_out = make_pose(np.diag([1.0, -1.0, -1.0]), (0.1, 0.0, 2.0))
        assert visible_fraction(renderer, "cover", half_out, camera) < 0.05
        assert visible_fraction(renderer, "plate", half_out, camera, hidden=["cover"]) == pytest.approx(0.5, abs=0.03)
        behind = make_pose(None, (0, 0, -1.0))
        assert visible_fraction(renderer, "plate", behind, camera) == 0.0


def test_what_hides_a_component_is_named() -> None:
    plate = block("plate", (0.04, 0.04, 0.001), (0, 0, 0))
    cover = block("cover", (0.04, 0.04, 0.001), (0.02, 0, 0.01))
    fingers = [
        block("finger_1", (0.01, 0.04, 0.001), (-0.015, 0, 0.02)),
        block("finger_2", (0.04, 0.01, 0.001), (0, -0.015, 0.03)),
    ]
    camera = CameraModel.pinhole(400, 400, 4000.0)
    far = make_pose(np.diag([1.0, -1.0, -1.0]), (0.0, 0.0, 2.0))
    with GeometryRenderer(Assembly((cover, plate), "0")) as renderer:
        seen = visibility(renderer, "plate", far, camera, fingers)
        shares = dict(seen.hidden_by)
        assert seen.hidden_by[0][0] == "cover" and list(shares.values()) == sorted(shares.values(), reverse=True)
        # The cover hides the right half but for what the second finger, above it, hides.
        assert shares["cover"] == pytest.approx(0.375, abs=0.02)
        assert shares["finger_1"] == pytest.approx(0.1875, abs=0.02)
        assert shares["finger_2"] == pytest.approx(0.25, abs=0.02)
        assert seen.fraction == pytest.approx(0.1875, abs=0.02) and seen.outside == 0.0
        assert set(np.unique(renderer.render(far, camera, (), fingers).ids)) == {NOTHING, OCCLUDER, 0, 1}
        half_out = make_pose(np.diag([1.0, -1.0, -1.0]), (0.1, 0.0, 2.0))
        assert visibility(renderer, "plate", half_out, camera, hidden=["cover"]).outside == pytest.approx(0.5, abs=0.03)
        assert visibility(renderer, "plate", make_pose(None, (0, 0, -1.0)), camera).outside == 1.0


def test_renderers_live_side_by_side_and_refuse_other_threads(ball: GeometryRenderer, ring: GeometryRenderer) -> None:
    camera = CameraModel.pinhole(60, 50, 150.0)
    first = ball.render(FACING, camera)
    ring.render(FACING, camera)
    with GeometryRenderer(ball.assembly) as other:
        assert np.array_equal(other.render(FACING, camera).depth, first.depth)
    assert np.array_equal(ball.render(FACING, camera).depth, first.depth)
    with pytest.raises(RenderError, match="closed"):
        other.render(FACING, camera)
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            ball.render(FACING, camera)
        except RenderError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "thread that made it" in str(caught[0])
