"""Layers that take far more tasks than their work justifies: each task costs its start, however little it computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from openane.artifact.plan import EngineStep, Step
from openane.compiler.eligibility import layers_of
from openane.compiler.op_counts import macs
from openane.graph import Graph, Node

FEW_TASKS = 64
"""A layer may take this many, whatever it computes."""
LEAST_OPERATIONS = 4096
"""Multiply-adds and elements per task that justify one: about two cycles of the engine's multipliers."""


def crowded_layers(graph: Graph, steps: Iterable[Step]) -> Iterator[str]:
    """One line for each layer of the user that takes too many tasks for what it computes.

    Args:
        graph: that was compiled.
        steps: of its plan.
    """
    tasks = Counter(task.origin.layers for step in steps if isinstance(step, EngineStep) for task in step.program.tasks)
    for layers, count in tasks.items():
        if count <= FEW_TASKS or not layers:
            continue
        nodes = [node for node in graph.nodes if set(layers_of(node)) & set(layers)]
        work = sum(_operations(node, graph) for node in nodes)
        if work < count * LEAST_OPERATIONS:
            yield (
                f"layer {layers[0]!r} takes {count:,} tasks of about {work // count:,} operations each (at least "
                f"{LEAST_OPERATIONS:,} justify a task): most of its time is spent on starting them. "
                f"Keep it on the host with --keep-on-host {layers[0]}, or join its batch into fewer, larger matrices."
            )


def _operations(node: Node, graph: Graph) -> int:
    """Multiply-adds, and elements that are read or written."""
    return macs(node, graph) + sum(graph.types[name].size for name in (*node.inputs, *node.outputs) if name)
