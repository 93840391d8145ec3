"""The picture classifier learns, keeps what it is told to keep, and gives the same answers as an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
import onnxruntime  # noqa: E402

from inspection_cell.training.classifier_fit import (  # noqa: E402
    AutoencoderSettings,
    ClassifierSettings,
    Validation,
    bootstrapped,
    fit_autoencoder,
    fit_classifier,
    logits_of,
)
from inspection_cell.training.classifier_networks import (  # noqa: E402
    Classifier,
    Decoder,
    export,
    inception_encoder,
    small_encoder,
)
from inspection_cell.training.needs_torch import load_torch  # noqa: E402
from inspection_cell.training.synth.stream import Batch  # noqa: E402

load_torch()  # when tests are collected: before one of them renders
SIZE = 64


def bars(count: int, seed: int) -> Batch:
    """Upright or lying bars somewhere in noise; the target shows the bar in the middle."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 120, (count, SIZE, SIZE, 3), np.uint8)
    targets = np.zeros((count, 32, 32, 3), np.uint8)
    for image, target, label in zip(images, targets, labels, strict=True):
        row, column = rng.integers(4, 36, 2)
        height, width = (24, 6) if label else (6, 24)
        image[row : row + height, column : column + width] = rng.integers(130, 256)
        target[16 - height // 2 : 16 + height // 2, 16 - width // 2 : 16 + width // 2] = 255
    return Batch(images, targets, labels.astype(np.int64), np.zeros((count, 3), np.int64))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def test_it_learns_what_it_was_not_shown_and_publishes_it(tmp_path: Path) -> None:
    classifier = Classifier(small_encoder(SIZE), 2)
    fit_classifier(classifier, (bars(32, k) for k in range(40)), 40, ClassifierSettings())
    unseen = bars(100, 99)
    logits = logits_of(classifier, unseen.images)
    assert (logits.argmax(axis=1) == unseen.labels).mean() > 0.9
    export(classifier, 2.0, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    given = unseen.images.transpose(0, 3, 1, 2).astype(np.float32)
    answer = session.run(None, {"pictures": given})[0]
    exponent = np.exp(logits / 2.0)
    np.testing.assert_allclose(answer, exponent / exponent.sum(axis=1, keepdims=True), atol=2e-4)


def test_losses_of_single_pictures_are_told() -> None:
    told: list[NDArray[np.float64]] = []
    classifier = Classifier(small_encoder(SIZE), 2)
    fit_classifier(classifier, [bars(8, 0)], 1, ClassifierSettings(), lambda batch, losses: told.append(losses))
    assert told[0].shape == (8,)
    assert np.all(told[0] > 0)


def test_what_did_best_on_the_validation_set_is_kept() -> None:
    classifier = Classifier(small_encoder(SIZE), 2)
    unseen, drawn = bars(60, 99), []

    def then_nonsense() -> Iterator[Batch]:
        for k in range(80):
            batch = bars(32, k)
            # From the 30th batch on the labels are upside down.
            drawn.append(k)
            yield batch if k < 30 else replace(batch, labels=1 - batch.labels)

    validation = Validation(unseen.images, unseen.labels, every=10, patience=2)
    fit_classifier(classifier, then_nonsense(), 80, ClassifierSettings(), validation=validation)
    assert (logits_of(classifier, unseen.images).argmax(axis=1) == unseen.labels).mean() > 0.9
    assert len(drawn) < 80


@pytest.mark.parametrize("trained", [0, 1])
def test_frozen_blocks_stay_as_they_are(trained: int) -> None:
    classifier = Classifier(small_encoder(SIZE), 2)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    fit_classifier(classifier, [bars(16, k) for k in range(3)], 3, ClassifierSettings(trained_blocks=trained))
    changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    blocks = len(classifier.encoder.blocks)
    kept = tuple(f"encoder.blocks.{k}." for k in range(blocks - trained)) + (("encoder.neck",) if trained == 0 else ())
    assert not [name for name in changed if name.startswith(kept)]
    assert "head.weight" in changed
    assert any(name.startswith(f"encoder.blocks.{blocks - 1}") for name in changed) == bool(trained)


def test_the_autoencoder_learns_to_show_the_part_alone() -> None:
    encoder, decoder = small_encoder(SIZE), Decoder(32)
    losses: list[float] = []
    batches = [bars(32, k) for k in range(60)]
    fit_autoencoder(encoder, decoder, batches, 60, AutoencoderSettings(), lambda number, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_only_the_worst_pixels_count() -> None:
    squares = torch.tensor([[[[1.0, 4.0], [2.0, 3.0]]], [[[0.0, 0.0], [0.0, 8.0]]]])
    assert float(bootstrapped(squares, 0.5)) == pytest.approx((3.5 + 4.0) / 2)
    assert float(bootstrapped(squares, 1.0)) == pytest.approx((2.5 + 2.0) / 2)


def test_inception_has_the_published_size() -> None:
    encoder = inception_encoder(96)
    weights = sum(p.numel() for block in encoder.blocks for p in block.parameters())
    # 23.8 million with the last layer of 1000 classes (2048 * 1000 + 1000), without the auxiliary head.
    assert weights + 2_049_000 == pytest.approx(23.83e6, rel=2e-3)
    assert encoder.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 128)
