"""Fits the presence network, calibrates its probabilities and sets the limits of its score, all on renderings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inspection_cell.core.joined import is_held_back, joined_score
from inspection_cell.presence.calibration import fit_temperature, probabilities
from inspection_cell.presence.combine import ComponentViews, fit_correlation
from inspection_cell.presence.conformal import present_limit, reject_limit
from inspection_cell.training.device import device_of, mixed_precision, training_device
from inspection_cell.training.presence_data import LEVELS, Samples, network_inputs, printed, turned
from inspection_cell.training.presence_network import PresenceNetwork
from inspection_cell.training.presence_scenes import MISSING, PRESENT, WRONG

BATCH = 64
PEAK_RATE = 2e-3
WEIGHT_DECAY = 1e-3
PRINT_SHARE = 0.4
TUNING_RATE, TUNING_STEPS, PHOTO_SHARE = 3e-4, 300, 0.25
"""Photographs come last: a quarter of each batch, so that what the renderings taught is kept."""
HELD_BACK, REJECTED = 0.01, 0.002
"""Of good components, so many may be over the limit, and so many taken as a defect."""
ACCEPTED = 0.001
"""Of missing components, so many may be under the limit."""
SHARES = 3
"""Of the held-out parts: one sets the temperature and the correlation, one the limits, one measures."""


@dataclass(frozen=True)
class Calibration:
    """Temperature, the views' correlation, limits of the joined score, and what they do on other renderings."""

    temperature: float
    correlation: float
    limit_uncertain: float
    limit_defect: float
    limit_missing: float
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
    network = PresenceNetwork().to(training_device(), memory_format=torch.channels_last)
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


def tune(
    network: PresenceNetwork,
    samples: Samples,
    photos: Samples,
    settings: FitSettings,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> None:
    """Goes on training with photographs among the renderings; a few photographs will do."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    rng = np.random.default_rng((settings.seed, TUNING_STEPS))
    optimiser = torch.optim.AdamW(network.parameters(), lr=TUNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, TUNING_STEPS)
    network.train()
    of_photos = round(PHOTO_SHARE * BATCH)
    for step in range(TUNING_STEPS):
        drawn = rng.integers(len(photos.labels), size=of_photos)
        rest = np.sort(rng.integers(len(samples.labels), size=BATCH - of_photos))
        inputs = np.concatenate([photos.inputs[drawn], samples.inputs[rest]])
        loss = _step(network, optimiser, inputs, np.concatenate([photos.labels[drawn], samples.labels[rest]]), rng)
        schedule.step()
        progress(step + 1, TUNING_STEPS, loss)
    network.eval()


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
    device = device_of(network)
    given = torch.from_numpy(inputs).to(device).contiguous(memory_format=torch.channels_last)
    with mixed_precision(device):
        answer = network(given)
    loss = nn.functional.cross_entropy(answer.float(), torch.from_numpy(labels).to(device), label_smoothing=0.01)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.item())


def _resumed(checkpoint: Path | None, parts: dict[str, Any]) -> int:
    """Loads what an earlier training left; how many epochs it had done."""
    if checkpoint is None or not checkpoint.is_file():
        return 0
    left = torch.load(checkpoint, map_location=training_device(), weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(left[name])
    return int(left["epochs"])


def _save(checkpoint: Path, epochs: int, parts: dict[str, Any]) -> None:
    unfinished = checkpoint.with_suffix(".part")
    torch.save({"epochs": epochs, **{name: part.state_dict() for name, part in parts.items()}}, unfinished)
    unfinished.replace(checkpoint)


def logits(network: PresenceNetwork, samples: Samples) -> NDArray[np.float64]:
    """(n, 3) of the samples as they are."""
    device = device_of(network)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(chunk).to(device)).cpu().numpy() for chunk in network_inputs(samples)]
    return np.concatenate(parts).astype(np.float64)


def calibrate(raw: NDArray[np.float64], samples: Samples) -> Calibration:
    """Temperature, correlation, limits and figures, by different parts.

    Args:
        raw: (n, 3) logits of held-out renderings, `samples`, with several views of each part.

    Raises:
        ValueError: hardly any samples.
    """
    sets_scale, sets_limits, measured = (samples.parts % SHARES == k for k in range(SHARES))
    temperature = fit_temperature(raw[sets_scale], samples.labels[sets_scale])
    score = 1.0 - probabilities(raw, temperature)[:, PRESENT]
    correlation = _correlation(score[sets_scale], samples.labels[sets_scale], samples.parts[sets_scale])
    views, labels = views_of_parts(score, samples, sets_limits)
    joined = np.array([joined_score(scores, correlation) for scores in views])
    good, missing = joined[labels == PRESENT], joined[labels == MISSING]
    accepts, holds, rejects = (
        rule(values, max(alpha, 1 / (len(values) + 1))).limit  # the rarest that so many can tell
        for rule, values, alpha in (
            (present_limit, missing, ACCEPTED),
            (reject_limit, good, HELD_BACK),
            (reject_limit, good, REJECTED),
        )
    )
    uncertain = min(accepts, holds)
    found = Calibration(temperature, correlation, uncertain, max(uncertain, rejects), accepts, {})
    return replace(found, held_out=_figures(raw, score, samples, measured, found))


def measured_views(samples: Samples) -> NDArray[np.bool_]:
    """(n,) those by which `calibrate` set nothing."""
    return np.asarray(samples.parts % SHARES == SHARES - 1)


def _correlation(score: NDArray[np.float64], labels: NDArray[np.int64], parts: NDArray[np.int64]) -> float:
    _, first, component = np.unique(parts, return_index=True, return_inverse=True)
    views = ComponentViews(np.stack([1 - score, score], axis=1), np.ones(len(score)), component)
    return fit_correlation(views, (labels[first] != PRESENT).astype(np.int64))


def views_of_parts(
    score: NDArray[np.float64], samples: Samples, which: NDArray[np.bool_]
) -> tuple[list[list[float]], NDArray[np.int64]]:
    """For each part among the views `which` (n,) their scores, and its label; `score` (n,) of all views."""
    parts, first, number = np.unique(samples.parts[which], return_index=True, return_inverse=True)
    of_part: list[list[float]] = [[] for _ in parts]
    for part, value in zip(number.tolist(), score[which].tolist(), strict=True):
        of_part[part].append(value)
    return of_part, samples.labels[which][first]


def _figures(
    raw: NDArray[np.float64], score: NDArray[np.float64], samples: Samples, measured: NDArray[np.bool_], by: Calibration
) -> dict[str, float]:
    right = raw[measured].argmax(axis=1) == samples.labels[measured]
    views, labels = views_of_parts(score, samples, measured)
    limits = (by.correlation, by.limit_uncertain, by.limit_defect)
    over = np.array([is_held_back(scores, *limits) for scores in views])
    defect = np.array([joined_score(scores, by.correlation) > by.limit_defect for scores in views])
    figures = {"views": float(len(right)), "accuracy": float(np.mean(right))}
    for name, label in (("present", PRESENT), ("missing", MISSING), ("wrong", WRONG)):
        own = labels == label
        figures[f"{name}_parts"] = float(own.sum())
        figures[f"{name}_over_uncertain"] = float(over[own].mean())
        figures[f"{name}_over_defect"] = float(defect[own].mean())
    return figures
