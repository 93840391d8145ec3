"""Views of a part in the hand, drawn as the simulated cell draws them, with what the camera's node says beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.plan import InspectionPlan, Mode
from inspection_cell.core.poses import Pose, inverse, make_pose, perturb
from inspection_cell.core.view import View
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.loading import read_yaml, validate
from inspection_cell.recipe.make_plan import make_plan
from inspection_cell.recipe.paths import resolve, share_folder
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.simulation.scene import PlacedGripper, PlacedPart, Scene, Shot
from inspection_cell.simulation.truth import make_part

INSPECTION_ID = "20260101-000000-00000000"
WIDE_090 = {
    "name": "wide_090",
    "camera": "wide",
    "T_part_camera": {"xyz_m": [0, 0.385673, 0.467627], "rpy_deg": [-180, 40, 90]},
}


def two_wide_content() -> dict[str, Any]:
    """The fast recipe with a second wide view at the beginning of each grasp."""
    content = read_yaml(share_folder() / "config" / "recipes" / "fast_test.yaml")
    content["name"] = "two_wide"
    content["viewpoints"].append(WIDE_090)
    for names in content["views"].values():
        names.insert(1, "wide_090")
    return content


class HeldPart:
    """A part in the simulated hand. Belongs to the thread that made it (it renders).

    Args:
        twist: (6,) of the part's centre against its nominal place in each grasp: metres, radians.
    """

    def __init__(self, content: dict[str, Any], twist: NDArray[np.float64], cell: str = "demo_cell.yaml") -> None:
        self.path = share_folder() / "config" / cell
        self.config: CellConfig = load_cell_config(self.path)
        self.recipe = validate(content, Recipe, "made")
        now = time.time_ns()
        self.plan: InspectionPlan = make_plan(self.recipe, INSPECTION_ID, "r1", "4711", Mode.TEACH, True, now)
        self.scene = Scene(resolve(self.recipe.part.cad, Path("x")).parent)
        self.twist = twist

    def T_tool_part(self, grasp: str) -> Pose:
        """How the hand truly holds it."""
        nominal = next(g.grasp.T_tool_part for g in self.recipe.grasps if g.name == grasp)
        centre = make_pose(None, self.scene.centre)
        return perturb(nominal @ centre, self.twist) @ inverse(centre)

    def take(
        self,
        view_id: str,
        focal: float = 1.0,
        camera_off: Sequence[float] = (0, 0, 0, 0, 0, 0),
        inspection_id: str = INSPECTION_ID,
        seed: int = 1,
    ) -> tuple[View, NDArray[np.uint8]]:
        """A view and its pixels.

        Args:
            focal: how many times too long the camera's focal length is told.
            camera_off: (6,) twist by which the camera's pose is told wrong, in the optical frame.
        """
        held, viewpoint, role = next((g, v, r) for name, g, v, r in self.recipe.all_views if name == view_id)
        grasp = next(g.grasp for g in self.recipe.grasps if g.name == held)
        section = self.config.cameras["wide" if role.name == "WIDE" else "inspection"]
        T_world_camera = section.calibration.pose.matrix
        T_world_tool = T_world_camera @ inverse(viewpoint.T_part_camera) @ inverse(grasp.T_tool_part)
        T_camera_tool = inverse(T_world_camera) @ T_world_tool
        distance = 0.6 if role.name == "WIDE" else 0.32
        image = self.scene.render(
            Shot(section.model, 0.010, noise_seed=(seed, len(view_id)), ring_distance_m=distance),
            PlacedPart(make_part("4711", seed), T_camera_tool @ self.T_tool_part(grasp.name)),
            PlacedGripper(T_camera_tool, grasp.width_m),
        )
        told = section.model.matrix.copy()
        told[[0, 1], [0, 1]] *= focal
        view = View(
            inspection_id=inspection_id,
            view_id=view_id,
            grasp=grasp.name,
            viewpoint=viewpoint.name,
            role=role,
            camera_id="camera 1",
            calibration_id="calibration 1",
            stamp_ns=time.time_ns(),
            camera=CameraModel(section.model.width, section.model.height, told),
            mounting=self.recipe.core_mounting,
            T_world_camera=perturb(T_world_camera, np.array(camera_off, float)),
            T_world_tool=T_world_tool,
            T_prior=grasp.T_tool_part,
            prior_covariance=np.eye(6) * 1e-6,
            exposure_s=0.010,
            gain_db=0.0,
            light="ring",
            attempts=1,
            settled=True,
        )
        return view, image
