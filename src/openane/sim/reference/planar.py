"""Tasks of the planar engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from openane.numerics.definition.fp16 import nearest
from openane.numerics.definition.planar import positive, read, reciprocal, reciprocal_root, total
from openane.numerics.definition.single import F
from openane.numerics.profile import Profile
from openane.sim.decoded_task import DecodedTask, PlanarFunction, PlanarOperation, PlanarReduction, PlanarWork
from openane.sim.reference.operand import Index, load


def planar_results(task: DecodedTask, memories: Sequence[bytes], profile: Profile) -> Iterator[tuple[Index, int]]:
    """The word of each result element.

    Args:
        memories: the memory of each source.
    """
    work = task.engine
    assert isinstance(work, PlanarWork)
    for index in itertools.product(*map(range, task.result_view)):
        if work.reduction is PlanarReduction.NONE:
            t = _element(task, work, memories, index)
        else:
            elements = [_element(task, work, memories, place) for place in _places(task, work, index)]
            t = _reduced(work.reduction, elements, profile)
        yield index, nearest(float(_finished(work, t)))


def _places(task: DecodedTask, work: PlanarWork, index: Index) -> Iterator[Index]:
    """Source elements of one result: all of depth, height and width, or the part of a window inside the image."""
    g, d, c, oy, ox = index
    _, depth, _, height, width = task.view
    if work.window is None:
        yield from ((g, z, c, y, x) for z in range(depth) for y in range(height) for x in range(width))
        return
    top, left = oy * work.stride[0] - work.pad[0], ox * work.stride[1] - work.pad[1]
    for y, x in itertools.product(range(top, top + work.window[0]), range(left, left + work.window[1])):
        if 0 <= y < height and 0 <= x < width:
            yield g, d, c, y, x


def _element(task: DecodedTask, work: PlanarWork, memories: Sequence[bytes], index: Index) -> np.float32:
    """Both sources of an element, joined; with `rows` source 2 is a pair of rows, an addend and a factor."""
    sources = task.sources
    a = read(load(memories[0], sources[0], index))
    if len(sources) == 1:
        return _joined(work, a, None)
    if not work.rows:
        return _joined(work, a, read(load(memories[1], sources[1], index)))
    addend, factor = (read(load(memories[1], sources[1], (0, 0, index[2], row, 0))) for row in (0, 1))
    return _joined(work, a, addend, factor)


def _joined(work: PlanarWork, a: np.float32, b: np.float32 | None, factor: np.float32 | None = None) -> np.float32:
    a = positive(a) if work.relu_first else a
    t = F(a * F(-work.pre_scale if work.negate_first else work.pre_scale))
    if b is None:
        t = F(t * t) if work.operation is PlanarOperation.SQUARED_SUM else t
    else:
        b = positive(b) if work.relu_second else b
        t = _operation(work.operation, t, F(-b) if work.negate_second else b)
    t = t if factor is None else F(t * factor)
    return F(abs(t)) if work.absolute else t


def _operation(operation: PlanarOperation, a: np.float32, b: np.float32) -> np.float32:
    match operation:
        case PlanarOperation.ADD:
            return F(a + b)
        case PlanarOperation.MULTIPLY:
            return F(a * b)
        case PlanarOperation.MAXIMUM:
            return max(a, b)
        case PlanarOperation.MINIMUM:
            return min(a, b)
        case PlanarOperation.SQUARED_SUM:
            return F(F(a + b) * F(a + b))


def _reduced(kind: PlanarReduction, elements: Sequence[np.float32], profile: Profile) -> np.float32:
    if kind is PlanarReduction.MAXIMUM:
        return max(elements, default=F(-np.inf))
    if kind is PlanarReduction.MINIMUM:
        return min(elements, default=F(np.inf))
    added = total(elements, profile.reduction)
    return F(added / F(max(len(elements), 1))) if kind is PlanarReduction.AVERAGE else added


def _finished(work: PlanarWork, t: np.float32) -> np.float32:
    """From the joined or reduced value to the result, before it is rounded to fp16."""
    y = F(F(F(t * F(work.scale)) + F(work.bias)) * F(work.final_scale))
    y = F(y + F(work.epsilon))
    if work.function is PlanarFunction.RECIPROCAL:
        y = reciprocal(y)
    elif work.function is PlanarFunction.RSQRT:
        y = reciprocal_root(y)
    return positive(y) if work.relu else y
