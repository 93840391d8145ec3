"""Changes to a network's graph before it is loaded: inner tensors as outputs, and only the channels that are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BY_CHANNEL = ("Relu", "Clip", "LeakyRelu", "Identity", "Add")
"""Each channel of the output needs only the same channel of the inputs."""
_POOLS = ("MaxPool", "AveragePool")
_WITH_WEIGHTS = ("Conv", "BatchNormalization")
"""The weights' first axis is the output's channels."""


def expose(onnx_bytes: bytes, names: Sequence[str]) -> bytes:
    """The network with these tensors as its only outputs; what comes after them is never computed."""
    import onnx  # only where a graph is changed

    model = onnx.load_from_string(onnx_bytes)
    if [output.name for output in model.graph.output] == list(names):
        return onnx_bytes
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return bytes(model.SerializeToString())


def select_channels(onnx_bytes: bytes, channels: Mapping[str, NDArray[np.int64]]) -> bytes:
    """The network whose outputs have only these channels, under the same names, and zeros up to a multiple of 16.

    Sixteen is how many channels runtimes compute side by side; other numbers they compute more slowly.

    What nobody else needs is not computed: the choice moves up through additions, concatenations and functions of
    single values into the weights of the convolutions. The numbers of the chosen channels stay the same.

    Args:
        channels: for each output the indices of the channels to keep, ascending.
    """
    import onnx

    model = onnx.load_from_string(onnx_bytes)
    graph = _Graph(model.graph)
    chosen = [graph.output(name, places) for name, places in channels.items()]
    graph.put_outputs(list(channels), chosen)
    return bytes(model.SerializeToString())


class _UnknownChannels(Exception):
    """How many channels a tensor has cannot be seen from the graph."""


def padded(count: int) -> int:
    """The next multiple of 16."""
    return -(-count // 16) * 16


class _Graph:
    """A graph to which nodes are added; those that nobody needs any more are dropped at the end."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._makers = {output: node for node in graph.node for output in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:  # exporters share equal weights through Identity nodes
            if node.op_type == "Identity" and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]]
        self._uses = Counter(name for node in graph.node for name in node.input)

    def output(self, name: str, places: NDArray[np.int64]) -> str:
        """The name of a tensor with these channels of an output first."""
        try:
            return self.choose(name, places, padded(len(places)), 0)
        except _UnknownChannels:
            return self._add("Gather", [name, self._constant(places)], axis=1)

    def choose(self, name: str, places: NDArray[np.int64], total: int, used_elsewhere: int = 1) -> str:
        """The name of a tensor with these channels of tensor `name` and zeros, `total` in all.

        `used_elsewhere`: so many nodes may need the tensor whole.
        """
        node = self._makers.get(name)
        if node is None or self._uses[name] > used_elsewhere or not self._moves_through(node):
            return self._pick(name, places, total)
        if node.op_type in _WITH_WEIGHTS:
            weights = [self._constant(_rows(self._values(part)[places], total)) for part in node.input[1:]]
            inputs = [node.input[0], *weights]
        elif node.op_type == "Concat":
            starts = np.cumsum([0, *(self._channels(part) for part in node.input)])
            parts = zip(node.input, starts[:-1], starts[1:], strict=True)
            mine = [(part, places[(places >= a) & (places < b)] - a) for part, a, b in parts]
            counts = [len(some) for _, some in mine]
            counts[-1] += total - len(places)
            inputs = [self.choose(part, some, n) for (part, some), n in zip(mine, counts, strict=True) if n]
        elif node.op_type == "Add":
            inputs = [self.choose(part, places, total) for part in node.input]
        else:
            inputs = [self.choose(node.input[0], places, total), *node.input[1:]]
        made = self._add(node.op_type, inputs)
        self._makers[made].attribute.extend(node.attribute)
        return made

    def put_outputs(self, names: list[str], tensors: list[str]) -> None:
        """Makes these tensors the only outputs, under these names, and drops what they do not need."""
        from onnx import helper

        needed, waiting = set(), list(tensors)
        while waiting:
            node = self._makers.get(waiting.pop())
            if node is not None and node.output[0] not in needed:
                needed.add(node.output[0])
                waiting.extend(node.input)
        kept = [node for node in self._graph.node if node.output[0] in needed]
        inner = {name: f"{name}.whole" for name in names} | dict(zip(tensors, names, strict=True))
        for node in kept:
            node.input[:] = [inner.get(name, name) for name in node.input]
            node.output[:] = [inner.get(name, name) for name in node.output]
        del self._graph.node[:]
        self._graph.node.extend(kept)
        used = {name for node in kept for name in node.input}
        constants = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(constants)
        del self._graph.value_info[:]
        del self._graph.output[:]
        self._graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)

    def _moves_through(self, node: Any) -> bool:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type in _WITH_WEIGHTS:
            groups = attributes["group"].i if "group" in attributes else 1
            return groups == 1 and all(part in self._constants for part in node.input[1:])
        if node.op_type == "Concat":
            return attributes["axis"].i == 1 and all(self._channels(part) for part in node.input)
        if node.op_type == "Add":
            return not any(part in self._constants for part in node.input)
        return node.op_type in _BY_CHANNEL

    def _pick(self, name: str, places: NDArray[np.int64], total: int) -> str:
        """These channels of a tensor and zeros, by a convolution whose weights are 0 and 1.

        It gives the same numbers as picking them out, and stays in the layout in which runtimes compute convolutions:
        picking costs them a conversion of the whole tensor.
        """
        count = self._channels(name)
        if not count:
            raise _UnknownChannels(name)
        chosen = np.zeros((total, count, 1, 1), np.float32)
        chosen[np.arange(len(places)), places] = 1
        return self._add("Conv", [name, self._constant(chosen)])

    def _channels(self, name: str) -> int:
        """How many channels a tensor has; 0 where that is not known."""
        node = self._makers.get(name)
        while node is not None and node.op_type in (*_BY_CHANNEL, *_POOLS):
            node = self._makers.get(node.input[0])
        if node is not None and node.op_type == "Concat":
            parts = [self._channels(part) for part in node.input]
            return sum(parts) if all(parts) else 0
        if node is None or node.op_type not in _WITH_WEIGHTS or node.input[1] not in self._constants:
            return 0
        return int(self._constants[node.input[1]].dims[0])

    def _values(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self._constants[name]))

    def _constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"chosen.constant{len(self._constants)}"
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        self._graph.initializer.append(tensor)
        self._constants[name] = tensor
        return name

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"chosen.tensor{len(self._makers)}"
        self._graph.node.append(helper.make_node(kind, inputs, [name], **attributes))
        self._makers[name] = self._graph.node[-1]
        return name


def _rows(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Values with zeros below, (count, ...)."""
    return np.concatenate([values, np.zeros((count - len(values), *values.shape[1:]), values.dtype)])
