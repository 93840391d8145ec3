"""The presence network: a small convolutional classifier of image crop and expectation, and its export to ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from inspection_cell.presence.expectation import CHANNELS, SIZE_PX

WIDTHS = (32, 48, 96, 128)
CLASSES = 3


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1, groups=outside, bias=False),
        nn.Conv2d(outside, outside, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class PresenceNetwork(nn.Module):
    """(n, 8, 64, 64) to (n, 3) logits of present, missing, wrong.

    The first layer sees the image and the expectation at once, so it may compare edges with edges.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (CHANNELS, *WIDTHS)
        self.body = nn.Sequential(*(_block(a, b) for a, b in zip(channels[:-1], channels[1:], strict=True)))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(WIDTHS[-1] * 16, 96), nn.ReLU(), nn.Linear(96, CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(inputs))
        return result


class _Calibrated(nn.Module):
    """Probabilities after temperature scaling (C. Guo et al., "On Calibration of Modern Neural Networks", 2017, Sec. 4.2)."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.softmax(self.network(inputs) / self.temperature, dim=1)


def export(network: PresenceNetwork, temperature: float, path: Path) -> None:
    """Writes the ONNX graph: input (n, 8, 64, 64) float32, output `probabilities` (n, 3)."""
    model = _Calibrated(network.eval(), temperature).eval()
    torch.onnx.export(
        model,
        (torch.zeros(2, CHANNELS, SIZE_PX, SIZE_PX),),
        str(path),
        input_names=["input"],
        output_names=["probabilities"],
        dynamic_axes={"input": {0: "n"}, "probabilities": {0: "n"}},
        dynamo=False,
        opset_version=17,
    )
