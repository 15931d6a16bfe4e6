"""Shapes, slices, joins, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops
from openane.graph.folding import SIZE_LIMIT


def _reshape(call: OperationCall) -> None:
    source = call.type("x").shape
    wanted = list(call.integers("shape"))
    for axis, extent in enumerate(wanted):
        if extent == 0 and axis < len(source):
            wanted[axis] = source[axis]
    if wanted.count(-1) > 1:
        call.refuse("only one extent of the shape may be -1", value=wanted)
    if -1 in wanted:
        known = math.prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = math.prod(source) // known if known else 0
    call.finish(ops.Reshape(tuple(wanted)), call.value("x"))


def _expand_dims(call: OperationCall) -> None:
    source = call.type("x").shape
    rank = len(source) + len(call.integers("axes"))
    axes = call.axes("axes", rank)
    left = iter(source)
    call.finish(ops.Reshape(tuple(1 if axis in axes else next(left) for axis in range(rank))), call.value("x"))


def _squeeze(call: OperationCall) -> None:
    source = call.type("x").shape
    axes = call.axes("axes", len(source)) if call.has("axes") else [a for a, e in enumerate(source) if e == 1]
    if any(source[axis] != 1 for axis in axes):
        call.refuse("an axis of extent 1 is expected", value=call.type("x"))
    shape = tuple(extent for axis, extent in enumerate(source) if axis not in axes)
    call.finish(ops.Reshape(shape), call.value("x"))


def _flatten2d(call: OperationCall) -> None:
    source = call.type("x").shape
    axis = call.integer("axis", 1)
    axis = axis + len(source) if axis < 0 else axis
    call.finish(ops.Reshape((math.prod(source[:axis]), math.prod(source[axis:]))), call.value("x"))


def _transpose(call: OperationCall) -> None:
    rank = len(call.type("x").shape)
    permutation = tuple(axis % rank if -rank <= axis < rank else axis for axis in call.integers("perm"))
    call.finish(ops.Transpose(permutation), call.value("x"))


def _concat(call: OperationCall) -> None:
    values = call.values("values")
    if call.truth("interleave", False):
        call.unsupported("interleaved concat cannot be read")
    rank = len(call.builder.types[values[0]].shape) if values else 0
    if not rank:
        call.refuse("nothing to join")
    call.finish(ops.Concat(call.axis("axis", rank)), *values)


def _stack(call: OperationCall) -> None:
    values = call.values("values")
    if not values:
        call.refuse("nothing to join")
    shape = call.builder.types[values[0]].shape
    axis = call.axis("axis", len(shape) + 1)
    longer = (*shape[:axis], 1, *shape[axis:])
    call.finish(ops.Concat(axis), *(call.emit(ops.Reshape(longer), value) for value in values))


def _split(call: OperationCall) -> None:
    shape = call.type("x").shape
    axis = call.axis("axis", len(shape))
    if call.has("split_sizes"):
        sizes = call.integers("split_sizes")
    else:
        parts = call.integer("num_splits")
        if parts < 1 or shape[axis] % parts:
            call.refuse("the parts do not divide the axis", value=parts, limit=shape[axis])
        sizes = (shape[axis] // parts,) * parts
    call.finish(ops.Split(axis, sizes), call.value("x"))


def _slice_by_index(call: OperationCall) -> None:
    shape = call.type("x").shape
    rank = len(shape)
    begin, end = call.integers("begin"), call.integers("end")
    step = call.integers("stride", (1,) * rank)
    if not len(begin) == len(end) == len(step) == rank:
        call.refuse("begin, end and stride need one number per axis", limit=rank)
    from_first, to_last = call.truths("begin_mask", rank), call.truths("end_mask", rank)
    squeezed = call.truths("squeeze_mask", rank)
    starts: list[int] = []
    ends: list[int] = []
    steps: list[int] = []
    for axis, extent in enumerate(shape):
        if squeezed[axis]:
            position = begin[axis] + extent if begin[axis] < 0 else begin[axis]
            limits = (position, position + 1, 1)
        else:
            wanted = slice(
                None if from_first[axis] else begin[axis], None if to_last[axis] else end[axis], step[axis] or None
            )
            limits = wanted.indices(extent)
        for part, limit in zip((starts, ends, steps), limits, strict=True):
            part.append(limit)
    _finish_slice(call, starts, ends, steps, squeezed)


def _finish_slice(
    call: OperationCall, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int], squeezed: Sequence[bool]
) -> None:
    operation = ops.Slice(tuple(starts), tuple(ends), tuple(steps))
    if not any(squeezed):
        call.finish(operation, call.value("x"))
        return
    part = call.emit(operation, call.value("x"))
    extents = [len(positions) for positions in operation.ranges()]
    shape = tuple(extent for extent, drop in zip(extents, squeezed, strict=True) if not drop)
    call.finish(ops.Reshape(shape), part)


def _slice_by_size(call: OperationCall) -> None:
    shape = call.type("x").shape
    begin, size = call.integers("begin"), call.integers("size")
    if not len(begin) == len(size) == len(shape):
        call.refuse("begin and size need one number per axis", limit=len(shape))
    starts = [b + e if b < 0 else b for b, e in zip(begin, shape, strict=True)]
    ends = [e if s == -1 else b + s for b, s, e in zip(starts, size, shape, strict=True)]
    _finish_slice(call, starts, ends, [1] * len(shape), [False] * len(shape))


_PAD_MODES = {"constant": ops.PadMode.CONSTANT, "reflect": ops.PadMode.REFLECT, "replicate": ops.PadMode.EDGE}


def _pad(call: OperationCall) -> None:
    rank = len(call.type("x").shape)
    pairs = call.integers("pad")
    if len(pairs) % 2 or len(pairs) > 2 * rank:
        call.refuse("pad needs two numbers for each of the last axes", value=list(pairs))
    before, after = [0] * (rank - len(pairs) // 2), [0] * (rank - len(pairs) // 2)
    before += pairs[0::2]
    after += pairs[1::2]
    mode = call.text("mode", "constant", tuple(_PAD_MODES))
    value = call.number("constant_val", 0.0)
    call.finish(ops.Pad((*before, *after), _PAD_MODES[mode], value), call.value("x"))


def _tile(call: OperationCall) -> None:
    call.finish(ops.Tile(call.integers("reps")), call.value("x"))


def _reverse(call: OperationCall) -> None:
    shape = call.type("x").shape
    axes = call.axes("axes", len(shape))
    starts = tuple(e - 1 if a in axes else 0 for a, e in enumerate(shape))
    ends = tuple(-1 if a in axes else e for a, e in enumerate(shape))
    call.finish(ops.Slice(starts, ends, tuple(-1 if a in axes else 1 for a in range(len(shape)))), call.value("x"))


def _block(kind: type[ops.DepthToSpace] | type[ops.SpaceToDepth], argument: str, order: ops.BlockOrder) -> Entry:
    def translate(call: OperationCall) -> None:
        call.finish(kind(call.integer(argument), order), call.value("x"))

    return Entry(("x", argument), translate)


def _shape(call: OperationCall) -> None:
    call.finish_constant(np.asarray(call.type("x").shape, np.int32))


def _fill(call: OperationCall) -> None:
    shape = call.integers("shape")
    if min(shape, default=0) < 0 or math.prod(shape) > SIZE_LIMIT:
        call.refuse("a constant of impossible size", value=list(shape), limit=f"{SIZE_LIMIT} elements")
    value = call.constant("value") if call.has("value") else np.zeros((), np.float32)
    call.finish_constant(np.full(shape, value.reshape(()), value.dtype))


def _range(call: OperationCall) -> None:
    dtype = call.constant("start").dtype
    start, end, step = (call.number(name) for name in ("start", "end", "step"))
    if step == 0 or not abs(end - start) / abs(step) <= SIZE_LIMIT:  # also where one of them is not a number
        call.refuse("the range has no end, or is too long")
    call.finish_constant(np.arange(start, end, step).astype(dtype))


ENTRIES = {
    "reshape": Entry(("x", "shape"), _reshape),
    "expand_dims": Entry(("x", "axes"), _expand_dims),
    "squeeze": Entry(("x", "axes"), _squeeze),
    "flatten2d": Entry(("x", "axis"), _flatten2d),
    "transpose": Entry(("x", "perm"), _transpose),
    "concat": Entry(("values", "axis", "interleave"), _concat),
    "stack": Entry(("values", "axis"), _stack),
    "split": Entry(("x", "num_splits", "split_sizes", "axis"), _split),
    "slice_by_index": Entry(("x", "begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask"), _slice_by_index),
    "slice_by_size": Entry(("x", "begin", "size"), _slice_by_size),
    "pad": Entry(("x", "pad", "mode", "constant_val"), _pad),
    "tile": Entry(("x", "reps"), _tile),
    "reverse": Entry(("x", "axes"), _reverse),
    "depth_to_space": _block(ops.DepthToSpace, "block_size", ops.BlockOrder.DEPTH_COLUMN_ROW),
    "space_to_depth": _block(ops.SpaceToDepth, "block_size", ops.BlockOrder.DEPTH_COLUMN_ROW),
    "pixel_shuffle": _block(ops.DepthToSpace, "upscale_factor", ops.BlockOrder.COLUMN_ROW_DEPTH),
    "pixel_unshuffle": _block(ops.SpaceToDepth, "downscale_factor", ops.BlockOrder.COLUMN_ROW_DEPTH),
    "shape": Entry(("x",), _shape),
    "fill": Entry(("shape", "value"), _fill),
    "range_1d": Entry(("start", "end", "step"), _range),
}
