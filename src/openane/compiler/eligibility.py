"""Which nodes may go to the engine, and why the others may not: the decisions that compiling and explaining share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from openane.compiler.hints import at_node, node_label
from openane.compiler.lowering import LoweringOptions, alone, becomes_integers, lower
from openane.core.errors import Diagnostic, InputError, UnsupportedError
from openane.core.suggestions import suggest
from openane.graph import Graph, Node
from openane.targets.target import Target

ALLOW_HOST = "Allow host steps to run it on the processor."


def layers_of(node: Node) -> tuple[str, ...]:
    """The user's layers of a node; its own name when it carries none."""
    return node.origin.layers or (node.name,)


def why_not_on_engine(node: Node, graph: Graph, lowering: LoweringOptions, target: Target) -> Diagnostic | None:
    """Why the engine cannot run a node: it has no units for it, or the units break a rule of the chip."""
    try:
        net = lower(alone(node, graph), lowering)
    except UnsupportedError as error:
        return at_node(error.diagnostic, node, graph)
    broken = target.refusals(net)
    return at_node(broken[0], node, graph) if broken else None


def ineligible_nodes(graph: Graph, lowering: LoweringOptions, target: Target) -> dict[str, Diagnostic]:
    """Node name -> why the engine cannot run it, for every node that it cannot run."""
    integers = becomes_integers(graph)
    found = ((n.name, integers.get(n.name) or why_not_on_engine(n, graph, lowering, target)) for n in graph.nodes)
    return {name: reason for name, reason in found if reason is not None}


def kept_on_host(names: Iterable[str], graph: Graph, source: Graph) -> dict[str, Diagnostic]:
    """The nodes that the user wants on the host: node name -> the reason to show.

    Args:
        names: of layers as the model's file spells them, or of nodes.
        graph: the model after the graph passes.
        source: the model as it was read.

    Raises:
        InputError: there is no such layer, or nothing is left of it.
    """
    kept: dict[str, Diagnostic] = {}
    for name in names:
        nodes = [node for node in graph.nodes if name == node.name or name in layers_of(node)]
        if not nodes:
            raise _no_such_layer(name, graph, source)
        kept |= {node.name: Diagnostic("kept on the host as asked", where=node_label(graph, node)) for node in nodes}
    return kept


def _no_such_layer(name: str, graph: Graph, source: Graph) -> InputError:
    known = dict.fromkeys(layer for node in graph.nodes for layer in (*layers_of(node), node.name))
    folded = {layer for node in source.nodes for layer in (*layers_of(node), node.name)}
    if name in folded:
        hint = "Keep the layer that reads it; `openane explain` shows where each one went."
        return InputError(f"nothing is left of layer {name!r} to keep on the host", where=graph.name, hint=hint)
    hint = suggest(name, known) or "`openane explain` lists the layers."
    return InputError(f"there is no layer {name!r} to keep on the host", where=graph.name, hint=hint)


def refusal(reasons: Sequence[Diagnostic]) -> UnsupportedError:
    """One error for all nodes that keep a model off the engine."""
    first, *others = reasons
    return UnsupportedError(replace(first, hint=first.hint or ALLOW_HOST), others=tuple(others))
