"""What happens to sums on their way out of the MAC engine: bias, scale, function, rounding. Compiled, row by row."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from openane.numerics.jit import BLOCK, NATIVE_HALF, compiled, inner
from openane.numerics.lookup import INFINITY, evaluate_row, store_half, store_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Offsets = npt.NDArray[np.int64]

ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT, FACTOR_COUNT = 0, 1, 2, 3, 4
"""Places in the `factors` array that the kernels take."""

LINEAR, RELU, TABLE = 0, 1, 2
"""Functions behind the scale."""

_VECTOR = ir.VectorType(ir.FloatType(), BLOCK)
_WORDS = ir.VectorType(ir.IntType(16), BLOCK)


def _spread(builder: Any, value: Any) -> Any:
    """A vector with the same value in every lane."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(nothing, value, ir.IntType(32)(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK))


def _emit_scale(builder: Any, v: Any, bias: Any, acc_bias: Any, scale: Any, flush: Any, limit: Any) -> Any:
    """`scaled` of a vector."""

    def every(number: float) -> Any:
        return ir.Constant(_VECTOR, [number] * BLOCK)

    magnitude = get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.fabs.v{BLOCK}f32")
    small = builder.fcmp_ordered("<", builder.call(magnitude, [v]), _spread(builder, flush))
    v = builder.select(small, every(0.0), v)
    v = builder.fadd(builder.fadd(v, _spread(builder, bias)), _spread(builder, acc_bias))
    v = builder.fmul(v, _spread(builder, scale))
    huge = builder.select(builder.fcmp_ordered(">", v, every(0.0)), every(INFINITY), every(-INFINITY))
    return builder.select(builder.fcmp_ordered(">=", builder.call(magnitude, [v]), _spread(builder, limit)), huge, v)


def _vector_at(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    data = builder.gep(context.make_array(kind)(context, builder, value=array).data, [place])
    return builder.bitcast(data, vector.as_pointer())


@intrinsic
def _scale_block(
    typing_context: Any, values: Any, place: Any, bias: Any, acc_bias: Any, scale: Any, flush: Any, limit: Any,
) -> Any:  # fmt: skip
    """`scaled` of BLOCK values, in place."""
    single = types.float32
    signature = types.void(values, types.int64, single, single, single, single, single)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _vector_at(context, builder, signature.args[0], arguments[0], arguments[1], _VECTOR)
        builder.store(_emit_scale(builder, builder.load(pointer, align=4), *arguments[2:]), pointer, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _finish_block(
    typing_context: Any, values: Any, place: Any, bias: Any, acc_bias: Any, scale: Any, flush: Any, limit: Any,
    relu: Any, result: Any,
) -> Any:  # fmt: skip
    """BLOCK values from `place` on, `scaled`, after ReLU if asked for, as bits in result[place...]."""
    single = types.float32
    signature = types.void(values, types.int64, single, single, single, single, single, types.boolean, result)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = _vector_at(context, builder, signature.args[0], arguments[0], arguments[1], _VECTOR)
        v = _emit_scale(builder, builder.load(source, align=4), *arguments[2:7])
        nothing = ir.Constant(_VECTOR, [0.0] * BLOCK)
        positive = builder.select(builder.fcmp_ordered(">", v, nothing), v, nothing)
        v = builder.select(arguments[7], positive, v)
        bits = builder.bitcast(builder.fptrunc(v, ir.VectorType(ir.HalfType(), BLOCK)), _WORDS)
        bits = builder.select(builder.fcmp_ordered("ord", v, v), bits, ir.Constant(_WORDS, [0x7C00] * BLOCK))
        target = _vector_at(context, builder, signature.args[8], arguments[8], arguments[1], _WORDS)
        builder.store(bits, target, align=2)
        return context.get_dummy_value()

    return signature, generate


@inner
def scaled(v: float, bias: float, acc_bias: float, scale: float, flush: float, limit: float) -> Any:
    """(total + bias + acc_bias) * scale, each step rounded to fp32; tiny totals are 0, large results infinity."""
    total = np.float32(0) if abs(v) < flush else np.float32(v)
    result = np.float32(np.float32(np.float32(total + bias) + acc_bias) * scale)
    huge = np.float32(INFINITY) if result > 0 else np.float32(-INFINITY)
    return huge if abs(result) >= limit else result


@compiled
def finish_row(
    values: Floats, count: int, bias: float, factors: Floats, function: int, table: Floats, meta:
    Offsets, result: Halfwords,
) -> None:  # fmt: skip
    """Bits of the stored results of a row of sums of one channel: `scaled`, then the function, then fp16.

    Args:
        values: the sums; may be overwritten.
        count: of them.
        bias: of the channel; -0.0 without one, which changes nothing.
    """
    acc_bias, scale = factors[ACC_BIAS], factors[POST_SCALE]
    flush, limit = factors[FLUSH_BELOW], factors[OUTPUT_LIMIT]
    own, relu = np.float32(bias), function == RELU
    if function == TABLE:
        rest = 0
        if NATIVE_HALF:
            for j in range(0, count - BLOCK + 1, BLOCK):
                _scale_block(values, j, own, acc_bias, scale, flush, limit)
            rest = count // BLOCK * BLOCK
        for j in range(rest, count):
            values[j] = scaled(values[j], own, acc_bias, scale, flush, limit)
        evaluate_row(values[:count], table, meta)
        store_row(values, count, result)
        return
    rest = 0
    if NATIVE_HALF and count >= BLOCK:  # the last block overlaps the one before
        for j in range(0, count - BLOCK + 1, BLOCK):
            _finish_block(values, j, own, acc_bias, scale, flush, limit, relu, result)
        _finish_block(values, count - BLOCK, own, acc_bias, scale, flush, limit, relu, result)
        rest = count
    for j in range(rest, count):
        v = scaled(values[j], own, acc_bias, scale, flush, limit)
        result[j] = store_half(np.float32(0) if relu and not v > 0 else v)
