"""Small graphs for tests: one node from a sample case, and random chains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from openane.core.types import DType
from openane.graph import Graph, Node, Operation, OperationCase, TensorType
from openane.graph import ops as g
from openane.net import Net


def wide(array: np.ndarray) -> np.ndarray:
    """Floats in double precision, everything else as it is."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def type_of(array: np.ndarray) -> TensorType:
    return TensorType(array.shape, DType.of(array))


def case_graphs(case: OperationCase) -> Iterator[tuple[Graph, dict[str, np.ndarray]]]:
    """The case as a graph of one node, with all, only the first and only the last operand at run time."""
    fixed = isinstance(case.operation, g.OnnxNode)  # its types are those of the file
    arrays = {f"x{i}": a if fixed else wide(a) for i, a in enumerate(case.inputs) if a is not None}
    names = tuple(f"x{i}" if a is not None else "" for i, a in enumerate(case.inputs))
    results = case.operation.infer([type_of(arrays[n]) if n else None for n in names])
    outputs = tuple(f"y{i}" for i in range(len(results)))
    node = Node("node", case.operation, names, outputs)
    for running in dict.fromkeys([tuple(arrays), tuple(arrays)[:1], tuple(arrays)[-1:]]):
        inputs = {name: arrays[name] for name in running}
        constants = {name: array for name, array in arrays.items() if name not in running}
        types = {name: type_of(array) for name, array in inputs.items()}
        yield Graph("sample", types, outputs, (node,), constants), inputs


def chain(inputs: dict[str, tuple[int, ...]], *steps: tuple[object, ...], outputs: tuple[str, ...] = ()) -> Graph:
    """A graph from (operation, operands..., result) steps; arrays among the operands become constants."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for i, (operation, *operands, result) in enumerate(steps):
        names = []
        for j, operand in enumerate(operands):
            if isinstance(operand, np.ndarray):
                constants[f"c{i}_{j}"] = operand
                operand = f"c{i}_{j}"
            names.append(str(operand))
        assert isinstance(operation, Operation)
        made = tuple(result) if isinstance(result, tuple) else (str(result),)
        nodes.append(Node(f"n{i}", operation, tuple(names), made))
    types = {name: TensorType(shape, DType.FLOAT64) for name, shape in inputs.items()}
    return Graph("chain", types, outputs or nodes[-1].outputs, tuple(nodes), constants)


def assert_same_answers(graph: Graph, net: Net, inputs: dict[str, np.ndarray]) -> None:
    """Graph and Net agree in double precision, by name and in the shapes that the bindings tell."""
    wanted = graph.evaluate(inputs)
    found = net.evaluate(inputs)
    assert list(found) == list(graph.outputs)
    for name, array in wanted.items():
        shape, dtype = net.bindings[name]
        assert (shape, dtype) == (graph.types[name].shape, graph.types[name].dtype)
        assert found[name].shape == net.shapes[net.outputs[name]].ndchw
        answer = found[name].reshape(shape)
        if dtype is DType.BOOL:
            answer = answer != 0
        np.testing.assert_allclose(answer, array, rtol=1e-9, atol=1e-11, err_msg=name)
