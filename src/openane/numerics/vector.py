"""Vector instructions that Python cannot spell, LANES elements at a time: conversion, transposition, sums in registers.

Offsets count elements of the flat array before them. None of these checks a bound: the callers keep room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from openane.numerics.jit import NATIVE_FMA

LANES = 8
"""Elements of a vector."""

STRIP = 16
"""Columns that `add_rows` and its like join side by side."""

CHAINS = 8
"""Vectors of `sum_products`: as many additions are under way at once."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
WORDS, HALVES = ir.VectorType(_I16, LANES), ir.VectorType(ir.HalfType(), LANES)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
_NOTHING = ir.Constant(WORDS, ir.Undefined)
_INDEX = types.int64


def every(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * LANES)


def spread(builder: Any, value: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def element_at(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to an element of an array."""
    return builder.gep(context.make_array(array_type)(context, builder, value=array).data, [index])


def load(builder: Any, pointer: Any, kind: Any) -> Any:
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=_alignment(kind))


def store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_alignment(value.type))


def _alignment(kind: Any) -> int:
    """Bytes that the place of a vector is aligned to: one element."""
    return 4 if kind == FLOATS else 2


def _widened(builder: Any, bits: Any) -> Any:
    """`lookup.read_half` of a vector: infinities become 2^16 with their sign, NaN becomes +2^16."""
    values = builder.fpext(builder.bitcast(bits, HALVES), FLOATS)
    largest, lowest = every(FLOATS, 65536.0), every(FLOATS, -65536.0)
    values = builder.select(builder.fcmp_ordered("<", values, largest), values, largest)
    return builder.select(builder.fcmp_ordered(">", values, lowest), values, lowest)


def _narrowed(builder: Any, values: Any) -> Any:
    """`lookup.store_half` of a vector: NaN becomes +infinity."""
    infinity = every(FLOATS, float("inf"))
    values = builder.select(builder.fcmp_ordered("<", values, infinity), values, infinity)
    return builder.bitcast(builder.fptrunc(values, HALVES), WORDS)


def _canonical(builder: Any, bits: Any) -> Any:
    """What `_narrowed` of `_widened` gives: NaN becomes +infinity."""
    magnitude = builder.and_(bits, every(WORDS, 0x7FFF))
    infinity = every(WORDS, 0x7C00)
    return builder.select(builder.icmp_unsigned(">", magnitude, infinity), infinity, bits)


def _transposed(builder: Any, rows: Sequence[Any]) -> list[Any]:
    """LANES vectors of halfwords as the columns of a square."""
    half = LANES // 2
    kind = ir.VectorType(_I32, LANES)
    low = ir.Constant(kind, [lane // 2 + lane % 2 * LANES for lane in range(LANES)])
    high = ir.Constant(kind, [half + lane // 2 + lane % 2 * LANES for lane in range(LANES)])
    for _ in range(3):
        pairs = [(rows[i], rows[i + half], mask) for i in range(half) for mask in (low, high)]
        rows = [builder.shuffle_vector(*pair) for pair in pairs]
    return list(rows)


def _convert(typing_context: Any, arrays: tuple[Any, Any], kind: Any, change: Callable[..., Any]) -> Any:
    """An intrinsic (target, place, source, first) of one vector."""
    target, source = arrays
    signature = types.void(target, _INDEX, source, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first = arguments
        values = load(builder, element_at(context, builder, signature.args[2], s, first), kind)
        store(builder, change(builder, values), element_at(context, builder, signature.args[0], t, place))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """Halfwords to float32, as `lookup.read_half` has it."""
    return _convert(typing_context, (target, source), WORDS, _widened)


def _kept(builder: Any, values: Any, count: Any, first: int = 0) -> Any:
    """Lanes before `count`, the others zero; the first lane is number `first`."""
    kind = ir.VectorType(_I64, LANES)
    numbers = ir.Constant(kind, [first + lane for lane in range(LANES)])
    return builder.select(builder.icmp_signed("<", numbers, spread(builder, count, kind)), values, every(FLOATS, 0.0))


@intrinsic
def widen_some(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """`widen_lanes` of `count` elements; zeros in the other lanes."""
    signature = types.void(target, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first, count = arguments
        values = _widened(builder, load(builder, element_at(context, builder, signature.args[2], s, first), WORDS))
        store(builder, _kept(builder, values, count), element_at(context, builder, signature.args[0], t, place))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_split(
    typing_context: Any, target: Any, even: Any, odd: Any, source: Any, first: Any, count: Any
) -> Any:  # fmt: skip
    """`count` of 2 * LANES halfwords: every other one to target[even...], the others to target[odd...]; then zeros."""
    signature = types.void(target, _INDEX, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, even_place, odd_place, s, start, count = arguments
        pointer = element_at(context, builder, signature.args[3], s, start)
        low, high = (
            _kept(builder, _widened(builder, load(builder, builder.gep(pointer, [_I64(at)]), WORDS)), count, at)
            for at in (0, LANES)
        )
        for part, place in enumerate((even_place, odd_place)):
            mask = ir.Constant(ir.VectorType(_I32, LANES), [2 * lane + part for lane in range(LANES)])
            to = builder.bitcast(element_at(context, builder, signature.args[0], t, place), FLOATS.as_pointer())
            builder.store(builder.shuffle_vector(low, high, mask), to, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """float32 to halfwords, as `lookup.store_half` has it."""
    return _convert(typing_context, (target, source), FLOATS, _narrowed)


@intrinsic
def move_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """Halfwords; NaN becomes +infinity."""
    return _convert(typing_context, (target, source), WORDS, _canonical)


@intrinsic
def fill_lanes(typing_context: Any, target: Any, place: Any, value: Any) -> Any:
    """The same value everywhere in target[place...]."""
    signature = types.void(target, _INDEX, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = spread(builder, arguments[2], FLOATS)
        store(builder, values, element_at(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """Float32 as they are."""
    return _convert(typing_context, (target, source), FLOATS, lambda builder, values: values)


def _convert_part(arrays: tuple[Any, Any], kind: Any, change: Callable[..., Any]) -> Any:
    """An intrinsic (target, place, source, first, count): reads a whole vector, stores 0 to LANES - 1 halfwords."""
    target, source = arrays
    signature = types.void(target, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first, count = arguments
        values = change(builder, load(builder, element_at(context, builder, signature.args[2], s, first), kind))
        pairs = builder.bitcast(values, ir.VectorType(_I64, 2))
        rest, pointer = (
            builder.extract_element(pairs, _I32(0)),
            element_at(context, builder, signature.args[0], t, place),
        )
        for size in (4, 2, 1):
            wanted = builder.icmp_signed("!=", builder.and_(count, _I64(size)), _I64(0))
            following = builder.extract_element(pairs, _I32(1)) if size == 4 else builder.lshr(rest, _I64(16 * size))
            with builder.if_then(wanted):
                piece = ir.IntType(16 * size)
                part = rest if size == 4 else builder.trunc(rest, piece)
                builder.store(part, builder.bitcast(pointer, piece.as_pointer()), align=2)
            rest = builder.select(wanted, following, rest)
            pointer = builder.select(wanted, builder.gep(pointer, [_I64(size)]), pointer)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_part(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """`narrow_lanes` of which only `count` < LANES elements are stored."""
    return _convert_part((target, source), FLOATS, _narrowed)


@intrinsic
def move_part(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """`move_lanes` of which only `count` < LANES elements are stored."""
    return _convert_part((target, source), WORDS, _canonical)


def _square(arrays: tuple[Any, Any], change: Callable[..., Any]) -> Any:
    """An intrinsic (target, place, pitch, source, first, stride, columns) of LANES x LANES elements.

    target[place + row * pitch + column] = source[first + row + column * stride]; the last of `columns` repeats.
    """
    target, source = arrays
    signature = types.void(target, _INDEX, _INDEX, source, _INDEX, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, pitch, s, first, stride, columns = arguments
        start, last = element_at(context, builder, signature.args[3], s, first), builder.sub(columns, _I64(1))
        vectors = []
        for column in range(LANES):
            inside = builder.icmp_signed("<", _I64(column), last)
            offset = builder.mul(builder.select(inside, _I64(column), last), stride)
            vectors.append(load(builder, builder.gep(start, [offset]), WORDS))
        to = element_at(context, builder, signature.args[0], t, place)
        for row, values in enumerate(_transposed(builder, vectors)):
            store(builder, change(builder, values), builder.gep(to, [builder.mul(_I64(row), pitch)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_square(
    typing_context: Any, target: Any, place: Any, pitch: Any, source: Any, first: Any, stride: Any, columns: Any
) -> Any:
    """A transposed square of halfwords as float32; see `_square`."""
    return _square((target, source), _widened)


@intrinsic
def move_square(
    typing_context: Any, target: Any, place: Any, pitch: Any, source: Any, first: Any, stride: Any, columns: Any
) -> Any:
    """A transposed square of halfwords; NaN becomes +infinity; see `_square`."""
    return _square((target, source), _canonical)


def _gather(arrays: tuple[Any, Any], join: Callable[..., Any]) -> Any:
    """An intrinsic (target, place, source, first): target = join(target, source) of one vector."""
    target, source = arrays
    signature = types.void(target, _INDEX, source, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first = arguments
        to = element_at(context, builder, signature.args[0], t, place)
        values = load(builder, element_at(context, builder, signature.args[2], s, first), FLOATS)
        store(builder, join(builder, load(builder, to, FLOATS), values), to)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target += source."""
    return _gather((target, source), _add)


def _add(builder: Any, total: Any, value: Any) -> Any:
    return builder.fadd(total, value)


@intrinsic
def multiply_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target *= source."""
    return _gather((target, source), lambda builder, total, value: builder.fmul(total, value))


@intrinsic
def scale_lanes(typing_context: Any, target: Any, place: Any, factor: Any, summand: Any) -> Any:
    """target = target * factor + summand, rounded twice."""
    signature = types.void(target, _INDEX, types.float32, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = element_at(context, builder, signature.args[0], *arguments[:2])
        factor, summand = (spread(builder, argument, FLOATS) for argument in arguments[2:])
        values = builder.fmul(load(builder, pointer, FLOATS), factor)
        store(builder, builder.fadd(values, summand), pointer)
        return context.get_dummy_value()

    return signature, generate


def _choose(comparison: str, take_equal: bool = False) -> Callable[..., Any]:
    """Takes the value when the comparison with the total holds; with `take_equal` also when nothing decides."""

    def join(builder: Any, total: Any, value: Any) -> Any:
        first, second = (total, value) if take_equal else (value, total)
        return fence(builder, builder.select(builder.fcmp_ordered(comparison, first, second), first, second))

    return join


def fence(builder: Any, values: Any) -> Any:
    """The same values, computed before they are stored.

    A choice between a loaded value and another one that goes back to the same place becomes a masked store else,
    which takes many times as long as computing both.
    """
    kind = ir.FunctionType(FLOATS, [FLOATS])
    return builder.call(get_or_insert_function(builder.module, kind, f"llvm.arithmetic.fence.v{LANES}f32"), [values])


@intrinsic
def largest_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target = source where that is larger."""
    return _gather((target, source), _choose(">"))


@intrinsic
def smallest_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target = source where that is smaller."""
    return _gather((target, source), _choose("<"))


@intrinsic
def larger_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target = target where that is larger, else source."""
    return _gather((target, source), _choose(">", take_equal=True))


@intrinsic
def smaller_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """target = target where that is smaller, else source."""
    return _gather((target, source), _choose("<", take_equal=True))


@intrinsic
def rectify_lanes(typing_context: Any, target: Any, place: Any) -> Any:
    """target = target where that is positive, else 0."""
    signature = types.void(target, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = element_at(context, builder, signature.args[0], *arguments)
        zero, values = every(FLOATS, 0.0), load(builder, pointer, FLOATS)
        positive = builder.fcmp_ordered(">", values, zero)
        store(builder, fence(builder, builder.select(positive, values, zero)), pointer)
        return context.get_dummy_value()

    return signature, generate


def _emit_rows(builder: Any, started: Sequence[Any], source: Any, pitch: Any, count: Any, join: Any) -> list[Any]:
    """The loop over `count` rows, joined to the vectors they begin with."""
    before = builder.block
    loop, done = builder.append_basic_block("row"), builder.append_basic_block("joined")
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), loop, done)
    builder.position_at_end(loop)
    row = builder.phi(_I64)
    row.add_incoming(_I64(0), before)
    running = [builder.phi(FLOATS) for _ in started]
    line = builder.gep(source, [builder.mul(row, pitch)])
    following = []
    for vector, total in enumerate(running):
        following.append(join(builder, total, load(builder, builder.gep(line, [_I64(LANES * vector)]), FLOATS)))
    after = builder.add(row, _I64(1))
    row.add_incoming(after, loop)
    builder.cbranch(builder.icmp_signed("<", after, count), loop, done)
    builder.position_at_end(done)
    return _totals(builder, before, loop, started, running, following)


def _totals(builder: Any, before: Any, loop: Any, started: Any, running: Any, following: Any) -> list[Any]:
    """What a loop of running vectors leaves, also when it was not entered; completes its phi nodes."""
    totals = []
    for start, phi, new in zip(started, running, following, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(new, loop)
        total = builder.phi(FLOATS)
        total.add_incoming(start, before)
        total.add_incoming(new, loop)
        totals.append(total)
    return totals


def _gather_rows(arrays: tuple[Any, Any], join: Callable[..., Any]) -> Any:
    """An intrinsic (totals, place, values, first, pitch, count) of STRIP columns."""
    totals, values = arrays
    signature = types.void(totals, _INDEX, values, _INDEX, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, v, first, pitch, count = arguments
        to = element_at(context, builder, signature.args[0], t, place)
        pointers = [builder.gep(to, [_I64(x)]) for x in range(0, STRIP, LANES)]
        started = [load(builder, pointer, FLOATS) for pointer in pointers]
        source = element_at(context, builder, signature.args[2], v, first)
        for total, pointer in zip(_emit_rows(builder, started, source, pitch, count, join), pointers, strict=True):
            store(builder, total, pointer)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_rows(typing_context: Any, totals: Any, place: Any, values: Any, first: Any, pitch: Any, count: Any) -> Any:
    """totals[place + x] += values[first + y * pitch + x], y = 0 ... count - 1, for STRIP columns."""
    return _gather_rows((totals, values), _add)


@intrinsic
def largest_rows(typing_context: Any, totals: Any, place: Any, values: Any, first: Any, pitch: Any, count: Any) -> Any:
    """`add_rows` that keeps the largest, of equal ones the first."""
    return _gather_rows((totals, values), _choose(">"))


@intrinsic
def smallest_rows(typing_context: Any, totals: Any, place: Any, values: Any, first: Any, pitch: Any, count: Any) -> Any:
    """`add_rows` that keeps the smallest, of equal ones the first."""
    return _gather_rows((totals, values), _choose("<"))


def _emit_chains(builder: Any, started: Sequence[Any], source: Any, steps: Any, factors: Any, count: Any) -> list[Any]:
    """The loop over `count` products; gives the totals."""
    before = builder.block
    loop, done = builder.append_basic_block("product"), builder.append_basic_block("summed")
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), loop, done)

    builder.position_at_end(loop)
    step = builder.phi(_I64)
    step.add_incoming(_I64(0), before)
    running = [builder.phi(FLOATS) for _ in started]
    factor = spread(builder, builder.load(builder.gep(factors, [step])), FLOATS)
    line = builder.gep(source, [builder.load(builder.gep(steps, [step]))])
    following = []
    for vector, total in enumerate(running):
        values = load(builder, builder.gep(line, [_I64(LANES * vector)]), FLOATS)
        following.append(_multiply_add(builder, factor, values, total))
    after = builder.add(step, _I64(1))
    step.add_incoming(after, loop)
    builder.cbranch(builder.icmp_signed("<", after, count), loop, done)

    builder.position_at_end(done)
    return _totals(builder, before, loop, started, running, following)


def _multiply_add(builder: Any, factor: Any, values: Any, total: Any) -> Any:
    """total + factor * values; the product of two fp16 values is exact, so fusing does not change a bit."""
    if not NATIVE_FMA:
        return builder.fadd(total, builder.fmul(factor, values))
    function = get_or_insert_function(builder.module, ir.FunctionType(FLOATS, [FLOATS] * 3), f"llvm.fma.v{LANES}f32")
    return builder.call(function, [factor, values, total])


@intrinsic
def sum_products(
    typing_context: Any, sums: Any, place: Any, image: Any, first: Any, offsets: Any, step: Any, weights: Any,
    weight: Any, count: Any, fresh: Any,
) -> Any:  # fmt: skip
    """CHAINS * LANES sums of products, for k = 0 ... count - 1 in this order.

    sums[place + x] += weights[weight + k] * image[first + offsets[step + k] + x]: one chain of fp32 additions each.
    With `fresh` they begin at zero, whatever stands there.
    """
    places = sums, _INDEX, image, _INDEX, offsets, _INDEX, weights, _INDEX
    signature = types.void(*places, _INDEX, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, source, steps, factors = (
            element_at(context, builder, signature.args[i], arguments[i], arguments[i + 1]) for i in (0, 2, 4, 6)
        )
        count, fresh = arguments[8:]
        pointers = [builder.gep(to, [_I64(LANES * vector)]) for vector in range(CHAINS)]
        zero = every(FLOATS, 0.0)
        started = [builder.select(fresh, zero, load(builder, pointer, FLOATS)) for pointer in pointers]
        totals = _emit_chains(builder, started, source, steps, factors, count)
        for total, pointer in zip(totals, pointers, strict=True):
            store(builder, total, pointer)
        return context.get_dummy_value()

    return signature, generate
