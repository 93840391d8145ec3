"""The simulated world in a process of its own: handling a part, faults, and clients that misbehave."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Client

import numpy as np
import pytest
from pydantic import ValidationError
from simulation_cell import CAMERA, GRASPS, INFEED, PART_FOLDER, VIEWPOINTS, T_world_tool_for, world_config

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.core.poses import inverse, make_pose, rotation_angle, transform
from inspection_cell.core.verdict import Disposition
from inspection_cell.simulation.client import WorldClient, WorldLost
from inspection_cell.simulation.config import CameraSpec, pose_rows
from inspection_cell.simulation.demo_part import CAD_FILE
from inspection_cell.simulation.server import key_path
from inspection_cell.simulation.truth import make_part
from inspection_cell.simulation.world import World


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return world_config(tmp_path_factory.mktemp("world") / "world.sock")


@pytest.fixture(scope="module")
def process(config):
    file = config.socket.with_suffix(".json")
    file.write_text(config.model_dump_json())
    command = [sys.executable, "-m", "inspection_cell.simulation", "--config", str(file)]
    process = subprocess.Popen(command)
    yield process
    process.terminate()
    assert process.wait(20) == 0
    assert not config.socket.exists()


@pytest.fixture
def world(config, process):
    client = WorldClient(config.socket)
    client.clear_faults()
    client.open(0.036)
    client.set_light({"ring": 1.0})
    yield client
    client.close()


def pick(world, grasp, seed=1, station=INFEED):
    world.set_tool(station @ grasp)
    return world.grip(0.012, 20.0)


def test_a_part_goes_through_the_cell(world, config):
    part = make_part("S7", 7)
    world.present_part(part)
    assert world.disposition() is Disposition.INFEED
    assert pick(world, GRASPS[0]) == pytest.approx(0.016)
    assert world.read_width() == pytest.approx(0.016)
    assert world.scale_load_kg() == 0.0
    scale = np.array(config.stations.scale)
    world.set_tool(scale @ inverse(world.T_tool_part()))
    world.open(0.036)
    assert world.disposition() is Disposition.SCALE
    assert world.scale_load_kg() == pytest.approx(part.mass_kg)
    assert pick(world, GRASPS[1], station=scale) == pytest.approx(0.016)
    world.set_tool(np.array(config.stations.good) @ GRASPS[1])
    world.open(0.036)
    assert world.disposition() is Disposition.GOOD_BIN
    assert world.part() == part


def test_the_hand_holds_the_part_anywhere_within_its_bounds(world, config):
    bound_m, bound_deg = config.part_offset_m, config.part_offset_deg
    centre = load_assembly(PART_FOLDER / CAD_FILE).centre
    offsets = []
    for seed in range(60):
        world.present_part(make_part("S", seed))
        world.open(0.036)
        assert pick(world, GRASPS[0]) > 0
        offsets.append(GRASPS[0] @ world.T_tool_part())
    shifts = np.array([transform(T, centre[None])[0] - centre for T in offsets])
    turns = np.degrees([rotation_angle(T[:3, :3]) for T in offsets])
    # Of a ball's volume half lies beyond 0.79 of its radius.
    for distances, bound in ((np.linalg.norm(shifts, axis=1), bound_m), (turns, bound_deg)):
        assert distances.max() <= bound * (1 + 1e-6)
        assert 0.7 * bound < np.median(distances) < 0.88 * bound
    assert np.all(shifts.min(axis=0) < -0.6 * bound_m) and np.all(shifts.max(axis=0) > 0.6 * bound_m)
    world.present_part(make_part("S", 3))
    world.open(0.036)
    pick(world, GRASPS[0])
    assert np.allclose(GRASPS[0] @ world.T_tool_part(), offsets[3])


def test_a_camera_on_the_tool_looks_at_parts_that_lie_off_their_place(config):
    T_tool_camera = make_pose(None, (0.08, 0.0, -0.02))
    pose = {"on_tool": True, "T_world_camera": pose_rows(T_tool_camera)}
    camera = config.cameras["inspection"].model_copy(update=pose)
    alone = World(config.model_copy(update={"grasps": (), "cameras": {"inspection": camera}}))
    middles = []
    try:
        alone.set_light({"ring": 1.0})
        for tool_at in (INFEED @ VIEWPOINTS[0] @ inverse(T_tool_camera), np.eye(4)):
            alone.set_tool(tool_at)
            for seed in (1, 2):
                alone.present_part(make_part("S", seed))
                bright = alone.expose("inspection", 0.008, 0.0) > 60
                middles.append(np.argwhere(bright).mean(axis=0) if bright.mean() > 0.05 else None)
        assert alone.grip(0.012, 20.0) == 0.0 and alone.disposition() is Disposition.INFEED
    finally:
        alone.close()
    near, other, *elsewhere = middles
    assert elsewhere == [None, None]
    assert 2 < np.linalg.norm(near - other) < 100, "each part lies a little elsewhere"


def test_jaws_close_to_nothing_away_from_the_part(world):
    world.present_part(make_part("S", 1))
    world.set_tool(INFEED @ GRASPS[0] @ make_pose(None, (0.0, 0.0, -0.02)))
    assert world.grip(0.012, 20.0) == 0.0
    assert world.disposition() is Disposition.INFEED


def test_a_part_let_go_in_the_air_is_lost(world):
    world.present_part(make_part("S", 1))
    pick(world, GRASPS[0])
    world.set_tool(T_world_tool_for(VIEWPOINTS[0], GRASPS[0]))
    world.open(0.036)
    assert world.disposition() is Disposition.UNKNOWN
    assert world.scale_load_kg() == 0.0


def test_the_camera_sees_the_part_light_and_faults(world):
    world.present_part(make_part("S", 1))
    pick(world, GRASPS[0])
    world.set_tool(T_world_tool_for(VIEWPOINTS[0], GRASPS[0]))
    bright = world.expose("inspection", 0.008, 0.0)
    assert bright.shape == (CAMERA.height, CAMERA.width)
    assert (bright > 60).mean() > 0.1
    assert not np.array_equal(bright, world.expose("inspection", 0.008, 0.0)), "each exposure has noise of its own"
    world.inject("black", role="inspection")
    assert np.percentile(world.expose("inspection", 0.008, 0.0), 99.9) < 12
    world.inject("wrong_size")
    assert world.expose("inspection", 0.008, 0.0).shape == (CAMERA.height // 2, CAMERA.width // 2)
    world.set_light({})
    assert np.percentile(world.expose("inspection", 0.008, 0.0), 99.9) < 12
    world.set_light({"ring": 1.0})
    world.drop_part()
    assert (world.expose("inspection", 0.008, 0.0) > 60).mean() < 0.05


def test_faults_come_as_often_as_they_were_injected(world):
    world.inject("failed_buffer", count=2, role="inspection")
    taken = [world.take_fault("failed_buffer", role) for role in ("wide", "inspection", "inspection", "inspection")]
    assert taken == [False, True, True, False]
    world.inject("scale", mode="garbage")
    assert world.scale_mode() == "garbage"
    world.inject("grip_missed")
    world.present_part(make_part("S", 1))
    assert pick(world, GRASPS[0]) == 0.0
    world.open(0.036)
    assert pick(world, GRASPS[0]) > 0.0
    world.inject("lost_part")
    world.set_tool(T_world_tool_for(VIEWPOINTS[0], GRASPS[0]))
    assert world.disposition() is Disposition.UNKNOWN
    world.clear_faults()
    assert world.scale_mode() == "none"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.expose("side", 0.01, 0.0), "'side' is none of inspection"),
        (lambda w: w.set_tool(np.zeros((4, 4))), "not a rigid pose"),
        (lambda w: w.set_light({"ring": 1.5}), "from 0 to 1"),
        (lambda w: w.inject("earthquake"), "'earthquake' is unknown"),
    ],
)
def test_a_wrong_call_is_answered_with_its_error(world, call, message):
    with pytest.raises(ValueError, match=message):
        call(world)
    assert world.read_width() == pytest.approx(0.036)


def _expose_for_ever(socket):
    client = WorldClient(socket)
    while True:
        client.expose("inspection", 0.008, 0.0)


def test_a_killed_client_does_not_disturb_the_others(world, config):
    context = multiprocessing.get_context("spawn")
    victims = [context.Process(target=_expose_for_ever, args=(config.socket,), daemon=True) for _ in range(2)]
    for victim in victims:
        victim.start()
    time.sleep(2.0)
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(10)
    for _ in range(3):
        assert world.expose("inspection", 0.008, 0.0).shape == (CAMERA.height, CAMERA.width)


def test_garbage_and_a_wrong_key_are_turned_away(world, config):
    with pytest.raises((EOFError, OSError, multiprocessing.AuthenticationError)):
        Client(str(config.socket), "AF_UNIX", authkey=b"wrong")
    rude = Client(str(config.socket), "AF_UNIX", authkey=key_path(config.socket).read_bytes())
    rude.send_bytes(b"not a call")
    with pytest.raises((EOFError, OSError)):
        rude.recv()
    assert world.read_width() > 0


def test_no_world_is_said_in_time(tmp_path):
    client = WorldClient(tmp_path / "nobody.sock", timeout_s=0.2)
    with pytest.raises(WorldLost, match="is it running"):
        client.read_width()


def test_a_pose_that_is_not_rigid_is_refused_in_the_configuration():
    rows = np.eye(4)
    rows[0, 0] = 2.0
    with pytest.raises(ValidationError, match=r"T_world_camera[\s\S]*rigid"):
        CameraSpec.of(CAMERA, rows)
