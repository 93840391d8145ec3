"""The presence node: every component of the recipe in every inspection view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Parameter

from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CheckKind
from inspection_cell.core.view import Alignment
from inspection_cell.nodes.aligned_station import AlignedStationNode
from inspection_cell.nodes.station import Arrival
from inspection_cell.presence.station import PresenceStation
from inspection_cell.recipe.recipe import Recipe


class PresenceNode(AlignedStationNode[PresenceStation | None]):
    """One classifier for all components of a part."""

    kind = CheckKind.PRESENCE

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("presence", parameter_overrides)

    def load(self, recipe: Recipe, path: Path) -> tuple[PresenceStation | None, dict[str, str]]:
        if recipe.presence is None or recipe.presence.model_hash is None:
            return None, {}
        station = PresenceStation(recipe, path, self.config.tool_boxes, self.data_folder / "cache")
        return station, {"presence": station.model.model_hash}

    def unload(self, analysis: PresenceStation | None) -> None:
        if analysis is not None:
            analysis.close()

    def judge(
        self, arrival: Arrival, image: NDArray[np.uint8], alignment: Alignment
    ) -> list[tuple[CheckResult, NDArray[np.uint8] | None]]:
        if self.analysis is None:
            raise ValueError("no presence model is loaded")
        view_id = arrival.view.view_id
        checks = [c for c in arrival.plan.checks if c.kind is self.kind and c.view_id == view_id]
        judged = self.analysis.judge(checks, arrival.view, image, arrival.message.frame.encoding, alignment)
        return [(r, p if p is None else np.ascontiguousarray(p[..., ::-1])) for r, p in judged]  # files are written BGR
