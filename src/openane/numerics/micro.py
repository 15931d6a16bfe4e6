"""The micro-kernel of dense convolutions: ROWS channels times VECTOR pixels in registers, and what follows the sum.

The multiply-add fuses multiplication and addition. A product of two fp16 values has at most 22 significant bits and
fits fp32 exactly, so the fused and the separate form give the same bits; a processor without the instruction multiplies
and adds, and still agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from openane.numerics.jit import BLOCK, NATIVE_FMA, ROWS, VECTOR, data_of

NO_STRAIGHT, FLOOR, LINES = 0, 1, 2
"""Endings that the micro-kernel knows: none, max(v, floor), two lines between limits."""

(
    FLUSH_BELOW, ACC_BIAS, POST_SCALE, OUTPUT_LIMIT, FLOOR_VALUE, LEFT, LEFT_START, RIGHT, RIGHT_START, LOW, HIGH,
    BELOW, ABOVE, STRAIGHT_COUNT,
) = range(14)  # fmt: skip
"""Numbers of a straight ending."""

_I16, _I32, _I64, _FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_SUMS, _HALVES = ir.VectorType(_FLOAT, VECTOR), ir.VectorType(ir.HalfType(), VECTOR)
_WORDS = ir.VectorType(_I16, VECTOR)


def _every(number: float) -> Any:
    return ir.Constant(_SUMS, [number] * VECTOR)


def _spread(builder: Any, value: Any) -> Any:
    """A vector with the same value in every lane."""
    nothing = ir.Constant(_SUMS, ir.Undefined)
    single = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(_I32, VECTOR), [0] * VECTOR))


def _multiply_add(builder: Any, weight: Any, values: Any, running: Any) -> Any:
    if not NATIVE_FMA:
        return builder.fadd(running, builder.fmul(weight, values))
    kind = ir.FunctionType(_SUMS, [_SUMS] * 3)
    function = get_or_insert_function(builder.module, kind, f"llvm.fma.v{VECTOR}f32")
    return builder.call(function, [weight, values, running])


def _emit_sums(builder: Any, weights: Any, pixels: Any, steps: Any, started: Sequence[Any]) -> list[Any]:
    """Adds the products of all steps to ROWS sums, which stay in registers."""
    before = builder.block
    loop, done = builder.append_basic_block("step"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", steps, _I64(0)), loop, done)

    builder.position_at_end(loop)
    step = builder.phi(_I64)
    step.add_incoming(_I64(0), before)
    running = [builder.phi(_SUMS) for _ in range(ROWS)]
    column = builder.bitcast(builder.gep(pixels, [builder.mul(step, _I64(VECTOR))]), _SUMS.as_pointer())
    values = builder.load(column, align=4)
    row_weights = builder.gep(weights, [builder.mul(step, _I64(ROWS))])
    following = []
    for row in range(ROWS):
        weight = builder.load(builder.gep(row_weights, [_I64(row)]), align=4)
        following.append(_multiply_add(builder, _spread(builder, weight), values, running[row]))
    after = builder.add(step, _I64(1))
    builder.cbranch(builder.icmp_signed("<", after, steps), loop, done)
    step.add_incoming(after, builder.block)
    for phi, start, new in zip(running, started, following, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(new, loop)

    builder.position_at_end(done)
    totals = [builder.phi(_SUMS) for _ in range(ROWS)]
    for total, start, new in zip(totals, started, following, strict=True):
        total.add_incoming(start, before)
        total.add_incoming(new, loop)
    return totals


def _lines_of_sums(builder: Any, sums: Any, pitch: Any) -> list[Any]:
    """Pointers to the vectors of ROWS lines."""
    lines = [builder.gep(sums, [builder.mul(pitch, _I64(row))]) for row in range(ROWS)]
    return [builder.bitcast(line, _SUMS.as_pointer()) for line in lines]


def _start(builder: Any, lines: Sequence[Any], fresh: Any) -> list[Any]:
    return [builder.select(fresh, _every(0.0), builder.load(line, align=4)) for line in lines]


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
        weight_data = builder.gep(data_of(context, builder, kinds[0], w), [w0])
        pixel_data = builder.gep(data_of(context, builder, kinds[2], p), [p0])
        lines = _lines_of_sums(builder, builder.gep(data_of(context, builder, kinds[5], s), [s0]), row_pitch)
        totals = _emit_sums(builder, weight_data, pixel_data, steps, _start(builder, lines, new))
        for total, line in zip(totals, lines, strict=True):
            builder.store(total, line, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def finish_tile(
    typing_context: Any, weights: Any, first_weight: Any, pixels: Any, first_pixel: Any, count: Any,
    sums: Any, first_sum: Any, pitch: Any, fresh: Any, bias: Any, first_bias: Any, rows: Any, ending: Any, lines: Any,
    result: Any, first_result: Any, stride: Any,
) -> Any:  # fmt: skip
    """`multiply_tile` whose sums are ended and stored as halfwords instead of being kept.

    Args:
        bias: of ROWS channels from `first_bias` on.
        rows: channels that are stored.
        ending: STRAIGHT_COUNT numbers.
        lines: whether the ending is LINES, else FLOOR.
        result: VECTOR halfwords of each channel, side by side; channels are `stride` apart.
    """
    whole = types.int64
    places = weights, whole, pixels, whole, whole, sums, whole, whole, types.boolean, bias, whole, whole
    signature = types.void(*places, ending, types.boolean, result, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w0, p, p0, steps, s, s0, row_pitch, new, b, b0, kept, e, straight, r, r0, channel_stride = arguments
        kinds = signature.args
        weight_data = builder.gep(data_of(context, builder, kinds[0], w), [w0])
        pixel_data = builder.gep(data_of(context, builder, kinds[2], p), [p0])
        started = _lines_of_sums(builder, builder.gep(data_of(context, builder, kinds[5], s), [s0]), row_pitch)
        totals = _emit_sums(builder, weight_data, pixel_data, steps, _start(builder, started, new))
        biases = builder.gep(data_of(context, builder, kinds[9], b), [b0])
        numbers = data_of(context, builder, kinds[12], e)
        target = builder.gep(data_of(context, builder, kinds[14], r), [r0])
        with builder.if_else(straight) as (by_lines, by_floor):
            with by_lines:
                _emit_ends(builder, totals, biases, kept, numbers, target, channel_stride, _between_lines)
            with by_floor:
                _emit_ends(builder, totals, biases, kept, numbers, target, channel_stride, _above_floor)
        return context.get_dummy_value()

    return signature, generate


def _emit_ends(
    builder: Any, totals: Sequence[Any], biases: Any, rows: Any, numbers: Any, target: Any, stride: Any, function: Any
) -> None:
    """Ends and stores the sums of the channels that are kept."""
    spread = {name: _spread(builder, builder.load(builder.gep(numbers, [_I64(name)]))) for name in range(LEFT)}
    for row, total in enumerate(totals):
        with builder.if_then(builder.icmp_signed(">", rows, _I64(row))):
            bias = _spread(builder, builder.load(builder.gep(biases, [_I64(row)])))
            v = function(builder, _scaled(builder, total, bias, spread), spread[FLOOR_VALUE], numbers)
            place = builder.gep(target, [builder.mul(stride, _I64(row))])
            words = builder.bitcast(builder.fptrunc(v, _HALVES), _WORDS)
            builder.store(words, builder.bitcast(place, _WORDS.as_pointer()), align=2)


def _scaled(builder: Any, v: Any, bias: Any, numbers: Any) -> Any:
    """`finish.scaled` of finite values."""
    kind = ir.FunctionType(_SUMS, [_SUMS])
    magnitude = get_or_insert_function(builder.module, kind, f"llvm.fabs.v{VECTOR}f32")
    small = builder.fcmp_ordered("<", builder.call(magnitude, [v]), numbers[FLUSH_BELOW])
    v = builder.select(small, _every(0.0), v)
    v = builder.fmul(builder.fadd(builder.fadd(v, bias), numbers[ACC_BIAS]), numbers[POST_SCALE])
    large = builder.fcmp_ordered(">=", builder.call(magnitude, [v]), numbers[OUTPUT_LIMIT])
    huge = builder.select(builder.fcmp_ordered(">", v, _every(0.0)), _every(65536.0), _every(-65536.0))
    return builder.select(large, huge, v)


def _above_floor(builder: Any, v: Any, floor: Any, numbers: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", v, floor), v, floor)


def _between_lines(builder: Any, v: Any, floor: Any, numbers: Any) -> Any:
    """`lookup._lines_row` without rules for the sign."""

    def number(place: int) -> Any:
        return _spread(builder, builder.load(builder.gep(numbers, [_I64(place)])))

    left = builder.fadd(builder.fmul(number(LEFT), v), number(LEFT_START))
    right = builder.fadd(builder.fmul(number(RIGHT), v), number(RIGHT_START))
    y = builder.select(builder.fcmp_ordered(">", v, _every(0.0)), right, left)
    y = builder.select(builder.fcmp_ordered(">=", v, number(HIGH)), number(ABOVE), y)
    return builder.select(builder.fcmp_ordered("<=", v, number(LOW)), number(BELOW), y)


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
        weight_data = builder.gep(data_of(context, builder, kinds[0], w), [w0])
        value_data = data_of(context, builder, kinds[2], x)
        sum_data = builder.gep(data_of(context, builder, kinds[5], s), [s0])
        _emit_line(builder, weight_data, value_data, steps, step_tile, sum_data, new)
        return context.get_dummy_value()

    return signature, generate


LINE_TILES = 4
"""Tiles that `multiply_line` computes together, so that one addition need not wait for the one before."""


def _emit_line(builder: Any, weights: Any, values: Any, steps: Any, tile_stride: Any, sums: Any, fresh: Any) -> None:
    lines = [
        builder.bitcast(builder.gep(sums, [_I64(tile * VECTOR)]), _SUMS.as_pointer()) for tile in range(LINE_TILES)
    ]
    started = _start(builder, lines, fresh)
    before = builder.block
    loop, done = builder.append_basic_block("step"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", steps, _I64(0)), loop, done)
    builder.position_at_end(loop)
    step = builder.phi(_I64)
    step.add_incoming(_I64(0), before)
    running = [builder.phi(_SUMS) for _ in range(LINE_TILES)]
    value = _spread(builder, builder.load(builder.gep(values, [step])))
    following = []
    for tile in range(LINE_TILES):
        place = builder.add(builder.mul(step, _I64(VECTOR)), builder.mul(tile_stride, _I64(tile)))
        pointer = builder.bitcast(builder.gep(weights, [place]), _WORDS.as_pointer())
        halves = builder.bitcast(builder.load(pointer, align=2), _HALVES)
        following.append(_multiply_add(builder, builder.fpext(halves, _SUMS), value, running[tile]))
    after = builder.add(step, _I64(1))
    builder.cbranch(builder.icmp_signed("<", after, steps), loop, done)
    step.add_incoming(after, builder.block)
    for phi, start, new in zip(running, started, following, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(new, loop)
    builder.position_at_end(done)
    totals = [builder.phi(_SUMS) for _ in range(LINE_TILES)]
    for total, start, new, line in zip(totals, started, following, lines, strict=True):
        total.add_incoming(start, before)
        total.add_incoming(new, loop)
        builder.store(total, line, align=4)


@intrinsic
def widen_finite(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """BLOCK halfwords source[first...], none of them infinite or NaN, to float32 target[place...]."""
    signature = types.void(target, types.int64, source, types.int64)
    halves, floats = ir.VectorType(ir.HalfType(), BLOCK), ir.VectorType(_FLOAT, BLOCK)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, t0, s, s0 = arguments
        start = builder.gep(data_of(context, builder, signature.args[2], s), [s0])
        end = builder.gep(data_of(context, builder, signature.args[0], t), [t0])
        words = builder.load(builder.bitcast(start, ir.VectorType(_I16, BLOCK).as_pointer()), align=2)
        values = builder.fpext(builder.bitcast(words, halves), floats)
        builder.store(values, builder.bitcast(end, floats.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_vector(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """VECTOR halfwords source[first...] to float32 target[place...]; returns a bit for each that is infinite or NaN,
    whose float32 is not what the data path sees."""
    signature = types.int64(target, types.int64, source, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, t0, s, s0 = arguments
        start = builder.gep(data_of(context, builder, signature.args[2], s), [s0])
        end = builder.gep(data_of(context, builder, signature.args[0], t), [t0])
        words = builder.load(builder.bitcast(start, _WORDS.as_pointer()), align=2)
        values = builder.fpext(builder.bitcast(words, _HALVES), _SUMS)
        builder.store(values, builder.bitcast(end, _SUMS.as_pointer()), align=4)
        exponent = ir.Constant(_WORDS, [0x7C00] * VECTOR)
        special = builder.icmp_unsigned("==", builder.and_(words, exponent), exponent)
        return builder.zext(builder.bitcast(special, ir.IntType(VECTOR)), _I64)

    return signature, generate


@intrinsic
def move_run(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """target[place...] = source[first...] for 1 to VECTOR halfwords, exactly: two moves that overlap."""
    signature = types.void(target, types.int64, source, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, t0, s, s0, length = arguments
        end = builder.gep(data_of(context, builder, signature.args[0], t), [t0])
        start = builder.gep(data_of(context, builder, signature.args[2], s), [s0])

        def move(words: int) -> None:
            kind = ir.VectorType(_I16, words).as_pointer()
            last = builder.sub(length, _I64(words))
            head, tail = (
                builder.load(builder.bitcast(builder.gep(start, [place]), kind), align=2) for place in (_I64(0), last)
            )
            builder.store(head, builder.bitcast(end, kind), align=2)
            builder.store(tail, builder.bitcast(builder.gep(end, [last]), kind), align=2)

        sizes = [VECTOR // 2, VECTOR // 4, VECTOR // 8, 1]
        done = builder.append_basic_block("moved")
        for words in sizes:
            fits, less = builder.append_basic_block("fits"), builder.append_basic_block("less")
            builder.cbranch(builder.icmp_signed(">=", length, _I64(words)), fits, less)
            builder.position_at_end(fits)
            move(words)
            builder.branch(done)
            builder.position_at_end(less)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate
