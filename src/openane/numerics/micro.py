"""The micro-kernel of dense convolutions: ROWS channels times VECTOR pixels in registers, and what follows the sum.

The multiply-add fuses multiplication and addition. A product of two fp16 values has at most 22 significant bits and
fits fp32 exactly, so the fused and the separate form give the same bits; a processor without the instruction multiplies
and adds, and still agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.emit import (
    FLOAT,
    HALF,
    I16,
    I32,
    I64,
    element_at,
    every,
    load,
    magnitude,
    multiply_add,
    repeat,
    spread,
    store,
)
from openane.numerics.jit import BLOCK, ROWS, VECTOR, data_of

NO_STRAIGHT, ENDED, SCALED, LINED, CLAMPED = 0, 1, 2, 4, 8
"""Straight endings, which the micro-kernel does itself: none, or ENDED with what it does beside adding the bias.
SCALED: AccBias and PostScale; LINED: two lines between limits; CLAMPED: limits none of which is negative."""

(
    FLUSH_BELOW, ACC_BIAS, POST_SCALE, OUTPUT_LIMIT, LEFT, LEFT_START, RIGHT, RIGHT_START, LOW, HIGH, BELOW, ABOVE,
    LARGEST_WORD, LOWEST_WORD, HIGHEST_WORD, STRAIGHT_COUNT,
) = range(16)  # fmt: skip
"""Numbers of a straight ending. WORD: not a number but the bits of a halfword, twice. Without LINED: magnitudes above
LARGEST_WORD become infinity; with CLAMPED, what remains is limited to LOWEST_WORD and HIGHEST_WORD."""

_SUMS, _HALVES = ir.VectorType(FLOAT, VECTOR), ir.VectorType(HALF, VECTOR)
_WORDS = ir.VectorType(I16, VECTOR)


def _emit_sums(builder: Any, weights: Any, pixels: Any, steps: Any, started: Sequence[Any]) -> list[Any]:
    """Adds the products of all steps to ROWS sums, which stay in registers."""

    def step(number: Any, running: Sequence[Any]) -> list[Any]:
        values = load(builder, builder.gep(pixels, [builder.mul(number, I64(VECTOR))]), _SUMS)
        row_weights = builder.gep(weights, [builder.mul(number, I64(ROWS))])
        factors = [spread(builder, weight, _SUMS) for weight in _floats(builder, row_weights)]
        return [multiply_add(builder, factor, values, total) for factor, total in zip(factors, running, strict=True)]

    return repeat(builder, steps, started, step)


def _floats(builder: Any, data: Any) -> list[Any]:
    """ROWS floats, one behind the other."""
    return [builder.load(builder.gep(data, [I64(row)]), align=4) for row in range(ROWS)]


def _places(builder: Any, data: Any, pitch: Any) -> list[Any]:
    """Pointers to ROWS lines."""
    return [builder.gep(data, [builder.mul(pitch, I64(row))]) for row in range(ROWS)]


def _start(builder: Any, lines: Sequence[Any], fresh: Any, kind: Any = _SUMS) -> list[Any]:
    """Zeros when `fresh`, else what stands in the lines, which is not read otherwise."""
    before, kept, begun = builder.block, builder.append_basic_block("kept"), builder.append_basic_block("begun")
    builder.cbranch(fresh, begun, kept)
    builder.position_at_end(kept)
    values = [load(builder, line, kind) for line in lines]
    builder.branch(begun)
    builder.position_at_end(begun)
    return _either(builder, [every(kind, 0.0)] * len(lines), before, values, kept)


def _either(builder: Any, values: Sequence[Any], block: Any, others: Sequence[Any], other_block: Any) -> list[Any]:
    """What comes from the one block or from the other."""
    phis = [builder.phi(value.type) for value in values]
    for phi, value, other in zip(phis, values, others, strict=True):
        phi.add_incoming(value, block)
        phi.add_incoming(other, other_block)
    return phis


@intrinsic
def multiply_tile(
    typing_context: Any, weights: Any, first_weight: Any, pixels: Any, first_pixel: Any, count: Any,
    sums: Any, first_sum: Any, pitch: Any, fresh: Any,
) -> Any:  # fmt: skip
    """sums[row, column] += weights[k, row] * pixels[k, column] for k in order, ROWS rows and VECTOR columns.

    `weights` holds ROWS floats per step, `pixels` VECTOR floats per step, rows of `sums` are `pitch` apart. Each
    of the sums is one chain of fp32 additions in the order of k, as a scalar loop would do it. With `fresh` the sums
    begin at zero, whatever stands there.
    """
    places = weights, types.int64, pixels, types.int64, types.int64, sums, types.int64, types.int64
    signature = types.void(*places, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w0, p, p0, steps, s, s0, row_pitch, new = arguments
        kinds = signature.args
        weight_data = element_at(context, builder, kinds[0], w, w0)
        pixel_data = element_at(context, builder, kinds[2], p, p0)
        lines = _places(builder, element_at(context, builder, kinds[5], s, s0), row_pitch)
        totals = _emit_sums(builder, weight_data, pixel_data, steps, _start(builder, lines, new))
        for total, line in zip(totals, lines, strict=True):
            store(builder, total, line)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def finish_tile(
    typing_context: Any, weights: Any, first_weight: Any, pixels: Any, first_pixel: Any, count: Any,
    sums: Any, first_sum: Any, pitch: Any, fresh: Any, bias: Any, first_bias: Any, straight: Any, ending: Any,
    result: Any, first_result: Any, stride: Any,
) -> Any:  # fmt: skip
    """`multiply_tile` whose sums are ended and stored as halfwords instead of being kept.

    Args:
        bias: of ROWS channels from `first_bias` on.
        straight: a sum of ENDED and its like.
        ending: STRAIGHT_COUNT numbers.
        result: VECTOR halfwords of each channel, side by side; channels are `stride` apart.
    """
    whole = types.int64
    places = weights, whole, pixels, whole, whole, sums, whole, whole, types.boolean, bias, whole, whole
    signature = types.void(*places, ending, result, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w0, p, p0, steps, s, s0, row_pitch, new, b, b0, code, e, r, r0, channel_stride = arguments
        kinds = signature.args
        weight_data = element_at(context, builder, kinds[0], w, w0)
        pixel_data = element_at(context, builder, kinds[2], p, p0)
        lines = _places(builder, element_at(context, builder, kinds[5], s, s0), row_pitch)
        totals = _emit_sums(builder, weight_data, pixel_data, steps, _start(builder, lines, new))
        biases = _floats(builder, element_at(context, builder, kinds[9], b, b0))
        numbers = data_of(context, builder, kinds[12], e)
        places = _places(builder, element_at(context, builder, kinds[13], r, r0), channel_stride)
        emit_ends(builder, totals, [spread(builder, bias, _SUMS) for bias in biases], code, numbers, places)
        return context.get_dummy_value()

    return signature, generate


def emit_ends(
    builder: Any, totals: Sequence[Any], biases: Sequence[Any], code: Any, numbers: Any, places: Sequence[Any]
) -> None:
    """Ends vectors of sums and stores them, each with a vector of biases and a place of its own.

    What needs no float32 is done with the rounded halfwords, which are twice as many in a register.
    """

    def number(place: int) -> Any:
        return spread(builder, builder.load(builder.gep(numbers, [I64(place)]), align=4), _SUMS)

    def asked(flag: int) -> Any:
        return builder.icmp_signed("!=", builder.and_(code, I64(flag)), I64(0))

    flush = number(FLUSH_BELOW)
    values = [
        builder.fadd(builder.select(_is_small(builder, total, flush), every(_SUMS, 0.0), total), bias)
        for total, bias in zip(totals, biases, strict=True)
    ]
    values = _if(builder, asked(SCALED), values, lambda v: _scaled(builder, v, number))
    values = _if(builder, asked(LINED), values, lambda v: _between_lines(builder, v, number))
    words = [builder.bitcast(builder.fptrunc(v, _HALVES), _WORDS) for v in values]
    with builder.if_else(asked(CLAMPED)) as (by_clamp, by_limit):
        for branch, end in ((by_clamp, _clamped), (by_limit, _limited)):
            with branch:
                for word, place in zip(words, places, strict=True):
                    ended = end(builder, word, lambda name: _spread_word(builder, numbers, name))
                    store(builder, ended, place)


def _if(builder: Any, condition: Any, values: Sequence[Any], change: Callable[[Any], Any]) -> list[Any]:
    """The values, changed under a condition."""
    before = builder.block
    with builder.if_then(condition):
        changed = [change(value) for value in values]
        within = builder.block
    return _either(builder, values, before, changed, within)


def _is_small(builder: Any, v: Any, limit: Any) -> Any:
    return builder.fcmp_ordered("<", magnitude(builder, v), limit)


def _scaled(builder: Any, v: Any, number: Callable[[int], Any]) -> Any:
    return builder.fmul(builder.fadd(v, number(ACC_BIAS)), number(POST_SCALE))


def _between_lines(builder: Any, v: Any, number: Callable[[int], Any]) -> Any:
    """The output limit, then `lookup._lines_row` without rules for the sign."""
    large = builder.fcmp_ordered(">=", magnitude(builder, v), number(OUTPUT_LIMIT))
    positive = builder.fcmp_ordered(">", v, every(_SUMS, 0.0))
    v = builder.select(large, builder.select(positive, every(_SUMS, 65536.0), every(_SUMS, -65536.0)), v)
    left = builder.fadd(builder.fmul(number(LEFT), v), number(LEFT_START))
    right = builder.fadd(builder.fmul(number(RIGHT), v), number(RIGHT_START))
    y = builder.select(builder.fcmp_ordered(">", v, every(_SUMS, 0.0)), right, left)
    y = builder.select(builder.fcmp_ordered(">=", v, number(HIGH)), number(ABOVE), y)
    return builder.select(builder.fcmp_ordered("<=", v, number(LOW)), number(BELOW), y)


def _spread_word(builder: Any, numbers: Any, place: int) -> Any:
    """A vector of the halfword that a number holds twice."""
    pair = builder.load(builder.bitcast(builder.gep(numbers, [I64(place)]), I32.as_pointer()), align=4)
    return builder.bitcast(spread(builder, pair, ir.VectorType(I32, VECTOR // 2)), _WORDS)


def _limited(builder: Any, words: Any, word: Callable[[int], Any]) -> Any:
    """Large magnitudes as infinity of their sign."""
    magnitude = builder.and_(words, every(_WORDS, 0x7FFF))
    large = builder.icmp_signed(">", magnitude, word(LARGEST_WORD))
    infinity = builder.and_(builder.or_(words, every(_WORDS, 0x7C00)), every(_WORDS, 0xFC00))
    return builder.select(large, infinity, words)


def _clamped(builder: Any, words: Any, word: Callable[[int], Any]) -> Any:
    """Halfwords of positive numbers are ordered as integers, and negative ones are negative as integers."""
    low = word(LOWEST_WORD)
    words = builder.select(builder.icmp_signed(">", words, low), words, low)
    large = builder.sext(builder.icmp_signed(">", words, word(LARGEST_WORD)), _WORDS)
    words, high = builder.or_(words, large), word(HIGHEST_WORD)
    return builder.select(builder.icmp_unsigned("<", words, high), words, high)


REST_TILES, REST_SIDE = 8, 8
"""Tiles that `multiply_rest` computes together, and the floats that it keeps of each: ROWS and some of the next."""

_REST = ir.VectorType(FLOAT, REST_SIDE)


@intrinsic
def multiply_rest(
    typing_context: Any, weights: Any, first_weight: Any, tile_stride: Any, tiles: Any, scratch: Any, first_pixel: Any,
    count: Any, place: Any, fresh: Any,
) -> Any:  # fmt: skip
    """`multiply_tile` of a single pixel and REST_TILES tiles, for whose channels it keeps sums in the scratch.

    Args:
        tile_stride: from a tile to the next; what stands for tiles behind the first `tiles` means nothing.
        scratch: pixels from `first_pixel` on, VECTOR apart, and sums from `place` on, REST_SIDE for each tile.
    """
    whole = types.int64
    signature = types.void(weights, whole, whole, whole, scratch, whole, whole, whole, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w0, stride, known, p, p0, steps, s0, new = arguments
        last, starts = builder.sub(known, I64(1)), []
        for tile in range(REST_TILES):
            own = builder.select(builder.icmp_signed("<", last, I64(tile)), last, I64(tile))
            place = builder.add(w0, builder.mul(own, stride))
            starts.append(element_at(context, builder, signature.args[0], w, place))
        pixel = element_at(context, builder, signature.args[4], p, p0)
        sums = element_at(context, builder, signature.args[4], p, s0)

        def step(number: Any, running: Sequence[Any]) -> list[Any]:
            value = spread(builder, builder.load(builder.gep(pixel, [builder.mul(number, I64(VECTOR))])), _REST)
            at = builder.mul(number, I64(ROWS))
            factors = [load(builder, builder.gep(start, [at]), _REST) for start in starts]
            return [multiply_add(builder, factor, value, total) for factor, total in zip(factors, running, strict=True)]

        lines = [builder.gep(sums, [I64(tile * REST_SIDE)]) for tile in range(REST_TILES)]
        for total, line in zip(repeat(builder, steps, _start(builder, lines, new, _REST), step), lines, strict=True):
            store(builder, total, line)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def finish_rest(
    typing_context: Any, sums: Any, place: Any, bias: Any, first_bias: Any, straight: Any, ending: Any, words: Any
) -> Any:
    """Ends what `multiply_rest` left of two tiles and puts it in the first halfwords of `words`, REST_SIDE for each.

    Other arguments as in `finish_tile`.
    """
    whole = types.int64
    signature = types.void(sums, whole, bias, whole, whole, ending, words)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        s, s0, b, b0, code, numbers, result = arguments
        total = load(builder, element_at(context, builder, signature.args[0], s, s0), _SUMS)
        own = element_at(context, builder, signature.args[2], b, b0)
        both = [load(builder, builder.gep(own, [I64(at)]), _REST) for at in (0, ROWS)]
        biases = builder.shuffle_vector(*both, ir.Constant(ir.VectorType(I32, VECTOR), list(range(VECTOR))))
        places = [data_of(context, builder, signature.args[6], result)]
        emit_ends(builder, [total], [biases], code, data_of(context, builder, signature.args[5], numbers), places)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def multiply_line(
    typing_context: Any, weights: Any, first_weight: Any, values: Any, count: Any, tile_stride: Any, sums: Any,
    first_sum: Any, fresh: Any,
) -> Any:  # fmt: skip
    """sums[t, column] += weights[t, k, column] * values[k] for k in order: one pixel, LINE_TILES tiles of channels.

    `weights` holds VECTOR halfwords per step, finite ones; tiles are `tile_stride` apart; `values` one float per step.
    """
    places = weights, types.int64, values, types.int64, types.int64, sums, types.int64
    signature = types.void(*places, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w0, x, steps, step_tile, s, s0, new = arguments
        kinds = signature.args
        weight_data = element_at(context, builder, kinds[0], w, w0)
        value_data = data_of(context, builder, kinds[2], x)
        sum_data = element_at(context, builder, kinds[5], s, s0)
        _emit_line(builder, weight_data, value_data, steps, step_tile, sum_data, new)
        return context.get_dummy_value()

    return signature, generate


LINE_TILES = 4
"""Tiles that `multiply_line` computes together, so that one addition need not wait for the one before."""


def _emit_line(builder: Any, weights: Any, values: Any, steps: Any, tile_stride: Any, sums: Any, fresh: Any) -> None:
    def step(number: Any, running: Sequence[Any]) -> list[Any]:
        value = spread(builder, builder.load(builder.gep(values, [number])), _SUMS)
        totals = []
        for tile, total in enumerate(running):
            place = builder.add(builder.mul(number, I64(VECTOR)), builder.mul(tile_stride, I64(tile)))
            halves = builder.bitcast(load(builder, builder.gep(weights, [place]), _WORDS), _HALVES)
            totals.append(multiply_add(builder, builder.fpext(halves, _SUMS), value, total))
        return totals

    lines = [builder.gep(sums, [I64(tile * VECTOR)]) for tile in range(LINE_TILES)]
    for total, line in zip(repeat(builder, steps, _start(builder, lines, fresh), step), lines, strict=True):
        store(builder, total, line)


@intrinsic
def widen_finite(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """BLOCK halfwords source[first...], none of them infinite or NaN, to float32 target[place...]."""
    signature = types.void(target, types.int64, source, types.int64)
    halves, floats = ir.VectorType(HALF, BLOCK), ir.VectorType(FLOAT, BLOCK)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, t0, s, s0 = arguments
        words = load(builder, element_at(context, builder, signature.args[2], s, s0), ir.VectorType(I16, BLOCK))
        values = builder.fpext(builder.bitcast(words, halves), floats)
        store(builder, values, element_at(context, builder, signature.args[0], t, t0))
        return context.get_dummy_value()

    return signature, generate
