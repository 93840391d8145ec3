"""The alignments of a part: of each grasp by its wide view, and what is left of it in each inspection view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.align import AlignmentEstimate, align
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.picture import alignment_picture
from inspection_cell.alignment.residual import refined_in_view
from inspection_cell.cad.assembly import Component, load_assembly
from inspection_cell.cad.box import box_component
from inspection_cell.core.plan import Mounting
from inspection_cell.core.poses import Pose, inverse
from inspection_cell.core.view import Alignment, View
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.motion.config import BoxConfig
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe


class AlignmentStation:
    """Aligns the part of one recipe.

    Args:
        tool_boxes: the gripper as boxes in the tool frame: edges behind it are not looked for.
    """

    def __init__(
        self, recipe: Recipe, recipe_path: Path, tool_boxes: Sequence[BoxConfig] = (), cache: Path | None = None
    ) -> None:
        """Raises CadError, ConfigError."""
        assert recipe.alignment is not None
        self._section = recipe.alignment
        assembly = load_assembly(resolve(recipe.part.cad, recipe_path), recipe.part.unit, cache)
        self._edges = PartEdges(assembly)
        self._tool = [box_component(box.name, box.size_m, box.T_world_box) for box in tool_boxes]

    def judge(
        self, view: View, image: NDArray[np.uint8], encoding: str, stamp_ns: int
    ) -> tuple[Alignment, AlignmentEstimate]:
        """The part's pose in the view's grasp; refused rather than wrong."""
        bound = (self._section.prior_m, math.radians(self._section.prior_deg))
        grey = image if encoding == "mono8" else to_rgb(image, encoding)
        estimate = align(
            grey,
            view.camera,
            self._edges,
            view.T_camera_part(view.T_prior),
            bound,
            occluders=self._gripper(view, view.T_prior),
        )
        return _alignment(view, estimate, stamp_ns), estimate

    def refine(
        self, view: View, image: NDArray[np.uint8], encoding: str, of_grasp: Alignment, stamp_ns: int
    ) -> tuple[Alignment, AlignmentEstimate | None]:
        """What is left of the grasp's pose error in an inspection view; the grasp's pose where the view cannot tell."""
        T_camera_part = view.T_camera_part(of_grasp.T_reference_part)
        grey = image if encoding == "mono8" else to_rgb(image, encoding)
        occluders = self._gripper(view, of_grasp.T_reference_part)
        estimate = refined_in_view(grey, view.camera, self._edges, T_camera_part, of_grasp.covariance, occluders)
        if estimate is None:
            return replace(of_grasp, view_id=view.view_id, stamp_ns=stamp_ns), None
        return _alignment(view, estimate, stamp_ns), estimate

    def _gripper(self, view: View, T_reference_part: Pose) -> list[Component]:
        """The gripper in the part frame; none where no hand holds the part."""
        if view.mounting is not Mounting.PART_IN_HAND:
            return []
        return [box.moved(inverse(T_reference_part)) for box in self._tool]

    def picture(self, image: NDArray[np.uint8], encoding: str, estimate: AlignmentEstimate) -> NDArray[np.uint8]:
        """What the alignment saw, (h, w, 3) RGB."""
        return alignment_picture(to_rgb(image, encoding), estimate)


def _alignment(view: View, estimate: AlignmentEstimate, stamp_ns: int) -> Alignment:
    return Alignment(
        inspection_id=view.inspection_id,
        grasp=view.grasp,
        view_id=view.view_id,
        stamp_ns=stamp_ns,
        T_reference_part=view.T_reference_part(estimate.T_camera_part),
        covariance=np.where(np.isfinite(estimate.covariance), estimate.covariance, 1e6),
        quality=estimate.quality,
        residual_px=estimate.residual_px if math.isfinite(estimate.residual_px) else 1e6,
        accepted=estimate.accepted,
        reason=estimate.reason,
    )
