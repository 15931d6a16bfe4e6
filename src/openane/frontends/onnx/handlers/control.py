"""Branches and loops whose course is known before the model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import AttributeProto

from openane.core.errors import ModelError, UnsupportedError
from openane.frontends.onnx.call import FinalRefusalError, Handler, NodeCall
from openane.graph.ops import Concat, Reshape, Slice
from openane.graph.ops.support import normalize_axis, require

#: Steps of a loop that is unrolled.
UNROLL_LIMIT = 1024

#: Steps of a loop that onnxruntime runs.
LOOP_LIMIT = 1 << 24


def _graph(call: NodeCall, name: str) -> onnx.GraphProto:
    attribute = call.attribute(name, AttributeProto.GRAPH)
    if attribute is None:
        raise ModelError(f"attribute {name!r} is missing")
    return attribute.g


def _label(call: NodeCall) -> str:
    return call.node.name or next(iter(call.node.output), call.node.op_type)


def _if(call: NodeCall) -> Sequence[str]:
    condition = bool(call.scalar(0, "the condition"))
    branch = _graph(call, "then_branch" if condition else "else_branch")
    return call.importer.branch(branch, _label(call), call.scope, {})


def _loop(call: NodeCall) -> Sequence[str]:
    body = _graph(call, "body")
    condition = bool(call.scalar(1, "the condition")) if call.has(1) else True
    limit = call.integer(0, "the number of steps") if call.has(0) else UNROLL_LIMIT + 1
    carried = list(call.inputs[2:])
    require(len(body.input) == 2 + len(carried), "the body has another number of inputs than the loop")
    require(len(body.output) >= 1 + len(carried), "the body has too few outputs")
    collected: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
    step = 0
    while condition and step < limit:
        if step >= UNROLL_LIMIT:
            what = "the loop is too long to unroll"
            kind = UnsupportedError if limit <= LOOP_LIMIT or not call.has(0) else FinalRefusalError
            raise kind(what, value=limit, limit=UNROLL_LIMIT)
        values = [call.make(np.array(step, np.int64)), call.make(np.array(True)), *carried]
        given = {value.name: name for value, name in zip(body.input, values, strict=True)}
        after = call.importer.branch(body, f"{_label(call)}/{step}", call.scope, given)
        known = call.builder.constants.get(after[0])
        if known is None:
            what = "the end of the loop depends on the model's inputs"
            raise call.depends_on_inputs(what, after[0], body.output[0].name)
        condition, step = bool(known.all()), step + 1
        carried = after[1 : 1 + len(carried)]
        for values_of, value_name in zip(collected, after[1 + len(carried) :], strict=True):
            values_of.append(value_name)
    return [*carried, *(_stack(call, values_of, 0) for values_of in collected)]


def _scan(call: NodeCall) -> Sequence[str]:
    if call.version < 9:
        call.refuse("this form of Scan is not supported", value=f"opset {call.version}", limit="opset 9 or newer")
    body = _graph(call, "body")
    count = call.attr_int("num_scan_inputs", 0)
    require(0 < count <= len(call.inputs), "num_scan_inputs is out of range", value=count)
    carried, scanned = list(call.inputs[:-count]), call.inputs[-count:]
    outputs = len(body.output) - len(carried)
    require(len(body.input) == len(call.inputs) and outputs >= 0, "the body does not fit the inputs")
    axes = call.attr_ints("scan_input_axes") or (0,) * count
    axes = tuple(normalize_axis(a, len(call.type_of(n).shape)) for a, n in zip(axes, scanned, strict=True))
    backwards = call.attr_ints("scan_input_directions") or (0,) * count
    lengths = {call.type_of(name).shape[axis] for axis, name in zip(axes, scanned, strict=True)}
    require(len(lengths) == 1, "the scanned inputs differ in length", value=sorted(lengths))
    length = lengths.pop()
    if length > UNROLL_LIMIT:
        call.refuse("the scan is too long to unroll", value=length, limit=UNROLL_LIMIT)
    collected: list[list[str]] = [[] for _ in range(outputs)]
    for step in range(length):
        parts = [
            _part(call, name, axis, length - 1 - step if back else step)
            for name, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        given = {value.name: name for value, name in zip(body.input, (*carried, *parts), strict=True)}
        after = call.importer.branch(body, f"{_label(call)}/{step}", call.scope, given)
        carried = after[: len(carried)]
        for values_of, name in zip(collected, after[len(carried) :], strict=True):
            values_of.append(name)
    out_axes = call.attr_ints("scan_output_axes") or (0,) * outputs
    reverse = call.attr_ints("scan_output_directions") or (0,) * outputs
    stacked = [
        _stack(call, values_of[::-1] if back else values_of, axis)
        for values_of, axis, back in zip(collected, out_axes, reverse, strict=True)
    ]
    return [*carried, *stacked]


def _part(call: NodeCall, name: str, axis: int, index: int) -> str:
    """One position of an axis, without the axis."""
    shape = call.type_of(name).shape
    starts = tuple(index if i == axis else 0 for i in range(len(shape)))
    ends = tuple(index + 1 if i == axis else e for i, e in enumerate(shape))
    cut = call.emit(Slice(starts, ends, (1,) * len(shape)), name)
    return call.emit(Reshape(shape[:axis] + shape[axis + 1 :]), cut)


def _stack(call: NodeCall, names: list[str], axis: int) -> str:
    """Values joined along a new axis."""
    if not names:
        call.refuse("a loop without steps has results of unknown shape")
    shape = call.type_of(names[0]).shape
    axis = normalize_axis(axis, len(shape) + 1)
    parts = [call.emit(Reshape((*shape[:axis], 1, *shape[axis:])), name) for name in names]
    return call.emit(Concat(axis), *parts)


HANDLERS: Mapping[str, Handler] = {"If": _if, "Loop": _loop, "Scan": _scan}
