"""From a Graph to a Net: one handler per operation, and the reasons where there is none.

A module of this package brings its handlers in a table LOWERINGS, and the rules by which they refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from openane.compiler.hints import at_node
from openane.compiler.lowering.context import GraphLowering, LoweringOptions
from openane.compiler.lowering.operand_rules import FLOATING, element_type, not_empty, unit_operands
from openane.compiler.lowering.positions import keeps_angles, keeps_precision, makes_angles, makes_positions
from openane.compiler.lowering.refusals import require_lowering, require_operation
from openane.core.deadline import check_deadline
from openane.core.errors import Diagnostic, ModelError, UnsupportedError, require
from openane.core.registry import collect
from openane.core.types import DType
from openane.graph import Graph, Node, Operation
from openane.net import Net

Handler = Callable[[GraphLowering, Node], None]

#: By class of the operation: the tables LOWERINGS of the modules of this package.
HANDLERS: Mapping[type[Operation], Handler] = collect(__package__, "LOWERINGS")

_BYTES = (DType.UINT8, DType.INT8)


def lower(graph: Graph, options: LoweringOptions | None = None) -> Net:
    """Lowers a graph to a net of units.

    Names of inputs and outputs are kept; `Net.bindings` reports their logical shapes. Units carry the user's layers.

    Raises:
        ModelError: the graph is inconsistent.
        UnsupportedError: operations have no form on the engine; lists all of them.
    """
    ctx = GraphLowering(graph, options or LoweringOptions(), _lower_node)
    for node in graph.nodes:
        check_deadline()
        try:
            ctx.start(node)
            _lower_node(ctx, node)
        except UnsupportedError as error:
            raise _all_refusals(graph, node, error, ctx.options) from error
    ctx.stop()
    try:
        return replace(ctx.net(), notes={"functions": ctx.options.functions.value})
    except UnsupportedError as error:
        raise error.at(graph.name or "model") from error


def why_not(node: Node, graph: Graph, options: LoweringOptions | None = None) -> Diagnostic | None:
    """Why a node has no form on the engine, None if it has one.

    The node is lowered by itself, by the very handlers of :func:`lower`. Numbers of the caller that only become
    integers stay off the engine as well.
    """
    return becomes_integers(graph).get(node.name) or _refusal(node, graph, options)


def _refusal(node: Node, graph: Graph, options: LoweringOptions | None) -> Diagnostic | None:
    try:
        ctx = GraphLowering(alone(node, graph), options or LoweringOptions(), _lower_node)
        ctx.start(node)
        _lower_node(ctx, node)
    except UnsupportedError as error:
        return at_node(error.diagnostic, node, graph)
    return None


def becomes_integers(graph: Graph) -> dict[str, Diagnostic]:
    """Node name -> why it should not go to the engine, for nodes that only prepare integers from the caller's numbers.

    Token ids are such numbers. Positions that only become sines and cosines are kept off the engine as well.
    """
    prepares, angles = makes_positions(graph), makes_angles(graph)
    found: dict[str, Diagnostic] = {}
    for node in graph.nodes:
        for each, value in (
            (keeps_angles, keeps_angles.check(node, angles)),
            (keeps_precision, keeps_precision.check(node, prepares)),
        ):
            if value is not None:
                found[node.name] = at_node(Diagnostic.of(each, value), node, graph)
    return found


def alone(node: Node, graph: Graph) -> Graph:
    """The graph of one node: what it computes from its operands, with the constants among them.

    Operands without elements are constants as well, and results without elements no outputs next to others.
    """
    types = graph.types
    names = [name for name in dict.fromkeys(node.inputs) if name]
    constants = {name: graph.constants[name] for name in names if name in graph.constants}
    for name in names:
        if types[name].is_static and not types[name].size and len(names) > 1:
            constants[name] = np.zeros(types[name].shape, types[name].dtype.numpy)
    outputs = tuple(name for name in node.outputs if name)
    return Graph(
        graph.name,
        {name: types[name] for name in names if name not in constants},
        tuple(name for name in outputs if types[name].size) or outputs,
        (node,),
        constants,
    )


def _all_refusals(graph: Graph, first: Node, error: UnsupportedError, options: LoweringOptions) -> UnsupportedError:
    integers = becomes_integers(graph)
    others = [integers.get(n.name) or _refusal(n, graph, options) for n in graph.nodes if n is not first]
    listed = tuple(other for other in others if other is not None)
    return UnsupportedError(at_node(error.diagnostic, first, graph), others=listed)


def _lower_node(ctx: GraphLowering, node: Node) -> None:
    require_operation(node.operation)
    if all(name in ctx.constants for name in node.inputs if name):
        arrays = [ctx.constants[name] if name else None for name in node.inputs]
        with np.errstate(all="ignore"):
            ctx.constants.update(zip(node.outputs, node.operation.evaluate(arrays), strict=True))
        return
    # What has no elements is known, and nothing is computed for it.
    empty = [name for name in node.outputs if name and not ctx.types[name].size]
    if len(empty) < len(node.outputs):
        ctx.constants.update((n, np.zeros(ctx.shape(n), ctx.types[n].dtype.numpy)) for n in empty)
    require_lowering(node.operation, HANDLERS)
    handler = HANDLERS[type(node.operation)]
    _check_types(ctx, node)
    try:
        with np.errstate(all="ignore"):  # a model's constants may be infinite, or become so
            handler(ctx, node)
    except ModelError as error:
        own = error.diagnostic
        value = own.value or unit_operands.check(own.what)
        raise UnsupportedError.of(unit_operands, value, detail=own.what, limit=own.limit, hint=own.hint) from error


def _check_types(ctx: GraphLowering, node: Node) -> None:
    """Everything on the engine is half precision; booleans are 1 and 0; bytes are converted on the way in."""
    types = ctx.types
    for name in (*node.inputs, *node.outputs):
        if not name or name in ctx.constants:
            continue
        found = types[name]
        allowed = FLOATING + (DType.BOOL,) + (_BYTES if name in ctx.graph.inputs else ())
        require(element_type, name, found.dtype, allowed)
        require(not_empty, name, found)
