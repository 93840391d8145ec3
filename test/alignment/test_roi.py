"""Regions of interest: outline, box, visibility and the margin from the pose's covariance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspection_cell.alignment.roi import margin_px, part_box, project_component
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
