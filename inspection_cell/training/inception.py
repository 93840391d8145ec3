"""InceptionV3's convolutions, for full-size trainings on a graphics card.

C. Szegedy et al., "Rethinking the Inception architecture for computer vision" (2016), Table 1 and Figures 5 to 7, with
normalisation after each convolution and without the auxiliary head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = 2048
Kernel = int | tuple[int, int]


class Side(nn.Module):
    """Several ways from the same input, laid side by side."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([way(values) for way in self.ways], dim=1)


def inception_blocks() -> list[nn.Module]:
    """The network from pictures (n, 3, h, w) of 75 pixels a side or more, to (n, CHANNELS, ...), in its blocks."""
    stem = nn.Sequential(
        _chain(3, (3, 32, 2, 0), (3, 32, 1, 0), (3, 64)),
        nn.MaxPool2d(3, 2),
        _chain(64, (1, 80), (3, 192, 1, 0)),
        nn.MaxPool2d(3, 2),
    )
    fine = [_fine(192, 32), _fine(256, 64), _fine(288, 64)]
    middle = [_middle(128), _middle(160), _middle(160), _middle(192)]
    coarse = [_coarse(1280), _coarse(CHANNELS)]
    return [stem, *fine, _shrink_fine(), *middle, _shrink_middle(), *coarse]


def _chain(channels: int, *steps: tuple[Kernel, int] | tuple[Kernel, int, int, int]) -> nn.Sequential:
    """Convolutions one after the other: kernel, channels, and if they differ from 1 and "same": stride, padding."""
    layers: list[nn.Module] = []
    for kernel, outside, *rest in steps:
        stride = rest[0] if rest else 1
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (rest[1], rest[1]) if rest else (size[0] // 2, size[1] // 2)
        layers += [
            nn.Conv2d(channels, outside, size, stride, padding, bias=False),
            nn.BatchNorm2d(outside, eps=1e-3),
            nn.ReLU(inplace=True),
        ]
        channels = outside
    return nn.Sequential(*layers)


def _pooled(channels: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _chain(channels, (1, outside)))


def _fine(inside: int, pooled: int) -> nn.Module:
    return Side(
        _chain(inside, (1, 64)),
        _chain(inside, (1, 48), (5, 64)),
        _chain(inside, (1, 64), (3, 96), (3, 96)),
        _pooled(inside, pooled),
    )


def _shrink_fine() -> nn.Module:
    return Side(
        _chain(288, (3, 384, 2, 0)),
        _chain(288, (1, 64), (3, 96), (3, 96, 2, 0)),
        nn.MaxPool2d(3, 2),
    )


def _middle(width: int) -> nn.Module:
    across, down = (1, 7), (7, 1)
    return Side(
        _chain(768, (1, 192)),
        _chain(768, (1, width), (across, width), (down, 192)),
        _chain(768, (1, width), (down, width), (across, width), (down, width), (across, 192)),
        _pooled(768, 192),
    )


def _shrink_middle() -> nn.Module:
    return Side(
        _chain(768, (1, 192), (3, 320, 2, 0)),
        _chain(768, (1, 192), ((1, 7), 192), ((7, 1), 192), (3, 192, 2, 0)),
        nn.MaxPool2d(3, 2),
    )


def _coarse(inside: int) -> nn.Module:
    def spread() -> nn.Module:
        return Side(_chain(384, ((1, 3), 384)), _chain(384, ((3, 1), 384)))

    return Side(
        _chain(inside, (1, 320)),
        nn.Sequential(_chain(inside, (1, 384)), spread()),
        nn.Sequential(_chain(inside, (1, 448), (3, 384)), spread()),
        _pooled(inside, 192),
    )
