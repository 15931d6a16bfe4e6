"""What becomes of a value in half precision, and how far its change reaches: evaluation in single precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from openane.analysis.measure import half
from openane.compiler.driver import Options, build
from openane.core.errors import ModelError, OpenaneError
from openane.core.types import DType
from openane.graph import Graph, Node
from openane.numerics.limits import HALF_LARGEST
from openane.runtimes.execution import Execution
from openane.runtimes.host import open_host

NOTICEABLE = 0.02
"""Error of an array, as a share of its root mean square, from which on it counts as off."""
NOTICEABLE_PEAK = 0.05
"""The same for a single element, as a share of the largest magnitude."""

CONTRIBUTION = 0.25
"""A change explains an output that is off when it alone makes this share of a noticeable error."""

Values = dict[str, np.ndarray]


def differs(found: np.ndarray, wanted: np.ndarray, share: float = 1.0) -> bool:
    """Whether an array is noticeably off: other infinities or NaNs, other integers, or a large error.

    Args:
        found, wanted: of the same size.
        share: of the noticeable error from which on the answer is yes.
    """
    if found.size != wanted.size:
        return True
    if wanted.dtype.kind != "f" or found.dtype.kind != "f":
        return not np.array_equal(found.reshape(-1), wanted.reshape(-1))
    a, b = found.reshape(-1), wanted.reshape(-1)
    finite = np.isfinite(b)
    if not finite.all() or not np.isfinite(a).all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
            return True
        a, b = a[finite], b[finite]
    if not b.size:
        return False
    wide_b = b.astype(np.float64)
    gap = np.abs(a - wide_b)
    worst, peak = float(gap.max()), float(np.abs(wide_b).max())
    if worst > share * NOTICEABLE_PEAK * peak:
        return True
    if not peak:
        return False
    gap, wide_b = gap / peak, wide_b / peak  # squares of large doubles would overflow
    return float(np.sqrt(np.mean(gap**2))) > share * NOTICEABLE * float(np.sqrt(np.mean(wide_b**2)))


def clamped(array: np.ndarray) -> np.ndarray:
    """A float array as it reaches the engine from outside: finite values clamped to the range of fp16, then rounded."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(all="ignore"):
        inside = np.clip(array, -HALF_LARGEST, HALF_LARGEST)
        return half(np.where(np.isinf(array), array, inside).astype(np.float32))


def single(array: np.ndarray) -> np.ndarray:
    """Floats in single precision, everything else as it is."""
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype != np.float64 else array


@dataclass(frozen=True)
class Use:
    """A node with the arrays that it reads and makes, in single precision."""

    node: Node
    operands: Sequence[np.ndarray | None]
    results: Sequence[np.ndarray]


