"""The renderer against Open3D's ray casting: the same surfaces met by rays, without any rasteriser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from inspection_cell.cad.assembly import Assembly, Component, load_assembly
from inspection_cell.cad.box import box_component
from inspection_cell.cad.render import NOTHING, GeometryRenderer
from inspection_cell.cad.visibility import visibility
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, rotation_from_rpy, transform

try:
    import open3d
except (ImportError, OSError) as error:
    pytest.skip(
        f"Open3D cannot be imported ({error}): pip install open3d-cpu, and apt install libusb-1.0-0",
        allow_module_level=True,
    )

ROOT = Path(__file__).parents[2]
BENT = np.array([-0.2, 0.08, 0.002, -0.003, 0.0])
LENSES = {"pinhole": np.zeros(5), "distorted": BENT}
views = st.tuples(st.floats(0.3, 2.8), st.floats(-3.1, 3.1), st.floats(0.16, 0.4), st.floats(-3.1, 3.1))


def stacked_boxes() -> Assembly:
    """Boxes of many directions, whose normals are flat."""
    rng = np.random.default_rng(4)
    return Assembly(
        tuple(
            box_component(
                f"box_{k}",
                tuple(rng.uniform(0.01, 0.05, 3)),
                make_pose(rotation_from_rpy(*rng.uniform(-3, 3, 3)), rng.uniform(-0.03, 0.03, 3)),
            )
            for k in range(7)
        ),
        "0",
    )


@pytest.fixture(scope="module")
def boxes() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(stacked_boxes()) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def ring() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(load_assembly(ROOT / "models/parts/ring_housing/ring_housing.step")) as renderer:
        yield renderer


def pose_of(renderer: GeometryRenderer, view: tuple[float, float, float, float]) -> Pose:
    polar, azimuth, distance, roll = view
    away = np.array([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    centre = renderer.assembly.centre
    T_part_camera = look_at(centre + distance * away, centre, (0.1, 0.2, -1))
    return inverse(T_part_camera @ make_pose(rotation_from_rpy(0, 0, roll)))


def camera_of(distortion: np.ndarray) -> CameraModel:
    return CameraModel(260, 200, np.array([[330.0, 0, 131.2], [0, 325.0, 98.4], [0, 0, 1]]), distortion)


def cast(components: list[Component], T_camera_part: Pose, camera: CameraModel) -> tuple[np.ndarray, ...]:
    """Depth (h, w), 0 where nothing is, index of the component (h, w), and the met triangle's normal (h, w, 3)."""
    scene: Any = open3d.t.geometry.RaycastingScene()
    owners = {}
    for k, component in enumerate(components):
        points = transform(T_camera_part, component.vertices).astype(np.float32)
        owners[scene.add_triangles(points, component.faces.astype(np.uint32))] = k
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2).astype(float)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    ideal = cv2.undistortPointsIter(pixels, camera.matrix, camera.distortion, None, None, stop).reshape(*u.shape, 2)
    rays = np.zeros((*u.shape, 6), np.float32)
    rays[..., 3:5], rays[..., 5] = ideal, 1.0  # a ray of depth 1, so that the distance along it is the depth
    met = scene.cast_rays(open3d.core.Tensor(rays))
    depth, normals = met["t_hit"].numpy(), met["primitive_normals"].numpy()
    hit = np.isfinite(depth)
    ids = np.full(u.shape, NOTHING)
    for geometry, k in owners.items():
        ids[hit & (met["geometry_ids"].numpy() == geometry)] = k
    return np.where(hit, depth, 0.0), ids, normals


def level(ids: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels with one component and no jump of the depth within a pixel around."""
    one = maximum_filter(ids, 3) == minimum_filter(ids, 3)
    jump = maximum_filter(depth, 3) - minimum_filter(depth, 3)
    return one & (jump < 0.01)


@pytest.mark.parametrize("lens", LENSES)
@settings(max_examples=12, deadline=None)
@given(view=views)
def test_depth_ids_and_normals_of_boxes(
    boxes: GeometryRenderer, lens: str, view: tuple[float, float, float, float]
) -> None:
    camera, T = camera_of(LENSES[lens]), pose_of(boxes, view)
    buffers = boxes.render(T, camera)
    depth, ids, normals = cast(list(boxes.assembly.components), T, camera)
    inner = level(ids, depth)
    assert inner.mean() > 0.5
    # A lens's picture takes the nearest pixel of a pinhole's: it shows a point up to half a pixel or so away, which
    # may be the tip of something thinner than a pixel.
    bent = lens == "distorted"
    assert np.mean(buffers.ids != ids) < (0.01 if bent else 0.001)
    assert np.count_nonzero((buffers.ids != ids) & inner) <= (3 if bent else 0)
    met = inner & (ids != NOTHING) & (buffers.ids == ids)
    near = maximum_filter(depth, 3) - minimum_filter(depth, 3) if bent else 0.0
    assert np.all((np.abs(buffers.depth - depth) <= 1e-4 + near)[met])
    turn = (maximum_filter(normals, (3, 3, 1)) - minimum_filter(normals, (3, 3, 1))).max(axis=2)
    flat = met & (turn < 1e-3)
    cosine = np.abs(np.einsum("hwc,hwc->hw", normals, buffers.normals))
    assert flat.sum() > 200 and np.degrees(np.arccos(np.clip(cosine[flat], 0, 1))).max() < 1.0


@pytest.mark.parametrize("lens", LENSES)
@settings(max_examples=8, deadline=None)
@given(view=views)
def test_the_demo_part(ring: GeometryRenderer, lens: str, view: tuple[float, float, float, float]) -> None:
    camera, T = camera_of(LENSES[lens]), pose_of(ring, view)
    buffers = ring.render(T, camera)
    depth, ids, _ = cast(list(ring.assembly.components), T, camera)
    assert np.mean(buffers.ids != ids) < 0.015
    assert np.mean((buffers.ids == NOTHING) != (ids == NOTHING)) < 0.01
    near = maximum_filter(depth, 3) - minimum_filter(depth, 3) if lens == "distorted" else 0.0
    met = level(ids, depth) & (ids != NOTHING) & (buffers.ids == ids)
    assert np.mean((np.abs(buffers.depth - depth) > 1e-4 + near)[met]) < 0.01  # small steps within a component


@settings(max_examples=8, deadline=None)
@given(view=views, place=st.tuples(*[st.floats(-0.03, 0.03)] * 2))
def test_visibility_and_what_hides(
    boxes: GeometryRenderer, view: tuple[float, float, float, float], place: tuple[float, float]
) -> None:
    camera, T = camera_of(np.zeros(5)), pose_of(boxes, view)
    lid = box_component("lid", (0.03, 0.03, 0.002), make_pose(None, (*place, 0.05)))
    parts = [*boxes.assembly.components, lid]
    ids = cast(parts, T, camera)[1]
    for k, component in enumerate(boxes.assembly.components):
        alone = cast([component], T, camera)[1] == 0
        if np.count_nonzero(alone) < 400 or alone[[0, -1]].any() or alone[:, [0, -1]].any():
            continue
        seen = visibility(boxes, component.name, T, camera, [lid])
        assert seen.outside == 0.0
        assert seen.fraction == pytest.approx(np.mean(ids[alone] == k), abs=0.04)
        for j, other in enumerate(parts):
            if j != k:
                assert dict(seen.hidden_by).get(other.name, 0.0) == pytest.approx(np.mean(ids[alone] == j), abs=0.04)
        assert seen.fraction + sum(share for _, share in seen.hidden_by) == pytest.approx(1.0, abs=0.02)
