"""How the axes of a logical tensor lie on the five dimensions of the engine.

A layout names the dimension of every axis, in increasing (N, D, C, H, W) order. So a logical tensor and its engine
tensor always hold the same elements in the same row-major order, and another layout of a value is a Reshape at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from openane.compiler.lowering.operand_rules import channel_axes, five_dimensions
from openane.core.errors import require
from openane.graph import Graph, Node
from openane.graph import ops as g
from openane.net import Dimension, TensorShape

#: For each axis its dimension; None only where the extent is 1.
Layout = tuple[Dimension | None, ...]

_N, _D, _C, _H, _W = Dimension

#: Layouts of images and of what comes from or goes to them, by rank: batch, channels, then space.
SPATIAL: dict[int, Layout] = {1: (_C,), 2: (_N, _C), 3: (_N, _C, _W), 4: (_N, _C, _H, _W), 5: (_N, _D, _C, _H, _W)}

#: Layouts of stacks of matrices, by rank.
MATRICES: dict[int, Layout] = {0: (), 1: (_W,), 2: (_H, _W), 3: (_C, _H, _W), 4: (_N, _C, _H, _W)} | {5: SPATIAL[5]}


def canonical(shape: Sequence[int], *, rows: bool = False) -> Layout:
    """The layout of a value that nothing else decides.

    Args:
        shape: logical.
        rows: lay vectors along Width, as matrices with one row; else along Channel.

    Raises:
        UnsupportedError: more than five axes of more than one element.
    """
    rank = len(shape)
    if rank == 1 and not rows:
        return SPATIAL[1]
    if rank <= 5:
        return MATRICES[rank]
    real = [axis for axis, extent in enumerate(shape) if extent > 1]
    require(five_dimensions, len(real), shape)
    places = dict(zip(real, list(Dimension)[5 - len(real) :], strict=True))
    return tuple(places.get(axis) for axis in range(rank))


def engine_shape(shape: Sequence[int], layout: Layout) -> TensorShape:
    """The engine's extents of a logical shape in a layout."""
    extents = [1] * 5
    for extent, dimension in zip(shape, layout, strict=True):
        if dimension is not None:
            extents[dimension.axis] = extent
    return TensorShape.of(extents)


def channels_layout(shape: Sequence[int]) -> Layout:
    """The layout of a value whose axis 1 holds channels.

    Raises:
        UnsupportedError: more than four axes.
    """
    require(channel_axes, shape)
    return SPATIAL[len(shape)]


class Preferences:
    """What the users of each value would like best, found by walking the graph backwards.

    Operations on images want their layout; element by element operations pass the wish of their result on. An input
    that is only reshaped takes the shape that it is reshaped to, because the caller's copy costs nothing.

    Args:
        graph: to be lowered.
        rows: see :func:`canonical`.
    """

    def __init__(self, graph: Graph, rows: bool) -> None:
        self._types = graph.types
        self._rows = rows
        self.layouts: dict[str, Layout] = {}
        self.engines: dict[str, TensorShape] = {}
        for node in reversed(graph.nodes):
            self._visit(node)

    def _wish(self, name: str, layout: Layout) -> None:
        self.layouts.setdefault(name, layout)

    def _visit(self, node: Node) -> None:
        operation = node.operation
        first = node.inputs[0] if node.inputs else ""
        shape = self._types[first].shape if first else ()
        if operation.is_spatial:
            if 2 <= len(shape) <= 4:
                self._wish(first, SPATIAL[len(shape)])
        elif isinstance(operation, g.MatMul):
            if not self._rows and len(shape) in (1, 2) and (len(shape) == 1 or shape[0] == 1):
                self._wish(first, SPATIAL[len(shape)])
        elif isinstance(operation, g.Reshape):
            result = node.outputs[0]
            if result in self.layouts:
                self.engines.setdefault(first, engine_shape(operation.shape, self.layouts[result]))
            elif result in self.engines:
                self.engines.setdefault(first, self.engines[result])
        elif operation.keeps_layout:
            self._pass_on(node)

    def _pass_on(self, node: Node) -> None:
        result = node.outputs[0]
        if result not in self.layouts:
            return
        rank = len(self._types[result].shape)
        for name in node.inputs:
            if name and len(self._types[name].shape) == rank:
                self._wish(name, self.layouts[result])
