"""A presence network in 8 bit integers, and the gate it must pass: it may not judge components otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static

from inspection_cell.training.presence_data import LEVELS, Samples, network_inputs

RANGES_FROM = 400
"""Samples whose activations set the ranges."""
MOST_CHANGED = 0.003
"""The gate: of components, so many may be judged otherwise."""
INPUT = "input"


def write_int8(model: Path, samples: Samples, out: Path) -> None:
    """The model's convolutions and products in 8 bit, weights scaled by channel.

    Weights take 7 of the 8 bits: processors without VNNI add two products in 16 bits, which 8 bit weights overflow.
    """
    quantize_static(
        model,
        out,
        _Reader(samples),
        op_types_to_quantize=["Conv", "Gemm"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )


def answers(model: Path, samples: Samples) -> NDArray[np.float64]:
    """(n, 3) probabilities by an ONNX model."""
    session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    parts = [session.run(None, {INPUT: chunk})[0] for chunk in network_inputs(samples)]
    return np.concatenate(parts).astype(np.float64)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives onnxruntime samples from all over the set."""

    def __init__(self, samples: Samples) -> None:
        chosen = np.linspace(0, len(samples.labels) - 1, min(RANGES_FROM, len(samples.labels))).astype(int)
        self._rest = iter(samples.inputs[chosen].astype(np.float32) / np.float32(LEVELS))

    def get_next(self) -> dict[str, Any] | None:
        one = next(self._rest, None)
        return None if one is None else {INPUT: one[None]}
