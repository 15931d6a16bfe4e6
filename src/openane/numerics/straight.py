"""Two sources joined element by element in one pass over memory: what most elementwise tasks are. Compiled.

The same arithmetic as `join`, without tiles of float32 in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.emit import I64, element_at, every, load, repeat, spread, store
from openane.numerics.jit import compiled
from openane.numerics.join import BIAS, EPSILON, FINAL_SCALE, MAXIMUM, MINIMUM, MULTIPLY, SCALE
from openane.numerics.vector import FLOATS, LANES, WORDS, narrowed, store_part, widened

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]

_Join = Callable[[Any, Any, Any], Any]


@compiled
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


def _joiner(memory: Any, tile: Any, settings: Any, join: _Join) -> Any:
    """An intrinsic of the memory and the two tuples of `join_rows`."""
    signature = types.void(memory, tile, settings)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *packed = arguments
        to, to_row, first, first_row, second, second_row, repeated, rows, columns = _unpacked(builder, packed[0])
        *numbers, relu = _unpacked(builder, packed[1])
        places = [element_at(context, builder, signature.args[0], array, at) for at in (to, first, second)]
        factors = [spread(builder, value, FLOATS) for value in numbers]

        def joined(a: Any, b: Any, at: Any) -> Any:
            """The results of a vector."""
            single = spread(builder, builder.load(b, align=2), WORDS)
            other = builder.select(repeated, single, load(builder, builder.gep(b, [at]), WORDS))
            values = widened(builder, load(builder, builder.gep(a, [at]), WORDS)), widened(builder, other)
            return _settled(builder, join(builder, *values), factors, relu)

        def row_of(number: Any) -> list[Any]:
            strides = to_row, first_row, second_row
            return [
                builder.gep(place, [builder.mul(number, step)]) for place, step in zip(places, strides, strict=True)
            ]

        def long_row(number: Any, running: Any) -> list[Any]:
            """The last vector overlaps the one before, whose store may change its sources: it is computed first."""
            target, a, b = row_of(number)
            end = builder.sub(columns, I64(LANES))
            last = joined(a, b, end)

            def one_more(vector: Any, running: Any) -> list[Any]:
                at = builder.mul(vector, I64(LANES))
                store(builder, joined(a, b, at), builder.gep(target, [at]))
                return []

            repeat(builder, builder.sdiv(builder.add(end, I64(LANES - 1)), I64(LANES)), [], one_more)
            store(builder, last, builder.gep(target, [end]))
            return []

        def short_row(number: Any, running: Any) -> list[Any]:
            target, a, b = row_of(number)
            store_part(builder, joined(a, b, I64(0)), target, columns)
            return []

        with builder.if_else(builder.icmp_signed(">=", columns, I64(LANES))) as (long, short):
            with long:
                repeat(builder, rows, [], long_row)
            with short:
                repeat(builder, rows, [], short_row)
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
