"""A viewpoint's model as one ONNX graph, for machines that have a runtime but not this software.

The graph goes from pixels to heat map and score: normalisation, network, PaDiM (see `lattice`), upsampling and
smoothing.
Everything after the network is matrix products whose matrices are stored in the graph, so no runtime's convention for
resizing or for borders can change the result, and the few operators have had the same form since opset 8: the graph
keeps the network's opset.

The picture goes in as float32 from 0 to 255, not as uint8: padding must be the network's mean colour, which is no
whole number, and TensorRT takes float32 everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inspection_cell import __version__
from inspection_cell.anomaly.backbone import Backbone, load_backbone, to_grid
from inspection_cell.anomaly.backbone_card import BackboneCard, FeatureOutput, numbers
from inspection_cell.anomaly.engine import load_engine
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.heat import heat_map
from inspection_cell.anomaly.kernel_numpy import matrix, triangle
from inspection_cell.anomaly.lattice import LANES, STEPS, Lattice
from inspection_cell.anomaly.network import select_channels
from inspection_cell.anomaly.package import CARD_NAME, Package, load_package
from inspection_cell.anomaly.padim import Gaussians
from inspection_cell.anomaly.score import BACKBONE_FOLDER, AnomalyModel

MOST_BYTES = 2**31 - 2**20
"""A protobuf message has less than 2 GiB; the rest is for nodes and names."""
MOST_DIFFERENCE = 1e-3
"""Between the graph's heat map and the model's, of its maximum: more is not rounding."""
PREPARATION = (
    "Crop the picture to the part (property crop: x, y, width, height in the original picture; otsu: found in each "
    "picture; null: the whole picture). Scale it, its proportions kept, until its longer side is `size` pixels, the "
    "shorter one rounded: averaging over areas (OpenCV's INTER_AREA) if a side shrinks, else linearly "
    "(INTER_LINEAR), to 8 bit. Put it at ((size - width) // 2, (size - height) // 2) into a square filled with "
    "`padding`. Give it as `image`, (1, size, size, 3) float32, 0 to 255, RGB; grey is repeated in three channels. "
    "`score` is over the whole square; where that has padding or a mask, take the largest value of `heat_map` that "
    "counts: score = (value - centre) / spread, see `normaliser`."
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        view_id: the viewpoint.
        size: side of the square that goes in, pixels.
        bytes: of the file.
        difference: the most by which the graph's heat map differs from the model's on a picture of noise, of its
            maximum.
    """

    view_id: str
    size: int
    bytes: int
    difference: float


def export_model(folder: Path, out: Path) -> Exported:
    """Writes a viewpoint's model as one ONNX file, after comparing it with the model in ONNX Runtime.

    Args:
        folder: the package; its backbone lies beside it.

    Raises:
        ModelError: package or backbone missing, damaged or foreign; fitted on bfloat16 features; over ONNX's limit;
            or the graph does not compute what the model does.
    """
    _refuse_a_fit(folder)
    package = load_package(folder)
    card = package.card
    if card.precision != "float32":
        raise ModelError(f"{folder}: fitted on {card.precision} features, a graph gives float32; fit it with float32")
    backbone = load_backbone(folder.resolve().parent / BACKBONE_FOLDER)
    model = AnomalyModel(package, backbone)
    graph = _build(folder, package, backbone)
    difference = _compare(graph, model)
    if not difference <= MOST_DIFFERENCE:
        raise ModelError(f"{folder}: the graph's heat map is off by {difference:.1g} of its maximum; nothing written")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(graph)
    return Exported(card.view_id, card.size, len(graph), difference)


def _refuse_a_fit(folder: Path) -> None:
    """A fit's folder holds a model for each viewpoint: which one is meant?"""
    if not (folder / CARD_NAME).is_file():
        models = [str(card.parent) for card in sorted(folder.glob(f"*/{CARD_NAME}"))]
        named = [name for name in models if Path(name).name != BACKBONE_FOLDER]
        if named:
            raise ModelError(f"{folder}: not one viewpoint's model; name one of: {', '.join(named)}")


