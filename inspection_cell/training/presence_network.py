"""The presence network: a small convolutional classifier of image crop and expectation, and its export to ONNX."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from inspection_cell.presence.expectation import CHANNELS, SIZE_PX
from inspection_cell.training.onnx_export import export_classifier
from inspection_cell.training.residual import halving_block

WIDTHS = (32, 64, 128, 192)
CLASSES = 3
EDGE_CHANNELS = 6


def _steepness(planes: Tensor) -> Tensor:
    """(n, 1, 64, 64): how much (n, c, 64, 64) changes from a pixel to the ones beside and below it."""
    across = nn.functional.pad(planes[..., :, 1:] - planes[..., :, :-1], (0, 1, 0, 0))
    down = nn.functional.pad(planes[..., 1:, :] - planes[..., :-1, :], (0, 0, 0, 1))
    return torch.sqrt((across * across + down * down).sum(dim=1, keepdim=True) + 1e-6)


def with_edges(inputs: Tensor) -> Tensor:
    """(n, 14, 64, 64): the inputs, the edges of the image and of both expectations, and where they coincide.

    Edges are what picture and rendering have in common whatever the light is.
    """
    image = _steepness(inputs[:, :1])
    image = image / (image.mean(dim=(2, 3), keepdim=True) * 3.0 + 0.02)
    image = image / (1.0 + image)
    here = torch.clamp(_steepness(torch.cat([inputs[:, 1:2], inputs[:, 2:5]], dim=1)), max=1.0)
    gone = torch.clamp(_steepness(inputs[:, 5:8]), max=1.0)
    return torch.cat([inputs, image, here, gone, image * here, image * gone, here * gone], dim=1)


class PresenceNetwork(nn.Module):
    """(n, 8, 64, 64) to (n, 3) logits of present, missing, wrong.

    The first layer sees the image and the expectation at once, so it may compare edges with edges.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (CHANNELS + EDGE_CHANNELS, *WIDTHS)
        self.body = nn.Sequential(*(halving_block(a, b) for a, b in pairwise(channels)))
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(WIDTHS[-1] * 16, 128), nn.ReLU(), nn.Linear(128, CLASSES)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(with_edges(inputs)))
        return result


def export(network: PresenceNetwork, temperature: float, path: Path) -> None:
    """Writes the ONNX graph: input (n, 8, 64, 64) float32, output `probabilities` (n, 3)."""
    export_classifier(network, temperature, (CHANNELS, SIZE_PX, SIZE_PX), "input", path)
