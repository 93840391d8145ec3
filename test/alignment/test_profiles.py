"""Profiles across edges: a square plate with a bevel, drawn with exact blurred steps, is put back where it is."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from inspection_cell.alignment import profiles
from inspection_cell.alignment.edges import EdgeSamples
from inspection_cell.alignment.gradients import SMOOTHED_PX, gradient_image, step_width
from inspection_cell.core import compiled
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import make_pose, perturb, transform

CAMERA = CameraModel.pinhole(240, 240, 800.0)
DEPTH_M, HALF_M = 0.8, 0.06
NOTHING = np.eye(6) * 1e-6
some = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(params=list(compiled.VARIANTS))
def variant(request, monkeypatch):
    """The library of one instruction set."""
    monkeypatch.setattr(profiles, "VARIANTS", [request.param])
    profiles.library.cache_clear()
    try:
        profiles.library()
    except RuntimeError:
        pytest.skip(f"{request.param}: not built, or not of this processor")
    yield request.param
    profiles.library.cache_clear()


def seen(sigma: float) -> float:
    """How wide a step of this blur is where it is sampled, smoothed and read between pixels."""
    return float(np.sqrt(sigma**2 + SMOOTHED_PX**2 + 0.16))


def plate(bevel_px: float) -> EdgeSamples:
    """Points on the outline of a square and on that of its bevel, seen from straight before it."""
    points, normals = [], []
    for half in (HALF_M, HALF_M - bevel_px * DEPTH_M / CAMERA.matrix[0, 0]):
        along = np.arange(-half + 0.003, half - 0.003, 0.002)
        for side in (-1.0, 1.0):
            points += [np.column_stack([np.full_like(along, side * half), along, 0 * along])]
            normals += [np.tile((1.0, 0.0), (len(along), 1))]
            points += [np.column_stack([along, np.full_like(along, side * half), 0 * along])]
            normals += [np.tile((0.0, 1.0), (len(along), 1))]
    placed, pose = np.concatenate(points), make_pose(None, (0, 0, DEPTH_M))
    pixels = CAMERA.project(transform(pose, placed))
    return EdgeSamples(placed, pixels, np.concatenate(normals), np.zeros(len(placed), np.intp))


def drawn(shift_px: tuple[float, float], grow_px: float, bevel_px: float, levels, sigma: float, rng) -> np.ndarray:
    """The plate's picture: outside, bevel and top in three grey levels, moved and grown by some pixels."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    centre = CAMERA.matrix[:2, 2] + shift_px
    half = HALF_M * CAMERA.matrix[0, 0] / DEPTH_M + grow_px

    def inside(size: float) -> np.ndarray:
        across = [ndtr((size - np.abs(c - m)) / sigma) for c, m in ((u, centre[0]), (v, centre[1]))]
        return across[0] * across[1]

    outside, bevel, top = levels
    sharp = outside + (bevel - outside) * inside(half) + (top - bevel) * inside(half - bevel_px)
    return (sharp + rng.normal(0, 0.5, sharp.shape)).astype(np.float32)


@some
@given(
    seed=st.integers(0, 10_000),
    bevel_px=st.floats(2.0, 3.5),
    sigma=st.floats(0.6, 1.1),
    levels=st.permutations([40.0, 95.0, 180.0]),
)
def test_a_bevel_does_not_pull_the_pose(variant, seed, bevel_px, sigma, levels):
    """The steepest place between its two edges is at neither, up to a pixel off."""
    rng = np.random.default_rng(seed)
    shift, grow = rng.uniform(-0.5, 0.5, 2), float(rng.uniform(-0.3, 0.3))
    picture = gradient_image(drawn(shift, grow, bevel_px, levels, sigma, rng), 1.0)
    start = make_pose(None, (0, 0, DEPTH_M))
    pose, fit = profiles.refine_profiles(start, CAMERA, plate(bevel_px), picture.smooth, seen(sigma), NOTHING)
    moved = CAMERA.project(transform(pose, np.array([[0.0, 0.0, 0.0], [HALF_M, 0.0, 0.0]])))
    outline = HALF_M * CAMERA.matrix[0, 0] / DEPTH_M
    assert np.abs(moved[0] - CAMERA.matrix[:2, 2] - shift).max() < 0.06
    assert abs(moved[1, 0] - moved[0, 0] - outline - grow) < 0.06
    assert fit.agreement() > 0.9


