"""What happens to sums on their way out of the MAC engine: bias, scale, function, rounding. Compiled, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openane.numerics.jit import compiled
from openane.numerics.lookup import INFINITY, evaluate_row, store_row

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Offsets = npt.NDArray[np.int64]

ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT, FACTOR_COUNT = 0, 1, 2, 3, 4
"""Places in the `factors` array that the kernels take."""

LINEAR, RELU, TABLE = 0, 1, 2
"""Functions behind the scale."""


@compiled
def finish_row(
    values: Floats, count: int, bias: float, factors: Floats, function: int, table: Floats, meta:
    Offsets, result: Halfwords,
) -> None:  # fmt: skip
    """Bits of the stored results of a row of sums of one channel.

    v = (total + bias + acc_bias) * post_scale, each step rounded to fp32; then the function; then fp16.

    Args:
        values: the sums; overwritten.
        count: of them.
        bias: of the channel; -0.0 without one, which changes nothing.
    """
    acc_bias, scale = factors[ACC_BIAS], factors[POST_SCALE]
    flush, limit = factors[FLUSH_BELOW], factors[OUTPUT_LIMIT]
    own = np.float32(bias)
    row = values[:count]
    for j in range(count):
        v = row[j]
        v = np.float32(0) if abs(v) < flush else v
        v = np.float32(np.float32(np.float32(v + own) + acc_bias) * scale)
        huge = np.float32(INFINITY) if v > 0 else np.float32(-INFINITY)
        row[j] = huge if abs(v) >= limit else v
    if function == RELU:
        for j in range(count):
            v = row[j]
            row[j] = v if v > 0 else np.float32(0)
    elif function == TABLE:
        evaluate_row(row, table, meta)
    store_row(row, count, result)


@compiled
def find_runs(places: Offsets, first: int, count: int, spacing: int, runs: Offsets) -> int:
    """Starts of the runs of equally spaced places among `count` from `first` on; returns how many."""
    found = 0
    for j in range(count):
        if j == 0 or places[first + j] - places[first + j - 1] != spacing:
            runs[found] = j
            found += 1
    return found


@compiled
def scatter(
    words: Halfwords, count: int, memory: Halfwords, base: int, places: Offsets, first: int, runs: Offsets,
    found: int,
) -> None:  # fmt: skip
    """Word j goes to memory[base + places[first + j]]; `runs` and `found` from `find_runs` with spacing 1."""
    if found == count:
        for j in range(count):
            memory[base + places[first + j]] = words[j]
        return
    for r in range(found):
        at = runs[r]
        length = (runs[r + 1] if r + 1 < found else count) - at
        to = base + places[first + at]
        line, part = memory[to : to + length], words[at : at + length]
        for j in range(length):
            line[j] = part[j]


@compiled
def finish_rows(
    sums: Floats, pitch: int, positions: Offsets, factors: Floats, function: int, table: Floats, meta: Offsets,
    bias: Floats, memory: Halfwords, bases: Offsets, places: Offsets, line_first: int, line_end: int,
    pixel_first: int, count: int,
) -> None:  # fmt: skip
    """Stores sums, one line for each output channel.

    Args:
        sums: line i - line_first begins at (i - line_first) * pitch.
        positions: where in its line the sum of each pixel stands; empty when they stand side by side.
        bias: one per line.
        memory: pixel p of line i goes to memory[bases[i] + places[p]].
        pixel_first, count: pixels that the lines hold.
    """
    length = pitch if positions.size else count
    words, runs = np.empty(length, np.uint16), np.empty(count, np.int64)
    found = find_runs(places, pixel_first, count, 1, runs)
    rows, row_runs = 0, np.empty(count, np.int64)
    if positions.size:
        for j in range(count):
            near = j > 0 and positions[j] - positions[j - 1] == 1
            if not near or places[pixel_first + j] - places[pixel_first + j - 1] != 1:
                row_runs[rows] = j
                rows += 1
    for line in range(line_first, line_end):
        start = (line - line_first) * pitch
        finish_row(sums[start : start + length], length, bias[line], factors, function, table, meta, words)
        if positions.size:
            for r in range(rows):
                at = row_runs[r]
                size = (row_runs[r + 1] if r + 1 < rows else count) - at
                to = bases[line] + places[pixel_first + at]
                target, part = memory[to : to + size], words[positions[at] : positions[at] + size]
                for j in range(size):
                    target[j] = part[j]
        else:
            scatter(words, count, memory, bases[line], places, pixel_first, runs, found)
