"""Inputs that the user did not give: repeatable, and valid indices where the model looks rows up with them.

The indices of a lookup are followed back to the inputs they come from, through moves, casts and sums with constants, so
that a generated token type stays below the number of rows of its table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from openane.artifact.plan import HostStep, Plan
from openane.core.errors import InputError, ModelError
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g

SEED = 0
INTEGERS = 100
"""Different values of a generated input of integers; fewer where a table has fewer rows."""

Span = tuple[int, int]
"""The smallest and the largest valid value."""


def complete(
    given: Mapping[str, np.ndarray], wanted: Mapping[str, TensorType], graphs: Iterable[Graph] = ()
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The given arrays with every missing one generated, and the names of those.

    Args:
        given: arrays by name.
        wanted: every input with its type.
        graphs: what reads them, to find valid indices.
    """
    made = [name for name in wanted if name not in given]
    spans = index_spans(wanted, graphs) if made else {}
    return {**given, **{name: made_up_input(name, wanted[name], spans.get(name)) for name in made}}, made


def host_graphs(plan: Plan) -> list[Graph]:
    """The host steps of a plan: every lookup with indices of the caller is in them."""
    return [step.graph for step in plan.steps if isinstance(step, HostStep)]


@contextmanager
def blaming_generated(made: Iterable[str]) -> Iterator[None]:
    """Adds to an error about values that they were generated.

    Args:
        made: names of generated inputs; errors pass as they are when there are none.
    """
    try:
        yield
    except (InputError, ModelError) as error:
        names = ", ".join(made)
        if not names:
            raise
        hint = f"The data of {names} was generated: pass real arrays with --input NAME=FILE.npy."
        raise error.hinted(hint) from error


def made_up_input(name: str, kind: TensorType, span: Span | None = None) -> np.ndarray:
    """A repeatable array for an input that the user did not give: standard normal values, or small integers.

    Integers whose name says that they are a mask are 0 or 1. The values depend on the arguments and a fixed seed only.

    Args:
        name: of the input.
        kind: its shape and element type.
        span: the valid values, where the model uses them as indices.
    """
    if not kind.is_static:
        raise InputError(
            "no values can be made up for an input of texts or of an open shape",
            where=f"input {name!r}",
            value=kind,
            hint="Call it from Python with the values: openane.compile(...).",
        )
    generator = np.random.default_rng([SEED, *name.encode()])
    if kind.dtype is DType.BOOL:
        return generator.integers(0, 2, kind.shape).astype(bool)
    if kind.dtype.is_float and span is None:
        return generator.standard_normal(kind.shape).astype(kind.dtype.numpy)
    low, high = span or (0, INTEGERS - 1)
    count = min(2 if "mask" in name.lower() else INTEGERS, high - low + 1)
    return generator.integers(low, low + count, kind.shape).astype(kind.dtype.numpy)


@dataclass(frozen=True, slots=True)
class _Linear:
    """What is known of a value: a sum of inputs, each times a factor above 0, and a number between two bounds."""

    factors: Mapping[str, float]
    low: float = 0.0
    high: float = 0.0

    def plus(self, other: _Linear) -> _Linear:
        names = {*self.factors, *other.factors}
        factors = {name: self.factors.get(name, 0.0) + other.factors.get(name, 0.0) for name in names}
        return _Linear(factors, self.low + other.low, self.high + other.high)

    def times(self, low: float, high: float) -> _Linear | None:
        """With a factor between two bounds, neither of which is below 0."""
        if not 0 <= low <= high < math.inf:
            return None
        ends = [self.low * low, self.low * high, self.high * low, self.high * high]
        return _Linear({name: factor * high for name, factor in self.factors.items()}, min(ends), max(ends))

    def joined(self, other: _Linear) -> _Linear:
        """Some elements are of one kind, some of the other."""
        names = {*self.factors, *other.factors}
        factors = {name: max(self.factors.get(name, 0.0), other.factors.get(name, 0.0)) for name in names}
        return _Linear(factors, min(self.low, other.low), max(self.high, other.high))


