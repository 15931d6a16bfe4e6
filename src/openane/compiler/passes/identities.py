"""Nodes that change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node, Operation
from openane.graph.ops import (
    Add,
    Affine,
    Cast,
    Clip,
    Concat,
    Div,
    Expand,
    Identity,
    Mul,
    Pad,
    Pow,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    Reduction,
    Reshape,
    Resize,
    ResizeMode,
    Slice,
    Split,
    Sub,
    Tile,
    Transpose,
)

#: Whether an operation gives its first input back, from the shapes of input and result being equal on.
_KEEPS: Mapping[type[Operation], Callable[[Operation], bool]] = {
    Identity: lambda operation: True,
    Reshape: lambda operation: True,
    Expand: lambda operation: True,
    Tile: lambda operation: True,
    Pad: lambda operation: True,
    Transpose: lambda operation: (
        isinstance(operation, Transpose) and operation.permutation == tuple(range(len(operation.permutation)))
    ),
    Slice: lambda operation: isinstance(operation, Slice) and all(step > 0 for step in operation.steps),
    Clip: lambda operation: (
        isinstance(operation, Clip) and operation.minimum == -math.inf and operation.maximum == math.inf
    ),
    Affine: lambda operation: operation == Affine(),
    **dict.fromkeys(
        (ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum),
        lambda operation: isinstance(operation, Reduction) and not operation.axes,
    ),
}


def remove_identities(graph: Graph) -> Graph:
    """Drops nodes whose result is their operand."""
    return Editor(graph, "identity").run(_RULES)


def _keeps(editor: Editor, node: Node) -> Replacement | None:
    x, (y,) = node.inputs[0], node.outputs
    same = editor.type_of(x) == editor.type_of(y)
    return editor.alias(node, x) if same and _KEEPS[type(node.operation)](node.operation) else None


def _cast(editor: Editor, node: Node) -> Replacement | None:
    return (
        editor.alias(node, node.inputs[0])
        if editor.type_of(node.inputs[0]) == editor.type_of(node.outputs[0])
        else None
    )


def _single(editor: Editor, node: Node) -> Replacement | None:
    """One part, or nothing to join."""
    whole = len(node.inputs) == len(node.outputs) == 1
    return editor.alias(node, node.inputs[0]) if whole else None


def _empty_parts(editor: Editor, node: Node) -> Replacement | None:
    """Parts without elements do not change a join."""
    kept = [name for name in node.inputs if editor.type_of(name).size]
    if not kept or len(kept) == len(node.inputs):
        return None
    return editor.put(node, node.operation, kept)


def _resize(editor: Editor, node: Node) -> Replacement | None:
    operation, shape = node.operation, editor.shape(node.inputs[0])
    assert isinstance(operation, Resize)
    if operation.sizes != shape or operation.mode is not ResizeMode.NEAREST:
        return None
    axes = enumerate(shape)
    same = all(np.array_equal(operation.nearest(operation.positions(i, e), e), range(e)) for i, e in axes)
    return editor.alias(node, node.inputs[0]) if same else None


def _neutral(neutral: float, either: bool) -> Callable[[Editor, Node], Replacement | None]:
    """The rule for a number that changes nothing as second operand, or as either."""

    def rule(editor: Editor, node: Node) -> Replacement | None:
        for kept, other in ((0, 1), (1, 0)) if either else ((0, 1),):
            if editor.number(node.inputs[other]) == neutral:
                x = node.inputs[kept]
                if editor.type_of(x) == editor.type_of(node.outputs[0]):
                    return editor.alias(node, x)
        return None

    return rule


_RULES: Rules = {
    **dict.fromkeys(_KEEPS, (_keeps,)),
    Cast: (_cast,),
    Concat: (_single, _empty_parts),
    Split: (_single,),
    Resize: (_resize,),
    Add: (_neutral(0.0, True),),
    Sub: (_neutral(0.0, False),),
    Mul: (_neutral(1.0, True),),
    Div: (_neutral(1.0, False),),
    Pow: (_neutral(1.0, False),),
}
