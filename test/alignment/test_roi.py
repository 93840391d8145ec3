"""Regions of interest: outline, box, visibility and the margin from the pose's covariance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspection_cell.alignment.picture import FOUND, roi_picture
from inspection_cell.alignment.roi import crop_at, margin_px, part_box, project_component
from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, make_pose, perturb, transform

ROOT = Path(__file__).parents[2]
CAMERA = CameraModel.pinhole(800, 600, 2150.0)
COVARIANCE = np.diag([1e-4, 2e-4, 1e-4, 1e-3, 2e-3, 1e-3]) ** 2


@pytest.fixture(scope="module")
def ring() -> Iterator[GeometryRenderer]:
    with GeometryRenderer(load_assembly(ROOT / "models/parts/ring_housing/ring_housing.step")) as renderer:
        yield renderer


@pytest.fixture
def pose(ring: GeometryRenderer) -> np.ndarray:
    return inverse(look_at(ring.assembly.centre + (0.1, 0.12, 0.26), ring.assembly.centre))


def test_a_component_is_outlined_where_the_full_picture_shows_it(ring: GeometryRenderer, pose: np.ndarray) -> None:
    ids = ring.render(pose, CAMERA).ids
    for name in ring.assembly.names:
        roi = project_component(ring, name, CAMERA, pose, COVARIANCE)
        assert roi is not None
        full = np.zeros(ids.shape, bool)
        x, y, w, h = roi.box
        full[y : y + h, x : x + w] = roi.mask
        truth = ids == ring.assembly.index(name)
        assert np.count_nonzero(full & truth) > 0.93 * np.count_nonzero(full | truth)
        v, u = np.nonzero(truth)
        assert abs(roi.polygon[:, 0].min() - u.min()) <= 3 and abs(roi.polygon[:, 1].max() - v.max()) <= 3
        assert 0 < roi.visible <= 1


def test_the_margin_holds_95_percent_of_the_deviations(ring: GeometryRenderer, pose: np.ndarray) -> None:
    vertices = ring.assembly.components[ring.assembly.index("screw_1")].vertices
    margin = margin_px(vertices, CAMERA, pose, COVARIANCE)
    rng = np.random.default_rng(0)
    at = CAMERA.project(transform(pose, vertices[:1]))
    twists = rng.multivariate_normal(np.zeros(6), COVARIANCE, 800)
    off = [np.linalg.norm(CAMERA.project(transform(perturb(pose, t), vertices[:1])) - at) for t in twists]
    assert 0.95 <= np.mean(np.array(off) < margin) <= 1.0
    assert margin < 2 * np.quantile(off, 0.95)
    doubled = margin_px(vertices, CAMERA, pose, 4 * COVARIANCE)
    assert doubled == pytest.approx(2 * margin, rel=1e-6)


def test_the_part_box_holds_the_silhouette_tightly(ring: GeometryRenderer, pose: np.ndarray) -> None:
    v, u = np.nonzero(ring.render(pose, CAMERA).ids >= 0)
    x, y, w, h = part_box(ring.assembly, CAMERA, pose)
    assert x <= u.min() <= x + 2 and y <= v.min() <= y + 2
    assert x + w - 3 <= u.max() <= x + w and y + h - 3 <= v.max() <= y + h


def test_outside_or_unknown_is_nowhere(ring: GeometryRenderer, pose: np.ndarray) -> None:
    assert part_box(ring.assembly, CAMERA, make_pose(None, (0, 0, -1.0))) is None
    assert part_box(ring.assembly, CAMERA, make_pose(None, (5.0, 0, 1.0))) is None
    assert project_component(ring, "clip_left", CAMERA, make_pose(None, (5.0, 0, 1.0)), COVARIANCE) is None
    assert project_component(ring, "clip_left", CAMERA, pose, np.diag(np.full(6, np.inf))) is None


def test_a_crop_has_the_resolution_asked_for_at_every_distance(ring: GeometryRenderer) -> None:
    """The screw's head is as many pixels wide from near as from far."""
    name = "screw_1"
    index = ring.assembly.index(name)
    widths = []
    for distance in (0.25, 0.5):
        from_above = inverse(look_at(ring.assembly.centre + (0.001, 0.0, distance), ring.assembly.centre))
        roi = project_component(ring, name, CAMERA, from_above, np.zeros((6, 6)))
        assert roi is not None
        picture = (ring.render(from_above, CAMERA).ids == index).astype(np.float32)
        crop = crop_at(picture, roi, 0.1)
        widths.append(crop.sum() ** 0.5)
    assert widths[0] == pytest.approx(widths[1], rel=0.05)
    head = 1000.0 * np.ptp(ring.assembly.components[index].vertices[:, 0])
    assert widths[0] == pytest.approx(10 * head * (np.pi / 4) ** 0.5, rel=0.1)


@pytest.mark.parametrize("resolution", [0.0, -1.0, float("nan"), 1e-6])
def test_a_crop_no_one_can_have_is_refused(ring: GeometryRenderer, pose: np.ndarray, resolution: float) -> None:
    roi = project_component(ring, "screw_1", CAMERA, pose, COVARIANCE)
    assert roi is not None
    with pytest.raises(ValueError, match="mm_per_pixel"):
        crop_at(np.zeros((600, 800), np.uint8), roi, resolution)


def test_the_picture_of_the_regions_outlines_what_is_visible(ring: GeometryRenderer, pose: np.ndarray) -> None:
    rois = {name: project_component(ring, name, CAMERA, pose, COVARIANCE) for name in ring.assembly.names}
    drawn = roi_picture(np.full((600, 800), 128, np.uint8), {n: r for n, r in rois.items() if r is not None})
    housing = rois["housing"]
    assert housing is not None and drawn.shape == (600, 800, 3)
    u, v = np.rint(housing.polygon[len(housing.polygon) // 2]).astype(int)
    near = drawn[v - 2 : v + 3, u - 2 : u + 3].astype(int)
    assert np.abs(near - FOUND).sum(axis=2).min() < 60
