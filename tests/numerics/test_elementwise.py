"""Work on every element by itself, in any layout, against numpy; nothing but the result's elements is stored."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openane.core.errors import InputError
from openane.numerics import join as places
from openane.numerics.arrange import TILE, arrange
from openane.numerics.elementwise import apply_map, combine, copy, elementwise
from openane.numerics.jit import NATIVE_HALF
from openane.numerics.lookup import CompiledTable
from openane.numerics.vector import LANES

sys.path.append(str(Path(__file__).parent))
from layouts import SCRATCH_WORDS, Tensor, bits, extents, read, scratch, shares, stored, tensors

F = np.float32
NUMBERS = st.tuples(*[st.sampled_from([1.0, 1.0, 0.5, -1.0, 3.25])] * 2, *[st.sampled_from([0.0, -0.0, 0.75])] * 2)
NONE = np.zeros(5, np.int64)


def planar(a, b, flags, numbers):  # type: ignore[no-untyped-def]
    """The planar engine's formula."""
    a = np.where(a > 0, a, F(0)) if flags[places.RELU_FIRST] else a
    a = a * (-numbers[places.PRE_SCALE] if flags[places.NEGATE_FIRST] else numbers[places.PRE_SCALE])
    if b is not None:
        b = -b if flags[places.NEGATE_SECOND] else b
        joined = (a + b, a * b, np.where(a > b, a, b), np.where(a < b, a, b), a + b)
        a = joined[flags[places.OPERATION]]
    a = a * a if flags[places.OPERATION] == 4 else a
    a = np.abs(a) if flags[places.ABSOLUTE] else a
    y = (a * numbers[places.SCALE] + numbers[places.BIAS]) * numbers[places.FINAL_SCALE] + numbers[places.EPSILON]
    return np.where(y > 0, y, F(0)) if flags[places.RELU] else y


@settings(max_examples=150, deadline=None)
@given(st.data(), extents(), st.integers(0, 2**32), NUMBERS, st.floats(0, 1))
def test_elementwise(data: st.DataObject, shape: tuple[int, ...], seed: int, factors: tuple[float, ...], cut: float):
    two = data.draw(st.booleans())
    first, end = data.draw(tensors(shape, 0, repeated=True))
    second, end = data.draw(tensors(shape, end, repeated=True)) if two else (Tensor(0, NONE, shape), end)
    result, end = data.draw(tensors(shape, end))
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    flags[places.OPERATION], flags[places.SECOND] = data.draw(st.integers(0, 4)), two
    for place in (places.NEGATE_FIRST, places.NEGATE_SECOND, places.ABSOLUTE, places.RELU, places.RELU_FIRST):
        flags[place] = data.draw(st.booleans())
    if two and NATIVE_HALF and data.draw(st.booleans()):
        flags[[places.NEGATE_FIRST, places.NEGATE_SECOND, places.ABSOLUTE, places.RELU_FIRST]] = 0
        flags[places.OPERATION], flags[places.STRAIGHT] = data.draw(st.integers(0, 3)), True
        factors = (1.0, *factors[1:])
    numbers = np.array([factors[0], factors[1], factors[2], 1, factors[3]], np.float32)

    memory = bits(seed, end + LANES)
    expected = memory.copy()
    values = [read(memory[tensor.indices()]) for tensor in (first, second)]
    with np.errstate(over="ignore", invalid="ignore"):
        expected[result.indices()] = stored(planar(values[0], values[1] if two else None, flags, numbers))
    plan = arrange(shape, first.strides, second.strides, result.strides)
    for share in shares(plan.units, cut):
        elementwise(
            memory, numbers, flags, first.base, plan.strides[0], second.base, plan.strides[1], plan.extents,
            result.base, plan.strides[2], scratch(), *share,
        )  # fmt: skip
    assert (memory == expected).all()


@pytest.mark.parametrize("columns", [1, 3, 7, 8, 9, 15, 16, 17, 40, 43])
@pytest.mark.parametrize("operation", range(4))
def test_straight_rows_in_place(columns: int, operation: int) -> None:
    """Rows with gaps, the result where the first source stands; the gaps stay."""
    if not NATIVE_HALF:
        pytest.skip("this processor does not convert half precision")
    shape, own = (1, 1, 5, 3, columns), np.array([0, 0, 3 * 48, 48, 1])
    memory = bits(columns, 2 * 720 + LANES)
    a, b = (read(memory[at : at + 720]).reshape(15, 48)[:, :columns] for at in (0, 720))
    flags, numbers = np.zeros(places.FLAG_COUNT, np.int64), np.array([1, 0.5, 0.25, 3, 1], np.float32)
    flags[[places.SECOND, places.STRAIGHT, places.RELU]], flags[places.OPERATION] = 1, operation
    expected = memory.copy()
    with np.errstate(over="ignore"):
        expected[:720].reshape(15, 48)[:, :columns] = stored(planar(a, b, flags, numbers))
    plan = arrange(shape, own, own, own)
    elementwise(
        memory, numbers, flags, 0, plan.strides[0], 720, plan.strides[1], plan.extents, 0, plan.strides[2], scratch(),
        0, plan.units,
    )  # fmt: skip
    assert (memory == expected).all()


