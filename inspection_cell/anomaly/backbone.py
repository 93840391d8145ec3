"""The feature extractor: any convolutional ONNX network with features at strides 4, 8 and 16."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.backbone_card import BackboneCard, FeatureOutput, describe_backbone, numbers, read_card
from inspection_cell.anomaly.engine import Engine, load_engine
from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.lattice import Features
from inspection_cell.anomaly.network import expose, select_channels
from inspection_cell.anomaly.preprocess import Mapping, make_mapping, preprocess

ONNX_NAME = "backbone.onnx"
CARD_NAME = "card.json"


class Backbone:
    """A network and its card. Loaded when features are asked for, once for each choice of channels."""

    def __init__(self, card: BackboneCard, onnx_bytes: bytes, config: EngineConfig = CPU) -> None:
        self.card = card
        self.onnx_bytes = onnx_bytes
        self.config = config
        self._engines: dict[tuple[bytes, ...], Engine] = {}
        self._mean, self._std = numbers(card.mean), numbers(card.std)

    @property
    def provider(self) -> str:
        """What the network really runs on; empty until it is loaded."""
        return next((engine.provider for engine in self._engines.values()), "")

    def load(self, channels: Sequence[NDArray[np.int64]]) -> Engine:
        """The engine that computes these channels.

        Raises:
            ModelError: the network or what is to run it cannot be loaded.
        """
        key = tuple(np.asarray(chosen, np.int64).tobytes() for chosen in channels)
        if key not in self._engines:
            names = [output.name for output in self.card.outputs]
            network = self.onnx_bytes
            try:
                if any(len(c) != output.channels for c, output in zip(channels, self.card.outputs, strict=True)):
                    network = select_channels(network, dict(zip(names, channels, strict=True)))
                else:
                    network = expose(network, names)
            except Exception as error:  # protobuf and onnx raise their own exceptions
                raise ModelError(f"backbone {self.card.name}: not an ONNX network with its outputs: {error}") from error
            self._engines[key] = load_engine(network, names, self.config)
        return self._engines[key]

    def features(self, image: NDArray[np.generic], mapping: Mapping, channels: Sequence[NDArray[np.int64]]) -> Features:
        """The chosen channels of one image.

        Args:
            image: the original image, (h, w) or (h, w, 3) RGB uint8.
            channels: for each output, the indices of the channels to keep.

        Raises:
            ImageError: an image that cannot be used.
            ModelError: the network gives something that is not finite or not on the card's grid.
        """
        batch = preprocess(image, mapping, self._mean, self._std, self.card.channel_order)
        answers = self.load(channels).run(batch)
        outputs = zip(answers, channels, self.card.outputs, strict=True)
        grids = [to_grid(answer[0, : len(chosen)], output, mapping.size) for answer, chosen, output in outputs]
        if not all(np.isfinite(grid).all() for grid in grids):
            raise ModelError(f"backbone {self.card.name}: features that are not finite")
        return grids[0], grids[1], grids[2]


def to_grid(features: NDArray[np.float32], output: FeatureOutput, size: int) -> NDArray[np.float32]:
    """Features (channels, rows, columns) scaled, and on a grid of exactly size / stride positions a side.

    A network that pads already gives this grid; it is taken as it is. Otherwise (no padding, odd sizes) the features
    are interpolated linearly where the cells' centres are, and the outermost ones repeated beyond.
    """
    count = size // output.stride
    scaled = features if output.scale == 1.0 else features * np.float32(output.scale)
    if features.shape[1:] == (count, count):
        return np.ascontiguousarray(scaled, np.float32)
    wanted = (np.arange(count) * output.stride + (output.stride - 1) / 2 - output.origin) / output.stride
    for axis in (1, 2):
        last = scaled.shape[axis] - 1
        if last < 1 or wanted[-1] > last + 2:
            raise ModelError(f"output {output.name}: {features.shape[1:]} positions do not fit {size} pixels")
        position = np.clip(wanted, 0, last)
        low = np.minimum(position.astype(int), last - 1)
        weight = (position - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        scaled = np.take(scaled, low, axis) * (1 - weight) + np.take(scaled, low + 1, axis) * weight
    return np.ascontiguousarray(scaled, np.float32)


def load_backbone(path: Path, config: EngineConfig = CPU, card: BackboneCard | None = None) -> Backbone:
    """Reads a backbone; it is loaded when it is first used.

    Args:
        path: a folder with backbone.onnx and card.json, or an ONNX file; its card is `<name>.card.json` beside it.
        card: the card, where none lies beside the file. Without any, the graph is looked at and ImageNet's usual
            normalisation assumed.

    Raises:
        ModelError: a file is missing, damaged, or not the one that the card describes.
    """
    onnx_file = path / ONNX_NAME if path.is_dir() else path
    if not onnx_file.is_file():
        raise ModelError(f"{onnx_file}: no such backbone; name a folder with {ONNX_NAME} or an ONNX file")
    card_file = path / CARD_NAME if path.is_dir() else path.with_suffix(".card.json")
    described = card is None and not (path.is_dir() or card_file.is_file())
    if card is None:
        card = describe_backbone(onnx_file) if described else read_card(card_file)
    onnx_bytes = onnx_file.read_bytes()
    if hashlib.sha256(onnx_bytes).hexdigest() != card.sha256:
        raise ModelError(f"{onnx_file}: not the file that its card {card.name!r} describes (sha256 differs)")
    return Backbone(with_measured_scales(Backbone(card, onnx_bytes)) if described else card, onnx_bytes, config)


def with_measured_scales(backbone: Backbone) -> BackboneCard:
    """The card with scales that give each output's features a standard deviation of 1 on a picture of fixed noise."""
    rng = np.random.default_rng(0)
    size = 256
    octaves = [cv2.resize(rng.normal(size=(n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) for n in (4, 16, 64)]
    picture = np.clip(128 + 40 * (sum(octaves) + rng.normal(size=(size, size, 3))), 0, 255).astype(np.uint8)
    everything = [np.arange(output.channels) for output in backbone.card.outputs]
    grids = backbone.features(picture, make_mapping(size, size, size), everything)
    outputs = tuple(
        replace(output, scale=float(f"{output.scale / grid.std():.4g}"))
        for output, grid in zip(backbone.card.outputs, grids, strict=True)
    )
    return replace(backbone.card, outputs=outputs)


def choose_channels(card: BackboneCard, count: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Chooses `count` channels at random, in proportion to the layers' channels, sorted in each layer.

    PaDiM (Defard et al. 2021, Sec. III-B) finds random channels as good as any; taking them in proportion from each
    layer keeps the draw from missing one.

    Raises:
        ModelError: more channels than the network has, or fewer than layers.
    """
    sizes = np.array([output.channels for output in card.outputs])
    if not len(sizes) <= count <= sizes.sum():
        raise ModelError(f"{count} channels of backbone {card.name}: allowed are 3 to {sizes.sum()}")
    shares = np.maximum(1, np.floor(count * sizes / sizes.sum()).astype(int))
    while shares.sum() != count:
        error = count * sizes / sizes.sum() - shares
        step = 1 if shares.sum() < count else -1
        shares[np.argmax(error if step == 1 else np.where(shares > 1, -error, -np.inf))] += step
    rng = np.random.default_rng(seed)
    return tuple(np.sort(rng.choice(n, k, replace=False)).astype(np.int64) for n, k in zip(sizes, shares, strict=True))
