"""What a backbone is: its input, its normalisation and where each of its three feature grids looks in the image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ModelError

STRIDES = (4, 8, 16)


@dataclass(frozen=True)
class InputConvention:
    """How a network wants its pixels: channel order, then mean and standard deviation of values from 0 to 1."""

    channel_order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = InputConvention("RGB", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = InputConvention("BGR", (104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255))
_KNOWN_FILES = {"e5478512ee5852d07910f09017100960d00e4c7515fb79af9404a9372c1cd686": CAFFE}
"""By sha256: files without a card whose convention is known. SqueezeNet 1.0 comes from Caffe."""


@dataclass(frozen=True)
class FeatureOutput:
    """One of the network's feature grids.

    Attributes:
        name: tensor name in the ONNX graph.
        channels: how many.
        stride: input pixels from one grid position to the next: 4, 8 or 16.
        origin: input pixel at the centre of what grid position 0 sees.
        scale: factor on the features before anything else, so that PaDiM's regularisation (made for ResNet's features)
            means the same for every network.
    """

    name: str
    channels: int
    stride: int
    origin: float
    scale: float = 1.0


@dataclass(frozen=True)
class BackboneCard:
    """The facts that stand beside an ONNX file.

    Attributes:
        name: what people call it.
        sha256: of the ONNX file.
        input: name of the image input, (n, 3, h, w) float32.
        channel_order: "RGB" or "BGR"; grey images are repeated in three channels.
        mean, std: per channel, in that order, of pixel values from 0 to 1.
        outputs: the features at strides 4, 8 and 16, in this order.
        provenance: where the weights come from, and under which licence.
    """

    name: str
    sha256: str
    input: str
    channel_order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputs: tuple[FeatureOutput, ...]
    provenance: str

    def __post_init__(self) -> None:
        if tuple(output.stride for output in self.outputs) != STRIDES:
            raise ModelError(f"backbone {self.name}: needs three outputs of strides {STRIDES}, finest first")
        if self.channel_order not in ("RGB", "BGR"):
            raise ModelError(f"backbone {self.name}: channel_order {self.channel_order!r}; allowed: RGB, BGR")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ModelError(f"backbone {self.name}: mean and std need three numbers each, std positive")


def write_card(card: BackboneCard, path: Path) -> None:
    """Writes the card as JSON."""
    path.write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")


def read_card(path: Path) -> BackboneCard:
    """Reads a card.

    Raises:
        ModelError: not JSON, or a field missing, unknown or of a wrong value.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        outputs = tuple(FeatureOutput(**output) for output in fields.pop("outputs"))
        mean, std = tuple(fields.pop("mean")), tuple(fields.pop("std"))
        return BackboneCard(outputs=outputs, mean=mean, std=std, **fields)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: not a backbone card ({error}); see `describe_backbone`") from error


def describe_backbone(
    onnx_file: Path,
    outputs: tuple[str, str, str] | None = None,
    provenance: str = "unknown",
    convention: InputConvention | None = None,
) -> BackboneCard:
    """Makes a card from the network itself, by following the strides of its graph.

    Args:
        outputs: tensors at strides 4, 8 and 16, inner ones too; None takes the last merging layer (concatenation, or
            ReLU after an addition) of each stride.
        convention: what the network was trained with, which no graph says; None takes torchvision's, except for
            files that are known to differ.

    Raises:
        ModelError: a tensor is missing, or there is none with one of the strides.
    """
    import onnx  # only needed to look inside a graph; scoring with a card does not need it

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(str(onnx_file)))
    except Exception as error:  # protobuf and onnx raise their own exceptions
        raise ModelError(f"{onnx_file}: cannot be read as an ONNX network ({error})") from error
    places = _places(model.graph)
    names = outputs or _last_merges(model.graph, places, onnx_file)
    shapes = {v.name: v for v in [*model.graph.value_info, *model.graph.output]}
    features = []
    for name, stride in zip(names, STRIDES, strict=True):
        if name not in places or name not in shapes:
            raise ModelError(f"{onnx_file}: no tensor {name!r} whose place in the image is known")
        if places[name][0] != stride:
            raise ModelError(f"{onnx_file}: tensor {name!r} has stride {places[name][0]}, not {stride}")
        channels = shapes[name].type.tensor_type.shape.dim[1].dim_value
        features.append(FeatureOutput(name, channels, stride, places[name][1]))
    digest = hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    inner = {i.name for i in model.graph.initializer}
    image = next(i.name for i in model.graph.input if i.name not in inner)
    order = convention or _KNOWN_FILES.get(digest, IMAGENET)
    return BackboneCard(
        name=onnx_file.stem,
        sha256=digest,
        input=image,
        channel_order=order.channel_order,
        mean=order.mean,
        std=order.std,
        outputs=tuple(features),
        provenance=provenance,
    )


def _places(graph) -> dict[str, tuple[int, float]]:  # type: ignore[no-untyped-def]
    """Stride and origin of every tensor that lies on a grid over the input image."""
    constants = {i.name for i in graph.initializer}
    places = {i.name: (1, 0.0) for i in graph.input if i.name not in constants}
    for node in graph.node:
        source = next((name for name in node.input if name in places), None)
        if source is None or node.op_type in ("GlobalAveragePool", "Flatten", "Reshape", "Gemm", "MatMul", "Softmax"):
            continue
        stride, origin = places[source]
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            given = {a.name: list(a.ints) for a in node.attribute}
            kernel, step = given["kernel_shape"][0], given.get("strides", [1])[0]
            pad, dilation = given.get("pads", [0])[0], given.get("dilations", [1])[0]
            origin += stride * ((kernel - 1) * dilation / 2 - pad)
            stride *= step
        for name in node.output:
            places[name] = (stride, origin)
    return places


def _last_merges(graph, places: dict[str, tuple[int, float]], onnx_file: Path) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """For each stride the last concatenation or ReLU after an addition."""
    sums = {node.output[0] for node in graph.node if node.op_type == "Add"}
    chosen: dict[int, str] = {}
    for node in graph.node:
        merges = node.op_type == "Concat" or (node.op_type == "Relu" and node.input[0] in sums)
        if merges and node.output[0] in places:
            chosen[places[node.output[0]][0]] = node.output[0]
    missing = [stride for stride in STRIDES if stride not in chosen]
    if missing:
        raise ModelError(f"{onnx_file}: found no layer of stride {missing} by itself; name the three outputs")
    return tuple(chosen[stride] for stride in STRIDES)


def numbers(values: tuple[float, ...]) -> NDArray[np.float32]:
    """A card's numbers as float32."""
    return np.asarray(values, np.float32)
