"""What a view sees of a part, against what is known of simple bodies; and the fewest views of a box."""

from collections.abc import Iterator

import numpy as np
import pytest
import trimesh

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.box import box_component
from inspection_cell.cad.component import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose
from inspection_cell.viewplanning.patches import Patches, patches_of
from inspection_cell.viewplanning.plan import choose, look_from_everywhere
from inspection_cell.viewplanning.seen import Optics, seen

CAMERA = CameraModel.pinhole(1600, 1200, 5000.0)
RADIUS, DISTANCE = 0.02, 0.3
WIDE_OPEN = Optics(m_per_px=0.001, incidence_deg=80, in_focus_m=(0.1, 1.0))


def assembly_of(mesh: trimesh.Trimesh, name: str = "body") -> Assembly:
    body = Component(name, np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))
    return Assembly((body,), "0" * 64)


@pytest.fixture(scope="module")
def ball() -> Iterator[tuple[Patches, GeometryRenderer]]:
    assembly = assembly_of(trimesh.creation.icosphere(5, RADIUS))
    with GeometryRenderer(assembly) as renderer:
        yield patches_of(assembly, 4000), renderer


def facing(T_part_camera: Pose, patches: Patches) -> np.ndarray:
    """(n,) cosine of the incidence."""
    rays = T_part_camera[:3, 3] - patches.points
    return np.sum(rays * patches.normals, axis=1) / np.linalg.norm(rays, axis=1)


def test_patches_have_the_bodys_area_and_outward_normals(ball: tuple[Patches, GeometryRenderer]) -> None:
    patches, _ = ball
    assert patches.areas.sum() == pytest.approx(4 * np.pi * RADIUS**2, rel=2e-3)
    assert np.all(np.sum(patches.points * patches.normals, axis=1) > 0)


def test_of_a_ball_just_what_faces_the_camera_is_seen(ball: tuple[Patches, GeometryRenderer]) -> None:
    patches, renderer = ball
    T = look_at(np.array([0.2, 0.1, 0.2]), np.zeros(3))
    flags = seen(patches, renderer, inverse(T), CAMERA, WIDE_OPEN)
    cosine, limit = facing(T, patches), np.cos(np.radians(80))
    assert flags[cosine > limit + 0.02].mean() > 0.995
    assert not flags[cosine < limit].any()


def test_resolution_focus_image_and_glare_each_take_their_share(ball: tuple[Patches, GeometryRenderer]) -> None:
    patches, renderer = ball
    T = look_at(np.array([0, 0, DISTANCE]), np.zeros(3))
    depth, cosine = DISTANCE - patches.points[:, 2], facing(T, patches)

    def flags(optics: Optics, camera: CameraModel = CAMERA) -> np.ndarray:
        return seen(patches, renderer, inverse(T), camera, optics)

    fine = flags(Optics(0.0001, 80, (0.1, 1.0)))
    assert fine.any() and np.all((depth / 5000 / cosine)[fine] <= 0.0001)
    sharp = flags(Optics(0.001, 80, (0.1, DISTANCE - 0.6 * RADIUS)))
    assert sharp.any() and np.all(depth[sharp] <= DISTANCE - 0.6 * RADIUS)
    narrow = flags(WIDE_OPEN, CameraModel.pinhole(400, 300, 5000.0))
    assert 0 < narrow.sum() < flags(WIDE_OPEN).sum()
    # Where a ball mirrors a ring of radius r at the camera, its normal halves the angle between camera and ring.
    glare = flags(WIDE_OPEN) & ~flags(Optics(0.001, 80, (0.1, 1.0), ring_m=(0.03, 0.05)))
    to_normal = np.degrees(np.arccos(patches.normals[glare, 2]))
    height = DISTANCE - RADIUS
    assert glare.any()
    assert to_normal.min() > np.degrees(np.arctan(0.03 / height)) / 2 - 0.6
    assert to_normal.max() < np.degrees(np.arctan(0.05 / height)) / 2 + 0.2


def test_what_stands_in_the_way_hides(ball: tuple[Patches, GeometryRenderer]) -> None:
    patches, renderer = ball
    T = look_at(np.array([0, 0, DISTANCE]), np.zeros(3))
    plate = box_component("plate", (0.05, 0.05, 0.002), make_pose(None, (0.025, 0, 0.04)))
    flags = seen(patches, renderer, inverse(T), CAMERA, WIDE_OPEN, [plate])
    left, right = patches.points[:, 0] < -0.001, patches.points[:, 0] > 0.001
    front = facing(T, patches) > 0.3
    assert flags[left & front].mean() > 0.99 and not flags[right & front].any()


def test_a_box_needs_two_views_where_three_sides_are_seen_at_once_and_more_where_one_is_not_reached() -> None:
    assembly = assembly_of(trimesh.creation.box((0.03, 0.02, 0.01)))
    with GeometryRenderer(assembly) as renderer:
        views = look_from_everywhere(
            patches_of(assembly, 1500), renderer, {"free": []}, CAMERA, Optics(0.001, 75, (0.1, 1.0)), (DISTANCE,), 100
        )
    assert views.at_all.mean() > 0.999
    plan = choose(views, 0.999, lambda held, T: T)
    assert len(plan.views) == 2 == plan.cover.at_least
    above = choose(views, 0.6, lambda held, T: T if T[2, 3] > 0 else None)
    assert all(view.T_part_camera[2, 3] > 0 for view in above.views)
    with pytest.raises(ValueError, match="too little"):
        choose(views, 0.999, lambda held, T: T if T[2, 3] > 0 else None)
