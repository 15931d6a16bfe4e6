"""The cheapest change to a model that would move a node to the engine, where the rule itself names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from openane.compiler.lowering import HINTS, REFUSALS
from openane.compiler.lowering.refusals import INTEGERS_HINT
from openane.core.errors import Diagnostic
from openane.graph import Graph, Node

#: By name of the rule.
BY_RULE: Mapping[str, str] = MappingProxyType(
    {
        "element-types": INTEGERS_HINT,
        "constant-weights": "Make the operand a constant of the model, or write the layer as MatMul of two tensors.",
        "constant-factors": "Scale the layer down, for example by a factor that the next layer takes back.",
        "five-dimensions": "Merge neighbouring axes by a Reshape first, so that at most five are left.",
        "axis-matrix": "Do it in two shorter steps, or before the model.",
        "pooling-window": "Pool one axis after the other.",
    }
)

#: By a part of the message, for limits that belong to no rule by name.
BY_MESSAGE: tuple[tuple[str, str], ...] = (
    ("five dimensions", BY_RULE["five-dimensions"]),
    ("at most", "Merge axes by a Reshape, or split the layer, until it stays within the limit."),
    ("axes", "Reshape {operand} ({type}) so that fewer axes are longer than 1."),
    ("empty", "Remove the branch that makes a tensor without elements."),
)


def with_remedy(found: Diagnostic, node: Node, graph: Graph) -> Diagnostic:
    """The finding with a hint: that of its rule, or the cheapest change for this operation."""
    if found.hint:
        return found
    kind = type(node.operation)
    by_operation = REFUSALS[kind].hint if kind in REFUSALS else HINTS.get(kind)
    text = by_operation if found.rule == "operations" else None
    text = text or BY_RULE.get(found.rule)
    text = text or next((hint for part, hint in BY_MESSAGE if part in found.what), None) or by_operation
    if not text:
        text = f"Replace {kind.__name__} by operations that the engine has: `openane limits` lists their rules."
    operand = next((each for each in node.inputs if each and each not in graph.constants), "")
    operand_type = str(graph.types[operand]) if operand else "constant"
    return replace(found, hint=text.replace("{operand}", repr(operand)).replace("{type}", operand_type))