def _build(folder: Path, package: Package, backbone: Backbone) -> bytes:
    """The graph; `folder` is for messages."""
    card, size = backbone.card, package.card.size
    names = [output.name for output in card.outputs]
    network = select_channels(backbone.onnx_bytes, dict(zip(names, package.channels, strict=True)))
    means = sum(mean.nbytes for mean in package.gaussians.means)
    smoothing = 2 * size * size  # two matrices of (size, size / 4) float32
    needed = len(network) + _weights_bytes(package.gaussians) + means + smoothing
    if needed > MOST_BYTES:
        half = "" if package.gaussians.weights.dtype == np.float16 else "--storage float16 or "
        raise ModelError(
            f"{folder}: as one ONNX graph it would take {needed / 2**30:.1f} GiB, and ONNX holds less than 2; "
            f"fit it with {half}a smaller --size"
        )
    answers = backbone.load(package.channels).run(np.zeros((1, 3, size, size), np.float32))
    shapes = [np.shape(answer) for answer in answers]

    model = onnx.compose.add_prefix(onnx.load_from_string(network), "network/")
    graph = _Graph()
    _normalise(graph, card, f"network/{card.input}")
    graph.nodes.extend(model.graph.node)
    chosen = [  # the network adds channels of zeros
        graph.add("Gather", [f"network/{name}", graph.constant(np.arange(len(channels)))], axis=1)
        for name, channels in zip(names, package.channels, strict=True)
    ]
    features = zip(chosen, shapes, card.outputs, strict=True)
    grids = [_grid(graph, name, shape, output, size) for name, shape, output in features]
    heat = _heat(graph, _distances(graph, package.gaussians, grids), size)
    _score(graph, heat, package)

    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.constants)
    floats = TensorProto.FLOAT
    model.graph.input.append(helper.make_tensor_value_info("image", floats, (1, size, size, 3)))
    model.graph.output.append(helper.make_tensor_value_info("heat_map", floats, (1, 1, size, size)))
    model.graph.output.append(helper.make_tensor_value_info("score", floats, (1,)))
    model.ir_version = max(model.ir_version, 8)  # before 4, constants had to be inputs too
    model.producer_name, model.producer_version = "inspection_cell", __version__
    helper.set_model_props(model, _properties(package, card))
    return bytes(model.SerializeToString())


class _Graph:
    """Nodes, in the order in which they are computed, and the constants that they need."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._named = 0

    def constant(self, values: NDArray[Any]) -> str:
        """The name of a tensor with these values."""
        name = self._name()
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        """The name of a tensor (1,) with this value."""
        return self.constant(np.array([value], np.float32))

    def add(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """The name of a new node's output."""
        name = name or self._name()
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def reshape(self, tensor: str, *shape: int, name: str = "") -> str:
        return self.add("Reshape", [tensor, self.constant(np.array(shape, np.int64))], name)

    def _name(self) -> str:
        self._named += 1
        return f"padim/{self._named}"


def _normalise(graph: _Graph, card: BackboneCard, name: str) -> None:
    """Makes of `image` the network's input of this name, (1, 3, size, size), as preprocess.preprocess does."""
    pixels = "image"
    if card.channel_order == "BGR":
        pixels = graph.add("Gather", [pixels, graph.constant(np.array([2, 1, 0], np.int64))], axis=3)
    parts = graph.add("Div", [pixels, graph.number(255)])
    centred = graph.add("Sub", [parts, graph.constant(numbers(card.mean))])
    scaled = graph.add("Div", [centred, graph.constant(numbers(card.std))])
    graph.add("Transpose", [scaled], name, perm=[0, 3, 1, 2])


def _grid(graph: _Graph, features: str, shape: tuple[int, ...], output: FeatureOutput, size: int) -> str:
    """Features of this shape, (1, channels, rows, columns), as backbone.to_grid gives them."""
    if output.scale != 1.0:
        features = graph.add("Mul", [features, graph.number(output.scale)])
    count, side = size // output.stride, shape[-1]
    if shape[2:] == (count, count):
        return features
    # to_grid treats each axis alike and linearly: what it makes of unit vectors are its matrix's columns.
    units = np.repeat(np.eye(side, dtype=np.float32)[:, :, None], side, axis=2)
    across = to_grid(units, replace(output, scale=1.0), size)[:, :, 0].T
    rows = graph.add("MatMul", [graph.constant(across), features])
    return graph.add("MatMul", [rows, graph.constant(across.T)])


