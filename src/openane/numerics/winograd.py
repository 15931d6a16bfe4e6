"""Winograd's convolution F(4x4, 3x3): 16 outputs of a dense 3x3 convolution with 36 products a channel instead of 144.

A tile is a square of 6x6 pixels d, tiles overlap by two. With weights g and the matrices below, its 4x4 sums are

    A^T [ sum over channels of (G g G^T) * (B^T d B) ] A        (* element by element)

after Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), with the points 0, 1, -1, 2, -2 and
infinity. Each of the 36 elements is a product of matrices, which the micro-kernel of `micro` computes with tiles in
place of pixels. Sums are not those of the direct convolution to the bit: see `error_bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.convolve import pack_weights, packed_size
from openane.numerics.emit import FLOAT, I32, I64, element_at, every, load, multiply_add, spread, store
from openane.numerics.jit import ROWS, VECTOR, compiled, data_of, inner
from openane.numerics.micro import emit_ends, multiply_tile
from openane.numerics.panel import move_runs

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

SIDE = 4
"""Outputs of a tile in each direction; its windows begin as far apart."""

_WINDOW = 3
_REACH = SIDE + _WINDOW - 1
_ELEMENTS = _REACH * _REACH

PIXELS: npt.NDArray[np.float64] = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
)  # fmt: skip
"""B^T."""

WEIGHTS: npt.NDArray[np.float64] = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip
"""G."""

SUMS: npt.NDArray[np.float64] = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
"""A^T."""

TILE_BLOCK = 16
"""Most tiles of channels of a unit: their sums (216 KiB) stay in the second cache."""

_LINE = SIDE * VECTOR
"""Pixels side by side in as many tiles as there are lanes."""

_LANES = 8
_EIGHT, _FOUR = ir.VectorType(FLOAT, _LANES), ir.VectorType(FLOAT, 4)


@compiled
def _element_pitch(inputs: int) -> int:
    """Floats of one element of the pixels of VECTOR tiles. A line more than they need: powers of two would fall on
    the same lines of the cache."""
    return (inputs + 1) * VECTOR


def unit_size(inputs: int) -> int:
    """Floats of the transformed pixels of VECTOR tiles."""
    return _ELEMENTS * int(_element_pitch(inputs))


def weights_size(channels: int, inputs: int) -> int:
    """Floats of the transformed weights of a group."""
    return _ELEMENTS * packed_size(channels, inputs)


def error_bound(inputs: int) -> float:
    """Largest error of a sum, over the sum of the magnitudes of its weights times the largest magnitude of the input.

    Each of the sums has inputs + 20 roundings behind one another at most: one of a weight, 8 of a pixel, inputs + 1 of
    products and their sum, 10 of the result. Their errors are relative to what the magnitudes of the matrices make of
    those of the operands.
    """
    across = np.abs(PIXELS).sum(1)
    growth = (np.abs(SUMS)[:, :, None] * np.abs(WEIGHTS) * across[:, None]).sum(1).max()
    roundings = (inputs + 20) * 2.0**-24
    return float(growth**2 * roundings / (1 - roundings))


def transform_weights(weights: npt.NDArray[np.float32]) -> Floats:
    """G g G^T, for each element in the order of the micro-kernel.

    Args:
        weights: (output channels, input channels, 3, 3).
    """
    channels, inputs = weights.shape[:2]
    elements = np.einsum("ai,bj,ocij->aboc", WEIGHTS, WEIGHTS, weights.astype(np.float64)).astype(np.float32)
    result = np.empty((_ELEMENTS, packed_size(channels, inputs)), np.float32)
    for element, target in zip(elements.reshape(_ELEMENTS, channels, inputs), result, strict=True):
        pack_weights(element, target)
    return result.reshape(-1)


def _transform(builder: Any, matrix: npt.NDArray[np.float64], values: Sequence[Any]) -> list[Any]:
    """The matrix times a column of vectors."""
    kind, results = values[0].type, []
    for row in matrix:
        total = None
        for factor, value in zip(row, values, strict=True):
            if factor == 0:
                continue
            if total is None:
                total = value if factor == 1 else builder.fmul(every(kind, factor), value)
            elif abs(factor) == 1:
                total = builder.fadd(total, value) if factor == 1 else builder.fsub(total, value)
            else:
                total = multiply_add(builder, every(kind, factor), value, total)
        results.append(total)
    return results


def _transform_square(builder: Any, matrix: npt.NDArray[np.float64], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The matrix times a square of vectors times its transpose."""
    across = [_transform(builder, matrix, row) for row in rows]
    down = [_transform(builder, matrix, column) for column in zip(*across, strict=True)]
    return [list(row) for row in zip(*down, strict=True)]


