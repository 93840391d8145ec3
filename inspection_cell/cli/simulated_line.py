"""A line of simulated parts before a running simulated cell: presents parts, plays the PLC, keeps the truth beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml

from inspection_cell.cli.supervisor import Supervisor
from inspection_cell.client.cell_client import CellClient
from inspection_cell.core.verdict import PartVerdict
from inspection_cell.recipe.cell_config import CellConfig, load_cell_config
from inspection_cell.recipe.loading import read_yaml
from inspection_cell.recipe.paths import resolve
from inspection_cell.simulation.client import WorldClient
from inspection_cell.simulation.link import socket_path
from inspection_cell.simulation.truth import DefectKind, PartTruth, make_part

RESOLUTIONS = {"5mp": (2560, 1920), "20mp": (5472, 3648)}
DEFECTS = tuple(DefectKind)


@dataclass(frozen=True)
class Inspected:
    """A part and what the cell said of it."""

    truth: PartTruth
    verdict: PartVerdict


def derive_config(
    source: Path, out: Path, mode: str, speed: float | None = None, resolution: str | None = None
) -> Path:
    """Writes a cell configuration made from another one; returns its path.

    Raises:
        ConfigError: the source is wrong.
    """
    content: dict[str, Any] = read_yaml(source)
    content["mode"] = mode
    content["scene"] = str(resolve(content["scene"], source))
    if speed is not None:
        content["arm"]["speed"] = speed
    if resolution is not None:
        camera = content["cameras"]["inspection"]
        width, height = RESOLUTIONS[resolution]
        scale = height / camera["device"]["height"]
        camera["device"] |= {"width": width, "height": height}
        camera["calibration"]["focal_px"] = [f * scale for f in camera["calibration"]["focal_px"]]
        camera["calibration"]["centre_px"] = [(width - 1) / 2, (height - 1) / 2]
        camera["calibration"]["id"] += f"-{resolution}"
        camera["timeout_s"] = 60
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    load_cell_config(out)
    return out


class SimulatedLine:
    """A running simulated cell with a PLC and a hand that puts parts on the infeed. A context manager."""

    def __init__(self, config_path: Path, data: Path, recipe: str, quiet: bool = True) -> None:
        self.config: CellConfig = load_cell_config(config_path)
        self.data = data.resolve()
        self.recipe = recipe
        self.supervisor = Supervisor(self.config, config_path.resolve(), self.data, quiet=quiet)
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> SimulatedLine:
        with ExitStack() as stack:
            stack.enter_context(self.supervisor)
            self.world = WorldClient(socket_path(self.data), timeout_s=60.0)
            stack.callback(self.world.close)
            self.cell = stack.enter_context(CellClient(self.config.namespace))
            self.cell.wait_until_up(180.0)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def select(self, timeout_s: float = 300.0) -> None:
        """Resets the cell where it must be, and selects the recipe."""
        if self.cell.state is not None and self.cell.state.reasons:
            self.cell.reset()
        self.cell.select_recipe(self.recipe, timeout_s)

    def inspect(self, truth: PartTruth, timeout_s: float = 900.0) -> Inspected:
        """Puts a part on the infeed and has it inspected."""
        self._count += 1
        self.world.present_part(truth)
        request = f"{truth.serial}-{np.random.default_rng().integers(1 << 62):x}"
        verdict = self.cell.inspect(request, truth.serial, timeout_s=timeout_s)
        with (self.data / "truth.jsonl").open("a", encoding="utf-8") as file:
            line = {"inspection_id": verdict.inspection_id, **asdict(truth)}
            file.write(json.dumps(line, default=str) + "\n")
        return Inspected(truth, verdict)


def good_parts(count: int, seed: int, prefix: str) -> list[PartTruth]:
    """So many good parts."""
    return [make_part(f"{prefix}{i + 1:03d}", seed * 1_000_003 + i) for i in range(count)]


def mixed_parts(good: int, defective: int, seed: int, kinds: Sequence[DefectKind] = DEFECTS) -> list[PartTruth]:
    """Good parts and defective ones of different kinds, in random order; the seed decides everything."""
    rng = np.random.default_rng([seed, 12])
    chosen = [kinds[i] for i in rng.permutation(len(kinds))[:defective]]
    order = rng.permutation(good + defective)
    parts = []
    for position, index in enumerate(order.tolist()):
        defects = [chosen[index - good]] if index >= good else []
        parts.append(make_part(f"S{seed}-{position + 1:02d}", seed * 1_000_003 + 500_000 + index, defects))
    return parts
