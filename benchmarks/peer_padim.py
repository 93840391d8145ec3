"""The peer of the anomaly benchmarks: PaDiM as everybody has it, in PyTorch and as an OpenVINO export.

Anomalib's PaDiM is what a plant would take instead; where it cannot be imported (it needs torchvision, timm and
Lightning), this module does the same computation, written from the paper (Defard et al. 2021) and from anomalib's
documentation: ResNet18 to layer 3, 100 of 448 channels, all layers upsampled to the first one's grid with nearest
neighbour, a full covariance and its inverse at every position, Mahalanobis distance, bilinear upsampling, gaussian
blur of sigma 4. It needs PyTorch; the export needs OpenVINO too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

REGULARISATION = 0.01
SIGMA = 4.0


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """ResNet's block of two 3 x 3 convolutions (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, 3, stride), convolution(outputs, outputs, 3, 1)
        self.shortcut = convolution(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet18 up to layer 3, with random weights: speed does not depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.layer1(self.stem(x))
        second = self.layer2(first)
        return first, second, self.layer3(second)


class PeerPadim(nn.Module):
    """PaDiM with one full inverse covariance a position.

    Attributes:
        mean: (channels, positions). inverse: (positions, channels, channels).
    """

    channels: Tensor
    blur: Tensor
    mean: Tensor
    inverse: Tensor

    def __init__(self, backbone: nn.Module, channels: np.ndarray, size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.size = size
        self.register_buffer("channels", torch.as_tensor(channels))
        distance = torch.arange(-16, 17, dtype=torch.float32)
        kernel = torch.exp(-(distance**2) / (2 * SIGMA**2))
        self.register_buffer("blur", kernel / kernel.sum())

    def embed(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, channels, size / 4, size / 4)"""
        first, second, third = self.backbone(x)
        side = first.shape[-2:]
        layers = [first, *(functional.interpolate(layer, side, mode="nearest") for layer in (second, third))]
        return torch.index_select(torch.cat(layers, 1), 1, self.channels)

    def fit(self, embeddings: Tensor) -> None:
        """From (images, channels, rows, columns), all in memory."""
        images, channels = embeddings.shape[:2]
        x = embeddings.reshape(images, channels, -1).permute(2, 1, 0)
        mean = x.mean(-1)
        x = x - mean[..., None]
        covariance = x @ x.transpose(1, 2) / (images - 1) + REGULARISATION * torch.eye(channels)
        self.register_buffer("mean", mean.T.contiguous())
        self.register_buffer("inverse", torch.linalg.inv(covariance))

    def fill(self, size: int) -> None:
        """Some mean and inverse covariance, where only the speed is of interest."""
        positions, channels = (size // 4) ** 2, len(self.channels)
        self.register_buffer("mean", torch.randn(channels, positions))
        one = torch.eye(channels) + 0.01 * torch.randn(channels, channels)
        self.register_buffer("inverse", one.repeat(positions, 1, 1))

    def distances(self, embedding: Tensor) -> Tensor:
        """(1, channels, rows, columns) -> (1, 1, rows, columns)"""
        _, channels, rows, columns = embedding.shape
        delta = (embedding.reshape(channels, rows * columns) - self.mean).T
        squared = (delta[:, None] @ self.inverse @ delta[:, :, None]).reshape(1, 1, rows, columns)
        return squared.clamp(0).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """(1, 3, size, size) -> the heat map (1, 1, size, size)"""
        heat = functional.interpolate(self.distances(self.embed(x)), self.size, mode="bilinear", align_corners=False)
        across, down = self.blur.reshape(1, 1, 1, -1), self.blur.reshape(1, 1, -1, 1)
        heat = functional.conv2d(functional.pad(heat, (16, 16, 0, 0), mode="reflect"), across)
        return functional.conv2d(functional.pad(heat, (0, 0, 16, 16), mode="reflect"), down)


def openvino_export(peer: PeerPadim, size: int, precision: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The peer as OpenVINO runs it; `precision` is f32 or bf16."""
    import openvino

    example = torch.zeros(1, 3, size, size)
    model = openvino.convert_model(peer, example_input=example, input=[1, 3, size, size])
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(batch: np.ndarray) -> np.ndarray:
        request.infer({0: batch}, share_inputs=True)
        return np.asarray(request.get_output_tensor(0).data)

    return run
