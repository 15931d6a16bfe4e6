"""The kernels behind the rows: each reads its operands and parameters out of the row and does some of its units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.convolve import (
    SUMS_AT,
    convolve_few,
    convolve_unit,
    finish_few,
    finish_unit,
    line_pitch,
    pack_kernel,
)
from openane.numerics.depthwise import depthwise, load
from openane.numerics.elementwise import apply_map, combine, copy, elementwise
from openane.numerics.finish import FACTOR_COUNT
from openane.numerics.jit import ROWS as TILE_ROWS
from openane.numerics.jit import VECTOR, Callback, views
from openane.numerics.join import FLAG_COUNT, NUMBER_COUNT
from openane.numerics.micro import NO_STRAIGHT, STRAIGHT_COUNT
from openane.numerics.pooling import pooling, reduce
from openane.numerics.rows import (
    BIAS,
    BIAS_GROUP,
    CHANNEL_PARTS,
    CHANNELS,
    COMBINE,
    CONSTANTS,
    CONVOLVE,
    COPY,
    CUT,
    DEPTHWISE,
    DIRECT,
    ELEMENTWISE,
    EXTENTS,
    FACTORS,
    FINITE,
    FIRST,
    FIRST_STRIDES,
    FLAGS,
    FLOATS,
    FUNCTION,
    GROUP_STEP,
    HELD,
    HELD_SIZE,
    IMAGE,
    INPUT_STRIDE,
    INPUTS,
    INTEGERS,
    LOAD,
    MAP,
    MEMORY,
    META,
    NUMBERS,
    OPERATION,
    PACK,
    PIXEL_PARTS,
    PIXELS,
    POOL,
    REDUCE,
    RELU_IN,
    RESULT,
    RESULT_STRIDES,
    RESULT_WIDTH,
    ROW_STEP,
    RUNS,
    SCRATCH,
    SECOND,
    SECOND_STRIDES,
    SHAPE,
    SHAPE_SIZE,
    SIDE,
    SPACING,
    STRAIGHT,
    STRAIGHT_NUMBERS,
    TABLE,
    TAPS,
    TAPS_SIZE,
    WEIGHT_GROUP,
    WEIGHTS,
    WEIGHTS_IN_MEMORY,
    WIDTH,
    WORDS,
)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]

_TABLE_SIZE, _META_SIZE, _PLANE_SIZE, _MAP_SIZE = 41, 3, 4, 1 << 16
_NUMBERS: Any = types.CPointer(types.int64)  # type: ignore[attr-defined,unused-ignore]
_SIGNATURE = types.void(_NUMBERS, types.int64, types.int64, _NUMBERS)


def _pointer_to(kind: Any) -> Any:
    """An intrinsic that makes a pointer of an address."""
    pointer_type = types.CPointer(kind)  # type: ignore[attr-defined,unused-ignore]

    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return pointer_type(types.int64), generate

    return pointer


_halfwords_at, _floats_at, _integers_at = (_pointer_to(kind) for kind in (types.uint16, types.float32, types.int64))


@views
def _halfwords(arrays: Any, which: int) -> Any:
    return carray(_halfwords_at(arrays[2 * which]), arrays[2 * which + 1])


@views
def _floats(arrays: Any, which: int) -> Any:
    return carray(_floats_at(arrays[2 * which]), arrays[2 * which + 1])


@views
def _integers(arrays: Any, which: int = INTEGERS) -> Any:
    return carray(_integers_at(arrays[2 * which]), arrays[2 * which + 1])


@views
def _vector(integers: Integers, place: int, size: int) -> Any:
    return integers[place : place + size]


@views
def _ending(row: Any, arrays: Any) -> Any:
    """Arguments of `finish_row`: factors, function, table, meta."""
    floats = _floats(arrays, FLOATS)
    factors, table = floats[row[FACTORS] : row[FACTORS] + FACTOR_COUNT], floats[row[TABLE] : row[TABLE] + _TABLE_SIZE]
    return factors, row[FUNCTION], table, _vector(_integers(arrays), row[META], _META_SIZE)


def _convolve(row: Any, begin: int, end: int, arrays: Any) -> None:
    for unit in range(begin, end):
        _convolve_unit(row, unit, arrays)


@views
def _convolve_unit(row: Any, unit: int, arrays: Any) -> None:
    """One unit of a dense convolution: part of the channels and pixels of a group."""
    memory, image, floats = _halfwords(arrays, MEMORY), _floats(arrays, IMAGE), _floats(arrays, FLOATS)
    scratch, words, integers = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS), _integers(arrays)
    parts, pixel_parts, side = row[CHANNEL_PARTS], row[PIXEL_PARTS], row[SIDE]
    part, rest = unit % parts, unit // parts
    group, block = rest // pixel_parts, rest % pixel_parts
    tiles = (row[CHANNELS] + side - 1) // side
    tile_first, tile_end = tiles * part // parts, tiles * (part + 1) // parts
    vectors = (row[PIXELS] + VECTOR - 1) // VECTOR
    pixel_first = vectors * block // pixel_parts * VECTOR
    pixel_end = min(vectors * (block + 1) // pixel_parts * VECTOR, row[PIXELS])
    channel_first, channel_end = tile_first * side, min(tile_end * side, row[CHANNELS])
    taps, strides = _vector(integers, row[TAPS], row[TAPS_SIZE]), _vector(integers, row[RESULT_STRIDES], 5)
    packed = _halfwords(arrays, MEMORY if row[WEIGHTS_IN_MEMORY] else CONSTANTS)
    weights = packed, row[WEIGHTS] + group * row[WEIGHT_GROUP], row[FINITE] != 0
    origin, result = row[FIRST] + group * row[GROUP_STEP], row[RESULT] + group * strides[0]
    source = memory, image, row[DIRECT] != 0, origin, taps, row[ROW_STEP], row[SPACING], row[WIDTH]
    biases, width = (floats, row[BIAS] + group * row[BIAS_GROUP]), row[RESULT_WIDTH]
    ending, own = _ending(row, arrays), scratch[SUMS_AT:]
    if side != TILE_ROWS:
        convolve_few(*source, *weights, tile_first, tile_end, row[PIXELS], scratch)
        share = (tile_end - tile_first) * side, channel_first, channel_end, row[PIXELS], width
        finish_few(own, *share, *ending, *biases, memory, result, strides, words)
        return
    straight, runs = row[STRAIGHT], _integers(arrays, RUNS)
    numbers = floats[row[STRAIGHT_NUMBERS] : row[STRAIGHT_NUMBERS] + STRAIGHT_COUNT]
    count = pixel_end - pixel_first
    first, count_held = row[HELD] + group * row[WEIGHT_GROUP], row[HELD_SIZE]
    held = floats[first : first + count_held]
    limits = tile_first, tile_end, pixel_first, pixel_end, row[CUT] != 0
    convolve_unit(
        *source, *weights, held, *limits, scratch, straight, numbers,
        *biases, row[CHANNELS], result, strides, width, words, runs,
    )  # fmt: skip
    if straight == NO_STRAIGHT:
        rest = line_pitch(count), channel_first, channel_end, pixel_first, count, width
        finish_unit(own, *rest, *ending, *biases, memory, result, strides, words, runs)


def _load(row: Any, begin: int, end: int, arrays: Any) -> None:
    integers = _integers(arrays)
    strides, target = _vector(integers, row[FIRST_STRIDES], 5), _vector(integers, row[RESULT_STRIDES], 5)
    extents, plane = _vector(integers, row[EXTENTS], 5), _vector(integers, row[SHAPE], _PLANE_SIZE)
    source = _halfwords(arrays, MEMORY), row[FIRST], strides, extents, row[RELU_IN] != 0
    load(*source, _floats(arrays, IMAGE), 0, target, plane, begin, end)


def _depthwise(row: Any, begin: int, end: int, arrays: Any) -> None:
    integers, floats = _integers(arrays), _floats(arrays, FLOATS)
    strides, target = _vector(integers, row[FIRST_STRIDES], 5), _vector(integers, row[RESULT_STRIDES], 5)
    shape = _vector(integers, row[SHAPE], row[SHAPE_SIZE])
    taps = _vector(integers, row[TAPS], row[TAPS_SIZE])
    source = _halfwords(arrays, MEMORY), row[FIRST], strides, shape, taps, row[RELU_IN] != 0
    weights = floats[row[WEIGHTS] :], row[WEIGHT_GROUP], floats[row[BIAS] :], row[CUT] != 0
    numbers = floats[row[STRAIGHT_NUMBERS] : row[STRAIGHT_NUMBERS] + STRAIGHT_COUNT]
    own = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS)
    depthwise(*source, *weights, row[STRAIGHT], numbers, row[RESULT], target, *_ending(row, arrays), *own, begin, end)


@views
def _ends(row: Any, arrays: Any) -> Any:
    """Source and result of work whose axes are arranged: places, strides and extents."""
    integers = _integers(arrays)
    strides, target = _vector(integers, row[FIRST_STRIDES], 5), _vector(integers, row[RESULT_STRIDES], 5)
    return (row[FIRST], strides), _vector(integers, row[EXTENTS], 7), (row[RESULT], target)


def _map(row: Any, begin: int, end: int, arrays: Any) -> None:
    source, extents, result = _ends(row, arrays)
    memory, words = _halfwords(arrays, MEMORY), _halfwords(arrays, WORDS)
    mapping = memory[row[WEIGHTS] : row[WEIGHTS] + _MAP_SIZE]
    apply_map(mapping, memory, *source, extents, *result, words, begin, end)


def _copy(row: Any, begin: int, end: int, arrays: Any) -> None:
    source, extents, result = _ends(row, arrays)
    copy(_halfwords(arrays, MEMORY), *source, extents, *result, _halfwords(arrays, WORDS), begin, end)


def _combine(row: Any, begin: int, end: int, arrays: Any) -> None:
    source, extents, result = _ends(row, arrays)
    how = row[INPUTS], row[INPUT_STRIDE], row[OPERATION], row[RELU_IN] != 0, extents
    own = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS)
    combine(_halfwords(arrays, MEMORY), *source, *how, *result, *_ending(row, arrays), *own, begin, end)


def _pack(row: Any, begin: int, end: int, arrays: Any) -> None:
    found = _vector(_integers(arrays), row[SHAPE], row[SHAPE_SIZE])
    pack_kernel(_halfwords(arrays, MEMORY), row[FIRST], found, row[RESULT], begin, end)


@views
def _settings(row: Any, arrays: Any) -> Any:
    """Numbers and flags of the planar engine."""
    floats = _floats(arrays, FLOATS)
    return floats[row[NUMBERS] : row[NUMBERS] + NUMBER_COUNT], _vector(_integers(arrays), row[FLAGS], FLAG_COUNT)


@views
def _planar_ends(row: Any, arrays: Any) -> Any:
    """Both sources and the result: places and strides."""
    integers = _integers(arrays)
    first, second = _vector(integers, row[FIRST_STRIDES], 5), _vector(integers, row[SECOND_STRIDES], 5)
    result = row[RESULT], _vector(integers, row[RESULT_STRIDES], 5)
    return (row[FIRST], first, row[SECOND], second), result


def _elementwise(row: Any, begin: int, end: int, arrays: Any) -> None:
    sources, result = _planar_ends(row, arrays)
    extents = _vector(_integers(arrays), row[EXTENTS], 7)
    memory, scratch = _halfwords(arrays, MEMORY), _floats(arrays, SCRATCH)
    elementwise(memory, *_settings(row, arrays), *sources, extents, *result, scratch, begin, end)


def _pool(row: Any, begin: int, end: int, arrays: Any) -> None:
    sources, result = _planar_ends(row, arrays)
    shape = _vector(_integers(arrays), row[SHAPE], row[SHAPE_SIZE])
    memory, scratch = _halfwords(arrays, MEMORY), _floats(arrays, SCRATCH)
    pooling(memory, *_settings(row, arrays), row[OPERATION], *sources, shape, *result, scratch, begin, end)


def _reduce(row: Any, begin: int, end: int, arrays: Any) -> None:
    sources, result = _planar_ends(row, arrays)
    extents = _vector(_integers(arrays), row[EXTENTS], 5)
    memory, scratch = _halfwords(arrays, MEMORY), _floats(arrays, SCRATCH)
    reduce(memory, *_settings(row, arrays), row[OPERATION], *sources, extents, *result, scratch, begin, end)


def _callback(function: Callable[[Any, int, int, Any], None]) -> Callback:
    return Callback(function, _SIGNATURE)


KERNELS = {
    MAP: _callback(_map),
    COPY: _callback(_copy),
    ELEMENTWISE: _callback(_elementwise),
    POOL: _callback(_pool),
    REDUCE: _callback(_reduce),
    COMBINE: _callback(_combine),
    DEPTHWISE: _callback(_depthwise),
    LOAD: _callback(_load),
    CONVOLVE: _callback(_convolve),
    PACK: _callback(_pack),
}
"""By kind."""
