"""The kernels behind the rows: each reads its operands and parameters out of the row and does some of its units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.convolve import SUMS_AT, convolve_unit, line_pitch, pack_kernel
from openane.numerics.depthwise import depthwise, load
from openane.numerics.elementwise import apply_map, bend, combine, copy, elementwise
from openane.numerics.few import convolve_few, finish_few
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
    CONVOLVE_FEW,
    CONVOLVE_ROWS,
    CONVOLVE_TILES,
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
    TRANSFORM,
    WEIGHT_GROUP,
    WEIGHTS,
    WEIGHTS_IN_MEMORY,
    WIDTH,
    WORDS,
)
from openane.numerics.sums import finish_unit, sum_unit
from openane.numerics.winograd import convolve_tiles, transform_pixels

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


@views
def _part(row: Any, unit: int) -> Any:
    """What a unit of a dense convolution is: its group, its tiles of channels, its pixels."""
    parts, pixel_parts, side = row[CHANNEL_PARTS], row[PIXEL_PARTS], row[SIDE]
    part, rest = unit % parts, unit // parts
    group, block = rest // pixel_parts, rest % pixel_parts
    tiles = (row[CHANNELS] + side - 1) // side
    vectors = (row[PIXELS] + VECTOR - 1) // VECTOR
    pixel_first = vectors * block // pixel_parts * VECTOR
    pixel_end = min(vectors * (block + 1) // pixel_parts * VECTOR, row[PIXELS])
    return group, (tiles * part // parts, tiles * (part + 1) // parts), (pixel_first, pixel_end)


@views
def _convolved(row: Any, group: int, arrays: Any) -> Any:
    """Pixels, weights, bias and result of a group of a dense convolution."""
    memory, integers = _halfwords(arrays, MEMORY), _integers(arrays)
    taps, strides = _vector(integers, row[TAPS], row[TAPS_SIZE]), _vector(integers, row[RESULT_STRIDES], 5)
    origin = row[FIRST] + group * row[GROUP_STEP]
    steps = taps, row[ROW_STEP], row[SPACING], row[WIDTH]
    packed = _halfwords(arrays, MEMORY if row[WEIGHTS_IN_MEMORY] else CONSTANTS)
    weights = packed, row[WEIGHTS] + group * row[WEIGHT_GROUP], row[FINITE] != 0
    bias = _floats(arrays, FLOATS), row[BIAS] + group * row[BIAS_GROUP]
    source = (memory, _floats(arrays, IMAGE), row[DIRECT] != 0, origin, *steps, *weights)
    return source, bias, (row[RESULT] + group * strides[0], strides)


def _convolve(row: Any, begin: int, end: int, arrays: Any) -> None:
    """A straight ending."""
    floats, scratch = _floats(arrays, FLOATS), _floats(arrays, SCRATCH)
    words, runs = _halfwords(arrays, WORDS), _integers(arrays, RUNS)
    numbers = floats[row[STRAIGHT_NUMBERS] : row[STRAIGHT_NUMBERS] + STRAIGHT_COUNT]
    for unit in range(begin, end):
        group, tiles, pixels = _part(row, unit)
        source, bias, result = _convolved(row, group, arrays)
        first = row[HELD] + group * row[WEIGHT_GROUP]
        held = floats[first : first + row[HELD_SIZE]]
        own = scratch, row[STRAIGHT], numbers
        convolve_unit(
            *source, held, *tiles, *pixels, *own, *bias, row[CHANNELS], *result, row[RESULT_WIDTH], words, runs
        )


def _convolve_rows(row: Any, begin: int, end: int, arrays: Any) -> None:
    """Any ending, row by row."""
    scratch, words = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS)
    runs, ending = _integers(arrays, RUNS), _ending(row, arrays)
    for unit in range(begin, end):
        group, tiles, pixels = _part(row, unit)
        source, bias, result = _convolved(row, group, arrays)
        sum_unit(*source, *tiles, *pixels, row[CUT] != 0, scratch, runs)
        channels = tiles[0] * TILE_ROWS, min(tiles[1] * TILE_ROWS, row[CHANNELS])
        count = pixels[1] - pixels[0]
        share = line_pitch(count), *channels, pixels[0], count, row[RESULT_WIDTH]
        finish_unit(scratch[SUMS_AT:], *share, *ending, *bias, _halfwords(arrays, MEMORY), *result, words, runs)


def _convolve_few(row: Any, begin: int, end: int, arrays: Any) -> None:
    """Channels in place of pixels."""
    scratch, words, ending = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS), _ending(row, arrays)
    for unit in range(begin, end):
        group, tiles, _ = _part(row, unit)
        source, bias, result = _convolved(row, group, arrays)
        convolve_few(*source, *tiles, row[PIXELS], scratch)
        side = row[SIDE]
        share = (tiles[1] - tiles[0]) * side, tiles[0] * side, min(tiles[1] * side, row[CHANNELS]), row[PIXELS]
        memory = _halfwords(arrays, MEMORY)
        finish_few(scratch[SUMS_AT:], *share, row[RESULT_WIDTH], *ending, *bias, memory, *result, words)


def _transform(row: Any, begin: int, end: int, arrays: Any) -> None:
    tiles = _vector(_integers(arrays), row[TAPS], row[TAPS_SIZE])
    steps = row[GROUP_STEP], row[INPUT_STRIDE], row[ROW_STEP]
    transform_pixels(_floats(arrays, IMAGE), tiles, row[INPUTS], *steps, row[RESULT], begin, end)


def _convolve_tiles(row: Any, begin: int, end: int, arrays: Any) -> None:
    """A unit is a part of the channels of VECTOR tiles of a group."""
    memory, image, floats = _halfwords(arrays, MEMORY), _floats(arrays, IMAGE), _floats(arrays, FLOATS)
    scratch, words, integers = _floats(arrays, SCRATCH), _halfwords(arrays, WORDS), _integers(arrays)
    strides, shape = _vector(integers, row[RESULT_STRIDES], 5), _vector(integers, row[SHAPE], _PLANE_SIZE)
    numbers = floats[row[STRAIGHT_NUMBERS] : row[STRAIGHT_NUMBERS] + STRAIGHT_COUNT]
    parts, all_tiles = row[CHANNEL_PARTS], (row[CHANNELS] + TILE_ROWS - 1) // TILE_ROWS
    for unit in range(begin, end):
        part, block = unit % parts, unit // parts
        group, vector = block // row[PIXEL_PARTS], block % row[PIXEL_PARTS]
        tiles = all_tiles * part // parts, all_tiles * (part + 1) // parts, all_tiles
        weights = floats[row[HELD] + group * row[WEIGHT_GROUP] :]
        biases = floats, row[BIAS] + group * row[BIAS_GROUP], row[CHANNELS]
        source = image, row[FIRST] + block * row[GROUP_STEP], row[INPUTS], weights
        result = memory, row[RESULT] + group * strides[0], strides
        convolve_tiles(*source, *tiles, scratch, row[STRAIGHT], numbers, *biases, vector, *result, shape, words)


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
    if row[STRAIGHT] != NO_STRAIGHT:
        numbers = _floats(arrays, FLOATS)[row[STRAIGHT_NUMBERS] :]
        bend(numbers, memory, *source, extents, *result, begin, end)
        return
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
    CONVOLVE_ROWS: _callback(_convolve_rows),
    CONVOLVE_FEW: _callback(_convolve_few),
    PACK: _callback(_pack),
    TRANSFORM: _callback(_transform),
    CONVOLVE_TILES: _callback(_convolve_tiles),
}
"""By kind."""
