"""Graphs as text for people: one line per value, and a comparison of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from difflib import unified_diff
from enum import Enum

from openane.graph.graph import Graph, Node
from openane.graph.operation import Operation, TensorType


def describe(graph: Graph) -> str:
    """The graph as text: inputs, constants, nodes and outputs, with types; the values of constants are left out.

    Raises:
        ModelError: the graph is inconsistent.
    """
    return "\n".join(_lines(graph)) + "\n"


def difference(first: Graph, second: Graph) -> str:
    """How the texts of two graphs differ, as a unified diff; empty where they do not."""
    lines = unified_diff(list(_lines(first)), list(_lines(second)), first.name, second.name, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(graph: Graph) -> Iterator[str]:
    types = graph.types
    yield f"graph {graph.name}"
    for name, kind in graph.inputs.items():
        yield f"input {name}: {kind}"
    for name in graph.constants:
        yield f"constant {name}: {types[name]}"
    for node in graph.nodes:
        yield _line(graph, node)
    for name in graph.outputs:
        yield f"output {name}: {types[name]}"


def _line(graph: Graph, node: Node) -> str:
    results = ", ".join(f"{name}: {graph.types[name]}" for name in node.outputs)
    operands = ", ".join(name or "none" for name in node.inputs)
    origin = f"  # {node.origin}" if node.origin.layers else ""
    return f"{results} = {spelled(node.operation)}({operands}){origin}"


def spelled(operation: Operation) -> str:
    """An operation with the attributes that are not at their defaults."""
    changed = [
        f"{field.name}={_value(getattr(operation, field.name))}"
        for field in fields(operation)
        if getattr(operation, field.name) != field.default
    ]
    return operation.title + (f"[{', '.join(changed)}]" if changed else "")


def _value(value: object) -> str:
    if isinstance(value, Operation):
        return spelled(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_value, value)) + ")"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, TensorType):
        return str(value)
    return value.name.lower() if isinstance(value, Enum) else repr(value)
