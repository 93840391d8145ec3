"""A whole running cell whose arm carries the cameras: views, alignment, a wrong hand-eye calibration, recovery."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from cell_support import Cell, record_of, told_anew

from inspection_cell.cli.simulated_line import derive_config
from inspection_cell.core.plan import Mounting
from inspection_cell.core.poses import inverse, rotation_angle
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Disposition, Verdict
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.simulation.truth import make_part

RECIPE = "ring_fixture"


@pytest.fixture(scope="module")
def camera_arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    config = tmp_path_factory.mktemp("config") / "cell.yaml"
    derive_config(share_folder() / "config" / "camera_arm_cell.yaml", config, "teach", 200.0)
    content = yaml.safe_load(config.read_text(encoding="utf-8")) | {"namespace": f"cell_{uuid.uuid4().hex[:8]}"}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    with Cell(config, tmp_path_factory.mktemp("camera_arm"), RECIPE) as cell:
        yield cell


def test_good_parts_are_found_wherever_they_lie_and_stay_there(camera_arm: Cell) -> None:
    cell = camera_arm
    fixture = load_recipe(share_folder() / "config" / "recipes" / f"{RECIPE}.yaml").fixture
    assert fixture is not None
    found = []
    for seed in (11, 12):
        verdict = cell.line.inspect(make_part(f"F{seed}", seed), timeout_s=240.0).verdict
        assert (verdict.verdict, verdict.disposition) == (Verdict.PASS, Disposition.INFEED), verdict.reasons
        record = record_of(cell, verdict.inspection_id)
        views = {v.view_id: v for v in record.views}
        assert len(views) == 6 and {v.mounting for v in views.values()} == {Mounting.CAMERA_IN_HAND}
        hand_eye = [inverse(v.T_world_tool) @ v.T_world_camera for v in views.values() if "top" in v.view_id]
        assert np.ptp(hand_eye, axis=0).max() < 1e-9, "the camera moves with the tool"
        assert np.ptp([v.T_world_camera[:3, 3] for v in views.values()], axis=0).min() > 0.05
        poses = {a.view_id: a.T_reference_part for a in record.alignments if a.accepted}
        assert set(poses) == set(views) - {"fixture/wide_090"}
        grasp = poses["fixture/wide_270"]
        for pose in poses.values():
            off = inverse(grasp) @ pose
            assert np.linalg.norm(off[:3, 3]) < 5e-4 and np.degrees(rotation_angle(off[:3, :3])) < 0.5
        found.append(inverse(fixture.T_world_part.matrix) @ grasp)
    apart = inverse(found[0]) @ found[1]
    assert np.linalg.norm(apart[:3, 3]) > 5e-4, "no two parts lie alike"
    for off in found:
        assert np.degrees(rotation_angle(off[:3, :3])) < 3.5 and np.linalg.norm(off[:3, 3]) < 4e-3


def test_a_wrong_hand_eye_calibration_is_an_error(camera_arm: Cell) -> None:
    cell, part = camera_arm, make_part("F11", 11)
    pose = cell.config.cameras["wide"].calibration.pose.model_dump(mode="json")
    aside = pose | {"xyz_m": [pose["xyz_m"][0] + 0.0015, *pose["xyz_m"][1:]]}
    try:
        told_anew(cell, "camera_wide", cameras={"wide": {"calibration": {"pose": aside}}})
        cell.make_ready()
        verdict = cell.line.inspect(part, timeout_s=240.0).verdict
        assert (verdict.verdict, verdict.disposition) == (Verdict.ERROR, Disposition.INFEED)
        assert Code.VIEWS_DISAGREE in {r.code for r in verdict.reasons}, verdict.reasons
        assert any("hand-eye" in r.text for r in verdict.reasons), verdict.reasons
    finally:
        told_anew(cell, "camera_wide", cameras={"wide": {"calibration": {"pose": pose}}})
        cell.make_ready()
    verdict = cell.line.inspect(part, timeout_s=240.0).verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons


def test_a_stop_on_the_way_is_reset_and_the_next_part_is_inspected(camera_arm: Cell) -> None:
    cell = camera_arm
    inspection_id = cell.plc.start(uuid.uuid4().hex, cell.next_part())
    cell.plc.wait_for_state(lambda s: s.step.startswith("view:"), 60.0)
    cell.line.world.set_signals(protective_stop=True, door_closed=True)
    answer = cell.finished(inspection_id)
    assert answer.verdict.verdict == Verdict.ERROR and answer.verdict.disposition == Disposition.INFEED
    cell.make_ready()
    verdict = cell.line.inspect(make_part("F12", 12), timeout_s=240.0).verdict
    assert verdict.verdict is Verdict.PASS, verdict.reasons
