"""Moves that only place elements, and the few that belong to the host."""

from __future__ import annotations

import math

import numpy as np

from differential.sketch import RejectError, Sketch
from openane.core.types import DType
from openane.graph import Operation, ops


def transpose(s: Sketch) -> None:
    """Axes in any order."""
    x = s.value()
    left = list(range(len(s.shape(x))))
    s.add(ops.Transpose(tuple(left.pop(s.pick(0, len(left) - 1)) for _ in range(len(left)))), x)


def reshape(s: Sketch) -> None:
    """Neighboring axes joined, axes cut in two, or axes of one element put in."""
    x = s.value()
    extents = list(s.shape(x))
    for _ in range(s.pick(1, 2)):
        axis = s.pick(0, len(extents) - 1)
        kind = s.pick(0, 2)
        if kind == 0 and axis + 1 < len(extents):
            extents[axis : axis + 2] = [extents[axis] * extents[axis + 1]]
        elif kind == 1:
            part = s.choose([p for p in range(1, extents[axis] + 1) if extents[axis] % p == 0])
            extents[axis : axis + 1] = [extents[axis] // part, part]
        else:
            extents.insert(axis, 1)
    s.add(ops.Reshape(tuple(extents)), x)


def flatten(s: Sketch) -> None:
    """All but the batch in one row."""
    x = s.value()
    s.add(ops.Reshape((s.shape(x)[0], math.prod(s.shape(x)[1:]))), x)


def concat(s: Sketch) -> None:
    """Two or three values, or a constant among them, joined along an axis."""
    x = s.value()
    shape = s.shape(x)
    axis = s.choose((min(1, len(shape) - 1), s.pick(0, len(shape) - 1)))
    kept = [e for i, e in enumerate(shape) if i != axis]

    def fits(name: str) -> bool:
        other = s.shape(name)
        return len(other) == len(shape) and [e for i, e in enumerate(other) if i != axis] == kept

    operands = [x, *(s.value(where=fits) for _ in range(s.pick(1, 2)))]
    if s.flag(6):
        operands.insert(s.pick(0, 2), s.constant(*shape[:axis], s.pick(1, 3), *shape[axis + 1 :]))
    s.add(ops.Concat(axis), *operands)


def split(s: Sketch) -> None:
    """Two or three parts along an axis."""
    x = s.value()
    axes = [axis for axis, extent in enumerate(s.shape(x)) if extent > 1]
    axis = s.choose(axes)
    extent = s.shape(x)[axis]
    sizes: list[int] = []
    for _ in range(s.pick(1, 2)):
        if extent - sum(sizes) > 1:
            sizes.append(s.pick(1, extent - sum(sizes) - 1))
    s.add(ops.Split(axis, (*sizes, extent - sum(sizes))), x)


def cut(s: Sketch) -> None:
    """Ranges of some axes, with steps, sometimes backwards."""
    x = s.value()
    starts, ends, steps = [], [], []
    for extent in s.shape(x):
        start, end, step = 0, extent, 1
        if s.flag() and extent > 1:
            start = s.pick(0, extent - 1)
            end = s.pick(start + 1, extent)
            step = s.choose((1, 1, 2, 3))
            if s.flag(6):
                start, end, step = end - 1, start - 1, -step
        starts.append(start)
        ends.append(end)
        steps.append(step)
    s.add(ops.Slice(tuple(starts), tuple(ends), tuple(steps)), x)


def gather(s: Sketch) -> None:
    """Positions along an axis, in any order and more than once."""
    x = s.value()
    axis = s.pick(0, len(s.shape(x)) - 1)
    places = [s.pick(0, s.shape(x)[axis] - 1) for _ in range(s.pick(1, 4))]
    s.add(ops.Gather(axis), x, s.whole(*places))


def repeat(s: Sketch) -> None:
    """Broadcast to a larger shape, or the whole repeated."""
    x = s.value()
    shape = s.shape(x)
    if s.flag() and 1 in shape:
        s.add(ops.Expand(tuple(s.pick(1, 5) if extent == 1 else extent for extent in shape)), x)
    else:
        s.add(ops.Tile(tuple(s.pick(1, 3) if s.flag(3) else 1 for _ in shape)), x)


def pad(s: Sketch) -> None:
    """Padding with a constant or with copies of what is there; negative padding cuts."""
    x = s.value()
    shape = s.shape(x)
    mode = s.choose((ops.PadMode.CONSTANT, ops.PadMode.CONSTANT, ops.PadMode.EDGE, ops.PadMode.REFLECT))
    pads = []
    for extent in (*shape, *shape):
        most = extent - 1 if mode is ops.PadMode.REFLECT else 3
        pads.append(s.pick(0, min(3, most)) if s.flag() else 0)
    if mode is ops.PadMode.CONSTANT and s.flag(8):
        axis = s.pick(0, len(shape) - 1)
        pads[axis] = -s.pick(0, shape[axis] - 1)
    value = s.choose((0.0, 0.0, 1.0, -2.5)) if mode is ops.PadMode.CONSTANT else 0.0
    s.add(ops.Pad(tuple(pads), mode, value), x)


def shuffle(s: Sketch) -> None:
    """Channels dealt out, blocks of pixels made channels and back, triangles."""
    kind = s.pick(0, 3)
    operation: Operation
    if kind == 3:
        x = s.value(2, 3, 4)
        s.add(ops.Trilu(s.flag(), s.pick(-2, 2)), x)
        return
    x = s.value(4)
    _, channels, height, width = s.shape(x)
    order = s.choose((ops.BlockOrder.DEPTH_COLUMN_ROW, ops.BlockOrder.COLUMN_ROW_DEPTH))
    if kind == 0:
        operation = ops.ChannelShuffle(s.choose([g for g in (2, 3, 4, 1) if channels % g == 0]))
    elif kind == 1:
        operation = ops.DepthToSpace(s.choose([b for b in (2, 3, 4) if channels % (b * b) == 0]), order)
    else:
        operation = ops.SpaceToDepth(s.choose([b for b in (2, 3, 4) if height % b == 0 and width % b == 0]), order)
    s.add(operation, x)


def resize(s: Sketch) -> None:
    """Nearest, linear or cubic, to any extents; long axes would need more than single precision for positions."""
    x = s.value(3, 4, 5, where=lambda name: max(s.shape(name)[2:]) <= 512)
    shape = s.shape(x)
    if s.flag():
        factor = s.pick(2, 4)
        sizes = (*shape[:2], *(extent * factor for extent in shape[2:]))
    else:
        sizes = (*shape[:2], *(s.pick(1, 2 * extent + 1) for extent in shape[2:]))
    mode = s.choose((ops.ResizeMode.NEAREST, ops.ResizeMode.LINEAR, ops.ResizeMode.LINEAR, ops.ResizeMode.CUBIC))
    usual = (ops.Coordinates.HALF_PIXEL, ops.Coordinates.ASYMMETRIC, ops.Coordinates.ALIGN_CORNERS)
    coordinates = s.choose((*usual, ops.Coordinates.PYTORCH_HALF_PIXEL))
    if mode is ops.ResizeMode.CUBIC and len(shape) != 4:
        raise RejectError
    if mode is ops.ResizeMode.NEAREST:
        s.add(ops.Resize(sizes, mode, coordinates, s.choose(tuple(ops.Rounding))), x)
    else:
        s.add(ops.Resize(sizes, mode, coordinates), x)


def parts(s: Sketch) -> None:
    """A value cut into parts, each of which goes another way; sometimes joined again."""
    x = s.value(2, 3, 4, 5)
    shape = s.shape(x)
    axis = s.choose([axis for axis in (1, len(shape) - 1, 0) if shape[axis] > 1])
    size = s.pick(1, shape[axis] - 1)
    s.add(ops.Split(axis, (size, shape[axis] - size)), x)
    pieces = s.steps[-1].results
    made = [_way(s, piece) for piece in pieces]
    if s.flag() and all(s.shape(name) == s.shape(piece) for name, piece in zip(made, pieces, strict=True)):
        s.add(ops.Concat(axis), *made)


def joined(s: Sketch) -> None:
    """Two values joined, of which the whole and a part go on."""
    x = s.value(2, 3, 4, 5)
    other = s.choose([name for name in s.values if s.shape(name) == s.shape(x) and s.values[name].dtype.kind == "f"])
    whole = s.add(ops.Concat(s.choose((1, len(s.shape(x)) - 1, 0))), x, other)
    _way(s, whole)
    _way(s, s.choose((x, other)))


def _way(s: Sketch, x: str) -> str:
    """What reads a tensor that is inside another one: a sum, a product, a function, a softmax."""
    last = len(s.shape(x)) - 1
    kind = s.pick(0, 5)
    if kind == 0:
        return s.add(ops.ReduceMean((s.pick(0, last),), True), x)
    if kind == 1:
        inner = s.shape(x)[-1]
        weight = s.constant(inner, s.choose((inner, s.pick(1, 20))), fill="normal", scale=inner**-0.5)
        return s.add(ops.MatMul(), x, weight)
    if kind == 2 and s.magnitude(x) <= 8:
        return s.add(ops.Softmax(s.pick(0, last)), x)
    if kind == 3 and s.magnitude(x) <= 40 and s.shape(x)[-1] <= 512:
        scores = s.add(ops.MatMul(transpose_b=True), x, x)
        return s.add(ops.Affine(float(np.float16(1 / s.shape(x)[-1]))), scores)
    if kind == 4:
        return s.add(ops.Mul(), x, s.constant(s.shape(x)[1], *(1,) * (last - 1), fill="uniform"))
    return s.add(s.choose((ops.Sigmoid(), ops.Relu(), ops.Abs(), ops.Tanh())), x)


def host(s: Sketch) -> None:
    """What the engine cannot do: the plan then has steps of the host."""
    kind = s.pick(0, 3)
    if kind == 0:
        x = s.value()
        s.add(ops.ReduceProd((len(s.shape(x)) - 1,), True), s.add(ops.Clip(0.5, 1.5), x))
        return
    x = s.value(where=lambda name: name in s.exact)
    axis = s.pick(0, len(s.shape(x)) - 1)
    if kind == 1:
        s.add(ops.Hardmax(axis), x)
    elif kind == 2:
        s.add(ops.Cast(DType.FLOAT32), s.add(ops.ArgMax(axis, s.flag()), x))
    else:
        s.add(ops.TopK(axis, s.pick(1, s.shape(x)[axis])), x)
