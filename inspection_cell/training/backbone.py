"""Trains the small feature extractor that ships with the cell, from procedural pictures alone, and exports it to ONNX.

Run as `python -m inspection_cell.training.backbone --minutes 25 --out models/backbone` in an environment with PyTorch.
The network answers dense questions about each picture at strides 4, 8 and 16 (which texture, defect or not, what it
looks like), through linear heads that are thrown away afterwards: what is left are features that tell these apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inspection_cell.training.device import mixed_precision
from inspection_cell.training.procedural_images import TEXTURE_CLASSES, make_sample

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CHANNELS = (48, 96, 192)
STRIDES = (4, 8, 16)
APPEARANCE_NUMBERS = 14
"""In a cell: mean and standard deviation of red, green and blue, and edge energy in 4 directions at 2 scales."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class Backbone(nn.Module):
    """A narrow residual network with features at strides 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 24, 5, 2), conv(24, CHANNELS[0], 3, 2))
        self.layer1 = stage(CHANNELS[0], CHANNELS[0], 1)
        self.layer2 = stage(CHANNELS[0], CHANNELS[1], 2)
        self.layer3 = stage(CHANNELS[1], CHANNELS[2], 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, h, w) normalised RGB -> features of `CHANNELS` channels at `STRIDES`."""
        first = self.layer1(self.stem(x))
        second = self.layer2(first)
        return first, second, self.layer3(second)


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two residual blocks, the first of which changes resolution."""
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), ResidualBlock(outputs, outputs, 1))


def normalise(images: np.ndarray) -> Tensor:
    """(n, h, w, 3) uint8 RGB -> (n, 3, h, w) float32."""
    values = (images.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def make_batch(rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (n, 3, size, size), texture classes (n, size, size) int64, defects (n, 1, size, size) float32."""
    samples = [make_sample(rng, size) for _ in range(count)]
    textures = torch.from_numpy(np.stack([s.texture for s in samples]).astype(np.int64))
    defects = torch.from_numpy(np.stack([s.defect for s in samples]).astype(np.float32))[:, None]
    return normalise(np.stack([s.image for s in samples])), textures, defects


def dense_loss(answers: list[Tensor], images: Tensor, textures: Tensor, defects: Tensor) -> Tensor:
    """Sum over the strides of texture and weighted defect cross entropy and the local appearance's squared error."""
    total = torch.zeros(())
    for answer, stride in zip(answers, STRIDES, strict=True):
        values = answer.float()
        texture, defect, appearance = values.split((TEXTURE_CLASSES, 1, APPEARANCE_NUMBERS), dim=1)
        middle = stride // 2
        total = total + functional.cross_entropy(texture, textures[:, middle::stride, middle::stride])
        cell_defect = functional.max_pool2d(defects, stride)
        weight = torch.tensor(5.0)
        total = total + 2 * functional.binary_cross_entropy_with_logits(defect, cell_defect, pos_weight=weight)
        total = total + functional.mse_loss(appearance, local_appearance(images, stride))
    return total


def local_appearance(images: Tensor, stride: int) -> Tensor:
    """(n, `APPEARANCE_NUMBERS`, h / stride, w / stride): what a cell looks like, without asking what it is."""
    mean = functional.avg_pool2d(images, stride)
    spread = (functional.avg_pool2d(images**2, stride) - mean**2).clamp(min=0).sqrt()
    grey = images.mean(1, keepdim=True)
    energies = []
    for blurred in (grey, functional.avg_pool2d(grey, 5, 1, 2)):
        dx, dy = functional.pad(blurred.diff(dim=3), (0, 1)), functional.pad(blurred.diff(dim=2), (0, 0, 0, 1))
        for slope in (dx, dy, (dx + dy) * 0.7, (dx - dy) * 0.7):
            energies.append(functional.avg_pool2d((4 * slope).abs().log1p(), stride))
    return torch.cat([mean, spread, *energies], 1)


def train(minutes: float, out: Path, seed: int, batch: int = 16, size: int = 128) -> Backbone:
    """Trains for a stated time with one thread; writes a checkpoint to `out`/checkpoint.pt every minute.

    The learning rate rises for the first 5 % of the time and then falls to zero with a cosine, by the clock: the run
    is as good as the time allows, and its pictures follow from the seed.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Backbone().to(memory_format=torch.channels_last)
    heads = nn.ModuleList([nn.Conv2d(c, TEXTURE_CLASSES + 1 + APPEARANCE_NUMBERS, 1) for c in CHANNELS])
    optimiser = torch.optim.AdamW([*net.parameters(), *heads.parameters()], lr=1.5e-3, weight_decay=0.02)
    start = saved = time.monotonic()
    step, smoothed = 0, 0.0
    while (elapsed := time.monotonic() - start) < 60 * minutes:
        spent = elapsed / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = 1.5e-3 * min(spent / 0.05 + 0.01, 0.5 * (1 + np.cos(np.pi * spent)))
        images, textures, defects = make_batch(rng, batch, size)
        with mixed_precision(torch.device("cpu")):
            answers = [head(f) for head, f in zip(heads, net(images), strict=True)]
        loss = dense_loss(answers, images, textures, defects)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        smoothed = loss.item() if step == 1 else 0.98 * smoothed + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{100 * spent:3.0f} %  step {step}  loss {smoothed:.3f}", flush=True)
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            torch.save(net.state_dict(), out / "checkpoint.pt")
    torch.save(net.state_dict(), out / "checkpoint.pt")
    print(f"{step * batch} pictures; held-out: {held_out_scores(net, heads, seed + 1)}", flush=True)
    return net.eval()


@torch.no_grad()
def held_out_scores(net: Backbone, heads: nn.ModuleList, seed: int, count: int = 256) -> dict[str, float]:
    """Texture accuracy at each stride, on fresh pictures of 128 pixels."""
    net.eval()
    images, textures, _ = make_batch(np.random.default_rng(seed), count, 128)
    scores = {}
    for stride, head, features in zip(STRIDES, heads, net(images), strict=True):
        guess = head(features)[:, :TEXTURE_CLASSES].argmax(1)
        truth = textures[:, stride // 2 :: stride, stride // 2 :: stride]
        scores[f"texture accuracy, stride {stride}"] = round(float((guess == truth).float().mean()), 3)
    return scores


def export(net: Backbone, path: Path) -> None:
    """Writes the network as ONNX with a free batch size and image size; outputs layer1, layer2, layer3."""
    free = {0: "n", 2: "h", 3: "w"}
    names = ["layer1", "layer2", "layer3"]
    torch.onnx.export(
        net.eval().to(memory_format=torch.contiguous_format),
        (torch.zeros(1, 3, 256, 256),),
        str(path),
        input_names=["image"],
        output_names=names,
        dynamic_axes={"image": free, **{name: {0: "n", 2: f"h_{name}", 3: f"w_{name}"} for name in names}},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Trains and exports; `--minutes 0` exports the untrained network, to compare with."""
    parser = argparse.ArgumentParser(description="train the cell's feature extractor from procedural pictures")
    parser.add_argument("--minutes", type=float, default=25.0, help="time to train, wall clock")
    parser.add_argument("--out", type=Path, default=Path("models/backbone"), help="folder for backbone.onnx")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    export(train(arguments.minutes, arguments.out, arguments.seed), arguments.out / "backbone.onnx")


if __name__ == "__main__":
    main()