def _shuffled(builder: Any, first: Any, second: Any, lanes: Sequence[int]) -> Any:
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def _columns(builder: Any, starts: Sequence[Any], offset: Any, count: int) -> list[Any]:
    """Neighbours from an offset on, at most four: vectors of the first of each of _LANES places, of the second ..."""
    pieces = [load(builder, builder.gep(start, [offset]), _FOUR) for start in starts]
    both = [_shuffled(builder, pieces[k], pieces[k + 4], range(8)) for k in range(4)]
    pairs = []
    for lanes in ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15])[: (count + 1) // 2]:
        pairs.append((_shuffled(builder, both[0], both[1], lanes), _shuffled(builder, both[2], both[3], lanes)))
    halves = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    return [_shuffled(builder, *pairs[column // 2], halves[column % 2]) for column in range(count)]


@intrinsic
def _transform_pixels(
    typing_context: Any, image: Any, plane: Any, tiles: Any, first_tile: Any, row_step: Any, place: Any, pitch: Any
) -> Any:
    """B^T d B of _LANES tiles of a plane: element e of them to image[place + e * pitch ...].

    Args:
        tiles: offsets of their first pixels in the plane from `first_tile` on. Two more floats than a tile has in a
            row are read.
    """
    whole = types.int64
    signature = types.void(image, whole, tiles, whole, whole, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, base, offsets, first, step, to, element = arguments
        source = element_at(context, builder, signature.args[0], data, base)
        own = element_at(context, builder, signature.args[2], offsets, first)
        starts = [builder.gep(source, [builder.load(builder.gep(own, [I64(lane)]))]) for lane in range(_LANES)]
        rows = []
        for row in range(_REACH):
            offset = builder.mul(step, I64(row))
            near = _columns(builder, starts, offset, 4)
            rows.append([*near, *_columns(builder, starts, builder.add(offset, I64(4)), _REACH - 4)])
        target = element_at(context, builder, signature.args[0], data, to)
        for number, values in enumerate(chain.from_iterable(_transform_square(builder, PIXELS, rows))):
            store(builder, values, builder.gep(target, [builder.mul(element, I64(number))]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _end_tiles(
    typing_context: Any, sums: Any, first: Any, bias: Any, straight: Any, ending: Any, words: Any, place: Any
) -> Any:
    """A^T m A of _LANES tiles of a channel, ended: SIDE lines of _LANES * SIDE pixels, _LINE apart.

    Args:
        sums: element e from first + e * ROWS * VECTOR on.
        straight, ending: as in `micro.finish_tile`.
    """
    whole = types.int64
    signature = types.void(sums, whole, types.float32, whole, ending, words, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, place, own_bias, code, numbers, result, to = arguments
        source = element_at(context, builder, signature.args[0], data, place)
        elements = [
            load(builder, builder.gep(source, [I64(number * ROWS * VECTOR)]), _EIGHT) for number in range(_ELEMENTS)
        ]
        rows = [elements[row * _REACH : (row + 1) * _REACH] for row in range(_REACH)]
        target = element_at(context, builder, signature.args[5], result, to)
        totals, places = [], []
        for row, values in enumerate(_transform_square(builder, SUMS, rows)):
            for half, pixels in enumerate(_side_by_side(builder, values)):
                totals.append(pixels)
                places.append(builder.gep(target, [I64(row * _LINE + half * VECTOR)]))
        biases = [spread(builder, own_bias, totals[0].type)] * len(totals)
        emit_ends(builder, totals, biases, code, data_of(context, builder, signature.args[4], numbers), places)
        return context.get_dummy_value()

    return signature, generate


def _side_by_side(builder: Any, values: Sequence[Any]) -> list[Any]:
    """SIDE vectors of pixels, one of each tile, as vectors of VECTOR neighbours."""
    even = _shuffled(builder, values[0], values[2], range(16)), _shuffled(builder, values[1], values[3], range(16))
    first = [lane // 4 + lane % 4 // 2 * 8 + lane % 2 * 16 for lane in range(VECTOR)]
    return [_shuffled(builder, *even, [lane + half * 4 for lane in first]) for half in range(2)]


@inner
def transform_pixels(
    image: Floats, tiles: Integers, channels: int, group_step: int, plane: int, row_step: int, result: int, begin: int,
    end: int,
) -> None:  # fmt: skip
    """B^T d B of some units: a unit is a channel of VECTOR tiles of a group.

    Args:
        image: the padded input; the result lies in it too.
        tiles: offset of each tile's first pixel in its plane, a multiple of VECTOR.
        group_step, plane, row_step: from a group, plane, row of the input to the next.
        result: place of (groups, vectors of tiles, elements, channels, VECTOR), elements `element_pitch` apart.
    """
    pitch = _element_pitch(channels)
    vectors = tiles.size // VECTOR
    for unit in range(begin, end):
        block, channel = unit // channels, unit % channels
        group, vector = block // vectors, block % vectors
        base, place = group * group_step + channel * plane, result + block * _ELEMENTS * pitch + channel * VECTOR
        for lane in range(0, VECTOR, _LANES):
            _transform_pixels(image, base, tiles, vector * VECTOR + lane, row_step, place + lane, pitch)


@inner
def convolve_tiles(
    image: Floats, place: int, inputs: int, weights: Floats, tile_first: int, tile_end: int, all_tiles: int,
    scratch: Floats, straight: int, ending: Floats, bias: Floats, bias_base: int, channels: int, vector: int,
    memory: Halfwords, result: int, strides: Integers, shape: Integers, words: Halfwords,
) -> None:  # fmt: skip
    """Sums, ends and stores some channels of VECTOR tiles.

    Args:
        image: transformed pixels of these tiles from `place` on.
        inputs: channels of the input.
        weights: `transform_weights` of all channels of the group.
        tile_first, tile_end, all_tiles: tiles of ROWS channels, at most TILE_BLOCK, out of so many.
        straight, ending, bias, bias_base, channels, result, strides: as in `convolve_unit`.
        vector: number of the first tile, over VECTOR.
        shape: tiles of a row and of a column, height and width of the result.
        words: scratch.
    """
    across, down, height, width = shape[0], shape[1], shape[2], shape[3]
    pitch = _element_pitch(inputs)
    size = inputs * ROWS
    for element in range(_ELEMENTS):
        for tile in range(tile_first, tile_end):
            own, to = (element * all_tiles + tile) * size, (tile - tile_first) * _ELEMENTS + element
            multiply_tile(
                weights, own, image, place + element * pitch, inputs, scratch, to * ROWS * VECTOR, VECTOR, True
            )
    first, last = vector * VECTOR, min((vector + 1) * VECTOR, across * down)
    for channel in range(tile_first * ROWS, min(tile_end * ROWS, channels)):
        tile, row = channel // ROWS - tile_first, channel % ROWS
        for lane in range(0, VECTOR, _LANES):
            sums = (tile * _ELEMENTS * ROWS + row) * VECTOR + lane
            _end_tiles(scratch, sums, bias[bias_base + channel], straight, ending, words, lane * SIDE)
        origin, at = result + channel * strides[2], first
        while at < last:
            y, x = at // across * SIDE, at % across * SIDE
            count, lines = min(across - at % across, last - at), min(SIDE, height - y)
            to, own = origin + y * strides[3] + x * strides[4], (at - first) * SIDE
            pixels = min(count * SIDE, width - x)
            for p in range(0, pixels, VECTOR):
                length = min(VECTOR, pixels - p)
                if strides[4] == 1:
                    move_runs(memory, to + p, strides[3], words, own + p, _LINE, length, lines)
                else:
                    _store_spaced(words, own + p, memory, to + p * strides[4], strides, length, lines)
            at += count


@inner
def _store_spaced(
    words: Halfwords, first: int, memory: Halfwords, to: int, strides: Integers, length: int, lines: int
) -> None:
    for line in range(lines):
        for x in range(length):
            memory[to + line * strides[3] + x * strides[4]] = words[first + line * _LINE + x]
