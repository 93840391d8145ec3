"""Makes a feature extractor of the weights of a torchvision ResNet that lie on this disk: ResNet18, WideResNet50-2, ...

Run as `python -m inspection_cell.training.resnet resnet18.pth --out models/resnet18` in an environment with PyTorch;
torchvision itself is not needed. Which ResNet it is can be seen from the weights' names and shapes (He et al. 2016,
"Deep residual learning for image recognition"; Zagoruyko and Komodakis 2016, "Wide residual networks").
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, load_backbone
from inspection_cell.anomaly.backbone_card import describe_backbone, write_card
from inspection_cell.anomaly.preprocess import make_mapping
from inspection_cell.training.backbone import export, normalise

Weights = dict[str, Tensor]
LAYERS = ("layer1", "layer2", "layer3")
MOST_DIFFERENCE = 1e-4
"""Between the features of the ONNX file and of PyTorch, of their maximum: more is not rounding."""


class WrongWeights(ValueError):
    """A file that is not what this command takes; says why."""


class Block(nn.Module):
    """A residual block, basic or bottleneck, with torchvision's names; its first 3 x 3 convolution strides."""

    def __init__(self, shapes: list[torch.Size], stride: int, shortcut: torch.Size | None) -> None:
        super().__init__()
        self.count = len(shapes)
        strided = next(i for i, shape in enumerate(shapes) if shape[2] == 3)
        for i, (outputs, inputs, kernel, _) in enumerate(shapes):
            step = stride if i == strided else 1
            setattr(self, f"conv{i + 1}", nn.Conv2d(inputs, outputs, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(outputs))
        self.downsample: nn.Module = nn.Identity()
        if shortcut is not None:
            convolution = nn.Conv2d(shortcut[1], shortcut[0], 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(shortcut[0]))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = functional.relu(y) if i < self.count else y
        return functional.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A ResNet up to layer 3, with these weights."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        channels = len(weights["conv1.weight"])
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels)
        for name in LAYERS:
            setattr(self, name, _layer(weights, name, 1 if name == "layer1" else 2))
        self.load_state_dict({name: weights[name] for name in self.state_dict()})
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, h, w) normalised RGB -> features at strides 4, 8 and 16."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        first = self.layer1(x)
        second = self.layer2(first)
        return first, second, self.layer3(second)


def _layer(weights: Weights, name: str, stride: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    while f"{name}.{len(blocks)}.conv1.weight" in weights:
        prefix = f"{name}.{len(blocks)}"
        shapes = [weights[k].shape for i in (1, 2, 3) if (k := f"{prefix}.conv{i}.weight") in weights]
        if any(after[1] != before[0] for before, after in pairwise(shapes)):
            raise WrongWeights(f"{prefix} has grouped convolutions (a ResNeXt?), which are not supported")
        shortcut = weights.get(f"{prefix}.downsample.0.weight")
        blocks.append(Block(shapes, 1 if blocks else stride, None if shortcut is None else shortcut.shape))
    return nn.Sequential(*blocks)


def read_weights(path: Path) -> Weights:
    """The tensors of a state dictionary on disk.

    Raises:
        WrongWeights: not such a file, or not of a ResNet.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WrongWeights(f"cannot be read as PyTorch weights ({str(error).splitlines()[0]})") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise WrongWeights("holds something else than named tensors; save model.state_dict()")
    needed = ["conv1.weight", "bn1.weight", *(f"{layer}.0.conv2.weight" for layer in LAYERS)]
    if missing := [name for name in needed if name not in weights]:
        raise WrongWeights(f"not the weights of a torchvision ResNet: has no {', '.join(missing)}")
    if broken := [name for name, value in weights.items() if not value.float().isfinite().all()]:
        raise WrongWeights(f"{broken[0]} has values that are not finite")
    return weights


def convert(source: Path, out: Path) -> float:
    """Writes backbone.onnx and card.json; returns how far its features are from PyTorch's, of their maximum.

    Raises:
        WrongWeights: see its text.
    """
    try:
        net = ResNet(read_weights(source))
    except KeyError as error:
        raise WrongWeights(f"not the weights of a torchvision ResNet: has no {error}") from error
    except RuntimeError as error:
        raise WrongWeights(f"not the weights of a torchvision ResNet: {error}") from error
    out.mkdir(parents=True, exist_ok=True)
    onnx_file = out / ONNX_NAME
    export(net, onnx_file)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    card = describe_backbone(onnx_file, provenance=f"weights of {source.name} (sha256 {digest}): their licence holds")
    write_card(replace(card, name=source.stem), out / CARD_NAME)
    return _difference(net, out)


@torch.no_grad()
def _difference(net: ResNet, folder: Path) -> float:
    backbone, size = load_backbone(folder), 96
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    everything = [np.arange(output.channels) for output in backbone.card.outputs]
    found = backbone.features(image, make_mapping(size, size, size), everything)
    wanted = [features[0].numpy() for features in net(normalise(image[None]))]
    return max(float(np.abs(f - w).max() / np.abs(w).max()) for f, w in zip(found, wanted, strict=True))


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="make a feature extractor of a torchvision ResNet's weights file")
    parser.add_argument("weights", type=Path, help="a .pth file, as torchvision has it")
    parser.add_argument("--out", type=Path, required=True, help="folder for backbone.onnx and card.json")
    given = parser.parse_args(arguments)
    try:
        difference = convert(given.weights, given.out)
    except WrongWeights as error:
        sys.exit(f"{given.weights}: {error}")
    if not difference <= MOST_DIFFERENCE:
        sys.exit(f"{given.out}: features differ from PyTorch's by {difference:.1g} of their maximum; do not use it")
    print(f"{given.out}: features as PyTorch's, within {difference:.0e} of their maximum; name it with --backbone")


if __name__ == "__main__":
    main()
