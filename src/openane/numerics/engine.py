"""A whole program in one compiled call: all threads walk the same rows and share the work of each.

A row is a line of int64 numbers: what is done, in how many units, and where operands and parameters lie. Addresses
never depend on values, so the rows are made once. The blocks of units of a row are divided among the threads, the
first blocks to the first thread and so on: a tensor that several rows work on then stays in the caches of the same
processors. Who is done with its own blocks claims those of others, and all go on to the next row when all blocks of
this one are done. A thread that comes late finds less to do, and nobody waits for it. Which thread computes a block
changes nothing in its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.atomic import fetch_add, give_way, load_counter
from openane.numerics.jit import compiled
from openane.numerics.kernels import KERNELS
from openane.numerics.rows import BLOCKS, COST, KIND, KIND_COUNT, UNITS

Integers = npt.NDArray[np.int64]

SPENT = 0
"""The first counter: cost of the blocks that were done."""
_LINE = 8
"""Counters of a cache line, of which only the first is used. The first line is SPENT; then each row has one with the
number of blocks done, and one for each share of the blocks with the number of those that were claimed."""
_MOST_SHARES = 4
"""More threads than this start in the same shares."""
_REPORT = 100_000
"""Cost that a thread has done before it adds to SPENT."""
_PATIENCE = 2000
"""Looks at a counter before the thread gives way to others."""


def addresses(kinds: Iterable[int]) -> Integers:
    """Machine code of the kernels of these kinds, compiled now unless it is known; 0 for all others."""
    found = np.zeros(KIND_COUNT, np.int64)
    for kind in kinds:
        found[kind] = KERNELS[kind].address
    return found


def places(arrays: Sequence[npt.NDArray[Any]]) -> Integers:
    """Addresses and sizes of the arrays, in the order of `rows`; the caller keeps the arrays alive.

    Raises:
        ValueError: an array is not contiguous.
    """
    if not all(array.flags.c_contiguous for array in arrays):
        raise ValueError("the engine takes contiguous arrays")
    return np.array([(array.ctypes.data, array.size) for array in arrays], np.int64).reshape(-1)


@intrinsic
def _call(
    typing_context: Any, kernels: Any, kind: Any, rows: Any, number: Any, begin: Any, end: Any, arrays: Any
) -> Any:
    """Calls the kernel of a kind for some units of a row."""
    whole = ir.IntType(64)
    pointer = whole.as_pointer()
    function = ir.FunctionType(ir.VoidType(), [pointer, whole, whole, pointer])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, value=arguments[place])

        address = builder.load(builder.gep(data(0).data, [arguments[1]]))
        lines = data(2)
        step = builder.extract_value(lines.strides, 0)
        row = builder.add(builder.ptrtoint(lines.data, whole), builder.mul(arguments[3], step))
        code = builder.inttoptr(address, function.as_pointer())
        builder.call(code, [builder.inttoptr(row, pointer), arguments[4], arguments[5], data(6).data])
        return context.get_dummy_value()

    number_type = types.int64
    return types.void(kernels, number_type, rows, number_type, number_type, number_type, arrays), generate


def counters(rows: int) -> Integers:
    """Counters for `execute`, to be zeroed before each run."""
    return np.zeros(_LINE * (1 + rows * (1 + _MOST_SHARES)), np.int64)


@compiled
def execute(
    kernels: Integers, rows: Integers, first: int, end: int, progress: Integers, allowance: int, arrays: Integers,
    thread: int, threads: int,
) -> int:  # fmt: skip
    """Does the rows from `first` up to `end`, together with other threads that call it for the same rows.

    Args:
        kernels: `addresses` of the kinds of the rows.
        progress: `counters`, shared.
        allowance: stops between two blocks when so much is SPENT.
        arrays: `places` of the arrays; scratch and words are the thread's own.
        thread: number of the thread, below `threads`; there need not be all of them.

    Returns:
        The first row that may not be done: `end`, or less when the allowance was spent.
    """
    shares, cost = min(threads, _MOST_SHARES), 0
    for number in range(first, end):
        row, done = rows[number], 0
        blocks = row[BLOCKS]
        done_counter = _LINE * (1 + number * (1 + _MOST_SHARES))
        for turn in range(shares):
            share = (thread + turn) % shares
            begin, stop = blocks * share // shares, blocks * (share + 1) // shares
            counter = done_counter + _LINE * (1 + share)
            if begin + load_counter(progress, counter) >= stop:
                continue
            while load_counter(progress, SPENT) < allowance:
                block = begin + fetch_add(progress, counter, 1)
                if block >= stop:
                    break
                unit, unit_end = row[UNITS] * block // blocks, row[UNITS] * (block + 1) // blocks
                _call(kernels, row[KIND], rows, number, unit, unit_end, arrays)
                cost += row[COST] // blocks
                done += 1
                if cost > _REPORT:
                    fetch_add(progress, SPENT, cost)
                    cost = 0
        if done:
            fetch_add(progress, done_counter, done)
        looks = 0
        while load_counter(progress, done_counter) < blocks:
            if load_counter(progress, SPENT) >= allowance:
                fetch_add(progress, SPENT, cost)
                return number
            looks += 1
            if looks > _PATIENCE:
                give_way()
    fetch_add(progress, SPENT, cost)
    return end
