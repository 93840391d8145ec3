"""A component that sits off its place is named, with how far."""

import numpy as np
import pytest
from shaded import CAMERA, renderer_of, viewpoint

from inspection_cell.alignment import align
from inspection_cell.alignment.components import component_offsets
from inspection_cell.alignment.picture import alignment_picture
from inspection_cell.cad.shading import Light, Material, Shading
from inspection_cell.core.poses import make_pose


@pytest.mark.parametrize("seed", range(3))
def test_a_displaced_component_is_told_from_the_others(part, seed):
    rng = np.random.default_rng(seed)
    names = part.assembly.names
    truth = viewpoint(part, float(rng.uniform(0, 6)), 0.3)
    surfaces = {name: Material(rng.uniform(0.3, 0.8), 0.1) for name in names}
    shading = Shading((Light((0.1, -0.08, 0.0), 0.6), Light((-0.1, 0.05, 0.0), 0.3)), 0.2, (0.1, -0.1, 0), surfaces)
    renderer = renderer_of(part)

    def seen(moved):
        light, covered = renderer.shade(truth, CAMERA, shading, moved=moved)
        grey = np.where(covered, light, 0.05) * 170
        return np.clip(grey + rng.normal(0, 1, grey.shape), 0, 255).astype(np.uint8)

    usual = {o.name: o for o in component_offsets(seen({}), CAMERA, part, truth) if o.found}
    assert len(usual) >= 2
    assert max(np.hypot(*offset.shift_m) for offset in usual.values()) < 1.5e-4
    mounted = [name for name in usual if name != "housing"]
    assert mounted
    for name in mounted[:3]:
        way = np.array([0.0005, -0.0003, 0.0])
        image = seen({name: make_pose(None, way)})
        pose = align(image, CAMERA, part, truth, (0.003, 0.05))
        assert pose.accepted, pose.reason
        offsets = {o.name: o for o in component_offsets(image, CAMERA, part, pose.T_camera_part)}
        wanted = (truth[:3, :3] @ way)[:2]
        assert np.linalg.norm(np.array(offsets[name].shift_m) - wanted) < 2e-4, f"{name}: {offsets[name]}"
        plain, told = alignment_picture(image, pose), alignment_picture(image, pose, list(offsets.values()))
        rows, columns = np.nonzero((plain != told).any(axis=2))
        u, v = offsets[name].at_px
        assert np.hypot(columns - u, rows - v).min() < 20  # its name is written there
        others = [np.hypot(*o.shift_m) for o in offsets.values() if o.found and o.name != name]
        assert others and np.median(others) < 1.5e-4
