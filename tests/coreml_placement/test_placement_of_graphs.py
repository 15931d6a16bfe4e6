"""Models of other formats are placed by the MIL that the converter writes: recorded, and as coremltools makes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openane.compiler.pipeline import run_pipeline
from openane.core.types import DType
from openane.coreml_placement.from_graph import program_of_graph
from openane.coreml_placement.platforms import platform
from openane.coreml_placement.prediction import AppleDevice, predict
from openane.coreml_placement.read import read_program
from openane.coreml_placement.reasons import reasons
from openane.coreml_placement.remedies import remedies
from openane.coreml_placement.traps import traps
from openane.graph import Graph, Node, TensorType, ops
from openane.graph.ops import OPERATIONS

F32 = DType.FLOAT32
RANDOM = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def network() -> Graph:
    """conv -> gelu -> mean -> linear -> softmax, in single precision."""
    constants = {"w": weights(16, 4, 3, 3), "m": weights(16, 10), "b": weights(10)}
    nodes = (
        Node("conv", ops.Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), ("x", "w"), ("a",)),
        Node("relu", ops.Relu(), ("a",), ("r",)),
        Node("mean", ops.ReduceMean((2, 3), False), ("r",), ("p",)),
        Node("matmul", ops.MatMul(), ("p", "m"), ("q",)),
        Node("bias", ops.Add(), ("q", "b"), ("s",)),
        Node("softmax", ops.Softmax(1), ("s",), ("y",)),
    )
    return Graph("network", {"x": TensorType((1, 4, 8, 8), F32)}, ("y",), nodes, constants)


def test_the_recorded_program() -> None:
    program = program_of_graph(network())
    assert [each.kind for each in program.operations] == [
        "cast", "conv", "relu", "reduce_mean", "linear", "softmax", "cast"
    ]  # fmt: skip
    assert {result.dtype for each in program.operations[:-1] for result in each.results} == {"fp16"}
    assert program.operations[4].layers == ("matmul", "bias")
    assert program.outputs == (program.operations[-1].result.name,)


@pytest.mark.slow
def test_coremltools_makes_the_same_operations(tmp_path: Path) -> None:
    """The witness: coremltools' own conversion, read back from its package."""
    pytest.importorskip("coremltools")
    from openane.convert.convert import convert

    path = tmp_path / "network.mlpackage"
    convert(network(), path)
    written = read_program(path)
    assert written is not None
    recorded = program_of_graph(run_pipeline(network()))
    assert [each.kind for each in written.operations] == [each.kind for each in recorded.operations]
    shapes = [[result.shape for result in each.results] for each in written.operations]
    assert shapes == [[result.shape for result in each.results] for each in recorded.operations]
    both = (predict(each, platform("M4")).placements for each in (written, recorded))
    for theirs, ours in zip(*both, strict=True):
        for device in (AppleDevice.ANE, AppleDevice.CPU):
            assert theirs.time_ms(device) == pytest.approx(ours.time_ms(device), rel=0.01), ours.operation.kind


def samples() -> list[Graph]:
    """Every sample of every operation of the graph as a model."""
    found = []
    for kind in OPERATIONS.values():
        for case in kind.cases():
            kinds = [TensorType(a.shape, DType.of(a)) if a is not None else None for a in case.inputs]
            names = tuple("" if kind is None else f"x{i}" for i, kind in enumerate(kinds))
            inputs = {name: kind for name, kind in zip(names, kinds, strict=True) if kind is not None}
            outputs = tuple(f"y{i}" for i in range(len(case.operation.infer(kinds))))
            found.append(Graph("sample", inputs, outputs, (Node("layer", case.operation, names, outputs),), {}))
    return found


def test_every_operation_of_the_graph_is_placed() -> None:
    graphs = samples()
    assert len(graphs) > 300
    for graph in graphs:
        program = program_of_graph(graph)
        found = predict(program, platform("M4"))
        assert len(reasons(found)) == len(program.operations)
        remedies(found)
        made = {result.name: result for each in program.operations for result in each.results}
        for name, ours in zip(graph.outputs, program.outputs, strict=True):
            if ours in made:
                assert made[ours].shape == graph.types[name].shape, (graph.nodes[0], name)


def long_chain(length: int) -> Graph:
    constants = {f"w{i}": weights(64, 64, 3, 3).astype(np.float16) for i in range(2)}
    nodes = []
    for i in range(length):
        nodes.append(Node(f"conv{i}", ops.Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), (f"v{i}", f"w{i % 2}"), (f"a{i}",)))
        nodes.append(Node(f"relu{i}", ops.Relu(), (f"a{i}",), (f"v{i + 1}",)))
    inputs = {"v0": TensorType((1, 64, 32, 32), DType.FLOAT16)}
    return Graph("chain", inputs, (f"v{length}",), tuple(nodes), constants)


def test_traps() -> None:
    short = predict(program_of_graph(long_chain(8)), platform("M6"))
    assert {each.device for each in short.placements} == {AppleDevice.ANE}
    (tie,) = traps(short)
    assert "last ReLU" in tie
    (tie, long) = traps(predict(program_of_graph(long_chain(200)), platform("M6")))
    assert "32 layers" in tie and "400 operations" in long and "386" in long


def test_wide_slices_on_the_oldest_chip() -> None:
    nodes = (Node("slice", ops.Slice((0, 0, 0, 5000), (1, 4, 4, 6000), (1, 1, 1, 1)), ("x",), ("y",)),)
    graph = Graph("slice", {"x": TensorType((1, 4, 4, 8000), DType.FLOAT16)}, ("y",), nodes, {})
    assert any("5000" in each for each in traps(predict(program_of_graph(graph), platform("M1"))))
    assert not traps(predict(program_of_graph(graph), platform("M4")))


def test_a_small_model_is_offered_a_batch() -> None:
    (found,) = remedies(predict(program_of_graph(long_chain(1)), platform("M4")))
    assert "batch" in found.change and found.helps
