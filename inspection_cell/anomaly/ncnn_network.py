"""An ONNX network in the form that ncnn reads: a list of layers as text, and their weights.

Source: ncnn's documentation, "param and model file structure" and "operation param weight table".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection_cell.anomaly.errors import ModelError

_MAGIC = 7767517
_FLOAT32 = b"\0\0\0\0"  # before the weights of a layer


@dataclass(frozen=True)
class NcnnNetwork:
    """What ncnn loads.

    Attributes:
        layers: the text of a param file.
        weights: the content of a bin file.
        outputs: the tensors' names there.
    """

    layers: str
    weights: bytes
    input: str
    outputs: tuple[str, ...]


def to_ncnn(onnx_bytes: bytes, outputs: Sequence[str]) -> NcnnNetwork:
    """Translates a convolutional network.

    Raises:
        ModelError: the network has something that is not known here.
    """
    import onnx

    writer = _Writer(onnx.load_from_string(onnx_bytes).graph, outputs)
    return writer.written()


class _Writer:
    """Goes through the nodes in their order, which is one in which they can be computed."""

    def __init__(self, graph: Any, outputs: Sequence[str]) -> None:
        self._graph = graph
        self._outputs = tuple(outputs)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._nodes = self._needed()
        self._uses = Counter([*(name for node in self._nodes for name in node.input), *outputs])
        self._done: set[str] = set()  # outputs of Relu that a convolution makes itself
        self._layers: list[str] = []
        self._weights: list[bytes] = []
        self._tensors = 0
        # ncnn hands a tensor to one layer only: one name of it for each that takes it.
        self._names: dict[str, list[str]] = {}

    def written(self) -> NcnnNetwork:
        """The whole network."""
        inputs = [tensor.name for tensor in self._graph.input if tensor.name not in self._constants]
        if len(inputs) != 1:
            raise ModelError(f"provider ncnn: the network has {len(inputs)} inputs instead of one; use provider cpu")
        name = self._layer("Input", [], inputs[0])
        for node in self._nodes:
            if node.op_type == "Identity" and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]]
            else:
                self._node(node)
        outputs = tuple(self._take(output) for output in self._outputs)
        head = f"{_MAGIC}\n{len(self._layers)} {self._tensors}\n"
        return NcnnNetwork(head + "\n".join(self._layers) + "\n", b"".join(self._weights), name, outputs)

    def _needed(self) -> list[Any]:
        """The nodes that the outputs come from, in the graph's order."""
        needed, kept = set(self._outputs), []
        for node in reversed(self._graph.node):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.append(node)
        return kept[::-1]

    def _node(self, node: Any) -> None:
        attributes = {a.name: _value(a) for a in node.attribute}
        data = [name for name in node.input if name not in self._constants]
        weights = [self._values(name) for name in node.input if name in self._constants]
        with_weights = {"Conv": self._convolution, "BatchNormalization": self._normalisation}
        without = {"Relu": self._relu, "MaxPool": self._pool, "Concat": self._concat, "Add": self._add}
        if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or len(node.output) != 1:
            raise _unknown(f"{node.op_type} of another kind")
        if node.op_type in with_weights and len(data) == 1:
            with_weights[node.op_type](data, weights, node.output[0], attributes)
        elif node.op_type in without and not weights:
            without[node.op_type](data, node.output[0], attributes)
        else:
            raise _unknown(node.op_type)

    def _convolution(self, data: list[str], weights: list[NDArray[Any]], output: str, given: dict[str, Any]) -> None:
        kernel, bias = weights[0], weights[1] if len(weights) > 1 else None
        if given.get("group", 1) != 1 or kernel.ndim != 4:
            raise _unknown("Conv of another kind")
        rows, columns = kernel.shape[2:]
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        (down, across), (down_apart, across_apart) = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
        settings = {0: len(kernel), 1: columns, 11: rows, 2: across_apart, 12: down_apart, 3: across, 13: down}
        settings |= {4: left, 14: top, 15: right, 16: bottom, 5: int(bias is not None), 6: kernel.size}
        rectified = self._rectified(output)
        if rectified:
            settings[9] = 1
            self._done.add(rectified)
        self._layer("Convolution", data, rectified or output, settings)
        self._weights += [_FLOAT32, _floats(kernel), *([_floats(bias)] if bias is not None else [])]

    def _rectified(self, output: str) -> str:
        """What a Relu makes of this tensor, where nobody else takes it."""
        users = [node for node in self._nodes if output in node.input]
        alone = len(users) == 1 == self._uses[output] and users[0].op_type == "Relu"
        return str(users[0].output[0]) if alone else ""

    def _normalisation(self, data: list[str], weights: list[NDArray[Any]], output: str, given: dict[str, Any]) -> None:
        if len(weights) != 4:
            raise _unknown("BatchNormalization of another kind")
        slope, bias, mean, variance = weights
        self._layer("BatchNorm", data, output, {0: len(slope), 1: given.get("epsilon", 1e-5)})
        self._weights += [_floats(part) for part in (slope, mean, variance, bias)]

    def _pool(self, data: list[str], output: str, given: dict[str, Any]) -> None:
        if set(given.get("dilations", [1])) != {1}:
            raise _unknown("MaxPool of another kind")
        (rows, columns), (down, across) = given["kernel_shape"], given.get("strides", [1, 1])
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        settings = {0: 0, 1: columns, 11: rows, 2: across, 12: down, 3: left, 13: top, 14: right, 15: bottom}
        self._layer("Pooling", data, output, settings | {5: 0 if given.get("ceil_mode", 0) else 1})

    def _concat(self, data: list[str], output: str, given: dict[str, Any]) -> None:
        if given["axis"] != 1:
            raise _unknown("Concat of another kind")
        self._layer("Concat", data, output, {0: 0})

    def _add(self, data: list[str], output: str, given: dict[str, Any]) -> None:
        self._layer("BinaryOp", data, output, {0: 0})

    def _relu(self, data: list[str], output: str, given: dict[str, Any]) -> None:
        if output not in self._done:
            self._layer("ReLU", data, output)

    def _layer(self, kind: str, inputs: Sequence[str], output: str, settings: dict[int, float] | None = None) -> str:
        """Writes a layer; returns its tensor's name."""
        taken = [self._take(name) for name in inputs]
        made = self._write(kind, taken, 1, settings or {})
        self._names[output] = made if self._uses[output] <= 1 else self._write("Split", made, self._uses[output], {})
        return made[0]

    def _write(self, kind: str, inputs: Sequence[str], count: int, settings: dict[int, float]) -> list[str]:
        outputs = [f"t{self._tensors + i}" for i in range(count)]
        self._tensors += count
        written = [f"{number}={value}" for number, value in settings.items()]
        self._layers.append(
            " ".join([kind, f"l{len(self._layers)}", str(len(inputs)), str(count), *inputs, *outputs, *written])
        )
        return outputs

    def _take(self, name: str) -> str:
        return self._names[name].pop()

    def _values(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self._constants[name]))


def _value(attribute: Any) -> Any:
    import onnx

    return onnx.helper.get_attribute_value(attribute)


def _floats(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values, np.float32).tobytes()


def _unknown(what: str) -> ModelError:
    return ModelError(f"provider ncnn: the network has {what}, which is not translated; use provider cpu")
