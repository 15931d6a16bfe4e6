"""Where half precision may spoil a model: found on calibration inputs, in the constants, and from bounds.

The model is evaluated in single precision, node by node, and every operand and result of the nodes that go to the
engine is held against what half precision can hold. Nothing here changes the compiled program; a node that suffers can
be kept on the host (`--wide`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.analysis.bounds import Interval, intervals
from openane.compiler.verdicts import layers_of
from openane.core.errors import ModelError
from openane.graph import Graph, Node, Operation
from openane.graph import ops as g

HALF_LARGEST = 65504.0
HALF_TINY = 2.0**-24
"""The smallest half-precision number above 0; half of it and less rounds to 0."""
SUM_LIMIT = 32768.0
"""Sums of products of this size and more leave the MAC array as infinity, on every chip that was measured."""
LOGIT_LIMIT = 256.0
"""From here on neighbouring half-precision numbers are 0.25 apart: a softmax's results are off by a tenth or more."""
CENTRE_LIMIT = 512.0
"""A mean so many deviations away from zero leaves two digits of the differences."""


class Kind(Enum):
    """What may go wrong."""

    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    EPSILON = "epsilon"
    ZERO = "zero"
    RANGE = "range"
    NOT_A_NUMBER = "not a number"


class Source(Enum):
    """How it was found."""

    CALIBRATION = "calibration"
    CONSTANTS = "constants"
    BOUNDS = "bounds"


@dataclass(frozen=True, slots=True)
class Hazard:
    """One finding.

    Attributes:
        node: name of the node of the compiled graph.
        layers: the user's layers it came from.
        operation: class of the operation.
        kind: what may go wrong.
        source: how it was found.
        what: one clause for the user.
        value: what was found.
        limit: what half precision allows.
        hint: what to do.
    """

    node: str
    layers: tuple[str, ...]
    operation: str
    kind: Kind
    source: Source
    what: str
    value: str
    limit: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: Kind
    what: str
    value: float
    limit: str
    source: Source = Source.CALIBRATION


@dataclass(frozen=True, slots=True)
class _Use:
    """A node with the arrays that it reads and makes, in single precision or wider."""

    operation: Any
    operands: Sequence[np.ndarray | None]
    results: Sequence[np.ndarray]

    @property
    def x(self) -> np.ndarray:
        first = self.operands[0]
        assert first is not None
        return first


Check = Callable[[_Use], Iterator[_Finding]]


def find_hazards(
    graph: Graph, batches: Iterable[Mapping[str, np.ndarray]], on_host: frozenset[str] = frozenset()
) -> tuple[Hazard, ...]:
    """The hazards of the nodes that the engine runs.

    Args:
        graph: the model after the graph passes.
        batches: calibration inputs, each an array per input; none for constants and bounds only.
        on_host: names of nodes that the host runs.

    Returns:
        In the order of the nodes; of each kind and node the worst case.

    Raises:
        InputError, ModelError: inputs do not fit, see `Graph.evaluate`.
    """
    worst: dict[tuple[str, Kind], tuple[Node, _Finding]] = {}

    def note(node: Node, found: Iterable[_Finding]) -> None:
        for each in found:
            known = worst.get((node.name, each.kind))
            if known is None or (known[1].source is each.source and each.value > known[1].value):
                worst[node.name, each.kind] = (node, each)

    engine = [node for node in graph.nodes if node.name not in on_host]
    for batch in batches:
        for node, use in _uses(graph, batch, {node.name for node in engine}):
            for check in (_overflow, *CHECKS.get(type(node.operation), ())):
                note(node, check(use))
    bounds = intervals(graph)
    for node in engine:
        note(node, _constants(node, graph))
        note(node, _bounds(node, graph, bounds))
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    found = sorted(worst.values(), key=lambda pair: order[pair[0].name])
    return tuple(_hazard(node, finding) for node, finding in found)


def _hazard(node: Node, found: _Finding) -> Hazard:
    layer = layers_of(node)[-1]
    return Hazard(
        node=node.name,
        layers=layers_of(node),
        operation=type(node.operation).__name__,
        kind=found.kind,
        source=found.source,
        what=found.what,
        value=f"{found.value:.4g}",
        limit=found.limit,
        hint=f"Keep it on the host: --wide '{layer}'.",
    )


