"""Units that only move elements are exact, for every axis, alone and between resident values."""

from __future__ import annotations

import itertools

import pytest
from tests.support.h13_nets import between, check, compile_net, shape, single

from openane.net.net import Net, Unit
from openane.net.units import (
    BroadcastParams,
    ConcatParams,
    Dimension,
    GOCParams,
    InputViewParams,
    PadKind,
    PadParams,
    ReshapeParams,
    TileParams,
    TransposeParams,
)

SHAPE = shape(2, 2, 3, 5, 4)
EXACT = 6e-4
MAKERS = pytest.mark.parametrize("make", [single, between])
AXES = pytest.mark.parametrize("axis", Dimension)


@MAKERS
@AXES
def test_slices(axis: Dimension, make: object) -> None:
    check(make(InputViewParams(axis, 1, 2, 2), shape(4, 4, 6, 5, 7)), tolerance=EXACT)  # type: ignore[operator]


@MAKERS
@AXES
def test_concat(axis: Dimension, make: object) -> None:
    check(make(ConcatParams(axis), *(axis.resize(SHAPE, size) for size in (3, 2, 4))), tolerance=EXACT)  # type: ignore[operator]


@MAKERS
@AXES
def test_tile_and_broadcast(axis: Dimension, make: object) -> None:
    check(make(TileParams({axis: 3}), SHAPE), tolerance=EXACT)  # type: ignore[operator]
    check(make(BroadcastParams({axis: 3}), axis.resize(SHAPE, 1)), tolerance=EXACT)  # type: ignore[operator]


@pytest.mark.parametrize("mode", PadKind)
@AXES
def test_padding(axis: Dimension, mode: PadKind) -> None:
    check(single(PadParams({axis: (2, 1)}, mode, 0.5), shape(3, 3, 4, 5, 6)), tolerance=EXACT)


RESHAPES = [
    ((1, 1, 6, 4, 5), (1, 1, 1, 1, 120)),
    ((1, 1, 6, 4, 5), (1, 1, 120, 1, 1)),
    ((1, 1, 120, 1, 1), (1, 1, 6, 4, 5)),
    ((1, 1, 6, 4, 5), (1, 1, 12, 5, 2)),
    ((1, 1, 1, 1, 120), (1, 1, 2, 3, 20)),
    ((2, 1, 6, 4, 5), (1, 1, 12, 4, 5)),
    ((1, 1, 6, 1, 5), (1, 1, 1, 6, 5)),
    ((2, 2, 3, 4, 5), (1, 1, 8, 3, 10)),
]


@MAKERS
@pytest.mark.parametrize(("before", "after"), RESHAPES)
def test_reshape(before: tuple[int, ...], after: tuple[int, ...], make: object) -> None:
    check(make(ReshapeParams(shape(*after)), shape(*before)), tolerance=EXACT)  # type: ignore[operator]


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(5)))[::3])
def test_transpose_is_one_task(permutation: tuple[int, int, int, int, int]) -> None:
    program = check(single(TransposeParams(permutation), shape(2, 3, 4, 5, 6)), tolerance=EXACT)
    assert len(program.tasks) == 1


def test_a_slice_is_reshaped_as_a_whole() -> None:
    """The first rows of a larger tensor are not the larger tensor."""
    units = (
        Unit("v", InputViewParams(Dimension.HEIGHT, 0, 4), ("x",)),
        Unit("y", ReshapeParams(shape(2, 1, 1, 1, 24)), ("v",)),
        Unit("z", ReshapeParams(shape(2, 1, 12, 1, 2)), ("v",)),
    )
    check(Net("net", {"x": shape(2, 1, 3, 9, 2)}, {"out": "y", "rows": "z"}, units), tolerance=EXACT)


def test_parts_of_rows_are_views() -> None:
    """Heads of an attention: rows cut into parts, permuted, and joined again cost one copy."""
    units = (
        Unit("c", ReshapeParams(shape(10, 3, 32)), ("x",)),
        Unit("t", TransposeParams((0, 1, 3, 2, 4)), ("c",)),
        Unit("b", TransposeParams((0, 1, 3, 2, 4)), ("t",)),
        Unit("y", ReshapeParams(shape(1, 10, 96)), ("b",)),
    )
    net = Net("net", {"x": shape(1, 10, 96)}, {"out": "y"}, units)
    assert len(check(net, tolerance=EXACT).tasks) == 1
    check(Net("net", {"x": shape(1, 10, 96)}, {"out": "t", "more": "c"}, units[:2]), tolerance=EXACT)


def test_views_cost_nothing() -> None:
    """A slice of channels and a reshape that keeps rows are addresses only."""
    units = (
        Unit("v", InputViewParams(Dimension.CHANNEL, 2, 3), ("x",)),
        Unit("y", GOCParams(2.0, 0.0), ("v",)),
    )
    assert len(compile_net(Net("net", {"x": shape(8, 4, 4)}, {"out": "y"}, units)).tasks) == 1


def test_parts_of_a_concat_are_written_in_place() -> None:
    units = (
        Unit("a", GOCParams(2.0, 0.0), ("x",)),
        Unit("b", GOCParams(3.0, 0.0), ("x",)),
        Unit("y", ConcatParams(), ("a", "b")),
        Unit("z", ConcatParams(), ("y", "a")),
    )
    net = Net("net", {"x": shape(8, 4, 4)}, {"out": "y", "again": "z"}, units)
    program = check(net, tolerance=EXACT)
    assert len(program.tasks) == 4, "two producers, and two copies for the second concat"
