"""Comparison of programs with changed bytes and registers: whatever changes a result is found, in the right layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import mutation
from tests.support.compare_models import chain

from openane.analysis.compare import compare_layers
from openane.analysis.comparison import ModelComparison
from openane.analysis.isolated_run import run_whole
from openane.analysis.verdicts import Verdict
from openane.artifact.plan import Artifact, EngineStep
from openane.compiler.driver import Options, build
from openane.core.errors import FaultError
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Conv, MatMul, Relu, Sigmoid, Softmax
from openane.program import Program, Task

SHAPE = (1, 8, 6, 6)
RANDOM = np.random.default_rng(11)
X = {"x": RANDOM.standard_normal(SHAPE).astype(np.float32)}


def kernel() -> dict[str, np.ndarray]:
    return {"weight": (0.4 * RANDOM.standard_normal((8, 8, 1, 1))).astype(np.float32)}


def three_layers() -> Artifact:
    steps = [("first", Conv(), kernel()), ("act", Sigmoid(), {}), ("second", Conv(), kernel())]
    return build(chain([*steps, ("last", Relu(), {}), ("third", Conv(), kernel())], SHAPE))


def attention() -> Artifact:
    """Layers whose values the program keeps in another layout than the model, or in parts."""
    shape = TensorType((1, 2, 8, 16))
    projection = {f"w{i}": (0.4 * RANDOM.standard_normal((16, 16))).astype(np.float32) for i in range(3)}
    nodes = [Node(f"p{i}", MatMul(), ("x", f"w{i}"), (f"v{i}",)) for i in range(3)]
    nodes += [
        Node("scores", MatMul(transpose_b=True), ("v0", "v1"), ("s",)),
        Node("softmax", Softmax(3), ("s",), ("a",)),
        Node("mixed", MatMul(), ("a", "v2"), ("y",)),
    ]
    return build(Graph("attention", {"x": shape}, ("y",), tuple(nodes), projection))


def changed(artifact: Artifact, program: Program) -> Artifact:
    (step,) = artifact.plan.steps
    assert isinstance(step, EngineStep)
    return replace(artifact, plan=replace(artifact.plan, steps=(replace(step, program=program),)))


def bytes_of_layer(artifact: Artifact, weight: str) -> np.ndarray:
    """Where the program keeps a weight: what differs when the weight does."""
    graph = artifact.graph
    assert graph is not None
    other = build(replace(graph, constants={**graph.constants, weight: graph.constants[weight] * 1.5 + 0.01}))
    ours, theirs = (np.frombuffer(each.constants, np.uint8) for each in (artifact, other))
    return np.flatnonzero(ours != theirs)


def bits(artifact: Artifact, inputs: dict[str, np.ndarray]) -> tuple[list[bytes], list[bytes]]:
    """Of the outputs, and of everything that tasks store."""
    whole = run_whole(artifact, inputs, "simulator")
    outputs = [whole.values[name].tobytes() for name in artifact.plan.outputs]
    return outputs, [each.values.tobytes() for each in whole.results]


def check(found: ModelComparison, right: tuple[list[bytes], list[bytes]], now: tuple[list[bytes], list[bytes]]) -> bool:
    """A changed output is wrong, and a program that stores the same everywhere is right; between, both may be."""
    if right[0] != now[0]:
        assert not found.right
    if right[1] == now[1]:
        assert found.right
    return not found.right


def weight_bits(artifact: Artifact, weight: str, count: int) -> Iterator[Artifact]:
    """The artifact with one bit of a weight changed."""
    places = bytes_of_layer(artifact, weight)
    random = np.random.default_rng(len(weight))
    for place, bit in zip(random.choice(places, count), random.integers(0, 8, count), strict=True):
        data = bytearray(artifact.constants)
        data[place] ^= 1 << int(bit)
        yield changed(artifact, replace(artifact.program, constants=bytes(data)))


def names(found: ModelComparison) -> list[str]:
    return [layer.name for layer in found.layers if layer.verdict is Verdict.PROGRAM]


@pytest.mark.parametrize("layer", ["first", "second", "third"])
def test_a_changed_bit_of_a_weight_is_found_in_its_layer(layer: str) -> None:
    artifact = three_layers()
    right = bits(artifact, X)
    assert compare_layers(artifact, X).right
    effective = 0
    for other in weight_bits(artifact, f"{layer}.weight", 6):
        found = compare_layers(other, X)
        if check(found, right, bits(other, X)):
            effective += 1
            assert found.first_wrong is not None
            assert layer in found.layers[found.first_wrong].name
            assert found.layers[found.first_wrong].verdict is Verdict.PROGRAM
    assert effective > 2


@pytest.mark.parametrize("weight", ["w0", "w1", "w2"])
def test_a_changed_weight_is_found_where_values_are_not_readable(weight: str) -> None:
    artifact = attention()
    inputs = {"x": RANDOM.standard_normal((1, 2, 8, 16)).astype(np.float32)}
    right = bits(artifact, inputs)
    assert compare_layers(artifact, inputs).right
    for other in weight_bits(artifact, weight, 4):
        found = compare_layers(other, inputs)
        if check(found, right, bits(other, inputs)):
            assert names(found) == [f"p{weight[1:]}"]


FIELDS = frozenset({"NE.MACCfg.NonLinearMode", "Common.ConvCfg.Sx", "NE.PostScale.PostScale", "L2.ResultBase.Addr"})


def test_a_changed_register_is_found_in_its_layer() -> None:
    artifact = three_layers()
    right = bits(artifact, X)
    failed, faulted = 0, 0
    for number, task in enumerate(artifact.program.tasks):
        for other in _variants(task):
            tasks = list(artifact.program.tasks)
            tasks[number] = other
            wrong = changed(artifact, replace(artifact.program, tasks=tuple(tasks)))
            try:
                now = bits(wrong, X)
            except FaultError:
                faulted += 1
                with pytest.raises(FaultError, match=r"task \d"):
                    compare_layers(wrong, X)
                continue
            found = compare_layers(wrong, X)
            if check(found, right, now):
                failed += 1
                assert found.first_wrong is not None
                wrong_layer, before = (found.layers[max(found.first_wrong - i, 0)] for i in (0, 1))
                assert number in (*wrong_layer.tasks, *before.tasks), "or the layer that reads what is elsewhere"
    assert failed > 3
    assert faulted


def _variants(task: Task) -> Iterator[Task]:
    for place in mutation.executed():
        if place.name in FIELDS and not place.in_header:
            yield from list(place.changed(task))[:2]


def test_the_passes_of_a_loop_are_compared_one_by_one(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path / "loop.onnx"
    path.write_bytes(_loop(onnx))
    artifact = build(path)
    found = compare_layers(artifact, X)
    assert found.right
    assert len(found.layers) >= 4, [layer.name for layer in found.layers]
    tasks = [task for layer in found.layers for task in layer.tasks]
    assert sorted(tasks) == list(range(len(artifact.program.tasks)))


def _loop(onnx) -> bytes:  # type: ignore[no-untyped-def]
    make, kind = onnx.helper, onnx.TensorProto
    info = make.make_tensor_value_info
    nodes = [
        make.make_node("Identity", ["condition"], ["again"]),
        make.make_node("Conv", ["state", "w"], ["c"], name="conv"),
        make.make_node("Tanh", ["c"], ["next"], name="tanh"),
    ]
    inside = [info("i", kind.INT64, []), info("condition", kind.BOOL, []), info("state", kind.FLOAT, SHAPE)]
    body = make.make_graph(nodes, "body", inside, [info("again", kind.BOOL, []), info("next", kind.FLOAT, SHAPE)])
    constants = {"w": kernel()["weight"], "count": np.array(4, np.int64), "yes": np.array(True)}
    loop = make.make_node("Loop", ["count", "yes", "x"], ["y"], name="loop", body=body)
    ends = [info("x", kind.FLOAT, SHAPE)], [info("y", kind.FLOAT, SHAPE)]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = make.make_graph([loop], "loop", *ends, tensors)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def test_a_wrong_lowering_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler makes another layer than the model has: the layer alone is wrong in the same way as the program."""
    graph = chain([("first", Conv(), kernel()), ("second", Conv(), kernel())], SHAPE)
    original = Conv.evaluate

    def other(self: Conv, inputs):  # type: ignore[no-untyped-def]
        (y,) = original(self, inputs)
        y = y.copy()
        y[:, 3] *= 1.02
        return (y,)

    artifact = build(graph, Options())
    monkeypatch.setattr(Conv, "evaluate", other)
    found = compare_layers(artifact, X)
    assert found.first_wrong == 0
    assert found.layers[0].verdict is Verdict.UNEXPLAINED