@some
@given(seed=st.integers(0, 10_000), slope=st.floats(-6.0, 6.0), wrong=st.floats(0.8, 1.3))
def test_light_that_falls_off_on_one_side_does_not_pull_the_pose(variant, seed, slope, wrong):
    """Nor does a width of steps that was first measured wrong, which is put right."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-0.5, 0.5, 2)
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    within = HALF_M * CAMERA.matrix[0, 0] / DEPTH_M - np.maximum(
        abs(u - CAMERA.matrix[0, 2] - shift[0]), abs(v - CAMERA.matrix[1, 2] - shift[1])
    )
    ramp = np.asarray(cv2.GaussianBlur(np.clip(within, 0, 8), (0, 0), 0.9)) * slope
    light = drawn((shift[0], shift[1]), 0.0, 1e-9, (120.0, 120.0, 60.0), 0.9, rng) + ramp.astype(np.float32)
    picture = gradient_image(light.astype(np.float32), 1.0)
    start = make_pose(None, (0, 0, DEPTH_M))
    pose, fit = profiles.refine_profiles(start, CAMERA, plate(12.0), picture.smooth, wrong * seen(0.9), NOTHING)
    moved = CAMERA.project(transform(pose, np.array([[0.0, 0.0, 0.0], [HALF_M, 0.0, 0.0]])))
    assert np.abs(moved[0] - CAMERA.matrix[:2, 2] - shift).max() < 0.05
    assert abs(moved[1, 0] - moved[0, 0] - HALF_M * CAMERA.matrix[0, 0] / DEPTH_M) < 0.05
    assert fit.sigma == pytest.approx(seen(0.9), rel=0.06)


def test_a_clipped_side_does_not_move_the_edge(variant):
    """Before a background over the sensor's limit a plate looks smaller than it is; its other sides tell the truth."""
    rng = np.random.default_rng(0)
    left, right = (drawn((0.0, 0.0), 0.0, 3.0, (outside, 120.0, 120.0), 1.0, rng) for outside in (900.0, 30.0))
    light = np.where(np.arange(CAMERA.width) < CAMERA.matrix[0, 2], left, right)
    start = perturb(make_pose(None, (0, 0, DEPTH_M)), np.array([2e-4, -2e-4, 0.0, 0.0, 0.0, 0.0]))
    smooth, outline = gradient_image(np.minimum(light, 255.0), 1.0).smooth, plate(3.0)
    pose, fit = profiles.refine_profiles(start, CAMERA, outline, smooth, seen(1.0), NOTHING)
    corner = np.array([[-HALF_M, HALF_M, 0.0]])
    off = CAMERA.project(transform(pose, corner)) - CAMERA.project(corner + (0, 0, DEPTH_M))
    assert np.abs(off).max() < 0.05
    clipped = (outline.points[:, 0] < -HALF_M + 1e-6) & (np.abs(outline.points[:, 1]) < HALF_M - 0.006)
    assert np.isnan(fit.shifts[clipped]).all() and clipped.sum() > 30
    assert np.isfinite(fit.shifts[outline.points[:, 0] > HALF_M - 1e-6]).all()


@some
@given(sigma=st.floats(0.5, 5.0), seed=st.integers(0, 10_000))
def test_the_width_of_steps_is_the_blur(sigma, seed):
    rng = np.random.default_rng(seed)
    picture = gradient_image(drawn((0.0, 0.0), float(rng.uniform(-1, 1)), 1e-9, (40, 40, 190), sigma, rng), 1.0)
    assert step_width(picture) == pytest.approx(seen(sigma), rel=0.12)
