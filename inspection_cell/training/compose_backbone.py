"""Makes the feature extractor that ships: the essence of a trained network's features beside filters nobody trained.

Run as `python -m inspection_cell.training.compose_backbone TRAINED.onnx --out models/backbone`; PyTorch is not needed.
A network that was trained to tell things apart forgets what does not help it to, and a defect may be just that; plain
filters forget less and know less. The trained features enter as their principal components on procedural pictures, with
equal variance, so that a few channels hold most of what they know.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from rich.progress import track

from inspection_cell.anomaly.backbone import CARD_NAME, ONNX_NAME, Backbone
from inspection_cell.anomaly.backbone_card import BackboneCard, describe_backbone, write_card
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.preprocess import make_mapping
from inspection_cell.training.appearance_filters import FILTERS, GraphParts, add_filters
from inspection_cell.training.procedural_images import make_sample

PICTURES = 60
PICTURE_PX = 256
SAMPLES = 800
"""Places taken of each picture and stride."""
TRAINED = (6, 16, 30)
"""Principal components kept at strides 4, 8 and 16: with the filters 100 channels, as many as PaDiM takes."""
DEVIATION = 0.3
"""Standard deviation of every channel on procedural pictures: what PaDiM's regularisation is to be compared with."""
NAMES = ("layer1", "layer2", "layer3")
Samples = list[NDArray[np.float64]]


def compose(trained: Path, out: Path, seed: int = 0) -> BackboneCard:
    """Writes backbone.onnx and card.json.

    Args:
        trained: a network as `inspection_cell.training.backbone` writes it.

    Raises:
        ModelError: not such a network.
    """
    card = describe_backbone(trained)
    network = onnx.load(str(trained))
    outputs = [output.name for output in card.outputs]
    features, filters = _sampled([Backbone(card, trained.read_bytes()), _filters_alone(card)], seed)

    parts = GraphParts()
    plain = add_filters(parts, card.input, [DEVIATION / values.std(axis=0) for values in filters])
    for name, output, tensors, values, kept in zip(NAMES, outputs, plain, features, TRAINED, strict=True):
        weights = DEVIATION * whitening(values, kept)
        essence = parts.convolution(f"trained.{output}", weights[:, :, None, None], f"essence.{output}")
        parts.nodes.append(helper.make_node("Concat", [*tensors, essence], [name], axis=1))
    _rename(network.graph, {output: f"trained.{output}" for output in outputs})
    network.graph.node.extend(parts.nodes)
    network.graph.initializer.extend(parts.constants)
    del network.graph.output[:], network.graph.value_info[:]
    network.graph.output.extend(_grid(name, n + kept) for name, n, kept in zip(NAMES, FILTERS, TRAINED, strict=True))
    onnx.checker.check_model(network)
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(network, str(out / ONNX_NAME))
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    made = describe_backbone(out / ONNX_NAME, NAMES, _provenance(digest, seed))
    write_card(replace(made, name="procedural-resnet-and-filters"), out / CARD_NAME)
    return made


def whitening(samples: NDArray[np.float64], kept: int) -> NDArray[np.float64]:
    """(kept, channels): the first principal components of samples (n, channels), each of standard deviation 1."""
    variances, directions = np.linalg.eigh(np.cov(samples.T))
    first = np.argsort(variances)[::-1][:kept]
    return (directions[:, first] / np.sqrt(variances[first])).T


def _provenance(digest: str, seed: int) -> str:
    return (
        "fixed filters and a network trained by this project on procedural pictures alone "
        f"(inspection_cell.training.backbone, file {digest}), put together by "
        f"inspection_cell.training.compose_backbone, seed {seed}; Apache-2.0"
    )


def _filters_alone(card: BackboneCard) -> Backbone:
    """The filters as they are, with the trained network's input."""
    parts = GraphParts()
    for name, pieces in zip(NAMES, add_filters(parts, card.input), strict=True):
        parts.nodes.append(helper.make_node("Concat", pieces, [name], axis=1))
    outputs = [_grid(name, count) for name, count in zip(NAMES, FILTERS, strict=True)]
    graph = helper.make_graph(parts.nodes, "filters", [_grid(card.input, 3)], outputs, parts.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    described = (replace(o, name=n, channels=c) for o, n, c in zip(card.outputs, NAMES, FILTERS, strict=True))
    return Backbone(replace(card, outputs=tuple(described)), model.SerializeToString())


def _grid(name: str, channels: int) -> onnx.ValueInfoProto:
    """A tensor of free batch and picture size."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels, f"h_{name}", f"w_{name}"])


def _sampled(backbones: Sequence[Backbone], seed: int) -> list[Samples]:
    """Features of the same procedural pictures at random places: of each backbone and stride (n, channels)."""
    rng = np.random.default_rng(seed)
    mapping = make_mapping(PICTURE_PX, PICTURE_PX, PICTURE_PX)
    found: list[list[Samples]] = [[[] for _ in NAMES] for _ in backbones]
    for _ in track(range(PICTURES), "looking at procedural pictures"):
        picture = make_sample(rng, PICTURE_PX).image
        for backbone, strides in zip(backbones, found, strict=True):
            everything = [np.arange(output.channels) for output in backbone.card.outputs]
            for samples, grid in zip(strides, backbone.features(picture, mapping, everything), strict=True):
                places = grid.reshape(len(grid), -1).T
                samples.append(places[rng.choice(len(places), min(SAMPLES, len(places)), replace=False)].astype(float))
    return [[np.concatenate(samples) for samples in strides] for strides in found]


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Gives tensors other names wherever they are made or used."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="put the cell's feature extractor together")
    parser.add_argument("trained", type=Path, help="the ONNX file that inspection_cell.training.backbone wrote")
    parser.add_argument(
        "--out", type=Path, default=Path("models/backbone"), help="folder for backbone.onnx and card.json"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if not given.trained.is_file():
        sys.exit(f"{given.trained}: no such file; train one with python -m inspection_cell.training.backbone")
    try:
        card = compose(given.trained, given.out, given.seed)
    except ModelError as error:
        sys.exit(str(error))
    print(f"{given.out}: {', '.join(f'{o.channels} channels at stride {o.stride}' for o in card.outputs)}")


if __name__ == "__main__":
    main()
