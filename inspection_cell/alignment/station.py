"""The alignment of a grasp: from a wide view and the recipe's prior to where the part really is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.alignment.align import AlignmentEstimate, align
from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.picture import alignment_picture
from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.view import Alignment, View
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.recipe.paths import resolve
from inspection_cell.recipe.recipe import Recipe


class AlignmentStation:
    """Aligns the part of one recipe. Belongs to the thread that made it (it renders)."""

    def __init__(self, recipe: Recipe, recipe_path: Path, cache: Path | None = None) -> None:
        """Raises CadError, ConfigError, RenderError."""
        assert recipe.alignment is not None
        self._section = recipe.alignment
        assembly = load_assembly(resolve(recipe.part.cad, recipe_path), recipe.part.unit, cache)
        self._renderer = GeometryRenderer(assembly)
        self._edges = PartEdges(self._renderer)

    def close(self) -> None:
        """Gives the renderer back."""
        self._renderer.close()

    def judge(
        self, view: View, image: NDArray[np.uint8], encoding: str, stamp_ns: int
    ) -> tuple[Alignment, AlignmentEstimate]:
        """The part's pose in the view's grasp; refused rather than wrong."""
        bound = (self._section.prior_m, math.radians(self._section.prior_deg))
        grey = image if encoding == "mono8" else to_rgb(image, encoding)
        estimate = align(grey, view.camera, self._edges, view.T_camera_part(view.T_prior), bound)
        alignment = Alignment(
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
        return alignment, estimate

    def picture(self, image: NDArray[np.uint8], encoding: str, estimate: AlignmentEstimate) -> NDArray[np.uint8]:
        """What the alignment saw, (h, w, 3) RGB."""
        return alignment_picture(to_rgb(image, encoding), estimate)
