"""A page on planned viewpoints: how much each component is seen, how much each view adds, the part coloured by it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.common.report_page import BLUE, embedded_picture, embedded_plot, html_page, html_table, plot
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, transform
from inspection_cell.motion.config import pose_config
from inspection_cell.viewplanning.patches import Patches
from inspection_cell.viewplanning.plan import Seen, ViewPlan

PAGE = "index.html"
SIDE_PX = 420
COLOURS = np.array([[70, 70, 70], [200, 30, 30], [230, 160, 0], [0, 140, 190], [0, 110, 60]], np.float64)
"""Never seen from anywhere; could be seen, is not; seen once; twice; three times or more."""
SIDES = ((1, 1, 1.2), (-1, -1, 1.2), (1, -1, -1.2), (-1, 1, -1.2))


def names_of(plan: ViewPlan) -> list[str]:
    """The viewpoints' names, in their order."""
    return [f"v{number:02d}" for number in range(1, len(plan.views) + 1)]


def fragment_text(plan: ViewPlan) -> str:
    """`viewpoints` and `views` of a recipe, YAML."""
    names = names_of(plan)
    viewpoints = [
        {"name": name, "T_part_camera": pose_config(view.T_part_camera).model_dump(mode="json")}
        for name, view in zip(names, plan.views, strict=True)
    ]
    held = sorted({view.held for view in plan.views})
    views = {h: [n for n, view in zip(names, plan.views, strict=True) if view.held == h] for h in held}
    return str(
        yaml.safe_dump({"viewpoints": viewpoints, "views": views}, sort_keys=False, default_flow_style=None, width=110)
    )


def component_rows(seen: Seen, plan: ViewPlan) -> list[tuple[str, ...]]:
    """The head, and for each component and the whole: area, what of it can be seen at all, and what of that is seen."""
    patches, at_all = seen.patches, seen.at_all
    got = seen.flags[list(plan.numbers)].any(axis=0)
    rows: list[tuple[str, ...]] = [("component", "area, mm2", "can be seen", "of that, is seen")]
    everything = np.ones(len(patches.areas), bool)
    parts = [(name, patches.component == k) for k, name in enumerate(patches.names)]
    for name, own in (*parts, ("all", everything)):
        area, possible = patches.areas[own].sum(), patches.areas[own & at_all].sum()
        seen_share = f"{patches.areas[own & at_all & got].sum() / possible:.1%}" if possible else "-"
        rows.append((name, f"{area * 1e6:.0f}", f"{possible / area:.1%}", seen_share))
    return rows


def write_report(seen: Seen, plan: ViewPlan, renderer: GeometryRenderer, folder: Path) -> Path:
    """Writes the page; returns its path."""
    chosen = seen.flags[list(plan.numbers)]
    proven = "no fewer can" if plan.cover.at_least == len(plan.views) else f"at least {plan.cover.at_least} are needed"
    body = [
        f"<p>{len(plan.views)} views see {plan.cover.share:.1%} of what can be seen at all; {proven}, of those that"
        f" were tried ({len(seen.candidates)}).</p>",
        "<h2>The part</h2>",
        embedded_picture(
            _painted(seen.patches, seen.at_all, chosen, renderer),
            "Green: seen in three views or more; blue: in two; amber: in one; red: in none; grey: cannot be seen.",
        ),
        "<h2>Components</h2>",
        html_table(component_rows(seen, plan)),
        "<h2>What each view adds</h2>",
        embedded_plot(_draw_curve(seen, plan), "Share seen, of what can be seen at all, by the first so many views."),
        html_table([("view", "held in"), *zip(names_of(plan), (v.held for v in plan.views), strict=True)]),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text(html_page("Viewpoints", body), encoding="utf-8")
    return page


def _draw_curve(seen: Seen, plan: ViewPlan) -> Figure:
    figure, (axis,) = plot(6.0, 3.2)
    chosen = seen.flags[list(plan.numbers)]
    shares = [seen.share(chosen[:k]) for k in range(1, len(chosen) + 1)]
    axis.plot(range(1, len(chosen) + 1), shares, "o-", color=BLUE, ms=4)
    axis.set(xlabel="views", ylabel="share seen", ylim=(0, 1.02))
    return figure


def _painted(
    patches: Patches, at_all: NDArray[np.bool_], chosen: NDArray[np.bool_], renderer: GeometryRenderer
) -> NDArray[np.uint8]:
    """The part from four sides, each place in the colour of its nearest patch."""
    level = np.where(at_all, 1 + np.minimum(chosen.sum(axis=0), 3), 0)
    tree = cKDTree(np.column_stack([patches.points, patches.normals * renderer.assembly.radius * 0.1]))
    camera = CameraModel.pinhole(SIDE_PX, SIDE_PX, 4.0 * SIDE_PX)
    centre, pictures = renderer.assembly.centre, []
    for side in SIDES:
        away = np.array(side) / np.linalg.norm(side)
        T_part_camera = look_at(centre + away * renderer.assembly.radius * 9, centre)
        buffers = renderer.render(inverse(T_part_camera), camera)
        row, column = np.nonzero(buffers.depth > 0)
        z = buffers.depth[row, column].astype(float)
        k = camera.matrix
        rays = np.column_stack([(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], np.ones(len(z))])
        points = transform(T_part_camera, rays * z[:, None])
        normals = buffers.normals[row, column].astype(float)
        turned = normals @ T_part_camera[:3, :3].T
        nearest = tree.query(np.column_stack([points, turned * renderer.assembly.radius * 0.1]))[1]
        picture = np.full((SIDE_PX, SIDE_PX, 3), 255.0)
        picture[row, column] = COLOURS[level[nearest]] * (0.45 + 0.55 * np.abs(normals[:, 2:]))
        pictures.append(picture.astype(np.uint8))
    return np.asarray(cv2.vconcat([cv2.hconcat(pictures[:2]), cv2.hconcat(pictures[2:])]), np.uint8)
