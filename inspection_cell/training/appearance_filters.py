"""Filters that nobody trained: what a surface looks like around each place, as a few convolutions of an ONNX graph.

A pyramid of blurred pictures, each half as large as the one before; at strides 4, 8 and 16 of it the colour, its first
and second derivatives, and the energy of finer derivatives (their size without their sign, averaged). Derivatives of
Gaussians describe a place's neighbourhood as its Taylor expansion does (J. Koenderink, A. van Doorn, "Representation of
local geometry in the visual system", Biological Cybernetics 55, 1987); energies after E. Adelson and J. Bergen,
"Spatiotemporal energy models", JOSA A 2, 1985.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Kernel = NDArray[np.float64]
SIGMA = 1.0
"""Of the Gaussian, pixels of a pyramid's level."""
REACH = 3
LEVELS = (2, 3, 4)
"""Halvings before strides 4, 8 and 16."""
GREY = (1 / 3, 1 / 3, 1 / 3)
OPPONENT = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0))
"""Red against green, blue against yellow."""
LINEAR, ENERGIES = 12, 8
FILTERS = (ENERGIES, LINEAR + ENERGIES, LINEAR + ENERGIES)
"""Channels at each stride. The finest has energies alone: a model's size grows fastest with its channels."""


def gaussian(along_x: int, along_y: int) -> Kernel:
    """(7, 7): a Gaussian's derivative of these orders, 0 to 2, times sigma to the order."""
    x = np.arange(-REACH, REACH + 1) / SIGMA
    bell = np.exp(-(x**2) / 2)
    bell /= bell.sum()
    orders = (bell, -x * bell, (x**2 - 1) * bell)
    return np.outer(orders[along_y], orders[along_x])


def linear_filters() -> Kernel:
    """(12, 3, 7, 7): each colour and its slopes, and how grey bends."""
    pixel = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    pixel[REACH, REACH] = 1
    colours = np.eye(3)
    bends = [gaussian(2, 0), gaussian(0, 2), gaussian(1, 1)]
    made = [_of(colour, kernel) for kernel in (pixel, gaussian(1, 0), gaussian(0, 1)) for colour in colours]
    return np.stack(made + [_of(GREY, kernel) for kernel in bends])


def energy_filters() -> Kernel:
    """(8, 3, 7, 7): derivatives whose size is averaged; the last one is grey against its surroundings."""
    slopes = [gaussian(1, 0), gaussian(0, 1), gaussian(2, 0), gaussian(0, 2), gaussian(1, 1)]
    surroundings = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    surroundings[REACH - 1 : REACH + 2, REACH - 1 : REACH + 2] = -1 / 9
    surroundings[REACH, REACH] += 1
    diagonal = gaussian(1, 0) + gaussian(0, 1)
    colours = [_of(opponent, diagonal) for opponent in OPPONENT]
    return np.stack([*(_of(GREY, slope) for slope in slopes), *colours, _of(GREY, surroundings)])


def _of(colour: tuple[float, ...] | NDArray[np.float64], kernel: Kernel) -> Kernel:
    return np.asarray(colour, float)[:, None, None] * kernel


@dataclass
class GraphParts:
    """Nodes and constants that grow into a graph."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def convolution(self, source: str, weights: NDArray[np.generic], output: str, stride: int = 1) -> str:
        """A convolution (outputs, inputs, k, k) without bias that keeps centres where they are; returns `output`."""
        name = f"{output}.weights"
        self.constants.append(numpy_helper.from_array(np.asarray(weights, np.float32), name))
        size = weights.shape[-1]
        sizes: dict[str, Any] = {"kernel_shape": [size, size], "pads": [size // 2] * 4, "strides": [stride, stride]}
        self.nodes.append(helper.make_node("Conv", [source, name], [output], **sizes))
        return output

    def rectified(self, source: str, output: str) -> str:
        """What is above 0; returns `output`."""
        self.nodes.append(helper.make_node("Relu", [source], [output]))
        return output


def add_filters(parts: GraphParts, image: str, scales: Sequence[NDArray[np.float64]] = ()) -> list[list[str]]:
    """Adds the filters of the normalised picture `image`; returns the tensors of each stride.

    Together they have `FILTERS` channels.

    Args:
        scales: for each stride, what its channels are multiplied with; nothing leaves them as they are.
    """
    blur = np.stack([_of(colour, gaussian(0, 0)) for colour in np.eye(3)])
    pyramid = [image]
    for level in range(1, LEVELS[-1] + 1):
        pyramid.append(parts.convolution(pyramid[-1], blur, f"pyramid{level}", stride=2))
    both_signs = np.concatenate([energy_filters(), -energy_filters()])
    average = np.tile(np.eye(ENERGIES), 2)[:, :, None, None] * np.full((3, 3), 1 / 9)
    made = []
    for level, count, factor in zip(LEVELS, FILTERS, scales or [np.ones(count) for count in FILTERS], strict=True):
        column = factor[:, None, None, None]
        tensors = []
        if count > ENERGIES:
            tensors.append(parts.convolution(pyramid[level], linear_filters() * column[:LINEAR], f"linear{level}"))
        parts.convolution(pyramid[level - 1], both_signs, f"signed{level}")
        sizes = parts.rectified(f"signed{level}", f"sizes{level}")
        tensors.append(parts.convolution(sizes, average * column[-ENERGIES:], f"energy{level}", stride=2))
        made.append(tensors)
    return made
