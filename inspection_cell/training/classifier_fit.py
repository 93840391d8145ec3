"""Trains the augmented autoencoder, and the classifier that begins with its encoder.

M. Sundermeyer et al., "Implicit 3D orientation learning for 6D object detection from RGB images" (2018), as the
conformity check uses it (Sec. 4.4 and 5.1.2 of that paper): the code must hold the component's shape and nothing of its
colour, light and surroundings, because the picture to make from it shows the component alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inspection_cell.training.classifier_networks import Classifier, Decoder, Encoder
from inspection_cell.training.device import device_of, mixed_precision
from inspection_cell.training.synth.stream import Batch

Progress = Callable[[int, float], None]
"""Called after each batch with its number and its loss."""


@dataclass(frozen=True)
class AutoencoderSettings:
    """How the autoencoder is trained.

    Attributes:
        rate: Adam's, falling to nothing over the run.
        bootstrap: of a picture's pixels only the worst of this share count; 1 for all.
    """

    rate: float = 1e-3
    bootstrap: float = 0.25


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is trained.

    Attributes:
        rate, momentum: of stochastic gradient descent; the rate falls to nothing over the run.
        trained_blocks: of the encoder, the last so many are trained; None for all.
        decay: of the weights. smoothing: of the labels.
    """

    rate: float = 0.01
    momentum: float = 0.9
    trained_blocks: int | None = None
    decay: float = 5e-4
    smoothing: float = 0.05


@dataclass(frozen=True)
class Validation:
    """Pictures of another kind, which say when to stop: of another renderer, or photographs.

    Attributes:
        images: (n, size, size, 3) uint8. labels: (n,).
        every: batches from one look at them to the next. patience: so many looks without progress end the training.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    every: int = 100
    patience: int = 4


def fit_autoencoder(
    encoder: Encoder,
    decoder: Decoder,
    batches: Iterable[Batch],
    count: int,
    settings: AutoencoderSettings,
    progress: Progress = lambda number, loss: None,
) -> None:
    """Trains both on `count` batches with targets of the decoder's size."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _falling(count))
    encoder.train()
    decoder.train()
    device = device_of(encoder)
    for number, batch in enumerate(batches):
        wanted = torch.from_numpy(batch.targets[..., 1]).to(device).float()[:, None] / 255
        with mixed_precision(device):
            made = decoder(encoder(pictures_of(batch.images, device)))
        loss = bootstrapped((made.float() - wanted) ** 2, settings.bootstrap)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(number, loss.item())


def fit_classifier(
    classifier: Classifier,
    batches: Iterable[Batch],
    count: int,
    settings: ClassifierSettings,
    told: Callable[[Batch, NDArray[np.float64]], None] = lambda batch, losses: None,
    progress: Progress = lambda number, loss: None,
    validation: Validation | None = None,
) -> None:
    """Trains on `count` batches.

    Args:
        told: gets each batch and the losses (n,) of its pictures, for adaptive sampling.
        validation: with it, what is left is the classifier that did best on it, and training ends when it does no
            better for long.
    """
    classifier.freeze(settings.trained_blocks)
    trained = [p for p in classifier.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(
        trained, lr=settings.rate, momentum=settings.momentum, weight_decay=settings.decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _falling(count))
    loss_of = nn.CrossEntropyLoss(reduction="none", label_smoothing=settings.smoothing)
    best = _Best(validation) if validation is not None else None
    classifier.train()
    device = device_of(classifier)
    for number, batch in enumerate(batches):
        with mixed_precision(device):
            logits = classifier(pictures_of(batch.images, device))
        losses = loss_of(logits.float(), torch.from_numpy(batch.labels).to(device))
        optimiser.zero_grad(set_to_none=True)
        losses.mean().backward()
        optimiser.step()
        schedule.step()
        told(batch, losses.detach().double().cpu().numpy())
        progress(number, losses.mean().item())
        if best is not None and (number + 1) % best.validation.every == 0 and not best.better(classifier):
            break
    if best is not None and best.weights is not None:
        classifier.load_state_dict(best.weights)


class _Best:
    """The weights that did best on the validation set so far."""

    def __init__(self, validation: Validation) -> None:
        self.validation = validation
        self.weights: dict[str, Tensor] | None = None
        self._loss = math.inf
        self._looks_since = 0

    def better(self, classifier: Classifier) -> bool:
        """Looks once; whether there is still hope."""
        logits = torch.from_numpy(logits_of(classifier, self.validation.images))
        classifier.train()
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(self.validation.labels)).item()
        self._looks_since += 1
        if loss < self._loss:
            self._loss, self._looks_since = loss, 0
            self.weights = {name: value.clone() for name, value in classifier.state_dict().items()}
        return self._looks_since < self.validation.patience


def logits_of(classifier: Classifier, images: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float64]:
    """(n, classes) for pictures (n, size, size, 3)."""
    classifier.eval()
    device = device_of(classifier)
    with torch.inference_mode():
        parts = [
            classifier(pictures_of(images[k : k + batch], device)).cpu().numpy() for k in range(0, len(images), batch)
        ]
    return np.concatenate(parts).astype(np.float64)


def pictures_of(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(n, 3, h, w) from 0 to 1 of images (n, h, w, 3), channels last in memory as convolutions like it."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255


def bootstrapped(squares: Tensor, share: float) -> Tensor:
    """The mean of each picture's largest squared errors (n, c, h, w), a share of them."""
    flat = squares.flatten(1)
    worst = torch.topk(flat, max(1, round(share * flat.shape[1])), dim=1).values
    return worst.mean()


def _falling(count: int) -> Callable[[int], float]:
    """A short rise, then half a cosine down to nothing."""
    rise = max(1, count // 20)
    return lambda step: min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * min(step / max(count, 1), 1.0))))
