"""Fits the presence network, calibrates its probabilities and sets the limits of its score, all on renderings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inspection_cell.presence.calibration import fit_temperature, probabilities
from inspection_cell.presence.conformal import reject_limit
from inspection_cell.training.presence_data import LEVELS, Samples, printed, turned
from inspection_cell.training.presence_network import PresenceNetwork
from inspection_cell.training.presence_scenes import MISSING, PRESENT, WRONG

BATCH = 64
PEAK_RATE = 2e-3
WEIGHT_DECAY = 1e-3
PRINT_SHARE = 0.3
HELD_BACK, REJECTED = 0.015, 0.01
"""Of good components, so many renderings may be over the limit, and so many taken as a defect. Renderings are harder
than a cell's pictures, which have one light and one pose's error for a whole part."""
LEAST_UNCERTAIN, LEAST_DEFECT = 0.5, 0.8
MEASURED = slice(2, None, 3)
"""Of the held-out samples, those by which nothing was set."""


@dataclass(frozen=True)
class Calibration:
    """Temperature, limits of the score 1 - p(present), and what they do on renderings not used to set them."""

    temperature: float
    limit_uncertain: float
    limit_defect: float
    held_out: dict[str, float]


@dataclass(frozen=True)
class FitSettings:
    """How long is trained, and with how many threads; the seed fixes the rest, on the same machine."""

    epochs: int
    threads: int
    seed: int = 1


def fit(
    samples: Samples,
    settings: FitSettings,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> PresenceNetwork:
    """Trains the network.

    Args:
        checkpoint: a file for what was learned after each epoch: a training that was cut off goes on from there.
        progress: gets the batches done, those in all, and the last loss.
    """
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    # Channels last and bfloat16 (where the CPU has it) train 2.7 times faster on the machine this was written on.
    network = PresenceNetwork().to(memory_format=torch.channels_last)
    each = len(samples.labels) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = settings.epochs * each
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps, pct_start=0.2)
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule}
    for epoch in range(_resumed(checkpoint, parts), settings.epochs):
        network.train()
        rng = np.random.default_rng((settings.seed, epoch))
        order = rng.permutation(len(samples.labels))
        for i in range(each):
            chosen = np.sort(order[i * BATCH : (i + 1) * BATCH])
            loss = _step(network, optimiser, samples.inputs[chosen], samples.labels[chosen], rng)
            schedule.step()
            progress(epoch * each + i + 1, steps, loss)
        if checkpoint is not None:
            _save(checkpoint, epoch + 1, parts)
    return network.eval()


def _step(
    network: PresenceNetwork,
    optimiser: torch.optim.Optimizer,
    stored: NDArray[np.int8],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """One step on a batch, augmented; its loss."""
    inputs = stored.astype(np.float32) / np.float32(LEVELS)
    printed(inputs, PRINT_SHARE, rng)
    inputs = turned(inputs, rng)
    inputs[:, 0] += rng.normal(0, rng.uniform(0, 0.05), inputs[:, 0].shape).astype(np.float32)
    given = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(given)
    loss = nn.functional.cross_entropy(answer.float(), torch.from_numpy(labels), label_smoothing=0.01)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.item())


def _resumed(checkpoint: Path | None, parts: dict[str, Any]) -> int:
    """Loads what an earlier training left; how many epochs it had done."""
    if checkpoint is None or not checkpoint.is_file():
        return 0
    left = torch.load(checkpoint, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(left[name])
    return int(left["epochs"])


def _save(checkpoint: Path, epochs: int, parts: dict[str, Any]) -> None:
    unfinished = checkpoint.with_suffix(".part")
    torch.save({"epochs": epochs, **{name: part.state_dict() for name, part in parts.items()}}, unfinished)
    unfinished.replace(checkpoint)


def logits(network: PresenceNetwork, samples: Samples) -> NDArray[np.float64]:
    """(n, 3) of the samples as they are."""
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(samples.inputs[i : i + 256].astype(np.float32) / np.float32(LEVELS))).numpy()
            for i in range(0, len(samples.labels), 256)
        ]
    return np.concatenate(parts).astype(np.float64)


def calibrate(raw: NDArray[np.float64], labels: NDArray[np.int64]) -> Calibration:
    """Temperature, limits and figures, each by a third of the samples.

    Args:
        raw: (n, 3) logits of held-out renderings.

    Raises:
        ValueError: hardly any samples.
    """
    thirds = [slice(start, None, 3) for start in range(2)]
    temperature = fit_temperature(raw[thirds[0]], labels[thirds[0]])
    score = 1.0 - probabilities(raw, temperature)[:, PRESENT]
    present = score[thirds[1]][labels[thirds[1]] == PRESENT]
    least = 1 / (len(present) + 1)  # the rarest that so many samples can tell
    uncertain = max(LEAST_UNCERTAIN, reject_limit(present, max(HELD_BACK, least)).limit)
    defect = max(LEAST_DEFECT, uncertain, reject_limit(present, max(REJECTED, least)).limit)
    figures = _figures(raw[MEASURED], score[MEASURED], labels[MEASURED], uncertain, defect)
    return Calibration(temperature, uncertain, defect, figures)


def _figures(
    raw: NDArray[np.float64], score: NDArray[np.float64], labels: NDArray[np.int64], uncertain: float, defect: float
) -> dict[str, float]:
    figures = {"samples": float(len(labels)), "accuracy": float(np.mean(raw.argmax(axis=1) == labels))}
    for name, label in (("present", PRESENT), ("missing", MISSING), ("wrong", WRONG)):
        of = score[labels == label]
        figures[f"{name}_over_uncertain"] = float(np.mean(of > uncertain))
        figures[f"{name}_over_defect"] = float(np.mean(of > defect))
    return figures
