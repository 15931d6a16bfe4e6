"""The cheapest change to a model that would move a node to the engine, where the rule itself names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from openane.core.errors import Diagnostic
from openane.graph import Graph, Node

_POSITIONS = "End the model at {operand} ({type}) and find the positions in the application."
_LOOK_UP = "Do the look-up of {operand} before the model and make its result an input, or multiply by a one-hot matrix."
_INTEGERS = "Compute {operand} before the model, or in floating point where its values stay below 2048."
_RECURRENT = "Replace it by convolutions or attention over time, or leave it as a host step between two programs."

#: By class of the operation; {operand} and {type} are those of the first operand that is computed at run time.
BY_OPERATION: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("ArgMax", "ArgMin", "TopK", "Hardmax"), _POSITIONS),
        **dict.fromkeys(("Gather", "GatherElements", "GatherND", "OneHot"), _LOOK_UP),
        **dict.fromkeys(("ScatterElements", "ScatterND"), "Write it as Where with a constant mask, or as Pad and Add."),
        "ReverseSequence": "Give sequences of one length, and reverse them by Slice with a step of -1.",
        **dict.fromkeys(
            ("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "ShiftLeft", "ShiftRight", "Cast"), _INTEGERS
        ),
        **dict.fromkeys(
            ("Mod", "FloorDiv"), "Write it as Floor and Mul with a constant reciprocal, where rounding does not matter."
        ),
        **dict.fromkeys(("IsNaN", "IsInf"), "Drop the check, or compare with the largest value that the model makes."),
        **dict.fromkeys(("ReduceProd", "CumProd"), "Write it as Exp of a sum of Log, where the factors are positive."),
        **dict.fromkeys(("RNN", "GRU", "LSTM"), _RECURRENT),
        **dict.fromkeys(
            ("QuantizeLinear", "DequantizeLinear"),
            "Quantise the weights only: they are unpacked at compile time, activations stay in half precision.",
        ),
        **dict.fromkeys(
            ("Acos", "Acosh", "Asin", "Asinh", "Atanh", "Cosh", "Sinh", "Tan"),
            "Compose it of functions that have tables (exp, log, sqrt, tanh, sin, cos, atan), where precision allows.",
        ),
        "Resize": "Use nearest or linear resizing by a whole factor.",
        "LpPool": "Use average pooling of the squares, then a root.",
        "Einsum": "Write it as Transpose and MatMul of at most three batch axes.",
        "LSTM": _RECURRENT,
    }
)

#: By name of the rule.
BY_RULE: Mapping[str, str] = MappingProxyType(
    {
        "element-types": _INTEGERS,
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
    name = type(node.operation).__name__
    text = BY_OPERATION.get(name) if found.rule == "operations" else None
    text = text or BY_RULE.get(found.rule)
    text = text or next((hint for part, hint in BY_MESSAGE if part in found.what), None) or BY_OPERATION.get(name)
    if text is None:
        text = f"Replace {name} by operations that the engine has: `openane limits` lists their rules."
    operand = next((each for each in node.inputs if each and each not in graph.constants), "")
    kind = str(graph.types[operand]) if operand else "constant"
    return replace(found, hint=text.replace("{operand}", repr(operand)).replace("{type}", kind))
