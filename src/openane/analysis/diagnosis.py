"""Which layers of a model half precision spoils for given inputs, which outputs that explains, and what helps.

A node is a root when the engine, fed with the operands of the reference, gives noticeably other results, and these
results change an output that is off. What changes no output (a mask of -1e9 that softmax maps to 0) is not reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from openane.analysis.effects import ReferenceRun, Values, clamped, differs, run_alone
from openane.analysis.measure import half
from openane.analysis.suspects import Suspect, amplified_finding, epsilon_finding, findings, unnamed, value_finding
from openane.artifact.options import Options
from openane.graph import Node
from openane.graph import ops as g
from openane.numerics.limits import HALF_LARGEST, PRODUCT_NOISE, SUM_LIMIT

AMPLIFIED = 2.5
"""Times a noticeable error that a node's own small error must cause at an output."""
MOST_SEARCHES = 256
"""Larger graphs are not searched node by node."""


@dataclass(frozen=True, eq=False)
class Root:
    """A node that half precision spoils.

    Attributes:
        node: of the compiled graph.
        finding: what happens there.
        outputs: names of the outputs that it changes.
        keep: names of the nodes to keep on the host, in the order of the graph.
    """

    node: Node
    finding: Suspect
    outputs: tuple[str, ...]
    keep: tuple[str, ...]