def _uses(graph: Graph, batch: Mapping[str, np.ndarray], wanted: set[str]) -> Iterator[tuple[Node, _Use]]:
    """Evaluates the graph in single precision and yields the wanted nodes with their arrays."""
    singles = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in graph.constants.items()}
    values: dict[str, np.ndarray] = dict(singles)
    values |= {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in batch.items()}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs if name}
    for index, node in enumerate(graph.nodes):
        operands = [values[name] if name else None for name in node.inputs]
        with np.errstate(all="ignore"):
            try:
                results = node.operation.evaluate(operands)
            except ModelError as error:
                raise error.at(f"{graph.name}: node {node.name!r}") from error
            values.update(zip(node.outputs, results, strict=True))
            if node.name in wanted:
                yield node, _Use(node.operation, operands, results)
        for name in (*node.inputs, *node.outputs):
            if name and last_use.get(name, index) == index:
                values.pop(name, None)


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude; 0 for integers and truth values, which half precision is not asked to hold."""
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    magnitude = np.abs(array[np.isfinite(array)])
    return float(magnitude.max()) if magnitude.size else 0.0


def _overflow(use: _Use) -> Iterator[_Finding]:
    largest = max((_largest(array) for array in use.results), default=0.0)
    if largest > HALF_LARGEST:
        yield _Finding(Kind.OVERFLOW, "its result is infinite in half precision", largest, f"{HALF_LARGEST:.0f}")
    strange = sum(
        int(np.isnan(a).sum()) for a in (*use.operands, *use.results) if a is not None and a.dtype.kind == "f"
    )
    if strange:
        what = "it reads or makes values that are not numbers, which the engine takes for infinity"
        yield _Finding(Kind.NOT_A_NUMBER, what, strange, "0")


def _products(use: _Use) -> Iterator[_Finding]:
    largest = _largest(use.results[0])
    if SUM_LIMIT <= largest <= HALF_LARGEST:
        what = "sums of products of this size leave the MAC array as infinity"
        yield _Finding(Kind.OVERFLOW, what, largest, f"below {SUM_LIMIT:.0f}")


def _squares(use: _Use) -> Iterator[_Finding]:
    """The sum of squares on the way of a norm."""
    axes = tuple(getattr(use.operation, "axes", ())) or None
    total = float(np.max(np.sum(np.square(use.x, dtype=np.float64), axis=axes), initial=0))
    if HALF_LARGEST < total < np.inf:
        yield _Finding(Kind.OVERFLOW, "its sum of squares is infinite in half precision", total, f"{HALF_LARGEST:.0f}")


def _standardized_axes(use: _Use) -> tuple[np.ndarray, tuple[int, ...]]:
    """The operand of a norm as it is taken apart, and the axes over which it is standardized."""
    operation, x = use.operation, use.x.astype(np.float64)
    if isinstance(operation, g.LayerNorm):
        return x, operation.axes
    groups = operation.groups if isinstance(operation, g.GroupNorm) else x.shape[1]
    return x.reshape(x.shape[0], groups, -1), (2,)


def _standardization(use: _Use) -> Iterator[_Finding]:
    x, axes = _standardized_axes(use)
    mean, variance = x.mean(axes), x.var(axes)
    if variance.size and HALF_LARGEST < float(variance.max()) < np.inf:
        what = "its variance is infinite in half precision"
        yield _Finding(Kind.OVERFLOW, what, float(variance.max()), f"{HALF_LARGEST:.0f}")
    spread = np.sqrt(variance)
    far = np.divide(np.abs(mean), spread, out=np.zeros_like(mean), where=spread > 0)
    if far.size and float(far.max()) > CENTRE_LIMIT:
        what = "the mean is so many deviations from zero that little is left of the differences"
        yield _Finding(Kind.RANGE, what, float(far.max()), f"{CENTRE_LIMIT:.0f}")
    yield from _epsilon(use.operation.epsilon, variance)


def _mean_of_squares(use: _Use) -> Iterator[_Finding]:
    mean = np.mean(np.square(use.x, dtype=np.float64), axis=use.operation.axes)
    if mean.size and HALF_LARGEST < float(mean.max()) < np.inf:
        what = "its mean of squares is infinite in half precision"
        yield _Finding(Kind.OVERFLOW, what, float(mean.max()), f"{HALF_LARGEST:.0f}")
    yield from _epsilon(use.operation.epsilon, mean)


def _epsilon(epsilon: float, beside: np.ndarray) -> Iterator[_Finding]:
    """An epsilon that rounds to zero, where what it is added to rounds to zero as well."""
    smallest = float(beside.min(initial=np.inf))
    if 0 < epsilon < HALF_TINY and smallest < HALF_TINY:
        what = "its epsilon is 0 in half precision, and so is what it should keep from 0"
        yield _Finding(Kind.EPSILON, what, epsilon, f"at least {HALF_TINY:.2g}")


def _argument(use: _Use) -> Iterator[_Finding]:
    """Logarithms, reciprocals and roots of what half precision takes for zero."""
    epsilon = getattr(use.operation, "epsilon", 0.0)
    yield from _epsilon(epsilon, np.abs(use.x))
    argument = np.abs(use.x + epsilon)
    yield from _zero(argument, f"{type(use.operation).__name__.lower()} of a number that is 0 in half precision")


def _division(use: _Use) -> Iterator[_Finding]:
    divisor = use.operands[1]
    assert divisor is not None
    if divisor.dtype.kind == "f":
        yield from _zero(np.abs(divisor), "divides by a number that is 0 in half precision")


def _zero(magnitude: np.ndarray, what: str) -> Iterator[_Finding]:
    smallest = float(magnitude.min(initial=np.inf))
    if smallest <= HALF_TINY / 2:
        yield _Finding(Kind.ZERO, what, smallest, f"above {HALF_TINY / 2:.2g}")


def _difference(use: _Use) -> Iterator[_Finding]:
    """Operands that half precision rounds by more than a tenth of what is left of them."""
    operands = [a for a in use.operands if a is not None and a.size != 1]
    largest, left = max(map(_largest, operands), default=0.0), _largest(use.results[0])
    if len(operands) == 2 and 0 < left < largest <= HALF_LARGEST:
        step = float(np.spacing(np.float16(largest)))
        if step > 0.1 * left:
            what = "its operands are so close that half precision leaves little of the difference"
            yield _Finding(Kind.RANGE, what, largest / left, "below 100")


def _logits(use: _Use) -> Iterator[_Finding]:
    best = use.x.max(use.operation.axis, initial=-np.inf)
    largest = _largest(best)
    if LOGIT_LIMIT <= largest <= HALF_LARGEST:
        step = float(np.spacing(np.float16(largest)))
        what = f"its largest arguments are known to {step:g} in half precision"
        yield _Finding(Kind.RANGE, what, largest, f"below {LOGIT_LIMIT:.0f}")


def _added_epsilon(use: _Use) -> Iterator[_Finding]:
    """A small constant that is added by hand, as exporters write an epsilon."""
    for summand, other in ((1, 0), (0, 1)):
        small, beside = use.operands[summand], use.operands[other]
        assert small is not None and beside is not None
        if small.size == 1 and small.dtype.kind == "f":
            yield from _epsilon(abs(float(small.reshape(-1)[0])), np.abs(beside))


def _constants(node: Node, graph: Graph) -> Iterator[_Finding]:
    """Constants that half precision cannot hold."""
    for name in node.inputs:
        array = graph.constants.get(name)
        if array is None or array.dtype.kind != "f":
            continue
        largest = _largest(array)
        if largest > HALF_LARGEST:
            what = f"its constant {name!r} is infinite in half precision"
            yield _Finding(Kind.OVERFLOW, what, largest, f"{HALF_LARGEST:.0f}", Source.CONSTANTS)
        elif 0 < largest <= HALF_TINY / 2:
            what = f"its constant {name!r} is 0 in half precision"
            yield _Finding(Kind.UNDERFLOW, what, largest, f"above {HALF_TINY / 2:.2g}", Source.CONSTANTS)


def _bounds(node: Node, graph: Graph, bounds: Mapping[str, Interval]) -> Iterator[_Finding]:
    """What the ranges of bounded functions let happen, whatever the input is."""
    made = next((bounds[name] for name in node.outputs if name in bounds), None)
    if made is not None and isinstance(node.operation, (g.Conv, g.MatMul)) and made.magnitude >= SUM_LIMIT:
        what = "sums of products may reach this size, which leaves the MAC array as infinity"
        yield _Finding(Kind.OVERFLOW, what, made.magnitude, f"below {SUM_LIMIT:.0f}", Source.BOUNDS)
    if isinstance(node.operation, (g.Log, g.Reciprocal, g.Rsqrt)) and node.inputs[0] in bounds:
        lowest = bounds[node.inputs[0]].low + node.operation.epsilon
        if 0 <= lowest <= HALF_TINY / 2:
            what = f"{type(node.operation).__name__.lower()} of a number that may be 0 in half precision"
            yield _Finding(Kind.ZERO, what, lowest, f"above {HALF_TINY / 2:.2g}", Source.BOUNDS)


#: What is checked beside overflow of the result, by operation.
CHECKS: Mapping[type[Operation], tuple[Check, ...]] = MappingProxyType(
    {
        **dict.fromkeys((g.Conv, g.ConvTranspose, g.MatMul, g.Einsum, g.ReduceSum), (_products,)),
        **dict.fromkeys((g.ReduceL2, g.LpNorm), (_squares,)),
        **dict.fromkeys((g.LayerNorm, g.GroupNorm, g.InstanceNorm), (_standardization,)),
        **dict.fromkeys((g.Log, g.Reciprocal, g.Rsqrt), (_argument,)),
        **dict.fromkeys((g.Softmax, g.LogSoftmax), (_logits,)),
        g.RmsNorm: (_mean_of_squares,),
        g.Div: (_division,),
        g.Add: (_added_epsilon,),
        g.Sub: (_difference,),
    }
)
