"""The alignments of a part: of each grasp by its wide views, and what is left of it in each inspection view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspection_cell.alignment.components import component_offsets
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.multiview import JointEstimate, join
from inspection_cell.alignment.one_view import AlignmentEstimate, align
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

UNKNOWN = 1e6


@dataclass(frozen=True)
class WideView:
    """A wide view and what it alone says."""

    view: View
    estimate: AlignmentEstimate


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
        in_hand = recipe.core_mounting is Mounting.PART_IN_HAND
        self._tool = [box_component(box.name, box.size_m, box.T_world_box) for box in tool_boxes if in_hand]

    def find(self, view: View, image: NDArray[np.uint8], encoding: str) -> AlignmentEstimate:
        """The part in one wide view, anywhere within the prior's bound; refused rather than wrong."""
        bound = (self._section.prior_m, math.radians(self._section.prior_deg))
        grey = image if encoding == "mono8" else to_rgb(image, encoding)
        prior = view.T_camera_part(view.T_prior)
        return align(grey, view.camera, self._edges, prior, bound, occluders=self._gripper(view.T_prior))

    def judge(self, found: Sequence[WideView], stamp_ns: int) -> tuple[Alignment, JointEstimate]:
        """The part's pose in a grasp, from all its wide views; refused where one was, or where they disagree.

        Args:
            found: in the order of the plan; the alignment is that of the last.
        """
        views, estimates = [f.view for f in found], [f.estimate for f in found]
        # Where the part stands still: the tool that holds it, or the world.
        cameras = [view.T_reference_part(np.eye(4)) for view in views]
        joint = join(cameras, estimates, views[-1].T_prior, self._edges.assembly.centre)
        refused = [f"{f.view.view_id}: {f.estimate.reason}" for f in found if not f.estimate.accepted]
        reason = "; ".join(refused) or joint.reason
        alignment = Alignment(
            inspection_id=views[-1].inspection_id,
            grasp=views[-1].grasp,
            view_id=views[-1].view_id,
            stamp_ns=stamp_ns,
            T_reference_part=joint.T_world_part,
            covariance=_finite(joint.covariance),
            quality=min(estimate.quality for estimate in estimates),
            residual_px=max(float(_finite(estimate.residual_px)) for estimate in estimates),
            accepted=not reason,
            reason=reason,
        )
        return alignment, joint

    def refine(
        self, view: View, image: NDArray[np.uint8], encoding: str, of_grasp: Alignment, stamp_ns: int
    ) -> tuple[Alignment, AlignmentEstimate | None]:
        """What is left of the grasp's pose error in an inspection view; the grasp's pose where the view cannot tell."""
        T_camera_part = view.T_camera_part(of_grasp.T_reference_part)
        grey = image if encoding == "mono8" else to_rgb(image, encoding)
        occluders = self._gripper(of_grasp.T_reference_part)
        estimate = refined_in_view(grey, view.camera, self._edges, T_camera_part, of_grasp.covariance, occluders)
        if estimate is None:
            return replace(of_grasp, view_id=view.view_id, stamp_ns=stamp_ns), None
        return _alignment(view, estimate, stamp_ns), estimate

    def _gripper(self, T_reference_part: Pose) -> list[Component]:
        """The gripper in the part frame; none where no hand holds the part."""
        return [box.moved(inverse(T_reference_part)) for box in self._tool]

    def picture(
        self, view: View, image: NDArray[np.uint8], encoding: str, estimate: AlignmentEstimate
    ) -> NDArray[np.uint8]:
        """What the alignment saw, with the components that sit off, (h, w, 3) RGB."""
        colour, offsets = to_rgb(image, encoding), []
        if estimate.accepted:
            occluders = self._gripper(view.T_reference_part(estimate.T_camera_part))
            grey = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))
            offsets = component_offsets(grey, view.camera, self._edges, estimate.T_camera_part, occluders=occluders)
        return alignment_picture(colour, estimate, offsets)


def _alignment(view: View, estimate: AlignmentEstimate, stamp_ns: int) -> Alignment:
    return Alignment(
        inspection_id=view.inspection_id,
        grasp=view.grasp,
        view_id=view.view_id,
        stamp_ns=stamp_ns,
        T_reference_part=view.T_reference_part(estimate.T_camera_part),
        covariance=_finite(estimate.covariance),
        quality=estimate.quality,
        residual_px=float(_finite(estimate.residual_px)),
        accepted=estimate.accepted,
        reason=estimate.reason,
    )


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers as a message carries them: a large one for what is not known."""
    return np.nan_to_num(np.asarray(values, float), nan=UNKNOWN, posinf=UNKNOWN)
