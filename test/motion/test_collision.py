"""Collisions: what touches is found, what is allowed is not, margins are monotonic."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_demo import SHARE, demo_scene

from inspection_cell.core.plan import Grasp
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import Workplace
from inspection_cell.motion.embedded.collision import CollisionWorld
from inspection_cell.motion.embedded.kinematics import Kinematics
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.planner import PartState
from inspection_cell.motion.taskplan import Place


def _world() -> tuple[Kinematics, CollisionWorld]:
    scene = demo_scene()
    urdf = SHARE / scene.arm.urdf
    arm = Kinematics(urdf, scene.arm.tool_frame)
    return arm, CollisionWorld(arm, urdf, scene)


_ARM, _WORLD = _world()


def test_home_is_free_and_the_table_is_not(planner: EmbeddedPlanner) -> None:
    home = planner.robot.home
    assert planner.is_valid(home, PartState()) == []
    down = home.copy()
    down[1] = 1.5
    assert any("table" in pair for pair in planner.is_valid(down, PartState()))


def test_off_the_limits_is_not_valid(planner: EmbeddedPlanner) -> None:
    q = planner.robot.home.copy()
    q[3] = 0.5
    assert ("arm", "limits") in planner.is_valid(q, PartState())


def test_fingers_may_touch_the_part_only_where_allowed(workplace: Workplace) -> None:
    contact = workplace.contacts("infeed", "g1")[0]
    standing = Place(at="infeed")
    pairs = workplace.planner.is_valid(contact.q, workplace.part_state(standing))
    assert {frozenset(pair) for pair in pairs} >= {frozenset(("finger_left", "part"))}
    gripping = workplace.part_state(workplace.gripping("infeed"))
    assert not any("part" in pair for pair in workplace.planner.is_valid(contact.q, gripping))


def test_a_held_part_meets_the_scene(workplace: Workplace, scene: SceneConfig, grasps: list[Grasp]) -> None:
    contact = workplace.contacts("infeed", "g1")[0]
    held = workplace.part_state(Place(held="g1"))
    assert any(set(pair) == {"part", "infeed_post"} for pair in workplace.planner.is_valid(contact.q, held))
    assert workplace.planner.is_valid(contact.lifted, held) == []
    tool = workplace.planner.tool_pose(contact.q)
    assert np.allclose(tool @ grasps[0].T_tool_part, scene.station("infeed").T_world_part, atol=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_free_with_more_margin_is_free_with_less(seed: int) -> None:
    q = np.random.default_rng(seed).uniform(_ARM.lower, _ARM.upper)
    free = [_WORLD.checker(PartState(), margin).free(q) for margin in (0.0, 0.01, 0.03)]
    assert free == sorted(free, reverse=True)
    assert free[1] == (_WORLD.checker(PartState(), 0.01).contacts(q) == [])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_free_edge_is_free_at_every_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(_ARM.lower, _ARM.upper, (2, 7))
    checker = _WORLD.checker(PartState(), 0.0)
    steps = int(np.ceil(np.linalg.norm(b - a) / 0.05))
    every = all(checker.free(a + (b - a) * k / steps) for k in range(steps + 1))
    assert checker.edge_free(a, b, 0.05) == every
