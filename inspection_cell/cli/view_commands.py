"""`inspection-cell plan-views`: the fewest viewpoints that see a part, from its CAD and the cell's geometry."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.box import box_component
from inspection_cell.cad.component import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cli.commissioning import progress_bar
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.motion.config import SceneConfig
from inspection_cell.motion.contacts import INFEED
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.planner import PartState
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.cell_recipe import load_cell_recipe
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.recipe.scene import scene_of
from inspection_cell.viewplanning.candidates import rolled
from inspection_cell.viewplanning.patches import patches_of
from inspection_cell.viewplanning.plan import Reach, choose, look_from_everywhere
from inspection_cell.viewplanning.report import fragment_text, write_report
from inspection_cell.viewplanning.seen import Optics

PATCHES = 5000
CAMERA = "inspection"


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module; `run(namespace)` gives the exit code."""
    plan = subparsers.add_parser("plan-views", help="the fewest viewpoints that see a part, from its CAD")
    plan.add_argument("cad", type=Path, help="the part: .step, .stp, .stl, .ply, .obj or .glb")
    plan.add_argument("--unit", choices=("m", "mm", "inch"), help="of a mesh, which states none (default: m)")
    plan.add_argument("--recipe", type=Path, required=True, help="says how the part is held, or where it lies")
    plan.add_argument("--config", type=Path, default=share_folder() / "config/demo_cell.yaml", help="the cell")
    plan.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where viewpoints and report go")
    plan.add_argument("--distance", type=float, default=0.32, metavar="M", help="camera to the part's middle")
    plan.add_argument(
        "--in-focus",
        type=float,
        nargs=2,
        default=(0.25, 0.40),
        metavar=("NEAR", "FAR"),
        help="depths that are sharp, m",
    )
    plan.add_argument("--mm-per-pixel", type=float, default=0.2, help="coarsest sampling of the surface, foreshortened")
    plan.add_argument("--incidence", type=float, default=70.0, metavar="DEG", help="between ray and normal at most")
    plan.add_argument(
        "--ring-light", type=float, nargs=2, metavar=("INNER", "OUTER"), help="radii, m: where it mirrors is not seen"
    )
    plan.add_argument("--share", type=float, default=0.98, help="of what can be seen at all, so much must be seen")
    plan.add_argument("--directions", type=int, default=200, help="that are tried in each grasp")
    plan.set_defaults(run=plan_command)


def plan_command(arguments: argparse.Namespace) -> int:
    """Plans, writes viewpoints.yaml and the report, and says how much is seen."""
    _check(arguments)
    config = load_cell_config(arguments.config)
    recipe = load_cell_recipe(arguments.recipe, config)
    scene = scene_of(config, arguments.config, recipe)
    assembly = load_assembly(arguments.cad, arguments.unit)
    optics = Optics(
        arguments.mm_per_pixel / 1e3,
        arguments.incidence,
        tuple(arguments.in_focus),
        tuple(arguments.ring_light) if arguments.ring_light else None,
    )
    held = in_the_way(config, scene, recipe)
    with GeometryRenderer(assembly) as renderer, progress_bar() as bar:
        task = bar.add_task("looking from everywhere", total=None)
        seen = look_from_everywhere(
            patches_of(assembly, PATCHES),
            renderer,
            held,
            config.cameras["inspection"].model,
            optics,
            (arguments.distance,),
            arguments.directions,
            lambda done, of: bar.update(task, completed=done, total=of),
        )
        bar.update(task, description="choosing", total=None)
        plan = choose(seen, arguments.share, reach_of(scene, recipe))
        bar.stop()
        page = write_report(seen, plan, renderer, arguments.out)
    result = arguments.out / "viewpoints.yaml"
    result.write_text(fragment_text(plan), encoding="utf-8")
    few = "no fewer can" if plan.cover.at_least == len(plan.views) else f"at least {plan.cover.at_least} are needed"
    where = ", ".join(sorted(held))
    print(
        f"{result}: {len(plan.views)} views in {where} see {plan.cover.share:.1%} of what can be seen; "
        f"{few}; look at {page}"
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    near, far = arguments.in_focus
    inner, outer = arguments.ring_light or (0.0, 1.0)
    for fine, text in (
        (0 < near < arguments.distance < far, "--in-focus NEAR FAR: needs 0 < NEAR < --distance < FAR, metres"),
        (0 <= inner < outer, "--ring-light INNER OUTER: needs 0 <= INNER < OUTER, metres"),
        (0 < arguments.share <= 1, "--share: needs a number above 0, up to 1"),
        (arguments.mm_per_pixel > 0, "--mm-per-pixel: needs a number above 0"),
        (0 < arguments.incidence < 90, "--incidence: needs degrees between 0 and 90"),
        (12 <= arguments.directions <= 5000, "--directions: needs 12 to 5000"),
    ):
        if not fine:
            raise ValueError(text)


def in_the_way(config: CellConfig, scene: SceneConfig, recipe: Recipe) -> dict[str, list[Component]]:
    """Grasp, or fixture -> what hides the part from a camera, in the part frame: the gripper, or what stands around."""
    if recipe.fixture is not None:
        T_part_world = inverse(scene.station(INFEED).T_world_part)
        around = [box_component(b.name, b.size_m, T_part_world @ b.T_world_box) for b in scene.obstacles]
        return {recipe.fixture.name: around}
    boxes = [box_component(b.name, b.size_m, b.T_world_box) for b in config.tool_boxes]
    return {g.name: [b.moved(inverse(g.T_tool_part.matrix)) for b in boxes] for g in recipe.grasps}


def reach_of(scene: SceneConfig, recipe: Recipe) -> Reach:
    """Asks the embedded planner: joints for the viewpoint that are free of collisions, with the part held."""
    planner = EmbeddedPlanner(scene, share_folder())
    camera = scene.cameras[CAMERA]
    T_tool_part = {g.name: g.T_tool_part.matrix for g in recipe.grasps}

    def reach(held: str, T_part_camera: Pose) -> Pose | None:
        rng = np.random.default_rng(1)
        for T in rolled(T_part_camera):
            if held in T_tool_part:
                tool, part = camera.pose @ inverse(T_tool_part[held] @ T), PartState(T_tool_part=T_tool_part[held])
            else:
                T_world_part = scene.station(INFEED).T_world_part
                tool, part = T_world_part @ T @ inverse(camera.pose), PartState(T_world_part=T_world_part)
            if planner.ik(tool, part, rng, 1):
                return T
        return None

    return reach
