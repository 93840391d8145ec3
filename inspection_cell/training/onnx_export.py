"""Writes a network as an ONNX graph for any number of inputs at once."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 17


class _Probabilities(nn.Module):
    """Softmax after temperature scaling (C. Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

    def __init__(self, network: nn.Module, temperature: float, scale: float) -> None:
        super().__init__()
        self.network, self.temperature, self.scale = network, temperature, scale

    def forward(self, given: Tensor) -> Tensor:
        return torch.softmax(self.network(given * self.scale) / self.temperature, dim=1)


def export_classifier(
    network: nn.Module, temperature: float, shape: tuple[int, ...], name: str, path: Path, scale: float = 1.0
) -> None:
    """Writes input `name` (n, *shape) float32, times `scale`, to output `probabilities` (n, classes).

    Args:
        network: gives logits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own converter could not simplify is none of the user's business
        torch.onnx.export(
            _Probabilities(network.cpu().eval(), temperature, scale).eval(),
            (torch.zeros(2, *shape),),
            str(path),
            input_names=[name],
            output_names=["probabilities"],
            dynamic_axes={name: {0: "n"}, "probabilities": {0: "n"}},
            dynamo=False,
            opset_version=OPSET,
        )
