"""Networks for presence from pictures alone: an encoder in blocks, the autoencoder's decoder, and the classifier."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from inspection_cell.training.inception import CHANNELS, inception_blocks
from inspection_cell.training.onnx_export import export_classifier
from inspection_cell.training.residual import convolution, halving_block

SMALL_WIDTHS = (16, 32, 64, 128, 256)
LATENT = 128
LEAST_CONTRAST = 0.05


class Encoder(nn.Module):
    """Pictures (n, 3, size, size), 0 to 1, to codes (n, LATENT).

    Attributes:
        blocks: in order; a classifier may leave the first of them as they are.
    """

    def __init__(self, blocks: Sequence[nn.Module], channels: int, size: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.size = size
        self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, LATENT))

    def forward(self, pictures: Tensor) -> Tensor:
        # Each picture's own brightness and contrast say nothing.
        spread = pictures.std(dim=(1, 2, 3), keepdim=True) + LEAST_CONTRAST
        values = (pictures - pictures.mean(dim=(1, 2, 3), keepdim=True)) / spread
        for block in self.blocks:
            values = block(values)
        code: Tensor = self.neck(values)
        return code


def small_encoder(size: int) -> Encoder:
    """One that a processor trains: 2.0 million weights, the picture halved five times."""
    blocks = [nn.Sequential(*convolution(3, SMALL_WIDTHS[0], 2))]
    blocks += [halving_block(inside, outside) for inside, outside in itertools.pairwise(SMALL_WIDTHS)]
    return Encoder(blocks, SMALL_WIDTHS[-1], size)


def inception_encoder(size: int) -> Encoder:
    """The paper's, for a graphics card."""
    return Encoder(inception_blocks(), CHANNELS, size)


ENCODERS: dict[str, Callable[[int], Encoder]] = {"small": small_encoder, "inception": inception_encoder}


class Decoder(nn.Module):
    """Codes (n, LATENT) to pictures (n, 1, size, size), 0 to 1, `size` a power of two from 32 on.

    The component alone has no colour, so one channel is enough.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        steps = (size // 8).bit_length() - 1
        widths = [max(16, 128 >> step) for step in range(steps + 1)]
        self.begin = nn.Linear(LATENT, widths[0] * 64)
        self.grow = nn.Sequential(
            *(nn.Sequential(nn.Upsample(scale_factor=2), *convolution(a, b, 1)) for a, b in itertools.pairwise(widths)),
            nn.Conv2d(widths[-1], 1, 3, padding=1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        picture: Tensor = torch.sigmoid(self.grow(self.begin(codes).view(len(codes), -1, 8, 8)))
        return picture


class Classifier(nn.Module):
    """Pictures (n, 3, size, size), 0 to 1, to logits (n, classes)."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(LATENT, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.encoder(pictures)))
        return logits

    def freeze(self, trained_blocks: int | None) -> None:
        """Leaves all blocks but the last `trained_blocks` as they are (None: all are trained); the head is trained.

        With none trained, the codes stay as they are too.
        """
        blocks = list(self.encoder.blocks)
        kept = [] if trained_blocks is None else blocks[: len(blocks) - trained_blocks]
        kept = [*kept, self.encoder.neck] if trained_blocks == 0 else kept
        for module in kept:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Classifier:
        """Frozen blocks keep their normalisation."""
        super().train(mode)
        for module in self.encoder.blocks:
            if not any(p.requires_grad for p in module.parameters()):
                module.eval()
        return self


def export(classifier: Classifier, temperature: float, path: Path) -> None:
    """Writes the ONNX graph: `pictures` (n, 3, size, size) float32, 0 to 255, to `probabilities` (n, classes)."""
    size = classifier.encoder.size
    export_classifier(classifier, temperature, (3, size, size), "pictures", path, scale=1 / 255)
