"""Alignment by depth: recovers known poses from noisy depth and clouds, says how well, joins the edges, and refuses."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shaded import CAMERA, errors, picture, prior_of, renderer_of, viewpoint

from inspection_cell.alignment.depth import align_cloud, align_depth
from inspection_cell.alignment.depth_fit import DepthNoise, PartSurface
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.fusion import DepthView, align_with_depth, estimate_by_depth, fused
from inspection_cell.alignment.multiview import joined
from inspection_cell.alignment.one_view import align
from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, make_pose, perturb, twist_between

BOUND = (0.005, np.radians(4.0))
DEPTH_CAMERA = CameraModel.pinhole(424, 320, 1100.0)
SENSOR = DepthNoise(floor_m=0.0001, per_m2=0.0015, scale=0.0)
BEHIND_M = 0.45
unit = st.floats(-1.0, 1.0)


@pytest.fixture(scope="module")
def surface(part: PartEdges) -> PartSurface:
    return PartSurface(part.assembly)


def measured(renderer: GeometryRenderer, pose: Pose, camera: CameraModel = DEPTH_CAMERA, seed: int = 0, hidden=()):
    """A depth picture as a camera takes it: noise, some common to 2 mm and to 20 mm, holes, and a wall behind."""
    rng = np.random.default_rng(seed)
    depth = renderer.render(pose, camera, hidden).depth.astype(float)
    depth[depth == 0] = BEHIND_M
    shape = depth.shape[::-1]
    grain, near, wide = (cv2.resize(rng.normal(size=(h, w)), shape) for h, w in ((320, 424), (40, 53), (5, 6)))
    depth += 0.0015 * depth**2 * (0.9 * grain + 0.5 * near + 0.3 * wide)
    holes = cv2.resize(rng.normal(size=(20, 26)), shape) > 1.3
    return np.where(holes, 0.0, depth).astype(np.float32)


def cloud_of(depth: np.ndarray, camera: CameraModel) -> np.ndarray:
    row, column = np.nonzero(depth)
    rays = np.column_stack([column, row, np.ones(len(row))]) @ np.linalg.inv(camera.matrix).T
    return rays * depth[row, column, None]


def normalised(truth: Pose, pose: Pose, covariance: np.ndarray) -> float:
    off = twist_between(truth, pose)
    return float(off @ np.linalg.solve(covariance, off))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(azimuth=st.floats(-3.1, 3.1), tilt=st.floats(0.4, 0.75), twist=st.tuples(*[unit] * 6), seed=st.integers(0, 50))
def test_recovers_random_deviations(part, surface, azimuth, tilt, twist, seed) -> None:
    truth = viewpoint(part, azimuth, tilt)
    prior = prior_of(part, truth, np.array(twist) * ([BOUND[0]] * 3 + [BOUND[1]] * 3) / np.sqrt(3))
    found = align_depth(measured(renderer_of(part), truth, seed=seed), DEPTH_CAMERA, surface, prior, BOUND, SENSOR)
    assert found.accepted, found.reason
    whole, _, angle = errors(part, truth, found.T_camera_part)
    assert whole < 0.0001 and angle < np.radians(0.1)
    assert normalised(truth, found.T_camera_part, found.covariance) < 22.5  # once in 1000


def test_the_covariance_is_honest(part, surface) -> None:
    rng = np.random.default_rng(5)
    values = []
    for seed in range(25):
        truth = viewpoint(part, rng.uniform(-3, 3), rng.uniform(0.4, 0.75))
        depth = measured(renderer_of(part), truth, seed=100 + seed)
        found = align_depth(depth, DEPTH_CAMERA, surface, prior_of(part, truth, np.full(6, 0.001)), BOUND, SENSOR)
        assert found.accepted, found.reason
        values.append(normalised(truth, found.T_camera_part, found.covariance))
    print(f"NEES p50 {np.median(values):.1f}, p95 {np.percentile(values, 95):.1f}; of a chi-squared 5.3 and 12.6")
    assert np.percentile(values, 95) < 13
    assert np.median(values) > 0.5  # nor is it so wide that it says nothing


def test_a_distorted_camera_missing_components_and_a_cloud(part, surface) -> None:
    lens = replace(DEPTH_CAMERA, distortion=np.array([-0.15, 0.05, 0.001, -0.001, 0.0]))
    truth = viewpoint(part, 0.4, 0.6)
    prior = prior_of(part, truth, np.array([0.003, -0.002, 0.002, 0.03, -0.03, 0.03]))
    missing = ("clip_left", "screw_2")
    bent = measured(renderer_of(part), truth, lens, 3, missing)
    straight = measured(renderer_of(part), truth, seed=4, hidden=missing)
    lacking = cloud_of(straight, DEPTH_CAMERA)
    lacking[::50] = np.nan
    for found in (
        align_depth(bent, lens, surface, prior, BOUND, SENSOR, hidden=missing),
        align_depth(bent, lens, surface, prior, BOUND, SENSOR),
        align_depth(np.where(bent > 0, bent, np.nan), lens, surface, prior, BOUND, SENSOR),
        align_cloud(lacking, surface, prior, BOUND, SENSOR, hidden=missing),
    ):
        assert found.accepted, found.reason
        whole, _, angle = errors(part, truth, found.T_camera_part)
        assert whole < 0.00015 and angle < np.radians(0.15)
        assert len(found.points) == len(found.residuals) and found.residual_m < 0.0004


def test_a_round_part_may_turn_about_its_axis() -> None:
    mesh = trimesh.creation.revolve([[0, 0], [0.03, 0], [0.03, 0.05], [0.012, 0.08], [0, 0.08]], sections=48)
    bottle = PartSurface(Assembly((Component("bottle", mesh.vertices, np.asarray(mesh.faces, np.int32)),), "0"))
    truth = make_pose(cv2.Rodrigues(np.array([2.0, 0.3, 0.2]))[0], (0.0, 0.02, 0.4))
    with GeometryRenderer(bottle.assembly) as renderer:
        depth = measured(renderer, truth)
    off = np.array([0.002, -0.002, 0.003, 0.03, -0.02, 0.05])
    found = align_depth(depth, DEPTH_CAMERA, bottle, perturb(truth, off), BOUND, SENSOR)
    assert found.accepted, found.reason
    twist, sigma = twist_between(truth, found.T_camera_part), np.sqrt(np.diag(found.covariance))
    assert np.linalg.norm(twist[:3]) < 0.0002 and np.linalg.norm(twist[3:5]) < np.radians(0.2)
    assert abs(twist[5]) < 1.25 * BOUND[1]  # it stays about where the prior put it
    assert sigma[5] > 0.4 * BOUND[1] > 20 * sigma[3]
    # What knows the turn decides it, and the depth decides the rest.
    knows = np.diag([0.01, 0.01, 0.01, 0.1, 0.1, 0.001]) ** 2
    pose, _, disagreement = joined([found.T_camera_part, truth], [found.covariance, knows])
    assert disagreement < 1
    assert abs(twist_between(truth, pose)[5]) < 0.003 and np.linalg.norm(twist_between(truth, pose)[:3]) < 0.0002


def test_refuses_what_is_not_the_part(part, surface) -> None:
    prior = viewpoint(part, 0.3, 0.6)
    wall = np.full((320, 424), 0.32, np.float32)
    noise = np.random.default_rng(0).uniform(0.28, 0.36, wall.shape).astype(np.float32)
    box = Component("other", *_box(0.05, 0.04, 0.02))
    with GeometryRenderer(Assembly((box,), "0")) as renderer:
        other = measured(renderer, prior)
    for depth in (wall, noise, other):
        answer = align_depth(depth, DEPTH_CAMERA, surface, prior, BOUND, SENSOR)
        assert not answer.accepted and answer.reason
    far = prior_of(part, prior, np.array([0.012, 0, 0, 0, 0, 0]))
    assert not align_depth(measured(renderer_of(part), prior), DEPTH_CAMERA, surface, far, BOUND, SENSOR).accepted


def _box(*size: float) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box(size)
    return np.asarray(mesh.vertices) + (0, 0, size[2] / 2), np.asarray(mesh.faces, np.int32)


def test_refuses_broken_input_with_a_reason(part, surface) -> None:
    prior = viewpoint(part, 0.3, 0.6)
    depth = measured(renderer_of(part), prior)
    cloud = cloud_of(depth, DEPTH_CAMERA)
    broken = prior.copy()
    broken[0, 3] = np.nan
    in_mm = (1000 * depth).astype(np.uint16)
    for answer, reason in [
        (align_depth(depth[:300], DEPTH_CAMERA, surface, prior, BOUND), "the camera 320x424"),
        (align_depth(in_mm, DEPTH_CAMERA, surface, prior, BOUND), "uint16: metres"),
        (align_depth(1000 * depth, DEPTH_CAMERA, surface, prior, BOUND), "metres"),
        (align_depth(depth * 0, DEPTH_CAMERA, surface, prior, BOUND), "only 0 measured points"),
        (align_depth(depth * np.nan, DEPTH_CAMERA, surface, prior, BOUND), "only 0 measured points"),
        (align_depth(depth, DEPTH_CAMERA, surface, broken, BOUND), "not a finite rigid pose"),
        (align_depth(depth, DEPTH_CAMERA, surface, prior, (0.0, 0.1)), "bound"),
        (align_depth(depth, DEPTH_CAMERA, surface, make_pose(None, (0, 0, -0.3)), BOUND), "behind"),
        (align_depth(depth, DEPTH_CAMERA, surface, make_pose(None, (3.0, 0, 0.3)), BOUND), "outside"),
        (align_cloud(cloud[:, :2], surface, prior, BOUND), "(n, 3)"),
        (align_cloud(cloud[:0], surface, prior, BOUND), "only 0 measured points"),
        (align_cloud(cloud * np.inf, surface, prior, BOUND), "only 0 measured points"),
        (align_cloud(cloud, surface, broken, BOUND), "not a finite rigid pose"),
    ]:
        assert not answer.accepted and reason in answer.reason, answer.reason
        assert np.all(np.isinf(np.diag(answer.covariance)))


T_CAMERA_DEPTH = make_pose(cv2.Rodrigues(np.array([0.01, -0.05, 0.02]))[0], (0.02, 0.001, -0.003))


def test_edges_and_depth_together(part, surface) -> None:
    truth = viewpoint(part, 1.0, 0.6)
    image = picture(part, truth, 2)
    depth = measured(renderer_of(part), inverse(T_CAMERA_DEPTH) @ truth)
    prior = prior_of(part, truth, np.array([0.003, -0.002, 0.002, 0.02, -0.02, 0.02]))
    view = DepthView(depth, DEPTH_CAMERA, T_CAMERA_DEPTH, SENSOR)

    def asked(image: np.ndarray, view: DepthView):
        return align_with_depth(image, CAMERA, view, part, surface, prior, BOUND)

    both = asked(image, view)
    edges = align(image, CAMERA, part, prior, BOUND)
    assert both.accepted, both.reason
    assert errors(part, truth, both.T_camera_part)[0] < 0.0001
    assert np.all(np.linalg.eigvalsh(edges.covariance - both.covariance) > 0)
    in_cloud = asked(image, replace(view, depth=cloud_of(depth, DEPTH_CAMERA), camera=None))
    assert in_cloud.accepted and errors(part, truth, in_cloud.T_camera_part)[0] < 0.0001

    # The second one's depth lies beyond the prior's bound: it does not count alone, but it speaks against the edges.
    for off in (-0.002, 0.003):
        moved = replace(view, T_camera_depth=T_CAMERA_DEPTH @ make_pose(None, (off, 0.0, 0.0)))
        apart = asked(image, moved)
        told = re.search(r"the part ([0-9.]+) mm .* apart", apart.reason)
        assert not apart.accepted and told, apart.reason
        assert float(told[1]) == pytest.approx(1e3 * abs(off), abs=0.1)

    # Edges that are found but refused speak against depth as well, and where they agree they count.
    strict = replace(edges, accepted=False, reason="another pose fits as well")
    by_depth = estimate_by_depth(view, surface, prior, BOUND)
    assert fused(strict, by_depth, T_CAMERA_DEPTH, CAMERA, part).accepted
    assert not fused(strict, by_depth, moved.T_camera_depth, CAMERA, part).accepted

    nothing = replace(view, depth=np.zeros_like(depth))
    alone = asked(image, nothing)
    assert alone.accepted
    np.testing.assert_array_equal(alone.T_camera_part, edges.T_camera_part)
    black = np.zeros_like(image)
    dark = asked(black, view)
    assert dark.accepted and errors(part, truth, dark.T_camera_part)[0] < 0.0001
    assert len(dark.edges) == len(dark.edge_residuals) > 100
    neither = asked(black, nothing)
    assert not neither.accepted and "edges: " in neither.reason and "depth: " in neither.reason
