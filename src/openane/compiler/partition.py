"""Which nodes the engine runs and which the host does, in few steps and with little to move between them.

Every node gets a phase: host phases are even, engine phases odd. A node's phase is at first the smallest one of its
side that is not before those of the nodes it reads; all nodes of one phase become one step, so the number of steps on
any path is the smallest possible for the given sides. Then

- nodes that only move the caller's or the host's data for host nodes stay on the host (`_moved_for_the_host`);
- islands of engine nodes that are fed by the host stay on the host, where moving their values costs more time than
  computing them (`_cheaper_here`);
- nodes move to a later phase where that leaves fewer bytes to move between engine and host (`_move_late`).

Values that cross into the engine are floating point, bytes, or booleans as 1 and 0; wider integers never do,
because no node that reads them has a form on the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from openane.compiler.hints import at_node
from openane.compiler.op_counts import macs, touched_bytes, value_bytes
from openane.core.errors import Diagnostic
from openane.core.rules import RuleKind, rule
from openane.cost.chips import Chip
from openane.graph import Graph, Node

HOST_BYTES_PER_US = 10_000
"""Bytes that one core reads and writes in a simple loop over arrays in DRAM: a round guess, within two of what cores of
these machines are published to do."""
HOST_MACS_PER_US = 20_000
"""Multiply-adds of one core: a round guess on the low side, so that products go to the engine."""
HOST_NODE_US = 2.0
"""Starting one operation on the host: a guess."""


@dataclass(frozen=True, slots=True)
class GraphPart:
    """A piece of a graph that runs in one step.

    Attributes:
        graph: its nodes; inputs are values of earlier parts or of the model, outputs are values that others need.
        on_engine: whether the engine runs it.
        reasons: for a host part: node name -> why it is not on the engine.
    """

    graph: Graph
    on_engine: bool
    reasons: Mapping[str, Diagnostic]


def partition(graph: Graph, reasons: Mapping[str, Diagnostic], chip: Chip | None = None) -> tuple[GraphPart, ...]:
    """Splits a graph into parts, in execution order.

    Args:
        graph: the whole model after the graph passes.
        reasons: node name -> why it must be on the host; all other nodes may go to the engine.
        chip: what moving and starting costs; None leaves on the engine whatever may be there.

    Returns:
        The parts. A model wholly on the engine is one part; one without nodes has none.
    """
    sides = _Sides(graph, {**reasons, **_moved_for_the_host(graph, reasons)})
    _move_late(sides)
    while chip is not None and (more := _cheaper_here(sides, chip)):
        sides = _Sides(graph, {**sides.reasons, **more})
        _move_late(sides)
    members: dict[int, list[Node]] = {}
    for node in graph.nodes:
        members.setdefault(sides.phases[node.name], []).append(node)
    return tuple(part_of(graph, members[phase], phase % 2 == 1, sides.reasons) for phase in sorted(members))


@rule(
    "moves-for-the-host",
    family="data movement",
    kind=RuleKind.CHOICE,
    limit="operations that compute, or whose results the engine reads",
    hint="It goes to the engine once a layer on the engine reads it.",
    evidence="formats.md#element-types: the engine would round the data to fp16",
)
def computes(node: Node, *, for_host: bool, from_host: bool) -> object | None:
    """The operation only moves data for host steps, which read it in its own precision."""
    return ", ".join(map(repr, node.outputs)) if for_host and from_host else None


@rule(
    "worth-moving",
    family="every operation",
    kind=RuleKind.CHOICE,
    limit="at most the time that the host takes to compute the layer",
    hint="It goes to the engine once the layer before it does.",
    evidence="docs/cost.md: estimates of bytes moved and of operations on the host",
)
def worth_moving(here_us: float, there_us: float) -> object | None:
    """The host is on both sides of the layer, and moving its values takes longer than computing it."""
    return f"about {there_us:.0f} us to move" if here_us < there_us else None


def _moved_for_the_host(graph: Graph, reasons: Mapping[str, Diagnostic]) -> dict[str, Diagnostic]:
    """The nodes that only move data which the engine did not make, for host nodes alone.

    On the engine the data would be rounded to fp16 for nothing: an ArgMax of float32 could find another element.
    """
    readers: dict[str, list[str]] = {}
    for node in graph.nodes:
        for name in filter(None, node.inputs):
            readers.setdefault(name, []).append(node.name)
    candidates: set[str] = set()
    for node in reversed(graph.nodes):
        if node.operation.moves_data and node.name not in reasons and not set(node.outputs) & set(graph.outputs):
            uses = [reader for name in node.outputs for reader in readers.get(name, ())]
            if all(reader in reasons or reader in candidates for reader in uses):
                candidates.add(node.name)
    made_by = {name: node.name for node in graph.nodes for name in node.outputs}
    moved: dict[str, Diagnostic] = {}
    for node in graph.nodes:
        sources = [made_by.get(name) for name in node.inputs if name and name not in graph.constants]
        from_host = any(each is None or each in reasons or each in moved for each in sources)
        value = computes.check(node, for_host=node.name in candidates, from_host=from_host)
        if value is not None:
            moved[node.name] = at_node(Diagnostic.of(computes, value), node, graph)
    return moved


def host_us(nodes: Sequence[Node], graph: Graph) -> float:
    """What nodes take on the host, from the round guesses above."""
    touched = sum(touched_bytes(node, graph) for node in nodes)
    products = sum(macs(node, graph) for node in nodes)
    return touched / HOST_BYTES_PER_US + products / HOST_MACS_PER_US + HOST_NODE_US * len(nodes)


class _Sides:
    """A choice of sides and the phases that follow from it."""

    def __init__(self, graph: Graph, reasons: Mapping[str, Diagnostic]) -> None:
        self.graph = graph
        self.reasons = dict(reasons)
        self.producer = {name: node for node in graph.nodes for name in node.outputs if name}
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                self.readers.setdefault(name, []).append(node)
        self.phases: dict[str, int] = {}
        for node in graph.nodes:
            before = [self.phases[each.name] for each in self.sources(node)]
            phase = max(before, default=0)
            self.phases[node.name] = phase + (phase % 2 != self.on_engine(node))

    def on_engine(self, node: Node) -> bool:
        return node.name not in self.reasons

    def sources(self, node: Node) -> list[Node]:
        """The nodes that a node reads."""
        return [self.producer[name] for name in node.inputs if name in self.producer]

    def phase(self, node: Node) -> int:
        return self.phases[node.name]

    def islands(self) -> list[list[Node]]:
        """The engine nodes of each phase, in pieces that exchange no values."""
        root: dict[str, str] = {}

        def find(name: str) -> str:
            while root[name] != name:
                root[name] = root[root[name]]
                name = root[name]
            return name

        members: dict[str, list[Node]] = {}
        engine = [node for node in self.graph.nodes if self.on_engine(node)]
        for node in engine:
            root[node.name] = node.name
            for source in self.sources(node):
                if self.phases[source.name] == self.phases[node.name]:
                    root[find(source.name)] = find(node.name)
        for node in engine:
            members.setdefault(find(node.name), []).append(node)
        return list(members.values())


def _cheaper_here(sides: _Sides, chip: Chip) -> dict[str, Diagnostic]:
    """The nodes of islands that the host feeds and computes in less time than it takes to move their values.

    An island with products stays on the engine unless the host is on both sides of it.
    """
    islands = sides.islands()
    found: dict[str, Diagnostic] = {}
    for island in islands:
        names = {node.name for node in island}
        inputs = dict.fromkeys(name for node in island for name in node.inputs if name in sides.producer)
        entering = [name for name in inputs if sides.producer[name].name not in names]
        leaving = [name for node in island for name in node.outputs if _leaves(name, names, sides)]
        from_host = any(not sides.on_engine(sides.producer[name]) for name in entering)
        to_caller = any(name in sides.graph.outputs for name in leaving)
        products = sum(macs(node, sides.graph) for node in island)
        if not from_host or (products and to_caller):
            continue
        here_us = host_us(island, sides.graph)
        alone = sum(sides.phase(other[0]) == sides.phase(island[0]) for other in islands) == 1
        moved = sum(value_bytes(name, sides.graph) for name in (*entering, *leaving))
        there_us = moved / chip.surface_bytes_per_us + alone * chip.dispatch_us
        value = worth_moving.check(here_us, there_us)
        if value is not None:
            stays = Diagnostic.of(worth_moving, value, limit=f"at most the {here_us:.0f} us that the host takes")
            found.update((node.name, at_node(stays, node, sides.graph)) for node in island)
    return found


def _leaves(name: str, island: set[str], sides: _Sides) -> bool:
    outside = any(reader.name not in island for reader in sides.readers.get(name, ()))
    return outside or name in sides.graph.outputs


def _move_late(sides: _Sides) -> None:
    """Moves nodes to later phases, last ones first, where no more bytes cross than before."""
    last = max(sides.phases.values(), default=0)
    for node in reversed(sides.graph.nodes):
        now = sides.phase(node)
        uses = [sides.phase(reader) for name in node.outputs for reader in sides.readers.get(name, ())]
        latest = min(uses, default=last)
        latest -= latest % 2 != now % 2
        if latest <= now:
            continue
        if sides.on_engine(node):
            before = _crossing_bytes(node, sides)
            sides.phases[node.name] = latest
            if _crossing_bytes(node, sides) > before:
                sides.phases[node.name] = now
        else:
            sides.phases[node.name] = latest


def _crossing_bytes(node: Node, sides: _Sides) -> int:
    """Bytes that the operands and results of an engine node cost at the borders of the engine, at its phase now."""
    names = dict.fromkeys(name for name in (*node.inputs, *node.outputs) if name and name not in sides.graph.constants)
    return sum(value_bytes(name, sides.graph) * _border_crossings(name, sides) for name in names)


def _border_crossings(name: str, sides: _Sides) -> int:
    """How often a value is written to or read from the host: once out, and once into each engine phase."""
    source = sides.producer.get(name)
    made = sides.phase(source) if source is not None else -1
    readers = {sides.phase(reader) for reader in sides.readers.get(name, ())}
    into = len({phase for phase in readers if phase % 2 == 1 and phase != made})
    out = made % 2 == 1 and made > 0 and (name in sides.graph.outputs or any(phase != made for phase in readers))
    return into + out


def part_of(graph: Graph, nodes: Iterable[Node], on_engine: bool, reasons: Mapping[str, Diagnostic]) -> GraphPart:
    """The part that holds some nodes of a graph, given in their order."""
    part = graph.part(nodes)
    return GraphPart(part, on_engine, {node.name: reasons[node.name] for node in part.nodes if node.name in reasons})
