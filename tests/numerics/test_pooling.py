"""Windows and whole reductions against numpy: the order of sums, what padding counts for, in any layout."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openane.core.errors import InputError
from openane.numerics import join as places
from openane.numerics.pooling import plan_pooling, pooling, reduce, reduce_units

sys.path.append(str(Path(__file__).parent))
from layouts import bits, extents, read, scratch, shares, stored, tensors

F = np.float32
SUM, AVERAGE, LARGEST, SMALLEST = range(4)
PLAIN = np.array([1, 1, -0.0, 1, -0.0], np.float32)
NONE = np.zeros(5, np.int64)
EMPTY = {SUM: F(0), AVERAGE: F(0), LARGEST: F(-np.inf), SMALLEST: F(np.inf)}


def joined(total: np.float32, value: np.float32, kind: int) -> np.float32:
    """One step of a reduction."""
    if kind == LARGEST:
        return value if value > total else total
    if kind == SMALLEST:
        return value if value < total else total
    return F(total + value)


def window_of(plane, y, x, window, kind):  # type: ignore[no-untyped-def]
    """One window, from its first row and column on, which may lie outside."""
    rows = range(max(y, 0), min(y + window[0], plane.shape[0]))
    columns = range(max(x, 0), min(x + window[1], plane.shape[1]))
    total = EMPTY[kind]
    for row in rows:
        for column in columns:
            total = joined(total, plane[row, column], kind)
    return F(total / F(max(len(rows) * len(columns), 1))) if kind == AVERAGE else total


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 3), st.integers(0, 2**32), st.floats(0, 1))
def test_windows(data: st.DataObject, kind: int, seed: int, cut: float) -> None:
    small = st.integers(1, 4)
    window, stride = data.draw(st.tuples(small, small)), data.draw(st.tuples(small, small))
    pad = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    shape = data.draw(
        st.tuples(st.integers(1, 2), st.just(1), st.integers(1, 3), st.integers(1, 9), st.integers(1, 20))
    )
    count = [
        (n + p + data.draw(st.integers(0, w)) - w) // s + 1
        for n, p, w, s in zip(shape[3:], pad, window, stride, strict=True)
    ]
    out = (*shape[:3], *(max(1, n) for n in count))
    source, end = data.draw(tensors(shape, 0))
    result, end = data.draw(tensors(out, end))
    memory = bits(seed, end)
    expected = memory.copy()
    values = read(memory[source.indices()])
    totals = np.zeros(out, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for index in np.ndindex(out):
            y, x = index[3] * stride[0] - pad[0], index[4] * stride[1] - pad[1]
            totals[index] = window_of(values[index[:3]], y, x, window, kind)
    expected[result.indices()] = stored(totals)
    plan, units = plan_pooling(shape, out, window, stride, pad)
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    where = kind, source.base, source.strides, 0, NONE, plan, result.base, result.strides, scratch()
    for share in shares(units, cut):
        pooling(memory, PLAIN, flags, *where, *share)
    assert (memory == expected).all()


@pytest.mark.parametrize("kind", [LARGEST, AVERAGE])
def test_wide_planes_are_cut(kind: int) -> None:
    """Blocks of columns and rows, with halos."""
    shape, out = (1, 1, 1, 30, 9000), (1, 1, 1, 30, 9000)
    plan, units = plan_pooling(shape, out, (3, 3), (1, 1), (1, 1))
    assert units > 30
    memory = np.concatenate([bits(1, 30 * 9000), np.zeros(30 * 9000, np.uint16)])
    values = np.pad(read(memory[: 30 * 9000]).reshape(30, 9000), 1, constant_values=EMPTY[kind])
    total = np.full((30, 9000), EMPTY[kind], np.float32)
    for y in range(3):
        for x in range(3):
            value = values[y : y + 30, x : x + 9000]
            total = np.where(value > total, value, total) if kind == LARGEST else total + value
    if kind == AVERAGE:
        inside = np.pad(np.ones((30, 9000), np.float32), 1)
        total = total / sum(inside[y : y + 30, x : x + 9000] for y in range(3) for x in range(3))
    strides, flags = np.array([0, 0, 0, 9000, 1]), np.zeros(places.FLAG_COUNT, np.int64)
    pooling(memory, PLAIN, flags, kind, 0, strides, 0, NONE, plan, 30 * 9000, strides, scratch(), 0, units)
    assert (memory[30 * 9000 :] == stored(total.astype(np.float32)).reshape(-1)).all()


def test_of_equal_values_the_first_stays() -> None:
    """0 and -0 are equal: the bits of the one that comes first, row by row."""
    plane = np.array([[-0.0, 0.0, 0.0], [0.0, -0.0, -0.0]], np.float16)
    memory = np.concatenate([plane.view(np.uint16).reshape(-1), np.zeros(2, np.uint16)])
    plan, units = plan_pooling((1, 1, 1, 2, 3), (1, 1, 1, 1, 2), (2, 2), (1, 1), (0, 0))
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    strides = np.array([0, 0, 0, 3, 1])
    pooling(memory, PLAIN, flags, LARGEST, 0, strides, 0, NONE, plan, 6, strides, scratch(), 0, units)
    assert memory[6:].tolist() == [0x8000, 0]


def test_windows_have_a_limit() -> None:
    with pytest.raises(InputError, match="window or stride is too large"):
        plan_pooling((1, 1, 1, 9, 9), (1, 1, 1, 1, 1), (2000, 1), (1, 1), (0, 0))


@settings(max_examples=60, deadline=None)
@given(st.data(), extents(), st.integers(0, 3), st.integers(0, 2**32), st.floats(0, 1))
def test_whole_reductions(data: st.DataObject, shape: tuple[int, ...], kind: int, seed: int, cut: float) -> None:
    source, end = data.draw(tensors(shape, 0, repeated=True))
    out = (shape[0], 1, shape[2], 1, 1)
    result, end = data.draw(tensors(out, end))
    memory = bits(seed, end)
    expected = memory.copy()
    lines = read(memory[source.indices()]).transpose(0, 2, 1, 3, 4).reshape(shape[0] * shape[2], -1)
    totals = np.full(len(lines), EMPTY[kind], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for column in lines.T:
            larger = np.where(column > totals, column, totals), np.where(column < totals, column, totals)
            totals = larger[kind - LARGEST] if kind >= LARGEST else totals + column
    totals = totals / F(lines.shape[1]) if kind == AVERAGE else totals
    expected[result.indices()] = stored(totals).reshape(out)
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    where = source.base, source.strides, 0, NONE, np.array(shape), result.base, result.strides, scratch()
    for share in shares(reduce_units(shape), cut):
        reduce(memory, PLAIN, flags, kind, *where, *share)
    assert (memory == expected).all()


def test_ties_of_reductions_may_go_away_from_zero() -> None:
    memory = np.concatenate([np.array([2048, 1], np.float16).view(np.uint16), np.zeros(1, np.uint16)])
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    for away, expected in ((0, 2048), (1, 2050)):
        flags[places.TIES_AWAY] = away
        row = np.array([0, 0, 0, 0, 1])
        reduce(memory, PLAIN, flags, SUM, 0, row, 0, NONE, np.array([1, 1, 1, 1, 2]), 2, NONE, scratch(), 0, 1)
        assert memory[2:].view(np.float16)[0] == expected
