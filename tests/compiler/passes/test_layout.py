"""Reshapes, transposes, pads and shuffles."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.pass_graphs import Sketch, counts, kinds, simplified

from openane.graph import Operation, ops

TO_FRONT, TO_BACK = ops.Transpose((0, 3, 1, 2)), ops.Transpose((0, 2, 3, 1))


def pointwise(s: Sketch, x: str, inner: int, outer: int) -> str:
    """A convolution between transposes, as a channel-last front end writes it."""
    y = s.add(ops.Conv(), s.add(TO_FRONT, x), s.constant(outer, inner, 1, 1), "")
    return s.add(TO_BACK, y)


def test_channel_last_chain() -> None:
    s = Sketch(x=(1, 5, 6, 4))
    y = s.add(ops.Relu(), s.add(ops.Add(), pointwise(s, "x", 4, 8), s.constant((8,))))
    y = s.add(ops.Pad((0, 1, 1, 0, 0, 0, 1, 0)), y)
    y = s.add(ops.Softmax(3), pointwise(s, y, 8, 3))
    after = simplified(s.graph(y))
    assert counts(after) == {"Transpose": 2, "Conv": 2, "Relu": 1, "Softmax": 1}
    assert kinds(after)[0] == kinds(after)[-1] == "Transpose"


def test_channel_last_residual() -> None:
    s = Sketch(x=(1, 5, 6, 4))
    first = s.add(ops.Relu(), pointwise(s, "x", 4, 8))
    second = pointwise(s, first, 8, 8)
    y = s.add(ops.ReduceMean((1, 2), False), s.add(ops.Add(), first, second))
    after = simplified(s.graph(y))
    assert counts(after)["Transpose"] == 1


def test_channel_last_flatten() -> None:
    s = Sketch(x=(1, 5, 6, 4))
    y = s.add(ops.Reshape((1, 240)), pointwise(s, "x", 4, 8))
    after = simplified(s.graph(s.add(ops.MatMul(), y, s.constant(240, 3))))
    assert kinds(after) == ["Transpose", "Conv", "Reshape", "MatMul"]


def test_channel_last_concat_split_and_resize() -> None:
    s = Sketch(x=(1, 4, 6, 4))
    first, second = s.add_all(ops.Split(3, (3, 5)), pointwise(s, "x", 4, 8), count=2)
    y = s.add(ops.Concat(3), s.add(ops.Relu(), second), first)
    y = pointwise(s, s.add(ops.Resize((1, 8, 12, 8)), y), 8, 2)
    after = simplified(s.graph(y))
    assert counts(after)["Transpose"] == 2


def test_reshapes_merge_and_vanish() -> None:
    s = Sketch(x=(2, 3, 4))
    y = s.add(ops.Relu(), s.add(ops.Reshape((2, 3, 4)), s.add(ops.Reshape((6, 4)), s.add(ops.Reshape((24,)), "x"))))
    assert kinds(simplified(s.graph(y))) == ["Relu"]


def test_transposes_merge_and_vanish() -> None:
    s = Sketch(x=(2, 3, 4))
    y = s.add(ops.Transpose((1, 0, 2)), s.add(ops.Transpose((1, 0, 2)), "x"))
    assert kinds(simplified(s.graph(s.add(ops.Relu(), y)))) == ["Relu"]


def test_transposes_of_ones_are_reshapes() -> None:
    s = Sketch(x=(1, 3, 1, 1))
    assert kinds(simplified(s.graph(s.add(TO_BACK, "x")))) == ["Reshape"]


def test_transposed_operands_of_a_product() -> None:
    s = Sketch(x=(2, 3, 4), z=(2, 5, 4))
    y = s.add(ops.MatMul(), "x", s.add(ops.Transpose((0, 2, 1)), "z"))
    after = simplified(s.graph(y))
    assert kinds(after) == ["MatMul"] and after.nodes[0].operation == ops.MatMul(transpose_b=True)


def test_pads_go_into_windows() -> None:
    pads = (0, 0, 1, 2, 0, 0, 0, 1)
    s = Sketch(x=(1, 4, 6, 6))
    padded = s.add(ops.Pad(pads), "x")
    y = s.add(ops.Conv(), padded, s.constant(2, 4, 3, 3), "")
    after = simplified(s.graph(y))
    assert kinds(after) == ["Conv"]
    s = Sketch(x=(1, 4, 6, 6))
    y = s.add(ops.AveragePool((3, 3), (1, 1), (0,) * 4), s.add(ops.Pad(pads), "x"))
    assert kinds(simplified(s.graph(y))) == ["AveragePool"]


@pytest.mark.parametrize("pad", [ops.Pad((0, 0, 1, 1) * 2, value=1.0), ops.Pad((0, 0, 1, 1) * 2, ops.PadMode.EDGE)])
def test_other_pads_stay(pad: ops.Pad) -> None:
    s = Sketch(x=(1, 4, 6, 6))
    y = s.add(ops.Conv(), s.add(pad, "x"), s.constant(2, 4, 3, 3), "")
    assert kinds(simplified(s.graph(y))) == ["Pad", "Conv"]


def test_slices_merge() -> None:
    s = Sketch(x=(10, 8))
    first = s.add(ops.Slice((9, 2), (-1, 8), (-1, 2)), "x")
    y = s.add(ops.Slice((1, 0), (9, 3), (3, 1)), first)
    assert kinds(simplified(s.graph(y))) == ["Slice"]


SHUFFLES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Operation]] = [
    ((1, 3, 4, 5, 6), (0, 2, 1, 3, 4), (1, 12, 5, 6), ops.ChannelShuffle(3)),
    ((1, 2, 2, 3, 5, 6), (0, 3, 4, 1, 5, 2), (1, 3, 10, 12), ops.DepthToSpace(2)),
    ((1, 3, 2, 2, 5, 6), (0, 1, 4, 2, 5, 3), (1, 3, 10, 12), ops.DepthToSpace(2, ops.BlockOrder.COLUMN_ROW_DEPTH)),
]


@pytest.mark.parametrize(("parts", "order", "shape", "operation"), SHUFFLES)
def test_shuffles(parts: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...], operation: Operation) -> None:
    s = Sketch(x=(1, 12, 5, 6))
    y = s.add(ops.Reshape(shape), s.add(ops.Transpose(order), s.add(ops.Reshape(parts), "x")))
    after = simplified(s.graph(y))
    assert [node.operation for node in after.nodes] == [operation]


@pytest.mark.parametrize("order", list(ops.BlockOrder))
def test_space_to_depth(order: ops.BlockOrder) -> None:
    permutation = (0, 3, 5, 1, 2, 4) if order is ops.BlockOrder.DEPTH_COLUMN_ROW else (0, 1, 3, 5, 2, 4)
    s = Sketch(x=(1, 3, 4, 6))
    y = s.add(ops.Reshape((1, 3, 2, 2, 3, 2)), "x")
    y = s.add(ops.Reshape((1, 12, 2, 3)), s.add(ops.Transpose(permutation), y))
    assert [node.operation for node in simplified(s.graph(y)).nodes] == [ops.SpaceToDepth(2, order)]


@pytest.mark.parametrize(
    ("indices", "expected"),
    [(1, ["Slice", "Reshape"]), ([0, 2, 4], ["Slice"]), ([-1], ["Slice"]), ([2, 0, 1], ["Gather"])],
)
def test_gathers_are_slices(indices: object, expected: list[str]) -> None:
    s = Sketch(x=(2, 5, 3))
    y = s.add(ops.Gather(1), "x", s.constant(np.array(indices, np.int64)))
    assert kinds(simplified(s.graph(y))) == expected
