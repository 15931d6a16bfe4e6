"""The record of what was written answers as a plain map of bytes does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openane.core.types import DType
from openane.sim.check.footprint import Footprint
from openane.sim.check.written import Written
from openane.sim.decoded_task import DecodedOperand, MemorySpace

SIZE = 512
STRIDES, EXTENTS = st.sampled_from([2, 4, 6, 8, 16, 32, 34]), st.integers(1, 5)
SHAPES = st.tuples(st.integers(0, 40), STRIDES, EXTENTS, STRIDES, EXTENTS, st.sampled_from([1, 2, 4]), EXTENTS)


def operand(shape: tuple[int, ...]) -> DecodedOperand:
    base, row, rows, plane, planes, interleave, channels = shape
    extent, strides = (1, planes, channels, rows, 2), (0, plane * 4, plane, row, 2 * interleave)
    return DecodedOperand("result", MemorySpace.L2, 0, 2 * base, extent, strides, DType.FLOAT16, interleave)


def elements(made: DecodedOperand) -> set[int]:
    """Every byte of the operand, one element at a time."""
    found = set()
    for place in np.ndindex(*made.extent):
        _, depth, channel, row, column = place
        group, own = divmod(channel, made.interleave)
        at = made.base + sum(
            index * stride for index, stride in zip((0, depth, group, row, column), made.strides, strict=True)
        )
        found |= {at + 2 * own, at + 2 * own + 1}
    return found


CHANGES = st.one_of(
    st.tuples(st.just("write"), SHAPES, st.integers(1, 3)),
    st.tuples(st.just("erase"), st.integers(0, SIZE), st.integers(0, 64)),
    st.tuples(st.just("read"), SHAPES, st.integers(1, 3)),
)


@given(st.lists(CHANGES, max_size=12))
def test_written_bytes_are_those_of_a_plain_map(changes: list[tuple]) -> None:
    memory, plain = Written(2 * SIZE, lambda size: None), np.zeros(2 * SIZE, np.uint8)
    for kind, *rest in changes:
        if kind == "erase":
            begin, size = rest
            memory.erase(begin, begin + size)
            plain[begin : begin + size] = 0
            continue
        made, code = operand(rest[0]), rest[1]
        if kind == "write":
            memory.write(Footprint.all_of(made), code)
            plain[sorted(elements(made))] = code
            continue
        wrong = {address for address in elements(made) if plain[address] != code}
        found = [memory.first_missing(footprint, code) for footprint in Footprint.all_of(made)]
        missing = {address for address in found if address is not None}
        assert bool(missing) == bool(wrong)
        assert all({address, address + 1} & wrong for address in missing)
    assert (memory.bytes() == plain).all()
