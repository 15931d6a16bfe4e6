"""Operations that move elements without computing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from openane.core.errors import ModelError
from openane.frontends.onnx.call import Handler, NodeCall
from openane.graph.ops import (
    BlockOrder,
    Concat,
    DepthToSpace,
    Expand,
    Pad,
    PadMode,
    Reshape,
    Slice,
    SpaceToDepth,
    Split,
    Tile,
    Transpose,
    Trilu,
)
from openane.graph.ops.support import broadcast, normalize_axes, normalize_axis, product_of, require


def reshaped(call: NodeCall, value: str, shape: Sequence[int]) -> str:
    """The value in another shape; itself where it has it already."""
    shape = tuple(shape)
    return value if call.type_of(value).shape == shape else call.emit(Reshape(shape), value)


def _reshape(call: NodeCall) -> Sequence[str]:
    shape, wanted = call.operand(0).shape, list(call.integers(1, "the shape"))
    if not call.flag("allowzero"):
        for i, extent in enumerate(wanted):
            if extent == 0:
                require(i < len(shape), "a 0 copies an axis that x has not", value=wanted, limit=list(shape))
                wanted[i] = shape[i]
    if wanted.count(-1) > 1 or any(extent < -1 for extent in wanted):
        raise ModelError("the shape is malformed", value=wanted)
    if -1 in wanted:
        rest = product_of([extent for extent in wanted if extent != -1])
        fits = rest > 0 and product_of(shape) % rest == 0
        require(fits, "the shape holds another number of elements", value=wanted, limit=list(shape))
        wanted[wanted.index(-1)] = product_of(shape) // rest
    return [reshaped(call, call.name(0), wanted)]


def _flatten(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    axis = call.attr_int("axis", 1)
    require(-len(shape) <= axis <= len(shape), "axis is out of range", value=axis, limit=len(shape))
    axis = axis + len(shape) if axis < 0 else axis
    return [reshaped(call, call.name(0), (product_of(shape[:axis]), product_of(shape[axis:])))]


def _squeeze(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    axes = call.axes(1, len(shape))
    if axes is None:
        axes = tuple(i for i, extent in enumerate(shape) if extent == 1)
    ones = all(shape[axis] == 1 for axis in axes)
    require(ones, "a squeezed axis has more than one position", value=axes, limit=list(shape))
    return [reshaped(call, call.name(0), [e for i, e in enumerate(shape) if i not in axes])]


def _unsqueeze(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    axes = call.integers(1, "axes") if call.has(1) else call.attr_ints("axes")
    require(axes is not None, "axes are missing")
    assert axes is not None
    places = normalize_axes(axes, len(shape) + len(axes))
    rest = iter(shape)
    wanted = [1 if i in places else next(rest) for i in range(len(shape) + len(axes))]
    return [reshaped(call, call.name(0), wanted)]


def _transpose(call: NodeCall) -> Sequence[str]:
    rank = call.rank()
    permutation = call.attr_ints("perm")
    return [call.emit(Transpose(permutation or tuple(reversed(range(rank)))), call.name(0))]


def _concat(call: NodeCall) -> Sequence[str]:
    axis = call.axis(0, call.rank())
    if len(call.inputs) == 1:
        return [call.name(0)]
    return [call.emit(Concat(axis), *call.inputs)]


def _split(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    axis = call.axis(0, len(shape))
    sizes = call.integers(1, "the sizes") if call.has(1) else call.attr_ints("split")
    if sizes is None:
        count = call.attr_int("num_outputs", 0) or len(call.node.output)
        require(count >= 1, "the number of parts must be positive", value=count)
        extent = shape[axis]
        part = -(-extent // count)
        sizes = tuple(min(part, max(extent - i * part, 0)) for i in range(count))
    return call.emit_all(Split(axis, sizes), call.name(0))


def _slice(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    if call.version < 10:
        starts, ends = call.attr_ints("starts") or (), call.attr_ints("ends") or ()
        axes, steps = call.attr_ints("axes"), None
    else:
        starts, ends = call.integers(1, "the starts"), call.integers(2, "the ends")
        axes = call.integers(3, "the axes") if call.has(3) else None
        steps = call.integers(4, "the steps") if call.has(4) else None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    fits = len(starts) == len(ends) == len(axes) == len(steps)
    require(fits, "starts, ends, axes and steps differ in number", value=f"{starts}, {ends}, {axes}, {steps}")
    whole = [[0] * len(shape), list(shape), [1] * len(shape)]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        require(step != 0, "a step is 0")
        place = normalize_axis(axis, len(shape))
        low, high, step = slice(start, end, step).indices(shape[place])
        whole[0][place], whole[1][place], whole[2][place] = _bounds(low, high, step)
    operation = Slice(tuple(whole[0]), tuple(whole[1]), tuple(whole[2]))
    if operation == Slice((0,) * len(shape), shape, (1,) * len(shape)):
        return [call.name(0)]
    return [call.emit(operation, call.name(0))]


def _bounds(start: int, end: int, step: int) -> tuple[int, int, int]:
    """A range with an empty one written as start = end, so that it is inside the axis."""
    if len(range(start, end, step)) == 0:
        return 0, 0, 1
    return start, end, step


_PAD_MODES = {
    "constant": PadMode.CONSTANT,
    "edge": PadMode.EDGE,
    "reflect": PadMode.REFLECT,
    "wrap": PadMode.WRAP,
}


def _pad(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    rank = len(shape)
    mode = _PAD_MODES[call.choice("mode", "constant", *_PAD_MODES)]
    if call.version < 11:
        stated, value = call.attr_ints("pads") or (), call.attr_float("value", 0.0)
        axes = tuple(range(rank))
    else:
        stated = call.integers(1, "the pads")
        value = call.scalar(2, "the padding value") if call.has(2) else 0.0
        axes = call.integers(3, "the axes") if call.has(3) else tuple(range(rank))
    require(len(stated) == 2 * len(axes), "pads must name both sides of every axis", value=stated)
    pads = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        place = normalize_axis(axis, rank)
        pads[place], pads[rank + place] = stated[i], stated[len(axes) + i]
    x = call.name(0)
    if min(pads, default=0) < 0:
        starts = tuple(max(-p, 0) for p in pads[:rank])
        ends = tuple(e - max(-p, 0) for e, p in zip(shape, pads[rank:], strict=True))
        fits = all(s <= e for s, e in zip(starts, ends, strict=True))
        require(fits, "negative pads cut off more than there is", value=stated, limit=list(shape))
        x = call.emit(Slice(starts, ends, (1,) * rank), x)
        pads = [max(p, 0) for p in pads]
    if not any(pads):
        return [x]
    return [call.emit(Pad(tuple(pads), mode, value), x)]


def _expand(call: NodeCall) -> Sequence[str]:
    shape = call.operand(0).shape
    wanted = broadcast(shape, call.integers(1, "the shape"))
    return [call.name(0) if wanted == shape else call.emit(Expand(wanted), call.name(0))]


def _tile(call: NodeCall) -> Sequence[str]:
    return [call.emit(Tile(call.integers(1, "the repeats")), call.name(0))]


def _depth_to_space(call: NodeCall) -> Sequence[str]:
    order = BlockOrder(call.choice("mode", "DCR", "DCR", "CRD"))
    return [call.emit(DepthToSpace(call.attr_int("blocksize", 0), order), call.name(0))]


def _space_to_depth(call: NodeCall) -> Sequence[str]:
    order = BlockOrder(call.choice("mode", "DCR", "DCR", "CRD"))
    return [call.emit(SpaceToDepth(call.attr_int("blocksize", 0), order), call.name(0))]


def _trilu(call: NodeCall) -> Sequence[str]:
    offset = call.integer(1, "the diagonal") if call.has(1) else 0
    limit = max(call.operand(0).shape[-2:], default=0) + 1
    return [call.emit(Trilu(call.flag("upper", True), int(np.clip(offset, -limit, limit))), call.name(0))]


HANDLERS: Mapping[str, Handler] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
