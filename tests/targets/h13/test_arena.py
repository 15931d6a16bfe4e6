"""The arena gives the lowest address with room, whatever was taken and freed before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openane.backend.alloc.arena import Arena

ALIGNMENT = 16


def lowest(taken: dict[int, int], size: int, capacity: int | None) -> int | None:
    """The same by looking at every taken range."""
    start = 0
    for first, length in sorted(taken.items()):
        if start + size <= first:
            break
        start = max(start, -(-(first + length) // ALIGNMENT) * ALIGNMENT)
    return None if capacity is not None and start + size > capacity else start


@given(
    st.sampled_from([None, 1024, 1000]),
    st.lists(st.one_of(st.integers(1, 300), st.integers(-20, -1)), max_size=40),
)
def test_every_range_lies_at_the_lowest_free_address(capacity: int | None, moves: list[int]) -> None:
    arena, taken = Arena(capacity, ALIGNMENT), dict[int, int]()
    for move in moves:
        if move < 0:
            if taken:
                start = sorted(taken)[-move % len(taken)]
                arena.release(start, taken.pop(start))
            continue
        wanted = lowest(taken, move, capacity)
        assert arena.find(move) == wanted == arena.allocate(move)
        if wanted is not None:
            taken[wanted] = move
        if capacity is not None:
            hole = arena.largest_hole()
            assert arena.find(hole + 1) is None
            assert arena.find(hole) is not None
    for start, length in taken.items():
        arena.release(start, length)
    assert arena.find(capacity or 1 << 40) == 0
