"""Which nodes the engine runs and which the host does, in as few steps as the order of the graph allows.

Every node gets a phase: host phases are even, engine phases odd, and a node's phase is the smallest one of its side
that is not before those of the nodes it reads. All nodes of one phase become one step, so the number of crossings on
any path is the smallest possible for the given sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from openane.core.errors import Diagnostic
from openane.graph import Graph, Node

WhyNot = Callable[[Node, Graph], Diagnostic | None]
"""Says why the engine cannot run a node; None when it can."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a graph that runs in one step.

    Attributes:
        graph: its nodes; inputs are values of earlier parts or of the model, outputs are values that others need.
        on_engine: whether the engine runs it.
        reasons: for a host part: node name -> why it is not on the engine.
    """

    graph: Graph
    on_engine: bool
    reasons: Mapping[str, Diagnostic]


def partition(graph: Graph, why_not: WhyNot, *, keep_on_host: frozenset[str] = frozenset()) -> tuple[Part, ...]:
    """Splits a graph into parts, in execution order.

    Args:
        graph: the whole model after the graph passes.
        why_not: the verdict on each node.
        keep_on_host: names of nodes that the user wants on the host.

    Returns:
        The parts. A model wholly on the engine is one part; one without nodes has none.
    """
    reasons: dict[str, Diagnostic] = {}
    for node in graph.nodes:
        if node.name in keep_on_host:
            reasons[node.name] = Diagnostic("kept on the host as asked", where=f"{graph.name}: node {node.name!r}")
        elif (reason := why_not(node, graph)) is not None:
            reasons[node.name] = reason
    phases = _phases(graph, {node.name for node in graph.nodes if node.name not in reasons})
    members: dict[int, list[Node]] = {}
    for node in graph.nodes:
        members.setdefault(phases[node.name], []).append(node)
    return tuple(_part(graph, members[phase], phase % 2 == 1, reasons) for phase in sorted(members))


def _phases(graph: Graph, engine: set[str]) -> dict[str, int]:
    """The phase of each node. Engine nodes that only move data between host nodes stay on the host."""
    producer = {name: node for node in graph.nodes for name in node.outputs}
    phases: dict[str, int] = {}
    for node in graph.nodes:
        before = [phases[producer[name].name] for name in node.inputs if name in producer]
        phase = max(before, default=0)
        if phase % 2 != (node.name in engine):
            phase += 1
        phases[node.name] = phase
    return phases


def _part(graph: Graph, nodes: list[Node], on_engine: bool, reasons: Mapping[str, Diagnostic]) -> Part:
    names = {node.name for node in nodes}
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
    needed_outside = {name for node in graph.nodes if node.name not in names for name in node.inputs}
    needed_outside.update(graph.outputs)
    part = Graph(
        graph.name,
        {name: graph.types[name] for name in read if name not in made and name not in graph.constants},
        tuple(name for node in nodes for name in node.outputs if name in needed_outside),
        tuple(nodes),
        {name: graph.constants[name] for name in read if name in graph.constants},
    )
    return Part(part, on_engine, {name: reasons[name] for name in names if name in reasons})
