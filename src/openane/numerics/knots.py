"""The direct modes of the lookup table on whole vectors: `lookup.evaluate` of LANES elements, in registers."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from openane.numerics.emit import element_at, every, fence, load, spread, store
from openane.numerics.vector import FLOATS, HALVES, LANES

LO, HI, BELOW, ABOVE, KNOTS, LEFT, RIGHT = 0, 1, 2, 3, 4, 37, 39
"""Places in the numbers of a table; a line is its slope and its value at 0."""

_LAST_KNOT = 32
_FLOAT, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_INDICES = ir.VectorType(_I32, LANES)


@intrinsic
def follow_knots(
    typing_context: Any, row: Any, place: Any, numbers: Any, unit: Any, shift: Any, sign: Any
) -> Any:  # fmt: skip
    """The table of LANES values row[place...], in place.

    Args:
        unit: steps per 1; `shift`: steps from the first knot to 0.
        sign: the table's sign bits.
    """
    signature = types.void(row, types.int64, numbers, types.float32, types.float32, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        r, at, n, unit, shift, sign = arguments
        pointer = element_at(context, builder, signature.args[0], r, at)
        table = element_at(context, builder, signature.args[2], n, _I64(0))
        values = load(builder, pointer, FLOATS)
        store(builder, fence(builder, _emit(builder, values, table, unit, shift, sign)), pointer)
        return context.get_dummy_value()

    return signature, generate


def _emit(builder: Any, values: Any, table: Any, unit: Any, shift: Any, sign: Any) -> Any:
    """The rule of `lookup`, every choice made at the end."""
    zero = every(FLOATS, 0.0)

    def number(index: int) -> Any:
        return spread(builder, builder.load(builder.gep(table, [_I64(index)])), FLOATS)

    def line(index: int) -> Any:
        return builder.fadd(builder.fmul(number(index), v), number(index + 1))

    def wanted(bit: int, lanes: Any) -> Any:
        asked = builder.icmp_signed("!=", builder.and_(sign, _I64(bit)), _I64(0))
        return builder.select(asked, lanes, ir.Constant(lanes.type, [0] * LANES))

    magnitude = get_or_insert_function(builder.module, ir.FunctionType(FLOATS, [FLOATS]), f"llvm.fabs.v{LANES}f32")
    asked = builder.icmp_signed("!=", builder.and_(sign, _I64(0x40)), _I64(0))
    v = builder.select(asked, builder.call(magnitude, [values]), values)
    negative = builder.fcmp_ordered("<", values, zero)
    place = builder.fadd(builder.fmul(v, spread(builder, unit, FLOATS)), spread(builder, shift, FLOATS))
    y = _chord(builder, table, place)
    y = builder.select(builder.fcmp_ordered("<", place, zero), line(LEFT), y)
    y = builder.select(builder.fcmp_ordered(">", place, every(FLOATS, _LAST_KNOT)), line(RIGHT), y)
    y = builder.select(builder.fcmp_ordered(">=", v, number(HI)), number(ABOVE), y)
    y = builder.select(builder.fcmp_ordered("<=", v, number(LO)), number(BELOW), y)
    y = builder.select(wanted(0x20, negative), builder.fneg(y), y)
    return builder.select(wanted(0x80, negative), zero, y)


def _chord(builder: Any, table: Any, place: Any) -> Any:
    """Between the knots on both sides of a place, both steps rounded to fp16; any value outside of them."""
    zero, last = every(FLOATS, 0.0), every(FLOATS, _LAST_KNOT - 1)
    held = builder.select(builder.fcmp_ordered(">", place, zero), place, zero)
    held = builder.select(builder.fcmp_ordered("<", held, last), held, last)
    index = builder.fptosi(held, _INDICES)
    part = builder.fsub(place, builder.sitofp(index, FLOATS))
    pairs, pair = [], ir.VectorType(_FLOAT, 2)
    knots = builder.gep(table, [_I64(KNOTS)])
    for lane in range(LANES):
        at = builder.zext(builder.extract_element(index, _I32(lane)), _I64)
        pairs.append(builder.load(builder.bitcast(builder.gep(knots, [at]), pair.as_pointer()), align=4))
    while len(pairs) > 1:
        width = pairs[0].type.count
        both = ir.Constant(ir.VectorType(_I32, 2 * width), list(range(2 * width)))
        pairs = [builder.shuffle_vector(pairs[i], pairs[i + 1], both) for i in range(0, len(pairs), 2)]
    low, high = (
        builder.shuffle_vector(
            pairs[0],
            ir.Constant(pairs[0].type, ir.Undefined),
            ir.Constant(_INDICES, [2 * lane + side for lane in range(LANES)]),
        )
        for side in (0, 1)
    )
    rise = _rounded(builder, builder.fmul(builder.fsub(high, low), part))
    return _rounded(builder, builder.fadd(low, rise))


def _rounded(builder: Any, values: Any) -> Any:
    """To fp16 and back."""
    return builder.fpext(builder.fptrunc(values, HALVES), FLOATS)