class Diagnosis:
    """A search for roots on one set of inputs.

    Args:
        graph: the model after the graph passes.
        inputs: one array per input.
        on_host: names of nodes that the host runs.
        options: of compilations.

    """

    def __init__(self, reference: ReferenceRun, on_host: frozenset[str], options: Options) -> None:
        self.graph, self.on_host, self.options = reference.graph, on_host, options
        self.reference = reference
        self._fits: dict[tuple[str, bool], bool] = {}

    def wrong(self, outputs: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
        """The reference of the outputs that are off or not finite; of all when it is not known what came out."""
        wanted = {name: self.reference.values[name] for name in self.graph.outputs}
        if outputs is None:
            return wanted
        return {name: array for name, array in wanted.items() if is_wrong(outputs[name], array)}

    def roots(self, wrong: Mapping[str, np.ndarray]) -> Iterator[Root]:
        """The roots of some wrong outputs, in the order of the graph."""
        upstream = self.reference.upstream(wrong)
        spoiled: set[str] = set()
        for node in self.graph.nodes:
            if node.name not in upstream or node.name in self.on_host:
                continue
            for finding, changes in self._damages(node, spoiled):
                explained = tuple(name for name in self.reference.spread(changes) if name in wrong)
                if not explained and not changes:
                    explained = self._not_finite(node, wrong)
                if explained:
                    spoiled.update(changes)
                    outside = {name for name in changes if name not in node.outputs}
                    yield Root(node, finding, explained, self._remedy(node, outside, wrong))
                    break

    def amplified(self, wrong: Mapping[str, np.ndarray]) -> Iterator[Root]:
        """The nodes whose small errors later nodes amplify until an output is far off; one search per node."""
        upstream = self.reference.upstream(wrong)
        nodes = [node for node in self.graph.nodes if node.name in upstream and node.name not in self.on_host]
        for node in nodes if len(nodes) <= MOST_SEARCHES else ():
            explained = tuple(name for name in self.reference.spread(self._on_engine(node), AMPLIFIED) if name in wrong)
            if explained:
                finding = amplified_finding(self.reference.use(node))
                yield Root(node, finding, explained, self._remedy(node, set(), wrong))

    def _damages(self, node: Node, spoiled: set[str]) -> Iterator[tuple[Suspect, Values]]:
        """What half precision makes of a node, with the values that change; none for what only inherits."""
        use = self.reference.use(node)
        inherited = spoiled.intersection(node.inputs)
        if any(map(self._made_by_engine, inherited)):
            spoiled.update(name for name in node.outputs if not _representable(self.reference.values[name]))
            return
        for name in dict.fromkeys(filter(None, node.inputs)):
            if name in inherited:
                continue
            value = self.reference.values[name]
            finding = None if self._made_by_engine(name) or name in self.graph.constants else value_finding(value)
            if finding is not None:
                yield finding, {name: np.where(np.isnan(value), np.float32(np.inf), self.arriving[name])}
        made = self._on_engine(node)
        changes = {name: a for name, a in made.items() if differs(a, self.reference.values[name])}
        operands = self.reference.operands(node, self.arriving)
        if changes:
            yield self._lost_epsilon(node) or next(findings(use, self.graph), None) or unnamed(use, operands), changes
        elif _makes_infinities(use.operands, use.results):
            named = next(findings(use, self.graph), None)
            if named is not None:
                yield named, {}

    def _lost_epsilon(self, node: Node) -> Suspect | None:
        """For an operation on a value that an epsilon should have kept from 0, and that half precision takes for 0."""
        for name in node.inputs:
            producer = self.reference.producers.get(name)
            if producer is None or not np.any((self.arriving[name] == 0) & (self.reference.values[name] != 0)):
                continue
            found = epsilon_finding(self.reference.use(producer))
            if found is not None:
                return found
        return None

    @cached_property
    def arriving(self) -> Values:
        """Every value as a node of the engine reads it."""
        values = self.reference.values
        outside = {name for name in values if not self._made_by_engine(name) and name not in self.graph.constants}
        return {name: clamped(array) if name in outside else half(array) for name, array in values.items()}

    def _made_by_engine(self, name: str) -> bool:
        producer = self.reference.producers.get(name)
        return producer is not None and producer.name not in self.on_host

    def _on_engine(self, node: Node) -> Values:
        """The results of a node on the engine, fed with the reference's operands."""
        if self._needs_simulator(node):
            found = run_alone(self.reference, node, self.arriving, self.options)
            if found is not None:
                return {name: a.reshape(self.reference.values[name].shape) for name, a in found.items()}
        return {name: half(self._rounded_operands[name]) for name in node.outputs if name}

    @cached_property
    def _rounded_operands(self) -> Values:
        """The result of every node for operands that are rounded to half precision."""
        return self.reference.alone(self.arriving)

    def _needs_simulator(self, node: Node) -> bool:
        if node.operation.sums_products:
            return self._strains_the_sum(node)
        if not node.operation.rounds_once:
            return True
        operands = self.reference.operands(node, self.arriving)
        return not all(a is None or a.dtype.kind != "f" or bool((np.abs(a) < SUM_LIMIT).all()) for a in operands)

    def _strains_the_sum(self, node: Node) -> bool:
        """Whether sums of products may leave the accumulator's range, or are so small that its step is noticeable."""
        operands = self.reference.operands(node, self.arriving)
        result = self.reference.values[node.outputs[0]]
        if not np.isfinite(result).all():
            return True
        terms = self._terms(node, operands)
        noise = PRODUCT_NOISE * math.sqrt(terms)
        if 100 * noise > float(np.sqrt(np.mean(np.square(result, dtype=np.float64)))):
            return True
        magnitudes = [None if a is None else np.abs(np.nan_to_num(a, posinf=HALF_LARGEST)) for a in operands]
        largest = [float(a.max(initial=0)) for a in magnitudes if a is not None]
        if terms * math.prod(largest[:2]) + sum(largest[2:]) < SUM_LIMIT:
            return False
        bound = self.reference.evaluate(node, magnitudes)[0]
        return float(bound.max(initial=0)) >= SUM_LIMIT

    def _terms(self, node: Node, operands: Sequence[np.ndarray | None]) -> float:
        """The largest number of products in one sum."""
        x, weights = operands[:2]
        assert x is not None and weights is not None
        if isinstance(node.operation, g.MatMul):
            return x.shape[-2 if node.operation.transpose_a else -1]
        if isinstance(node.operation, g.Conv):
            return math.prod(weights.shape[1:])
        counted = self.reference.evaluate(node, [None if a is None else (a != 0).astype(np.float32) for a in operands])
        return float(counted[0].max(initial=0))

    def _not_finite(self, node: Node, wrong: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """The outputs with infinities or NaNs that depend on a node."""
        reached = set(node.outputs)
        for each in self.graph.nodes:
            if reached.intersection(each.inputs):
                reached.update(each.outputs)
        return tuple(name for name, a in wrong.items() if name in reached and not _finite(a))

    def between(self, first: Node, names: Iterable[str]) -> Iterator[str]:
        """The names of the nodes of the engine on the paths from a node, itself included, to some values."""
        upstream, reached = self.reference.upstream(names), set(first.outputs)
        for node in self.graph.nodes:
            if node is not first and not reached.intersection(node.inputs):
                continue
            reached.update(node.outputs)
            if node.name in upstream and node.name not in self.on_host:
                yield node.name

    # What helps ---------------------------------------------------------------------------------------------------

    def _remedy(self, node: Node, outside: set[str], wrong: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """The nodes to keep on the host: the node, and what must join it so that no spoiled value is rounded.

        Args:
            node: the root.
            outside: values that the engine reads from outside and that are spoiled on the way.
            wrong: outputs to fix.
        """
        kept = {node.name} | {r.name for name in outside for r in self.reference.readers[name]}
        kept -= self.on_host
        while more := {each.name for each in self._neighbors(kept) if each.name not in self.on_host} - kept:
            kept |= more
        return tuple(each.name for each in self.graph.nodes if each.name in kept)

    def _neighbors(self, kept: set[str]) -> Iterator[Node]:
        """Nodes of the engine that exchange a value with kept ones which does not survive half precision."""
        for node in self.graph.nodes:
            if node.name not in kept:
                continue
            for name in filter(None, node.inputs):
                if self._made_by_engine(name) and not self._fit(name, made_by_engine=True):
                    yield self.reference.producers[name]
            for name in node.outputs:
                readers = self.reference.readers.get(name, [])
                if any(r.name not in kept for r in readers) and not self._fit(name, made_by_engine=False):
                    yield from readers

    def _fit(self, name: str, *, made_by_engine: bool) -> bool:
        """Whether the outputs survive that a value is rounded to half precision."""
        key = name, made_by_engine
        if key not in self._fits:
            value = self.reference.values[name]
            rounded = half(value) if made_by_engine else clamped(value)
            same = np.array_equal(rounded, value, equal_nan=value.dtype.kind == "f")
            self._fits[key] = same or not self.reference.spread({name: rounded})
        return self._fits[key]


def is_wrong(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether an output is noticeably off, or infinite."""
    return differs(found, wanted) or (found.dtype.kind == "f" and bool(np.isinf(found).any()))


def _representable(array: np.ndarray) -> bool:
    """Whether half precision holds an array up to its rounding."""
    return not differs(half(array), array)


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _makes_infinities(operands: object, results: object) -> bool:
    """Whether finite operands give results that are not finite."""
    assert isinstance(operands, list) and isinstance(results, list)
    return all(a is None or _finite(a) for a in operands) and not all(map(_finite, results))
