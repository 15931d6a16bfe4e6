"""Counters that threads share without the interpreter: atomic addition, a load that sees it, and a short wait."""

from __future__ import annotations

import os
from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_CAN_YIELD = hasattr(os, "sched_yield")


def _counter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
    return builder.gep(data, [arguments[1]])


@intrinsic
def fetch_add(typing_context: Any, counters: Any, place: Any, value: Any) -> Any:
    """Adds to an int64 counter and returns what it was before; what was written before the call is visible after it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _counter(context, builder, signature, arguments), arguments[2], "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


@intrinsic
def load_counter(typing_context: Any, counters: Any, place: Any) -> Any:
    """An int64 counter as the other threads have left it, and all that they wrote before they changed it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_counter(context, builder, signature, arguments), "acquire", 8)

    return types.int64(counters, types.int64), generate


@intrinsic
def give_way(typing_context: Any) -> Any:
    """Lets another thread run on this core; does nothing where the system has no such call."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _CAN_YIELD:
            function = get_or_insert_function(builder.module, ir.FunctionType(_I32, []), "sched_yield")
            builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), generate
