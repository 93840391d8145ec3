"""The compiled loops of the alignment say what their definitions in numpy say, for every instruction set built."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspection_cell.alignment import kernel
from inspection_cell.alignment.edges import DEPTH_SLACK_M, DEPTH_SLACK_PX, HIDING_NEIGHBOURS
from inspection_cell.alignment.gradients import gradient_image
from inspection_cell.alignment.refine import fit_at, tukey
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core import compiled
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, perturb, rotation_from_vector, transform

CAMERA = CameraModel.pinhole(320, 240, 860.0)
few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
seeds = given(seed=st.integers(0, 10_000))


@pytest.fixture(scope="module")
def renderer(part):
    with GeometryRenderer(part.assembly) as made:
        yield made


@pytest.fixture(params=list(compiled.VARIANTS))
def variant(request, monkeypatch):
    """The library of one instruction set."""
    monkeypatch.setattr(kernel, "VARIANTS", [request.param])
    kernel.library.cache_clear()
    try:
        kernel.library()
    except RuntimeError:
        pytest.skip(f"{request.param}: not built, or not of this processor")
    yield request.param
    kernel.library.cache_clear()


def pose_of(rng, part):
    direction = rng.normal(size=3)
    eye = part.assembly.centre + 0.35 * direction / np.linalg.norm(direction)
    return perturb(inverse(look_at(eye, part.assembly.centre)), rng.normal(0, [0.004] * 3 + [0.05] * 3))


@few
@seeds
def test_depth_is_the_renderers(variant, part, renderer, seed):
    pose = pose_of(np.random.default_rng(seed), part)
    drawn = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    for component in part.assembly.components:
        vertices, faces = np.array(component.vertices), np.ascontiguousarray(component.faces, np.int32)
        kernel.draw(pose, CAMERA, vertices, faces, drawn, closed=seed % 2 == 0)
    depth = renderer.render(pose, CAMERA).depth
    assert np.mean((drawn > 0) != (depth > 0)) < 2e-3  # a pixel's centre on an outline
    both = (drawn > 0) & (depth > 0)
    # At a step inside the outline one of the two may see the other side of it.
    assert np.quantile(np.abs(1 / drawn[both] - depth[both]), 0.99) < 1e-5


def expected_samples(part, pose, count, inverse_depth):
    """The definition: a ruler over all edges that face the camera, without what lies behind most of a 3 x 3 surface."""
    to_eye = inverse(pose)[:3, 3] - part._points
    facing = np.einsum("ekc,ec->ek", part._normals, to_eye) > 0
    ends = part._ends[(facing[:, 0] != facing[:, 1]) | (part._sharp & facing[:, 0])]
    in_camera = transform(pose, ends.reshape(-1, 3)).reshape(-1, 2, 3)
    pixels = CAMERA.project(in_camera.reshape(-1, 3)).reshape(-1, 2, 2)
    length = np.linalg.norm(pixels[:, 1] - pixels[:, 0], axis=1)
    kept = length > 1e-6
    ends, in_camera, pixels, length = ends[kept], in_camera[kept], pixels[kept], length[kept]
    ruler = np.cumsum(length)
    marks = (np.arange(count) + 0.5) * ruler[-1] / count
    which = np.searchsorted(ruler, marks)
    share = np.clip(1 - (ruler[which] - marks) / length[which], 0, 1)[:, None]
    near, far = in_camera[which, 0, 2:], in_camera[which, 1, 2:]
    points = ends[which, 0] + share * near / ((1 - share) * far + share * near) * (ends[which, 1] - ends[which, 0])
    at = pixels[which, 0] + share * (pixels[which, 1] - pixels[which, 0])
    column, row = np.rint(at).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < CAMERA.width) & (row < CAMERA.height)
    z = transform(pose, points)[:, 2]
    limit = z - DEPTH_SLACK_M - DEPTH_SLACK_PX * z / CAMERA.matrix[0, 0]
    surface = np.pad(inverse_depth.astype(float), 1, mode="edge")
    column, row = np.clip(column, 0, CAMERA.width - 1), np.clip(row, 0, CAMERA.height - 1)
    hiding = sum(surface[row + i, column + j] * limit > 1 for i in range(3) for j in range(3))
    seen = inside & (hiding <= HIDING_NEIGHBOURS)
    return points[seen], at[seen]


@few
@seeds
def test_samples_lie_evenly_on_the_edges_that_are_seen(variant, part, seed):
    pose = pose_of(np.random.default_rng(seed), part)
    depth = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    for component in part.assembly.components:
        kernel.draw(pose, CAMERA, np.array(component.vertices), np.ascontiguousarray(component.faces, np.int32), depth)
    points, pixels = expected_samples(part, pose, 1500, depth)
    found = part.visible(pose, CAMERA, 500, max(CAMERA.width, CAMERA.height))
    everything = kernel.visible(
        pose, CAMERA, (part._ends, part._normals, part._points, part._sharp, np.ones(len(part._ends), bool)), 1500,
        depth, DEPTH_SLACK_M, DEPTH_SLACK_PX, HIDING_NEIGHBOURS,
    )  # fmt: skip
    np.testing.assert_allclose(everything[0], points, atol=1e-9)
    np.testing.assert_allclose(everything[1], pixels, atol=1e-6)
    start, end = np.moveaxis(part._ends[everything[3]], 1, 0)
    off = np.linalg.norm(np.cross(everything[0] - start, end - start), axis=1) / np.linalg.norm(end - start, axis=1)
    assert off.max() < 1e-9, "each sample is on the edge that is named"
    assert len(found) == min(500, len(points))
    np.testing.assert_allclose(CAMERA.project(transform(pose, found.points)), found.pixels, atol=1e-6)
    ahead = CAMERA.project(transform(pose, found.points)) + found.normals
    np.testing.assert_allclose(np.linalg.norm(ahead - found.pixels, axis=1), 1, atol=1e-6)


@few
@seeds
def test_lines_find_a_step_where_it_is(variant, seed):
    """A blurred step at a known place and angle; lines start up to 3 pixels beside it."""
    rng = np.random.default_rng(seed)
    angle, offset = rng.uniform(-np.pi, np.pi), rng.uniform(-5, 5)
    normal = np.array([np.cos(angle), np.sin(angle)])
    y, x = np.mgrid[:120, :160]
    across = (x - 80) * normal[0] + (y - 60) * normal[1] - offset
    step = (100 + 80 * np.clip(across + 0.5, 0, 1)).astype(np.float32)
    gradients = gradient_image(cv2.GaussianBlur(step, (0, 0), 1.2), 1.0)
    along = rng.uniform(-25, 25, (50, 1)) * np.array([-normal[1], normal[0]])
    beside = rng.uniform(-3, 3, 50)
    pixels = np.array([80, 60]) + along + (offset + beside)[:, None] * normal
    found = kernel.lines(gradients.field(), pixels, np.tile(normal, (50, 1)), 6)
    np.testing.assert_allclose(found[:, 0], -beside, atol=0.12)
    assert np.isnan(found[:, 1:]).all()


@few
@seeds
def test_normal_equations_and_steps_are_those_of_the_definition(variant, part, seed):
    rng = np.random.default_rng(seed)
    truth = pose_of(rng, part)
    samples = part.visible(truth, CAMERA, 300, 320)
    near = perturb(truth, rng.normal(0, [2e-4] * 3 + [2e-3] * 3))
    lines = np.full((len(samples), 4), np.nan)
    lines[:, 0] = rng.normal(0, 0.3, len(samples))
    lines[::3, 1] = rng.uniform(-4, 4, len(lines[::3]))
    lines[::7, 0] = np.nan
    fit = fit_at(near, CAMERA, samples, lines)
    weights = tukey(fit.residuals, 2.0)
    hessian, step = kernel.normal_equations(near, CAMERA, samples.points, samples.pixels, samples.normals, lines, 2.0)
    wanted = (fit.jacobian * weights[:, None]).T @ fit.jacobian
    np.testing.assert_allclose(hessian, wanted, rtol=1e-6, atol=1e-9 * np.abs(wanted).max())
    wanted_step = fit.jacobian.T @ (weights * np.nan_to_num(fit.residuals))
    np.testing.assert_allclose(step, wanted_step, rtol=1e-6, atol=1e-9 * np.abs(wanted_step).max())
    information = np.diag([1e6] * 3 + [1e4] * 3)
    moved = kernel.refine(
        near, CAMERA, samples.points, samples.pixels, samples.normals, lines, np.array([2.0]), information
    )
    expected = perturb(near, np.linalg.solve(wanted + information, wanted_step))
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@few
@seeds
def test_the_coarse_search_finds_the_shift_and_turn_that_the_maps_hold(variant, seed):
    """Maps with the outline's own points drawn where one turn, distance and shift of the grid puts them."""
    rng = np.random.default_rng(seed)
    camera, middle, reach = CameraModel.pinhole(90, 70, 240.0), np.array([0.01, -0.005, 0.6]), 6
    outline = rng.uniform(-0.06, 0.06, (60, 3))
    normals = rng.normal(size=(60, 2))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    turns = np.stack([rotation_from_vector(v) for v in rng.normal(0, 0.12, (9, 3))])
    distances = np.array([0.95, 1.0, 1.05])
    turn, far, shift = int(rng.integers(9)), int(rng.integers(3)), rng.integers(-reach, reach + 1, 2)
    maps = np.zeros((8, 70 + 2 * (reach + 1), 90 + 2 * (reach + 1)), np.uint8)
    pixels = np.rint(camera.project(outline @ turns[turn].T + distances[far] * middle)).astype(int)
    rolled = normals @ turns[turn][:2, :2].T
    direction = np.rint(np.arctan2(rolled[:, 1], rolled[:, 0]) / np.pi * 8).astype(int) % 8
    pixels = np.clip(pixels, 0, (89, 69))
    maps[direction, pixels[:, 1] + shift[1] + reach + 1, pixels[:, 0] + shift[0] + reach + 1] = 255
    best, shifts = kernel.coarse(camera, outline, normals, middle, turns, distances, maps, reach)
    assert np.unravel_index(np.argmax(best), best.shape) == (turn, far)
    assert best[turn, far] == pytest.approx(1)
    np.testing.assert_array_equal(shifts[turn, far], shift)


def test_what_is_behind_the_camera_or_beyond_the_image_does_no_harm(variant, part):
    behind = np.diag([1.0, -1.0, -1.0, 1.0])
    behind[2, 3] = -0.2
    assert len(part.visible(behind, CAMERA, 200, 320)) == 0
    field = gradient_image(np.zeros((40, 50), np.float32), 1.0)
    outside = np.array([[-1e7, 3.0], [1e9, 1e9], [-3.0, -3.0], [49.5, 39.5]])
    assert np.isnan(kernel.lines(field.field(), outside, np.tile([1.0, 0.0], (4, 1)), 8)).all()
