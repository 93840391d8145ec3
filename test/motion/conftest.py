"""The demo scene, its planner and its whole plan, made once a run."""

from __future__ import annotations

import pytest
from motion_demo import SHARE, demo_scene

from inspection_cell.core.plan import Grasp
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import Workplace
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.task import plan_task, view_targets
from inspection_cell.motion.taskplan import TaskPlan


@pytest.fixture(scope="session")
def scene() -> SceneConfig:
    return demo_scene()


@pytest.fixture(scope="session")
def grasps(scene: SceneConfig) -> list[Grasp]:
    return [grasp.grasp for grasp in scene.grasps]


@pytest.fixture(scope="session")
def planner(scene: SceneConfig) -> EmbeddedPlanner:
    return EmbeddedPlanner(scene, SHARE)


@pytest.fixture(scope="session")
def workplace(scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner) -> Workplace:
    return Workplace(scene, {grasp.name: grasp for grasp in grasps}, planner, seed=1)


@pytest.fixture(scope="session")
def plan(scene: SceneConfig, grasps: list[Grasp], planner: EmbeddedPlanner) -> TaskPlan:
    """All 18 views: about 5 s."""
    return plan_task(scene, SHARE, grasps, view_targets(scene), planner)
