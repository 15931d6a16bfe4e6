"""Writes of rows at positions become selections and joins, with the same result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from openane.compiler.passes.writes import spell_out_writes
from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import ScatterMode, ScatterND, Transpose

SHAPE = (1, 2, 6, 3)


def write(
    axis: int,
    count: int,
    indices: Sequence[int] | None,
    mode: ScatterMode = ScatterMode.REPLACE,
    dtype: str = "float32",
) -> Graph:
    """`count` rows along an axis, which is moved to the front and back; indices are an input or constant."""
    forth = (axis, *(i for i in range(4) if i != axis))
    back = tuple(int(i) for i in np.argsort(forth))
    moved = tuple(SHAPE[i] for i in forth)
    kind = DType(dtype)
    inputs = {"x": TensorType(SHAPE, kind), "rows": TensorType((count, *moved[1:]), kind)}
    constants = {} if indices is None else {"indices": np.array(indices).reshape(-1, 1)}
    if indices is None:
        inputs["indices"] = TensorType((count, 1), DType.INT64)
    nodes = [
        Node("forth", Transpose(forth), ("x",), ("moved",)),
        Node("write", ScatterND(mode), ("moved", "indices", "rows"), ("written",)),
        Node("back", Transpose(back), ("written",), ("y",)),
    ]
    if axis == 0:
        nodes = [Node("write", ScatterND(mode), ("x", "indices", "rows"), ("y",))]
    return Graph("write", inputs, ("y",), tuple(nodes), constants)


def operations(graph: Graph) -> set[str]:
    return {type(node.operation).__name__ for node in graph.nodes}


def values(graph: Graph, index: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {name: rng.standard_normal(kind.shape).astype(kind.dtype.numpy) for name, kind in graph.inputs.items()}
    if "indices" in made:
        made["indices"] = np.full(graph.inputs["indices"].shape, index)
    return made


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_one_row_at_a_computed_position(axis: int) -> None:
    graph = write(axis, 1, None)
    spelled = spell_out_writes(graph)
    assert "Where" in operations(spelled)
    assert "ScatterND" not in operations(spelled)
    for index in range(-SHAPE[axis], SHAPE[axis]):
        given = values(graph, index)
        np.testing.assert_array_equal(spelled.evaluate(given)["y"], graph.evaluate(given)["y"])
    given = values(graph) | {"x": np.full(SHAPE, np.inf, np.float32)}
    np.testing.assert_array_equal(spelled.evaluate(given)["y"], graph.evaluate(given)["y"])
    for index in (SHAPE[axis], -SHAPE[axis] - 1):
        with pytest.raises(ModelError):
            spelled.evaluate(values(graph, index))


@pytest.mark.parametrize("indices", [[0, 1], [2, 3, 4], [4, 5], [-2, -1], [0, 1, 2, 3, 4, 5], [3]])
def test_rows_at_constant_positions(indices: list[int]) -> None:
    graph = write(2, len(indices), indices)
    spelled = spell_out_writes(graph)
    assert operations(spelled).isdisjoint({"ScatterND", "Where"})
    np.testing.assert_array_equal(spelled.evaluate(values(graph))["y"], graph.evaluate(values(graph))["y"])


@pytest.mark.parametrize(
    "graph",
    [
        write(2, 2, None),
        write(2, 2, [1, 0]),
        write(2, 2, [1, 3]),
        write(2, 2, [5, 0]),
        write(2, 2, [2, 2]),
        write(2, 1, None, ScatterMode.ADD),
        write(2, 1, None, dtype="int32"),
    ],
)
def test_other_writes_stay(graph: Graph) -> None:
    assert "ScatterND" in operations(spell_out_writes(graph))