class ReferenceRun:
    """Every value of a graph for one set of inputs, in single precision.

    Args:
        graph: the model after the graph passes.
        inputs: one array per input.

    Raises:
        ModelError: an operation refuses its operands.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, np.ndarray]) -> None:
        self.graph = graph
        self.values: Values = {name: single(np.asarray(a)) for name, a in (*graph.constants.items(), *inputs.items())}
        if has_half_types(graph):  # its constants and inputs are single precision by now, which it does not declare
            for node in graph.nodes:
                self.values.update(zip(node.outputs, self.evaluate(node, self.operands(node)), strict=True))
        else:
            made = tuple(name for node in graph.nodes for name in node.outputs if name)
            whole = replace(graph, outputs=made)
            self.values.update(open_host(whole).run({name: self.values[name] for name in graph.inputs}).outputs)

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.graph.nodes for name in node.outputs if name}

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """The nodes that read each value."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                found.setdefault(name, []).append(node)
        return found

    def operands(self, node: Node, changed: Mapping[str, np.ndarray] | None = None) -> list[np.ndarray | None]:
        """What a node reads; `changed` takes precedence."""
        changed = changed or {}
        return [(changed[name] if name in changed else self.values[name]) if name else None for name in node.inputs]

    def use(self, node: Node) -> Use:
        """A node with its arrays."""
        return Use(node, self.operands(node), [self.values[name] for name in node.outputs])

    def evaluate(self, node: Node, operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """A node's results for other operands."""
        with np.errstate(all="ignore"):
            try:
                return [single(np.asarray(each)) for each in node.operation.evaluate(operands)]
            except ModelError as error:
                raise error.at(f"{self.graph.name}: node {node.name!r}") from error

    def alone(self, values: Mapping[str, np.ndarray]) -> Values:
        """The results of every node for other operands, each fed from `values` and not from the node before it."""
        graph = self.graph
        if has_half_types(graph):
            found = ((node, self.evaluate(node, self.operands(node, values))) for node in graph.nodes)
            return {name: array for node, arrays in found for name, array in zip(node.outputs, arrays, strict=True)}
        read = dict.fromkeys(name for node in graph.nodes for name in node.inputs if name)
        renamed = {name: f"alone:{name}" for node in graph.nodes for name in node.outputs if name}
        apart = Graph(
            graph.name,
            {name: graph.types[name] for name in read if name not in graph.constants},
            tuple(renamed.values()),
            tuple(replace(node, outputs=tuple(renamed.get(name, "") for name in node.outputs)) for node in graph.nodes),
            {name: values[name] for name in read if name in graph.constants},
        )
        results = open_host(apart).run({name: values[name] for name in apart.inputs}).outputs
        return {name: results[other] for name, other in renamed.items()}

    def spread(self, changes: Mapping[str, np.ndarray], share: float = CONTRIBUTION) -> Values:
        """The outputs that change when some values are replaced, with their new arrays.

        Args:
            changes: new arrays by name.
            share: of a noticeable error from which on an output counts as changed.
        """
        changed = dict(changes)
        for node in self.graph.nodes:
            if not any(name in changed for name in node.inputs):
                continue
            results = self.evaluate(node, self.operands(node, changed))
            for name, result in zip(node.outputs, results, strict=True):
                if name not in changes and not np.array_equal(result, self.values[name], equal_nan=_is_float(result)):
                    changed[name] = result
        return {
            name: changed[name]
            for name in self.graph.outputs
            if name in changed and differs(changed[name], self.values[name], share)
        }

    def upstream(self, names: Iterable[str]) -> set[str]:
        """The names of all nodes that some values depend on."""
        wanted, found = set(names), set()
        for node in reversed(self.graph.nodes):
            if wanted.intersection(node.outputs):
                found.add(node.name)
                wanted.update(filter(None, node.inputs))
        return found


def has_half_types(graph: Graph) -> bool:
    """Whether the model itself declares fp16 values, which its reference does not round to."""
    return any(kind.dtype is DType.FLOAT16 for kind in graph.types.values())


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def run_alone(
    reference: ReferenceRun, node: Node, arriving: Mapping[str, np.ndarray], options: Options
) -> Values | None:
    """A node's results when it alone runs on the simulator, by name; None where it cannot stand alone.

    Args:
        reference: gives types and constants.
        node: to compile.
        arriving: its operands in half precision.
        options: of the compilation.
    """
    graph = reference.graph
    constants = {name: graph.constants[name] for name in node.inputs if name in graph.constants}
    inputs = {name: graph.types[name] for name in node.inputs if name and name not in constants}
    piece = Graph(graph.name, inputs, tuple(filter(None, node.outputs)), (node,), constants, graph.rows)
    try:
        fed = {name: arriving[name].astype(kind.dtype.numpy) for name, kind in inputs.items()}
        artifact = build(piece, options.of_part(host=False, calibration=fed))
        with Execution(artifact) as execution, np.errstate(all="ignore"):
            outputs = execution.run(fed).outputs
    except OpenaneError:
        return None
    return {name: single(array) for name, array in outputs.items()}
