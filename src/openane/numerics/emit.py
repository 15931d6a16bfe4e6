"""Pieces of LLVM code that several kernels are made of: vectors, fused sums, loops that keep vectors in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir
from numba.core.cgutils import get_or_insert_function

from openane.numerics.jit import NATIVE_FMA, data_of

I16, I32, I64, FLOAT, HALF = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.HalfType()


def every(kind: Any, value: float) -> Any:
    """A constant vector of a kind, the same value in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def spread(builder: Any, value: Any, kind: Any) -> Any:
    """A vector of a kind with the same value in every lane."""
    nothing = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(nothing, value, I32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count))


def element_at(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to an element of a flat array."""
    return builder.gep(data_of(context, builder, array_type, array), [index])


def load(builder: Any, pointer: Any, kind: Any) -> Any:
    """A vector of a kind from where its first element is: no place but a multiple of the element's size is needed."""
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=_element_bytes(kind))


def store(builder: Any, value: Any, pointer: Any) -> None:
    """The opposite of `load`."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_element_bytes(value.type))


def _element_bytes(kind: Any) -> int:
    return 4 if kind.element == FLOAT else 2


def multiply_add(builder: Any, factor: Any, values: Any, total: Any) -> Any:
    """total + factor * values of float32 vectors; a product of two fp16 values is exact, so fusing changes no bit."""
    if not NATIVE_FMA:
        return builder.fadd(total, builder.fmul(factor, values))
    return _call(builder, "fma", factor, values, total)


def magnitude(builder: Any, values: Any) -> Any:
    """Absolute values of a float32 vector."""
    return _call(builder, "fabs", values)


def fence(builder: Any, values: Any) -> Any:
    """The same values, computed before they are stored.

    A choice between a loaded value and another one that goes back to the same place becomes a masked store else,
    which takes many times as long as computing both.
    """
    return _call(builder, "arithmetic.fence", values)


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    """An intrinsic of LLVM whose arguments and result are float32 vectors of one size."""
    kind = vectors[0].type
    function = ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(get_or_insert_function(builder.module, function, f"llvm.{name}.v{kind.count}f32"), vectors)


def repeat(
    builder: Any, count: Any, started: Sequence[Any], body: Callable[[Any, Sequence[Any]], Sequence[Any]]
) -> list[Any]:
    """A loop that keeps vectors in registers.

    Args:
        count: of rounds; none when it is not positive.
        started: the vectors before the first round.
        body: takes the number of the round and the vectors, gives the vectors of the next round. It may branch.

    Returns:
        The vectors after the last round.
    """
    before = builder.block
    loop, done = builder.append_basic_block("round"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), loop, done)

    builder.position_at_end(loop)
    number = builder.phi(I64)
    number.add_incoming(I64(0), before)
    running = [builder.phi(start.type) for start in started]
    following = body(number, running)
    after = builder.add(number, I64(1))
    end = builder.block
    number.add_incoming(after, end)
    builder.cbranch(builder.icmp_signed("<", after, count), loop, done)

    builder.position_at_end(done)
    totals = []
    for start, phi, new in zip(started, running, following, strict=True):
        total = builder.phi(start.type)
        for joined in (phi, total):
            joined.add_incoming(start, before)
            joined.add_incoming(new, end)
        totals.append(total)
    return totals
