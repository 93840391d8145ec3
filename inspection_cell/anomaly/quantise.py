"""A backbone in 8 bit integers, about twice as fast, and the gate it must pass: it may not change who is suspicious.

Activations are unsigned, weights signed and scaled by channel, both with scales from images of good parts; the
Gaussians are then fitted on the quantised features, so that what is rounded alike in all images does not count.
Weights take 7 of the 8 bits: processors without VNNI add two products in 16 bits, which 8 bit weights overflow, and a
network that passed the gate on one machine would judge otherwise on another.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, Backbone, choose_channels
from inspection_cell.anomaly.backbone_card import numbers, write_card
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.evaluate import labelled_images, training_images
from inspection_cell.anomaly.fit import FitSettings, fit_views
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.lattice import Index
from inspection_cell.anomaly.network import expose, select_channels
from inspection_cell.anomaly.preprocess import make_mapping, preprocess
from inspection_cell.anomaly.score import load_model

CORRELATION = 0.99
"""Of the scores' ranks, least."""
CALIBRATION_IMAGES = 32
CONTRASTS = (1.0, 2.0, -1.0)
"""Each image as it is, with more contrast and as a negative: the ranges must hold defects, which nobody has shown."""
FEWEST_SCORES = 20
_VIEW = "view"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Gate:
    """How far the scores of a quantised backbone are from those of the one it was made of.

    Attributes:
        correlation: Spearman's, of the scores of all images.
        images: how many: good ones, each by a model that had not seen it, and the test images where there are any.
    """

    correlation: float
    images: int

    @property
    def passed(self) -> bool:
        """Whether the order of the scores stayed."""
        return self.correlation >= CORRELATION


def quantise_backbone(
    backbone: Backbone, folder: Path, out: Path, settings: FitSettings, progress: Progress | None = None
) -> Gate:
    """Writes the quantised backbone to `out` if it passes the gate on this data.

    It has only the channels that `settings` choose, so fit with as many. Images are mapped whole into the square.

    Args:
        folder: images of good parts, or a data set with train/good and test/<kind>.

    Raises:
        FitError: too few images to tell.
        ImageError, ModelError: an image or the network cannot be used.
    """
    good = training_images(folder)
    test = [image.path for image in labelled_images(folder)] if (folder / "test").is_dir() else []
    if len(good) + len(test) < FEWEST_SCORES:
        raise FitError(f"{folder}: {len(good) + len(test)} images; ranks of fewer than {FEWEST_SCORES} say nothing")
    channels = choose_channels(backbone.card, settings.channels, settings.seed)
    network = quantised_network(backbone, map(read_image, good[:CALIBRATION_IMAGES]), settings.size, channels)
    outputs = tuple(replace(o, channels=len(c)) for o, c in zip(backbone.card.outputs, channels, strict=True))
    card = replace(
        backbone.card,
        name=f"{backbone.card.name}-int8",
        sha256=hashlib.sha256(network).hexdigest(),
        outputs=outputs,
        provenance=f"{backbone.card.provenance}; {settings.channels} channels in 8 bit, scales from {folder.name}",
    )
    quantised = Backbone(card, network, backbone.config)
    scores = [_scores(one, good, test, settings, progress) for one in (backbone, quantised)]
    gate = Gate(float(spearmanr(*scores).statistic), len(scores[0]))
    if gate.passed:
        out.mkdir(parents=True, exist_ok=True)
        (out / ONNX_NAME).write_bytes(network)
        write_card(card, out / CARD_NAME)
    return gate


def _scores(
    backbone: Backbone, good: Sequence[Path], test: Sequence[Path], settings: FitSettings, progress: Progress | None
) -> NDArray[np.float64]:
    """Raw scores of the good images, each left out of its model, then of the test images."""
    with tempfile.TemporaryDirectory(prefix="quantise-") as scratch:
        fit_views({_VIEW: good}, backbone, Path(scratch), settings, progress=progress)
        model = load_model(Path(scratch) / _VIEW, backbone)
        return np.array([*model.card.scores, *(model.score(read_image(path)).raw for path in test)])


def quantised_network(
    backbone: Backbone, pictures: Iterable[NDArray[np.uint8]], size: int, channels: Sequence[Index]
) -> bytes:
    """The backbone's network with these channels alone, in 8 bit, with the value ranges that it has on the pictures."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = [output.name for output in backbone.card.outputs]
    whole = all(len(c) == o.channels for c, o in zip(channels, backbone.card.outputs, strict=True))
    chosen = dict(zip(names, channels, strict=True))
    network = expose(backbone.onnx_bytes, names) if whole else select_channels(backbone.onnx_bytes, chosen)

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = _batches(backbone, pictures, size)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory(prefix="quantise-") as scratch:
        given, prepared, made = (Path(scratch) / f"{name}.onnx" for name in ("given", "prepared", "made"))
        given.write_bytes(network)
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        settings: dict[str, Any] = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        settings |= {"quant_format": QuantFormat.QDQ, "per_channel": True, "reduce_range": True}
        quantize_static(str(prepared), str(made), Batches(), **settings)
        return made.read_bytes()


def _batches(
    backbone: Backbone, pictures: Iterable[NDArray[np.uint8]], size: int
) -> Iterator[dict[str, NDArray[np.float32]]]:
    card = backbone.card
    mean, std = numbers(card.mean), numbers(card.std)
    for pixels in pictures:
        mapping = make_mapping(pixels.shape[1], pixels.shape[0], size)
        for contrast in CONTRASTS:
            stretched = np.clip(128 + contrast * (pixels.astype(np.float32) - 128), 0, 255).astype(np.uint8)
            yield {card.input: preprocess(stretched, mapping, mean, std, card.channel_order)}
