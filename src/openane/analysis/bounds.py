"""Ranges of values that hold for every input, as far as bounded functions give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from openane.graph import Graph, Node, Operation
from openane.graph import ops as g


@dataclass(frozen=True, slots=True)
class Interval:
    """All values lie between `low` and `high`, both included."""

    low: float
    high: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))


Rule = Callable[[Node, Graph, Mapping[str, Interval]], Interval | None]


def intervals(graph: Graph) -> dict[str, Interval]:
    """The range of every value for which the graph itself gives one, whatever the inputs are."""
    found: dict[str, Interval] = {
        name: Interval(float(array.min()), float(array.max()))
        for name, array in graph.constants.items()
        if array.size and array.dtype.kind in "fiu"
    }
    for node in graph.nodes:
        made = _range_of(node, graph, found)
        if made is not None and math.isfinite(made.magnitude):
            found[node.outputs[0]] = made
    return found


def _range_of(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    """The range of the first result: as the operation's class states it, else by its rule."""
    operation = node.operation
    if operation.result_range is not None:
        return Interval(*operation.result_range)
    if operation.keeps_range:
        return known.get(node.inputs[0])
    rule = RULES.get(type(operation))
    return rule(node, graph, known) if rule is not None else None


def _padded(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    """The operation picks or averages values of its first operand, with zeros among them."""
    own = known.get(node.inputs[0])
    return Interval(min(own.low, 0.0), max(own.high, 0.0)) if own else None


def _joined(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    parts = [known.get(name) for name in node.inputs]
    ranges = [part for part in parts if part is not None]
    if len(ranges) < len(parts) or not ranges:
        return None
    return Interval(min(r.low for r in ranges), max(r.high for r in ranges))


def _clip(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    operation = node.operation
    assert isinstance(operation, g.Clip)
    own = known.get(node.inputs[0], Interval(-math.inf, math.inf))
    return Interval(
        min(max(own.low, operation.minimum), operation.maximum),
        max(min(own.high, operation.maximum), operation.minimum),
    )


def _relu(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    own = known.get(node.inputs[0])
    return Interval(max(own.low, 0.0), max(own.high, 0.0)) if own else None


def _pair(combine: Callable[[float, float], float]) -> Rule:
    def rule(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
        a, b = (known.get(name) for name in node.inputs)
        if a is None or b is None:
            return None
        corners = [combine(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        return Interval(min(corners), max(corners))

    return rule


def _products(node: Node, graph: Graph, known: Mapping[str, Interval]) -> Interval | None:
    """A convolution or product with constant weights: the largest row of magnitudes times the operand's."""
    own, weight = known.get(node.inputs[0]), graph.constants.get(node.inputs[1])
    if own is None or weight is None or weight.ndim < 2:
        return None
    magnitudes = np.abs(weight.astype(np.float64))
    if isinstance(node.operation, g.Conv):
        rows = magnitudes.reshape(weight.shape[0], -1).sum(1)
    else:
        assert isinstance(node.operation, g.MatMul)
        rows = magnitudes.sum(-1 if node.operation.transpose_b else -2)
    bias = known.get(node.inputs[2]) if len(node.inputs) > 2 else None
    reach = float(rows.max()) * own.magnitude + (bias.magnitude if bias else 0.0)
    return Interval(-reach, reach)


#: By operation, for those whose class states no range.
RULES: Mapping[type[Operation], Rule] = MappingProxyType(
    {
        g.AveragePool: _padded,
        g.Concat: _joined,
        g.Clip: _clip,
        g.Relu: _relu,
        g.Add: _pair(lambda x, y: x + y),
        g.Sub: _pair(lambda x, y: x - y),
        g.Mul: _pair(lambda x, y: x * y),
        g.Max: _pair(max),
        g.Min: _pair(min),
        g.Conv: _products,
        g.MatMul: _products,
    }
)
