"""The real data sets of the anomaly benchmarks, and the two backbones to judge them with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone import Backbone, load_backbone
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.lattice import Features, Index
from inspection_cell.anomaly.preprocess import Mapping

ROOT = Path(__file__).resolve().parents[1]
SETS = ("hazelnut_toy", "aws_cookies", "metal_plate")


def add_data(given: argparse.ArgumentParser) -> None:
    """The argument that says where the real sets are."""
    given.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the real sets are")


def missing(data: Path) -> str:
    """What of the sets and SqueezeNet is not there; empty where nothing is missing."""
    names = [name for name in SETS if not (data / name / "train").is_dir()]
    return ", ".join(names if any((data / "backbone").glob("*.onnx")) else [*names, "backbone"])


def backbones(data: Path) -> dict[str, Backbone]:
    """A pretrained network of others and the one that the product ships."""
    return {
        "SqueezeNet": load_backbone(next((data / "backbone").glob("*.onnx"))),
        "ours": load_backbone(ROOT / "models" / "backbone"),
    }


class RememberingBackbone(Backbone):
    """Computes the features of an array of pixels once, and keeps the pixels so that they stay what they were."""

    def __init__(self, backbone: Backbone, config: EngineConfig = CPU) -> None:
        super().__init__(backbone.card, backbone.onnx_bytes, config)
        self._kept: dict[tuple[object, ...], tuple[NDArray[np.generic], Features]] = {}

    def features(self, image: NDArray[np.generic], mapping: Mapping, channels: Sequence[Index]) -> Features:
        """As `Backbone.features`."""
        key = (id(image), mapping, *(chosen.tobytes() for chosen in channels))
        if key not in self._kept:
            self._kept[key] = image, super().features(image, mapping, channels)
        return self._kept[key][1]
