"""Sums of products over neighbouring results, kept in registers: the inner loops of depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.emit import FLOAT, I64, element_at, every, load, multiply_add, repeat, spread, store
from openane.numerics.jit import VECTOR
from openane.numerics.micro import emit_ends

_VECTORS = 4
CHAINS = _VECTORS * VECTOR
"""Sums that are under way at once."""

_FLOATS = ir.VectorType(FLOAT, VECTOR)
_INDEX = types.int64


def _emit_sums(context: Any, builder: Any, kinds: Any, arguments: Any) -> tuple[list[Any], Any]:
    """CHAINS sums of products and the place of the first; arguments as `sum_products` has them."""
    sums, image, offsets, weights = (
        element_at(context, builder, kinds[i], arguments[i], arguments[i + 1]) for i in (0, 2, 4, 6)
    )
    count, fresh = arguments[8:10]
    started = [
        builder.select(fresh, every(_FLOATS, 0.0), load(builder, builder.gep(sums, [I64(x)]), _FLOATS))
        for x in range(0, CHAINS, VECTOR)
    ]

    def add_products(step: Any, running: Sequence[Any]) -> list[Any]:
        factor = spread(builder, builder.load(builder.gep(weights, [step]), align=4), _FLOATS)
        line = builder.gep(image, [builder.load(builder.gep(offsets, [step]))])
        values = [load(builder, builder.gep(line, [I64(x)]), _FLOATS) for x in range(0, CHAINS, VECTOR)]
        return [multiply_add(builder, factor, *pair) for pair in zip(values, running, strict=True)]

    return repeat(builder, count, started, add_products), sums


@intrinsic
def sum_products(
    typing_context: Any, sums: Any, place: Any, image: Any, first: Any, offsets: Any, step: Any, weights: Any,
    weight: Any, count: Any, fresh: Any,
) -> Any:  # fmt: skip
    """CHAINS sums of products, for k = 0 ... count - 1 in this order.

    sums[place + x] += weights[weight + k] * image[first + offsets[step + k] + x]: one chain of fp32 additions each.
    With `fresh` they begin at zero, whatever stands there.
    """
    places = sums, _INDEX, image, _INDEX, offsets, _INDEX, weights, _INDEX
    signature = types.void(*places, _INDEX, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, target = _emit_sums(context, builder, signature.args, arguments)
        for number, total in enumerate(totals):
            store(builder, total, builder.gep(target, [I64(number * VECTOR)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def end_products(
    typing_context: Any, sums: Any, place: Any, image: Any, first: Any, offsets: Any, step: Any, weights: Any,
    weight: Any, count: Any, fresh: Any, bias: Any, straight: Any, ending: Any, words: Any, word: Any,
) -> Any:  # fmt: skip
    """`sum_products` whose sums are ended and stored as halfwords from words[word] on.

    Args:
        bias: of all sums.
        straight, ending: as in `micro.finish_tile`.
    """
    places = sums, _INDEX, image, _INDEX, offsets, _INDEX, weights, _INDEX
    signature = types.void(
        *places, _INDEX, types.boolean, types.float32, _INDEX, ending, words, _INDEX
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, _ = _emit_sums(context, builder, signature.args, arguments)
        own, code, numbers, target, to = arguments[10:]
        biases = [spread(builder, own, _FLOATS)] * _VECTORS
        start = element_at(context, builder, signature.args[13], target, to)
        settings = element_at(context, builder, signature.args[12], numbers, I64(0))
        ends = [builder.gep(start, [I64(x)]) for x in range(0, CHAINS, VECTOR)]
        emit_ends(builder, totals, biases, code, settings, ends)
        return context.get_dummy_value()

    return signature, generate
