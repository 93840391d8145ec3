"""The anomaly node: PaDiM on every inspection view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Parameter

from inspection_cell.anomaly.kernel import kernel
from inspection_cell.anomaly.station import AnomalyStation
from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CheckKind
from inspection_cell.core.view import Alignment
from inspection_cell.nodes.aligned_station import AlignedStationNode
from inspection_cell.nodes.station import Arrival
from inspection_cell.recipe.recipe import Recipe


class AnomalyNode(AlignedStationNode[AnomalyStation | None]):
    """One model a viewpoint, all resident."""

    kind = CheckKind.ANOMALY

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("anomaly", parameter_overrides)

    def load(self, recipe: Recipe, path: Path) -> tuple[AnomalyStation | None, dict[str, str]]:
        if recipe.anomaly is None or not recipe.anomaly.models:
            return None, {}
        config = self.config
        station = AnomalyStation(recipe, path, config.tool_boxes, self.data_folder / "cache", config.inference)
        return station, {view_id: model.sha256 for view_id, model in station.models.items()}

    def unload(self, analysis: AnomalyStation | None) -> None:
        if analysis is not None:
            analysis.close()

    def diagnose(self) -> dict[str, object]:
        station = self._loaded[1] if self._loaded else None
        runs_on = {model.provider for model in station.models.values()} if station is not None else set()
        return {**super().diagnose(), "network on": ", ".join(sorted(runs_on)), "distances by": kernel().name}

    def judge(
        self, arrival: Arrival, image: NDArray[np.uint8], alignment: Alignment
    ) -> list[tuple[CheckResult, NDArray[np.uint8] | None]]:
        if self.analysis is None:
            raise ValueError("no anomaly models are loaded")
        check = next(c for c in arrival.plan.checks if c.kind is self.kind and c.view_id == arrival.view.view_id)
        return [self.analysis.judge(check, arrival.view, image, arrival.message.frame.encoding, alignment)]
