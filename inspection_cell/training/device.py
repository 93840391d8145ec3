"""Where a network is trained: on a graphics card, if PyTorch has one."""

from __future__ import annotations

import torch
from torch import nn


def training_device() -> torch.device:
    """The first graphics card, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights are."""
    return next(network.parameters()).device
