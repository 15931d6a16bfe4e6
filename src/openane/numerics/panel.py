"""Gathering the pixels of a dense convolution: VECTOR of them side by side for every step, in one panel of float32.

Pixels that follow each other in the result stand in runs in the source: a run ends where a row ends. A run is moved as
a whole vector; what stands behind its end is overwritten by the next run or the next step, and what remains belongs to
pixels that nobody stores. So the source has SLACK elements behind its last one, and the panel VECTOR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from openane.numerics.emit import FLOAT, HALF, I16, I32, I64, element_at, every, load, repeat, store
from openane.numerics.jit import BLOCK, NATIVE_HALF, VECTOR, data_of, inner, widen_block
from openane.numerics.lookup import read_half
from openane.numerics.tiles import move_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

SLACK = 4 * VECTOR
"""Floats or halfwords behind the last pixel that vector moves may read."""

_FLOATS, _TWICE = ir.VectorType(FLOAT, VECTOR), ir.VectorType(FLOAT, 2 * VECTOR)
_WORDS, _HALVES = ir.VectorType(I16, VECTOR), ir.VectorType(HALF, VECTOR)

Read = Callable[[Any, Any, Any], tuple[Any, Any]]
"""(builder, pointer to the first pixel of a run, what was noticed so far) to the pixels and what is noticed now."""


def _widened(builder: Any, pointer: Any, noticed: Any) -> tuple[Any, Any]:
    """Halfwords, as IEEE has them; notices those with exponent 31."""
    words, exponent = load(builder, pointer, _WORDS), every(_WORDS, 0x7C00)
    special = builder.sext(builder.icmp_unsigned("==", builder.and_(words, exponent), exponent), _WORDS)
    return builder.fpext(builder.bitcast(words, _HALVES), _FLOATS), builder.or_(noticed, special)


def _near(builder: Any, pointer: Any, noticed: Any) -> tuple[Any, Any]:
    return load(builder, pointer, _FLOATS), noticed


def _every_other(builder: Any, pointer: Any, noticed: Any) -> tuple[Any, Any]:
    both = load(builder, pointer, _TWICE)
    even = ir.Constant(ir.VectorType(I32, VECTOR), [2 * j for j in range(VECTOR)])
    return builder.shuffle_vector(both, ir.Constant(_TWICE, ir.Undefined), even), noticed


def _intrinsic_gather(read: Read, arrays: tuple[Any, Any, Any]) -> Any:
    """An intrinsic (panel, source, base, taps, first tap, steps, lanes, offsets, runs) for all steps of a block.

    Returns whether something was noticed.
    """
    panel, source, integers = arrays
    whole = types.int64
    signature = types.boolean(panel, source, whole, integers, whole, whole, integers, integers, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(place: int) -> Any:
            return data_of(context, builder, signature.args[place], arguments[place])

        base, first_tap, steps, runs = (arguments[place] for place in (2, 4, 5, 8))
        origin, taps = builder.gep(data(1), [base]), builder.gep(data(3), [first_tap])
        target, lanes, offsets = data(0), data(6), data(7)

        def gather_run(step: Any, start: Any, run: Any, noticed: Any) -> Any:
            lane, offset = builder.load(builder.gep(lanes, [run])), builder.load(builder.gep(offsets, [run]))
            values, noticed = read(builder, builder.gep(start, [offset]), noticed)
            store(builder, values, builder.gep(target, [builder.add(builder.mul(step, I64(VECTOR)), lane)]))
            return noticed

        def gather_step(step: Any, carried: Any) -> Any:
            start = builder.gep(origin, [builder.load(builder.gep(taps, [step]))])
            return repeat(builder, runs, carried, lambda run, inner: [gather_run(step, start, run, inner[0])])

        noticed = repeat(builder, steps, [every(_WORDS, 0)], gather_step)[0]
        wide = ir.IntType(16 * VECTOR)
        return builder.icmp_unsigned("!=", builder.bitcast(noticed, wide), wide(0))

    return signature, generate


@intrinsic
def _widen_runs(
    typing_context: Any, panel: Any, source: Any, base: Any, taps: Any, first_tap: Any, steps: Any, lanes: Any,
    offsets: Any, runs: Any,
) -> Any:  # fmt: skip
    """From halfwords, none of which may have exponent 31: else it returns True, and the panel is not right."""
    return _intrinsic_gather(_widened, (panel, source, taps))


@intrinsic
def _move_near_runs(
    typing_context: Any, panel: Any, source: Any, base: Any, taps: Any, first_tap: Any, steps: Any, lanes: Any,
    offsets: Any, runs: Any,
) -> Any:  # fmt: skip
    """From floats side by side."""
    return _intrinsic_gather(_near, (panel, source, taps))


@intrinsic
def _move_spaced_runs(
    typing_context: Any, panel: Any, source: Any, base: Any, taps: Any, first_tap: Any, steps: Any, lanes: Any,
    offsets: Any, runs: Any,
) -> Any:  # fmt: skip
    """From every other float."""
    return _intrinsic_gather(_every_other, (panel, source, taps))


@inner
def find_runs(
    first: int, count: int, width: int, row_step: int, spacing: int, lanes: Integers, offsets: Integers
) -> int:
    """Splits pixels from `first` on where a row ends.

    Args:
        width: pixels of a row; neighbours are `spacing` apart, rows `row_step`.
        lanes, offsets: for each run its first lane and the offset of its first pixel.

    Returns:
        The number of runs.
    """
    found, lane = 0, 0
    y, x = first // width, first % width
    while lane < count:
        lanes[found], offsets[found] = lane, y * row_step + x * spacing
        lane += min(width - x, count - lane)
        found += 1
        y, x = y + 1, 0
    lanes[found] = count
    return found


@inner
def gather(
    image: Floats, base: int, taps: Integers, step_first: int, block: int, spacing: int, lanes: Integers,
    offsets: Integers, found: int, panel: Floats,
) -> None:  # fmt: skip
    """Up to VECTOR pixels of every step of a block into a panel."""
    if spacing == 1:
        _move_near_runs(panel, image, base, taps, step_first, block, lanes, offsets, found)
    elif spacing == 2:
        _move_spaced_runs(panel, image, base, taps, step_first, block, lanes, offsets, found)
    else:
        for k in range(block):
            start = base + taps[step_first + k]
            for r in range(found):
                for j in range(lanes[r], lanes[r + 1]):
                    panel[k * VECTOR + j] = image[start + offsets[r] + (j - lanes[r]) * spacing]


@inner
def gather_halfwords(
    memory: Halfwords, base: int, taps: Integers, step_first: int, block: int, lanes: Integers, offsets: Integers,
    found: int, panel: Floats,
) -> None:  # fmt: skip
    """`gather` of pixels that stand side by side, straight from memory."""
    if NATIVE_HALF and not _widen_runs(panel, memory, base, taps, step_first, block, lanes, offsets, found):
        return
    for k in range(block):
        start = base + taps[step_first + k]
        for r in range(found):
            place, origin = k * VECTOR + lanes[r], start + offsets[r]
            if NATIVE_HALF:  # exponent 31 is rare
                for part in range(0, VECTOR, BLOCK):
                    widen_block(panel, place + part, memory, origin + part)
            else:
                for j in range(lanes[r + 1] - lanes[r]):
                    panel[place + j] = read_half(memory[origin + j])


@intrinsic
def move_runs(
    typing_context: Any, target: Any, place: Any, pitch: Any, source: Any, first: Any, own_pitch: Any, length: Any,
    count: Any,
) -> Any:  # fmt: skip
    """target[place + c * pitch ...] = source[first + c * own_pitch ...] for 1 to VECTOR halfwords each, exactly.

    A run is moved as two pieces that overlap.
    """
    whole = types.int64
    signature = types.void(target, whole, whole, source, whole, whole, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t, t0, step, s, s0, own_step, run, lines = arguments
        end = element_at(context, builder, signature.args[0], t, t0)
        start = element_at(context, builder, signature.args[3], s, s0)

        def move_all(words: int) -> None:
            kind, last = ir.VectorType(I16, words), builder.sub(run, I64(words))

            def move(line: Any, carried: Any) -> list[Any]:
                origin = builder.gep(start, [builder.mul(line, own_step)])
                to = builder.gep(end, [builder.mul(line, step)])
                head, tail = (load(builder, builder.gep(origin, [at]), kind) for at in (I64(0), last))
                store(builder, head, to)
                store(builder, tail, builder.gep(to, [last]))
                return []

            repeat(builder, lines, [], move)

        done = builder.append_basic_block("moved")
        for words in (VECTOR // 2, VECTOR // 4, VECTOR // 8, 1):
            fits, less = builder.append_basic_block("fits"), builder.append_basic_block("less")
            builder.cbranch(builder.icmp_signed(">=", run, I64(words)), fits, less)
            builder.position_at_end(fits)
            move_all(words)
            builder.branch(done)
            builder.position_at_end(less)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


@inner
def spread_channels(
    words: Halfwords, lanes: Integers, offsets: Integers, found: int, memory: Halfwords, origin: int, step: int,
    spacing: int, channels: int,
) -> None:  # fmt: skip
    """Stores VECTOR pixels of each of some channels, which stand in runs in the result: `find_runs` of it.

    Args:
        words: VECTOR halfwords of every channel.
        origin, step, spacing: of the first channel, from one to the next, and of neighbouring pixels.
    """
    for r in range(found):
        lane, place, length = lanes[r], origin + offsets[r], lanes[r + 1] - lanes[r]
        if spacing == 1:
            move_runs(memory, place, step, words, lane, VECTOR, length, channels)
        else:
            for channel in range(channels):
                for j in range(length):
                    memory[place + channel * step + j * spacing] = words[channel * VECTOR + lane + j]


@inner
def spread_row(
    words: Halfwords, lanes: Integers, offsets: Integers, found: int, memory: Halfwords, origin: int, spacing: int
) -> None:
    """Stores a line of pixels of one channel, which stand in runs in the result: `find_runs` of it."""
    for r in range(found):
        first, place, length = lanes[r], origin + offsets[r], lanes[r + 1] - lanes[r]
        if spacing == 1:
            move_row(memory, place, words, first, length)
        else:
            for j in range(length):
                memory[place + j * spacing] = words[first + j]