def index_spans(inputs: Iterable[str], graphs: Iterable[Graph]) -> dict[str, Span]:
    """The valid values of every input that lookups use as indices, by the name of the input.

    Args:
        inputs: names of the model's inputs.
        graphs: pieces of the model in the order in which they run; values keep their names between them.
    """
    spans: dict[str, Span] = {}
    known = {name: _Linear({name: 1.0}) for name in inputs}
    for graph in graphs:
        known |= {name: _constant(array) for name, array in graph.constants.items() if _is_numeric(array)}
        for node in graph.nodes:
            for indices, rows in _lookups(node, graph):
                if indices in known:
                    _narrow(spans, known[indices], rows)
            result = _follow(node, known)
            if result is not None:
                known.update(dict.fromkeys(node.outputs, result))
    return spans


def _is_numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "iuf" and array.size > 0


def _constant(array: np.ndarray) -> _Linear:
    return _Linear({}, float(array.min()), float(array.max()))


def _lookups(node: Node, graph: Graph) -> Iterator[tuple[str, int]]:
    """The indices that a node reads, with the number of rows that they choose from."""
    operation = node.operation
    if len(node.inputs) < 2 or not isinstance(operation, _LOOKUPS):
        return
    shape, indices = graph.types[node.inputs[0]].shape, node.inputs[1]
    if isinstance(operation, (g.Gather, g.GatherElements, g.ScatterElements)):
        yield indices, shape[operation.axis]
    else:
        first = operation.batch_axes if isinstance(operation, g.GatherND) else 0
        yield indices, min(shape[first : first + graph.types[indices].shape[-1]], default=1)


_LOOKUPS = (g.Gather, g.GatherElements, g.GatherND, g.ScatterElements, g.ScatterND)


def _narrow(spans: dict[str, Span], value: _Linear, rows: int) -> None:
    """Keeps an index between 0 and the last row; below 0, which counts from the end, where there is no other way."""
    for name, factor in value.factors.items():
        if factor <= 0:
            continue
        high = math.floor((rows - 1 - value.high) / (factor * len(value.factors)))
        low = math.ceil(max(0.0, -value.low) / factor)
        if low > high:
            low = min(high, math.ceil((-rows - value.low) / (factor * len(value.factors))))
        known_low, known_high = spans.get(name, (low, high))
        spans[name] = max(low, known_low), max(min(high, known_high), low, known_low)


def _follow(node: Node, known: Mapping[str, _Linear]) -> _Linear | None:
    """What is known of the results of a node; None for nothing."""
    operation = node.operation
    if operation.moves_data:
        moved = node.inputs if isinstance(operation, g.Concat) else node.inputs[:1]
        return _join(known.get(name) for name in moved)
    if isinstance(operation, g.Where):
        return _join(known.get(name) for name in node.inputs[1:])
    operands = [known.get(name) for name in node.inputs]
    x = operands[0] if operands else None
    other = operands[1] if len(operands) == 2 else None
    if x is None or (len(operands) == 2 and other is None):
        return None
    if isinstance(operation, (g.Identity, g.Cast, g.Floor, g.Trunc, g.Clip, g.Relu)):
        return x
    if isinstance(operation, (g.Ceil, g.Round)):
        return replace(x, high=x.high + 1)
    if isinstance(operation, g.Affine):
        scaled = x.times(operation.alpha, operation.alpha)
        return None if scaled is None else scaled.plus(_Linear({}, operation.beta, operation.beta))
    return None if other is None else _follow_binary(operation, x, other)


def _join(operands: Iterable[_Linear | None]) -> _Linear | None:
    found = list(operands)
    result = found[0] if found else None
    for each in found[1:]:
        result = result.joined(each) if result is not None and each is not None else None
    return result


def _follow_binary(operation: Operation, x: _Linear, y: _Linear) -> _Linear | None:
    if isinstance(operation, g.Add):
        return x.plus(y)
    if isinstance(operation, (g.Max, g.Min)):
        return x.joined(y)
    if isinstance(operation, g.Mul) and x.factors and y.factors:
        return None
    if isinstance(operation, g.Mul):
        return x.times(y.low, y.high) if x.factors or not y.factors else y.times(x.low, x.high)
    if y.factors:
        return None
    if isinstance(operation, g.Sub):
        return x.plus(_Linear({}, -y.high, -y.low))
    if isinstance(operation, g.Div) and y.low > 0:
        return x.times(1 / y.high, 1 / y.low)
    if isinstance(operation, g.Mod) and y.low > 0:
        return _Linear({}, 0.0, y.high - 1)
    return None