def _distances(graph: _Graph, model: Gaussians, grids: Sequence[str]) -> str:
    """(4 rows, 4 columns): the Mahalanobis distances, layer by layer from coarse to fine (see `lattice`).

    `known` are the whitened numbers so far, (positions, channels, 1); a layer spreads them over its finer positions.
    """
    lattice, known = model.lattice, ""
    for layer in (2, 1, 0):
        k = STEPS[layer]
        rows, columns, n = k * lattice.rows, k * lattice.columns, lattice.channels[layer]
        deviation = graph.add("Sub", [grids[layer], graph.constant(model.means[layer][:, :, :columns])])
        own = graph.reshape(graph.add("Transpose", [deviation], perm=[0, 2, 3, 1]), rows * columns, n, 1)
        above = []
        if known:
            coarser = sum(lattice.channels[layer + 1 :])
            cells = graph.reshape(known, rows // 2, 1, columns // 2, 1, coarser)
            spread = graph.constant(np.array([rows // 2, 2, columns // 2, 2, coarser], np.int64))
            above = [graph.reshape(graph.add("Expand", [cells, spread]), rows * columns, coarser, 1)]
        weights = graph.constant(_unpacked(model, layer))
        if model.weights.dtype == np.float16:
            weights = graph.add("Cast", [weights], to=TensorProto.FLOAT)
        vector = graph.add("Concat", [*above, own], axis=1)
        known = graph.add("Concat", [*above, graph.add("MatMul", [weights, vector])], axis=1)
    total = sum(lattice.channels)
    squares = graph.reshape(graph.add("Mul", [known, known]), -1, total)
    summed = graph.add("MatMul", [squares, graph.constant(np.ones((total, 1), np.float32))])
    return graph.reshape(graph.add("Sqrt", [summed]), STEPS[0] * lattice.rows, STEPS[0] * lattice.columns)


def _shape(lattice: Lattice, layer: int) -> tuple[int, int, int, int]:
    """Of a layer's unpacked weights: rows, columns, its channels, those of the coarser layers and its own."""
    k, n = STEPS[layer], lattice.channels
    return k * lattice.rows, k * lattice.columns, n[layer], sum(n[layer:])


def _weights_bytes(model: Gaussians) -> int:
    return sum(int(np.prod(_shape(model.lattice, layer))) for layer in range(3)) * int(model.weights.itemsize)


def _unpacked(model: Gaussians, layer: int) -> NDArray[Any]:
    """(positions, channels, coarser and own): each position's matrix [-A13, -A12, W11], [-A23, W22] or W33."""
    lattice, order, k = model.lattice, model.lattice.order, STEPS[layer]
    coarser = ((order.c13, order.c12), (order.c23,), ())[layer]
    own = (order.c11, order.c22, [order.c33])[layer]
    rows, columns, n, width = _shape(lattice, layer)
    dense = np.empty((rows, columns, n, width), model.weights.dtype)
    for number, row, column in lattice.places():
        tile = np.asarray(model.weights[number])
        for place in range(k * k):
            below, part = divmod(place, k)
            blocks = [matrix(tile, places[place]) for places in coarser]
            blocks.append(triangle(tile, own[place], n))
            first = k * column + LANES * part
            there = dense[k * row + below, first : first + LANES]
            there[:] = np.concatenate(blocks, -1)[: len(there)]  # a tile may reach beyond the grid
    return dense.reshape(rows * columns, n, width)


def _heat(graph: _Graph, distances: str, size: int) -> str:
    """`heat_map`, as heat.heat_map gives it.

    Upsampling and smoothing are linear and treat rows and columns alike: what they make of a line that is 1 at one
    place is a column of their matrix.
    """
    lines = np.eye(size // STEPS[0], dtype=np.float32)
    across = np.stack([heat_map(line[:, None], size)[:, 0] for line in lines], axis=1)
    rows = graph.add("MatMul", [graph.constant(across), distances])
    return graph.reshape(graph.add("MatMul", [rows, graph.constant(across.T)]), 1, 1, size, size, name="heat_map")


def _score(graph: _Graph, heat: str, package: Package) -> None:
    """`score`, normalised."""
    normaliser = package.card.normaliser
    raw = graph.add("ReduceMax", [heat], keepdims=0)
    above = graph.add("Sub", [raw, graph.number(normaliser.centre)])
    graph.add("Div", [above, graph.number(normaliser.spread)], "score")


def _properties(package: Package, backbone: BackboneCard) -> dict[str, str]:
    """What stands in the file beside the graph, in words and JSON."""
    card = package.card
    padding = numbers(backbone.mean) * np.float32(255)
    return {
        "view_id": card.view_id,
        "model_sha256": package.sha256,
        "created": card.created,
        "size": str(card.size),
        "channel_order": "RGB",
        "padding": json.dumps([float(v) for v in (padding if backbone.channel_order == "RGB" else padding[::-1])]),
        "crop": json.dumps(card.crop),
        "preparation": PREPARATION,
        "normaliser": json.dumps(asdict(card.normaliser)),
        "limits": json.dumps(asdict(card.limits)),
        "backbone": backbone.name,
        "backbone_sha256": backbone.sha256,
        "backbone_provenance": backbone.provenance,
    }


def _compare(graph: bytes, model: AnomalyModel) -> float:
    """The most by which the heat map of a picture of noise differs from the model's, of its maximum."""
    size = model.card.size
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    crop = (0, 0, size, size)
    found, _ = load_engine(graph, ["heat_map", "score"]).run(picture[None].astype(np.float32))
    wanted = model.score(picture, crop).heat_map
    return float(np.abs(found[0, 0] - wanted).max() / wanted.max())
