"""Vector instructions that Python cannot spell, LANES elements at a time: conversion, transposition, sums in registers.

Offsets count elements of the flat array before them. None of these checks a bound: the callers keep room.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
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
    fence,
    load,
    repeat,
    spread,
    store,
)

LANES = 8
"""Elements of a vector."""

STRIP = 16
"""Columns that `add_rows` and its like join side by side."""

WORDS, HALVES = ir.VectorType(I16, LANES), ir.VectorType(HALF, LANES)
FLOATS = ir.VectorType(FLOAT, LANES)
_INDEX = types.int64


def widened(builder: Any, bits: Any) -> Any:
    """`lookup.read_half` of a vector of any size: infinities become 2^16 with their sign, NaN becomes +2^16."""
    halves, floats = (ir.VectorType(kind, bits.type.count) for kind in (HALF, FLOAT))
    values = builder.fpext(builder.bitcast(bits, halves), floats)
    largest, lowest = every(floats, 65536.0), every(floats, -65536.0)
    values = builder.select(builder.fcmp_ordered("<", values, largest), values, largest)
    return builder.select(builder.fcmp_ordered(">", values, lowest), values, lowest)


def narrowed(builder: Any, values: Any) -> Any:
    """`lookup.store_half` of a vector: NaN becomes +infinity."""
    infinity = every(FLOATS, float("inf"))
    values = builder.select(builder.fcmp_ordered("<", values, infinity), values, infinity)
    return builder.bitcast(builder.fptrunc(values, HALVES), WORDS)


def _canonical(builder: Any, bits: Any) -> Any:
    """What `narrowed` of `widened` gives: NaN becomes +infinity."""
    magnitude = builder.and_(bits, every(WORDS, 0x7FFF))
    infinity = every(WORDS, 0x7C00)
    return builder.select(builder.icmp_unsigned(">", magnitude, infinity), infinity, bits)


def _transposed(builder: Any, rows: Sequence[Any]) -> list[Any]:
    """LANES vectors of halfwords as the columns of a square."""
    half = LANES // 2
    kind = ir.VectorType(I32, LANES)
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
    return _convert(typing_context, (target, source), WORDS, widened)


def _kept(builder: Any, values: Any, count: Any, first: int = 0) -> Any:
    """Lanes before `count`, the others zero; the first lane is number `first`."""
    kind = ir.VectorType(I64, LANES)
    numbers = ir.Constant(kind, [first + lane for lane in range(LANES)])
    return builder.select(builder.icmp_signed("<", numbers, spread(builder, count, kind)), values, every(FLOATS, 0.0))


@intrinsic
def widen_some(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """`widen_lanes` of `count` elements; zeros in the other lanes."""
    signature = types.void(target, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first, count = arguments
        values = widened(builder, load(builder, element_at(context, builder, signature.args[2], s, first), WORDS))
        store(builder, _kept(builder, values, count), element_at(context, builder, signature.args[0], t, place))
        return context.get_dummy_value()

    return signature, generate


def _store_split(builder: Any, halves: Sequence[Any], places: Sequence[Any]) -> None:
    """Every other element of two vectors to each of two places."""
    for part, place in enumerate(places):
        mask = ir.Constant(ir.VectorType(I32, LANES), [2 * lane + part for lane in range(LANES)])
        store(builder, builder.shuffle_vector(*halves, mask), place)


@intrinsic
def widen_split(typing_context: Any, target: Any, even: Any, odd: Any, source: Any, first: Any) -> Any:
    """2 * LANES halfwords: every other one to target[even...], the others to target[odd...]."""
    signature = types.void(target, _INDEX, _INDEX, source, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, even_place, odd_place, s, start = arguments
        pointer = element_at(context, builder, signature.args[3], s, start)
        halves = [widened(builder, load(builder, builder.gep(pointer, [I64(at)]), WORDS)) for at in (0, LANES)]
        places = [element_at(context, builder, signature.args[0], t, place) for place in (even_place, odd_place)]
        _store_split(builder, halves, places)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_split_some(
    typing_context: Any, target: Any, even: Any, odd: Any, source: Any, first: Any, count: Any
) -> Any:  # fmt: skip
    """`widen_split` of the first `count` halfwords; zeros behind them."""
    signature = types.void(target, _INDEX, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, even_place, odd_place, s, start, count = arguments
        pointer = element_at(context, builder, signature.args[3], s, start)
        halves = [
            _kept(builder, widened(builder, load(builder, builder.gep(pointer, [I64(at)]), WORDS)), count, at)
            for at in (0, LANES)
        ]
        places = [element_at(context, builder, signature.args[0], t, place) for place in (even_place, odd_place)]
        _store_split(builder, halves, places)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_lanes(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """float32 to halfwords, as `lookup.store_half` has it."""
    return _convert(typing_context, (target, source), FLOATS, narrowed)


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


def store_part(builder: Any, values: Any, pointer: Any, count: Any) -> None:
    """Stores the first `count` < LANES halfwords of a vector."""
    pairs = builder.bitcast(values, ir.VectorType(I64, 2))
    rest = builder.extract_element(pairs, I32(0))
    for size in (4, 2, 1):
        wanted = builder.icmp_signed("!=", builder.and_(count, I64(size)), I64(0))
        following = builder.extract_element(pairs, I32(1)) if size == 4 else builder.lshr(rest, I64(16 * size))
        with builder.if_then(wanted):
            piece = ir.IntType(16 * size)
            part = rest if size == 4 else builder.trunc(rest, piece)
            builder.store(part, builder.bitcast(pointer, piece.as_pointer()), align=2)
        rest = builder.select(wanted, following, rest)
        pointer = builder.select(wanted, builder.gep(pointer, [I64(size)]), pointer)


def _convert_part(arrays: tuple[Any, Any], kind: Any, change: Callable[..., Any]) -> Any:
    """An intrinsic (target, place, source, first, count): reads a whole vector, stores 0 to LANES - 1 halfwords."""
    target, source = arrays
    signature = types.void(target, _INDEX, source, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, s, first, count = arguments
        values = change(builder, load(builder, element_at(context, builder, signature.args[2], s, first), kind))
        store_part(builder, values, element_at(context, builder, signature.args[0], t, place), count)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_part(typing_context: Any, target: Any, place: Any, source: Any, first: Any, count: Any) -> Any:
    """`narrow_lanes` of which only `count` < LANES elements are stored."""
    return _convert_part((target, source), FLOATS, narrowed)


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
        start, last = element_at(context, builder, signature.args[3], s, first), builder.sub(columns, I64(1))
        vectors = []
        for column in range(LANES):
            inside = builder.icmp_signed("<", I64(column), last)
            offset = builder.mul(builder.select(inside, I64(column), last), stride)
            vectors.append(load(builder, builder.gep(start, [offset]), WORDS))
        to = element_at(context, builder, signature.args[0], t, place)
        for row, values in enumerate(_transposed(builder, vectors)):
            store(builder, change(builder, values), builder.gep(to, [builder.mul(I64(row), pitch)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def widen_square(
    typing_context: Any, target: Any, place: Any, pitch: Any, source: Any, first: Any, stride: Any, columns: Any
) -> Any:
    """A transposed square of halfwords as float32; see `_square`."""
    return _square((target, source), widened)


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


def _line(builder: Any, pointer: Any) -> Iterator[Any]:
    """Vectors that follow one another."""
    return (load(builder, builder.gep(pointer, [I64(x)]), FLOATS) for x in itertools.count(0, LANES))


def _gather_rows(arrays: tuple[Any, Any], join: Callable[..., Any]) -> Any:
    """An intrinsic (totals, place, values, first, pitch, count) of STRIP columns."""
    totals, values = arrays
    signature = types.void(totals, _INDEX, values, _INDEX, _INDEX, _INDEX)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, place, v, first, pitch, count = arguments
        to = element_at(context, builder, signature.args[0], t, place)
        pointers = [builder.gep(to, [I64(x)]) for x in range(0, STRIP, LANES)]
        started = [load(builder, pointer, FLOATS) for pointer in pointers]
        source = element_at(context, builder, signature.args[2], v, first)

        def join_row(row: Any, running: Sequence[Any]) -> list[Any]:
            line = builder.gep(source, [builder.mul(row, pitch)])
            return [join(builder, total, values) for total, values in zip(running, _line(builder, line), strict=False)]

        for total, pointer in zip(repeat(builder, count, started, join_row), pointers, strict=True):
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
