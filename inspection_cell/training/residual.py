"""Blocks of convolutions that the small networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Adds to its input what two convolutions make of it; at first nothing (K. He et al., "Deep residual learning")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(*convolution(channels, channels, 1), *convolution(channels, channels, 1)[:2])
        nn.init.zeros_(self.change[-1].weight)

    def forward(self, values: Tensor) -> Tensor:
        return torch.relu(values + self.change(values))


def convolution(inside: int, outside: int, stride: int) -> list[nn.Module]:
    """3 x 3, normalised."""
    return [
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    ]


def halving_block(inside: int, outside: int) -> nn.Sequential:
    """Half as many pixels a side."""
    return nn.Sequential(*convolution(inside, outside, 2), Residual(outside))
