"""Work on every element in one pass over memory: two sources that are joined as they are, and a source that goes
through two lines. Compiled; the arithmetic of `join` and `lookup` without tiles of float32 in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.emit import I64, element_at, every, load, repeat, spread, store
from openane.numerics.jit import inner
from openane.numerics.join import BIAS, EPSILON, FINAL_SCALE, MAXIMUM, MINIMUM, MULTIPLY, SCALE
from openane.numerics.vector import FLOATS, LANES, WORDS, narrowed, store_part, widened

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]

_Join = Callable[[Any, Any, Any], Any]
_Result = Callable[[Sequence[Any], Any], Any]


@inner
def join_rows(
    memory: Halfwords, to: int, to_row: int, first: int, first_row: int, second: int, second_row: int, step: int,
    rows: int, columns: int, operation: int, numbers: Floats, relu: bool,
) -> None:  # fmt: skip
    """memory[to + y * to_row + x] = the joined and settled values of memory[first + y * first_row + x] and
    memory[second + y * second_row + x * step].

    Reads whole vectors, stores exactly `columns` elements of each row. The result may stand where a source stands.

    Args:
        step: 0 or 1.
        operation, numbers: as in `join`.
    """
    tile = to, to_row, first, first_row, second, second_row, step == 0, rows, columns
    settings = numbers[SCALE], numbers[BIAS], numbers[FINAL_SCALE], numbers[EPSILON], relu
    if operation == MULTIPLY:
        _multiply(memory, tile, settings)
    elif operation == MAXIMUM:
        _larger(memory, tile, settings)
    elif operation == MINIMUM:
        _smaller(memory, tile, settings)
    else:
        _add(memory, tile, settings)


@inner
def bend_rows(
    memory: Halfwords, to: int, to_row: int, first: int, first_row: int, rows: int, columns: int, numbers: Floats
) -> None:  # fmt: skip
    """memory[to + y * to_row + x] = two lines between limits at memory[first + y * first_row + x]; as `join_rows`.

    Args:
        numbers: slope and intercept below 0, and above; the limits of the argument, and the results there.
    """
    tile = to, to_row, first, first_row, rows, columns
    _bend(
        memory, tile, (numbers[0], numbers[1], numbers[2], numbers[3]), (numbers[4], numbers[5], numbers[6], numbers[7])
    )


def _emit_rows(
    builder: Any, places: Sequence[Any], strides: Sequence[Any], rows: Any, columns: Any, result_of: _Result
) -> None:
    """Loops over the rows of a tile and the vectors of a row.

    Args:
        places: pointers to the result and the sources; `strides` of their rows.
        result_of: takes the places of a row and a column in it, gives the halfwords of a vector.
    """

    def row_of(number: Any) -> list[Any]:
        return [builder.gep(place, [builder.mul(number, step)]) for place, step in zip(places, strides, strict=True)]

    def long_row(number: Any, running: Any) -> list[Any]:
        """The last vector overlaps the one before, whose store may change its sources: it is computed first."""
        target, *sources = row_of(number)
        end = builder.sub(columns, I64(LANES))
        last = result_of(sources, end)

        def one_more(vector: Any, running: Any) -> list[Any]:
            at = builder.mul(vector, I64(LANES))
            store(builder, result_of(sources, at), builder.gep(target, [at]))
            return []

        repeat(builder, builder.sdiv(builder.add(end, I64(LANES - 1)), I64(LANES)), [], one_more)
        store(builder, last, builder.gep(target, [end]))
        return []

    def short_row(number: Any, running: Any) -> list[Any]:
        target, *sources = row_of(number)
        store_part(builder, result_of(sources, I64(0)), target, columns)
        return []

    with builder.if_else(builder.icmp_signed(">=", columns, I64(LANES))) as (long, short):
        with long:
            repeat(builder, rows, [], long_row)
        with short:
            repeat(builder, rows, [], short_row)


def _joiner(memory: Any, tile: Any, settings: Any, join: _Join) -> Any:
    """An intrinsic of the memory and the two tuples of `join_rows`."""
    signature = types.void(memory, tile, settings)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *packed = arguments
        to, to_row, first, first_row, second, second_row, repeated, rows, columns = _unpacked(builder, packed[0])
        *numbers, relu = _unpacked(builder, packed[1])
        places = [element_at(context, builder, signature.args[0], array, at) for at in (to, first, second)]
        factors = [spread(builder, value, FLOATS) for value in numbers]

        def joined(sources: Sequence[Any], at: Any) -> Any:
            a, b = sources
            single = spread(builder, builder.load(b, align=2), WORDS)
            other = builder.select(repeated, single, load(builder, builder.gep(b, [at]), WORDS))
            values = widened(builder, load(builder, builder.gep(a, [at]), WORDS)), widened(builder, other)
            return _settled(builder, join(builder, *values), factors, relu)

        _emit_rows(builder, places, (to_row, first_row, second_row), rows, columns, joined)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _bend(typing_context: Any, memory: Any, tile: Any, lines: Any, limits: Any) -> Any:
    """`bend_rows`, with the numbers in two tuples."""
    signature = types.void(memory, tile, lines, limits)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *packed = arguments
        to, to_row, first, first_row, rows, columns = _unpacked(builder, packed[0])
        numbers = [spread(builder, value, FLOATS) for part in packed[1:] for value in _unpacked(builder, part)]
        left, left_start, right, right_start, low, high, below, above = numbers
        places = [element_at(context, builder, signature.args[0], array, at) for at in (to, first)]

        def bent(sources: Sequence[Any], at: Any) -> Any:
            """`lookup._lines_row` without rules for the sign."""
            v = widened(builder, load(builder, builder.gep(sources[0], [at]), WORDS))
            falling = builder.fadd(builder.fmul(left, v), left_start)
            rising = builder.fadd(builder.fmul(right, v), right_start)
            y = builder.select(builder.fcmp_ordered(">", v, every(FLOATS, 0.0)), rising, falling)
            y = builder.select(builder.fcmp_ordered(">=", v, high), above, y)
            return narrowed(builder, builder.select(builder.fcmp_ordered("<=", v, low), below, y))

        _emit_rows(builder, places, (to_row, first_row), rows, columns, bent)
        return context.get_dummy_value()

    return signature, generate


def _unpacked(builder: Any, values: Any) -> list[Any]:
    return [builder.extract_value(values, place) for place in range(len(values.type.elements))]


def _settled(builder: Any, v: Any, settings: Any, relu: Any) -> Any:
    """`join.settle` without a function, as halfwords."""
    scale, bias, final, epsilon = settings
    v = builder.fadd(builder.fmul(v, scale), bias)
    v = builder.fadd(builder.fmul(v, final), epsilon)
    zero = every(FLOATS, 0.0)
    positive = builder.select(builder.fcmp_ordered(">", v, zero), v, zero)
    return narrowed(builder, builder.select(relu, positive, v))


def _first_if(comparison: str) -> _Join:
    def join(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

    return join


@intrinsic
def _add(typing_context: Any, memory: Any, tile: Any, settings: Any) -> Any:
    return _joiner(memory, tile, settings, ir.IRBuilder.fadd)


@intrinsic
def _multiply(typing_context: Any, memory: Any, tile: Any, settings: Any) -> Any:
    return _joiner(memory, tile, settings, ir.IRBuilder.fmul)


@intrinsic
def _larger(typing_context: Any, memory: Any, tile: Any, settings: Any) -> Any:
    return _joiner(memory, tile, settings, _first_if(">"))


@intrinsic
def _smaller(typing_context: Any, memory: Any, tile: Any, settings: Any) -> Any:
    return _joiner(memory, tile, settings, _first_if("<"))