def test_in_place_and_row_pairs() -> None:
    """(a + row 0) * row 1 for each channel, stored where a stood."""
    shape = (1, 1, 5, 1, 300)
    memory = bits(4, 5 * 300 + 10)
    a, rows = read(memory[:1500].reshape(5, 300)), read(memory[1500:]).reshape(2, 5)
    flags = np.zeros(places.FLAG_COUNT, np.int64)
    flags[[places.SECOND, places.ROWS]], flags[places.ROW_STEP] = 1, 5
    own, pair = np.array([0, 0, 300, 0, 1]), np.array([0, 0, 1, 0, 0])
    plan = arrange(shape, own, pair, own)
    numbers = np.array([1, 1, 0, 1, 0], np.float32)
    expected = (a + rows[0][:, None]) * rows[1][:, None] + F(0)
    elementwise(
        memory, numbers, flags, 0, plan.strides[0], 1500, plan.strides[1], plan.extents, 0, plan.strides[2], scratch(),
        0, plan.units,
    )  # fmt: skip
    assert (memory[:1500] == stored(expected).reshape(-1)).all()


@settings(max_examples=150, deadline=None)
@given(st.data(), extents(), st.integers(0, 2**32), st.floats(0, 1), st.booleans())
def test_maps_and_copies(data: st.DataObject, shape: tuple[int, ...], seed: int, cut: float, same: bool) -> None:
    source, end = data.draw(tensors(shape, 0, repeated=True))
    result, end = data.draw(tensors(shape, end))
    memory = bits(seed, end)
    expected = memory.copy()
    values = read(memory[source.indices()])
    expected[result.indices()] = stored(values if same else values * F(0.5))
    plan, words = arrange(shape, source.strides, result.strides), np.zeros(SCRATCH_WORDS, np.uint16)
    mapping = stored(read(np.arange(1 << 16, dtype=np.uint16)) * F(0.5))
    where = source.base, plan.strides[0], plan.extents, result.base, plan.strides[1], words
    for share in shares(plan.units, cut):
        if same:
            copy(memory, *where, *share)
        else:
            apply_map(mapping, memory, *where, *share)
    assert (memory == expected).all()


@pytest.mark.parametrize("operation", [0, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1, 3, 7, 7), (2, 1, 1, 1, 130), (1, 1, 1, 1, 1)])
def test_channels_are_combined_in_order(operation: int, shape: tuple[int, ...]) -> None:
    inputs = 5
    groups, depth, channels, height, width = shape
    full = (groups, depth, channels * inputs, height, width)
    count = int(np.prod(full))
    memory = np.concatenate([bits(operation, count), np.zeros(int(np.prod(shape)), np.uint16)])
    values = read(memory[:count]).reshape(groups, depth, channels, inputs, height, width)
    total = values[:, :, :, 0].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for u in range(1, inputs):
            value = values[:, :, :, u]
            total = {0: total + value, 2: total * value, 3: np.where(value > total, value, total)}[operation]
    plane = height * width
    source = np.array([channels * inputs * plane, 0, inputs * plane, width, 1])
    result = np.array([channels * plane, 0, plane, width, 1])
    plan, none = arrange(shape, source, result), CompiledTable.none()
    factors = np.array([-0.0, 1, 0, np.inf], np.float32)
    combine(
        memory, 0, plan.strides[0], inputs, plane, operation, False, plan.extents, count, plan.strides[1], factors, 0,
        none.numbers, none.meta, scratch(), np.zeros(SCRATCH_WORDS, np.uint16), 0, plan.units,
    )  # fmt: skip
    assert (memory[count:] == stored(total).reshape(-1)).all()


def test_arrangement() -> None:
    """Whole tensors that follow one another become one line; crossed ones get tiles of whole cache lines."""
    dense = np.array([0, 0, 64, 8, 1])
    plan = arrange((1, 1, 100, 8, 8), dense, dense)
    assert plan.extents.tolist() == [1, 1, 1, 1, 6400, 1, TILE] and plan.units == 4
    crossed = arrange((1, 1, 128, 1, 384), (0, 0, 384, 0, 1), (0, 0, 1, 0, 136))
    assert crossed.extents.tolist() == [1, 1, 1, 384, 128, 64, 32] and crossed.units == 24
    with pytest.raises(InputError, match="too many axes"):
        arrange((2,) * 6, (1, 5, 11, 23, 51, 111), (111, 5, 51, 11, 23, 1))
