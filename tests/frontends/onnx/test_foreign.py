"""Nodes that openane has no operation for: host steps through onnxruntime, equal to the whole model in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from openane.analysis.explain import Location, explain
from openane.artifact.artifact_format import decode, encode
from openane.artifact.bundle import Bundle, Variant, read_bundle
from openane.artifact.plan import EngineStep, HostStep
from openane.cli import root
from openane.compiler.driver import build
from openane.core.errors import ModelError, UnsupportedError
from openane.frontends.onnx import load_model
from openane.graph.ops import OnnxNode
from openane.graph.text import describe
from openane.runtimes.bundles import save_bundle
from openane.runtimes.execution import Execution
from openane.runtimes.host.export import export_model

onnxruntime = pytest.importorskip("onnxruntime")

MICROSOFT = "com.microsoft"
Value = tuple[str, Sequence[int | str] | None, int]
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def model(
    nodes: list[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    sides = [
        [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in side] for side in (inputs, outputs)
    ]
    given = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "model", *sides, given)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in (MICROSOFT, "acme"))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def fused(kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, domain=MICROSOFT, name=kind.lower(), **attributes)


def in_onnxruntime(given: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(given.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def packed(columns: int, rows: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Four-bit weights of MatMulNBits and their scales."""
    generator = np.random.default_rng(3)
    blocks = rows // block
    return (
        generator.integers(0, 256, (columns, blocks, block // 2)).astype(np.uint8),
        generator.uniform(0.01, 0.05, columns * blocks).astype(np.float32),
    )


B, SCALES = packed(16, 32, 16)
X4: Value = ("x", [1, 4, 8, 8], FLOAT)
ROWS: Value = ("x", [2, 6, 32], FLOAT)

#: Models of operations that onnxruntime's optimizer and quantizer write.
CONTRIBUTED = {
    "FusedConv": model(
        [fused("FusedConv", ["x", "w", "b"], activation="Relu", pads=[1, 1, 1, 1])],
        [X4],
        [("y", None, FLOAT)],
        {"w": weight(8, 4, 3, 3), "b": weight(8)},
    ),
    "MatMulNBits": model(
        [fused("MatMulNBits", ["x", "b", "s"], K=32, N=16, bits=4, block_size=16)],
        [ROWS],
        [("y", None, FLOAT)],
        {"b": B, "s": SCALES},
    ),
    "SkipLayerNormalization": model(
        [fused("SkipLayerNormalization", ["x", "k", "g", "h"], epsilon=1e-5)],
        [ROWS],
        [("y", None, FLOAT)],
        {"k": weight(2, 6, 32), "g": weight(32), "h": weight(32, seed=1)},
    ),
    "Attention": model(
        [fused("Attention", ["x", "w", "b"], num_heads=4)],
        [ROWS],
        [("y", None, FLOAT)],
        {"w": weight(32, 96) / 6, "b": weight(96)},
    ),
    "MultiHeadAttention": model(
        [fused("MultiHeadAttention", ["x", "x", "v"], num_heads=4)],
        [ROWS, ("v", [2, 6, 32], FLOAT)],
        [("y", None, FLOAT)],
    ),
    "FusedMatMul": model(
        [fused("FusedMatMul", ["x", "w"], transA=0, transB=1, alpha=0.5)],
        [ROWS],
        [("y", None, FLOAT)],
        {"w": weight(8, 32)},
    ),
    "BiasGelu": model([fused("BiasGelu", ["x", "b"])], [ROWS], [("y", None, FLOAT)], {"b": weight(32)}),
    "FastGelu": model([fused("FastGelu", ["x"])], [ROWS], [("y", None, FLOAT)]),
    "QuickGelu": model([fused("QuickGelu", ["x"])], [ROWS], [("y", None, FLOAT)]),
    "FusedGemm": model(
        [fused("FusedGemm", ["x", "w"], activation="Relu")],
        [("x", [4, 32], FLOAT)],
        [("y", None, FLOAT)],
        {"w": weight(32, 8)},
    ),
    "GroupNorm": model(
        [fused("GroupNorm", ["x", "g", "h"], activation=0, groups=2, channels_last=1)],
        [("x", [1, 8, 8, 4], FLOAT)],
        [("y", None, FLOAT)],
        {"g": weight(4), "h": weight(4, seed=1)},
    ),
}


def feeds_of(given: onnx.ModelProto) -> dict[str, np.ndarray]:
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in given.graph.input}
    return {name: weight(*shape, seed=i + 9) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("name", CONTRIBUTED)
def test_operations_of_onnxruntime_give_its_results(name: str) -> None:
    given, feeds = CONTRIBUTED[name], feeds_of(CONTRIBUTED[name])
    try:
        (expected,) = in_onnxruntime(given, feeds)
    except Exception as error:
        pytest.skip(f"this onnxruntime has no {name}: {str(error)[:80]}")
    artifact = build(load_model(given))
    with Execution(artifact) as execution:
        (found,) = execution.run(feeds).outputs.values()
    on_engine = any(isinstance(step, EngineStep) for step in artifact.plan.steps)
    tolerance = (2.0**-7 if on_engine else 2.0**-20) * float(np.abs(expected).max())
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def detector() -> onnx.ModelProto:
    """A convolution, boxes and scores, the selection of boxes, and what reads it."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        node("Reshape", ["a", "shape"], ["r"], name="rows"),
        node("Split", ["r", "sizes"], ["boxes", "scores"], name="split", axis=1),
        node("Transpose", ["boxes"], ["places"], name="places", perm=[0, 2, 1]),
        node("NonMaxSuppression", ["places", "scores", "count", "overlap", "least"], ["chosen"], name="select"),
        node("Gather", ["chosen", "last"], ["numbers"], name="numbers", axis=1),
        node("Gather", ["places", "numbers"], ["picked"], name="pick", axis=1),
    ]
    weights = {
        "w": weight(8, 4, 3, 3),
        "shape": np.array([1, 8, 64]),
        "sizes": np.array([4, 4]),
        "count": np.array([5]),
        "overlap": np.array([0.5], np.float32),
        "least": np.array([1.0], np.float32),
        "last": np.array(2),
    }
    return model(nodes, [X4], [("chosen", ["n", 3], INT64), ("picked", [1, "n", 4], FLOAT)], weights)


def test_a_result_of_unknown_extent_keeps_its_readers_on_the_host() -> None:
    graph = load_model(detector())
    assert [str(graph.types[name]) for name in graph.outputs] == ["int64[?,3]", "float32[1,?,4]"]
    assert "chosen: int64[?,3] = NonMaxSuppression[" in describe(graph)
    artifact = build(graph)
    assert [isinstance(step, EngineStep) for step in artifact.plan.steps] == [True, False]
    x = weight(1, 4, 8, 8, seed=5)
    with Execution(artifact) as execution:
        found = execution.run({"x": x}).outputs
    chosen, picked = in_onnxruntime(detector(), {"x": x})
    np.testing.assert_array_equal(found["chosen"], chosen)
    np.testing.assert_allclose(found["picked"], picked, rtol=0, atol=2.0**-7 * float(np.abs(picked).max()))
    layers = {layer.name: layer for layer in explain(artifact, graph).layers}
    assert layers["conv"].where is Location.NE and layers["select"].where is Location.HOST
    assert layers["select"].operation == "NonMaxSuppression"
    assert layers["pick"].reason is not None and "shape or element type is known only" in str(layers["pick"].reason)


def test_a_compiled_model_with_such_nodes_is_kept_as_bytes() -> None:
    artifact = build(load_model(detector()))
    again = decode(encode(artifact, "key"), "key", lambda _: True)
    (step,) = (step for step in again.plan.steps if isinstance(step, HostStep))
    (other,) = (step for step in artifact.plan.steps if isinstance(step, HostStep))
    assert step.graph.nodes == other.graph.nodes


def test_a_bundle_holds_such_nodes_as_onnx(tmp_path: Path) -> None:
    artifact = build(load_model(detector()))
    path = tmp_path / "model.openane"
    save_bundle(Bundle("model", (Variant(artifact),)), path)
    again = read_bundle(path).variants[0].artifact
    x = weight(1, 4, 8, 8, seed=5)
    results = []
    for each in (artifact, again):
        with Execution(each) as execution:
            results.append(execution.run({"x": x}).outputs)
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array)


def test_nodes_of_different_operator_sets_are_not_written_as_one_file() -> None:
    graph = load_model(detector())
    (node,) = (node for node in graph.nodes if node.name == "select")
    old = model([helper.make_node("Det", ["x"], ["y"])], [("x", [2, 3, 3], FLOAT)], [("y", None, FLOAT)], opset=17)
    written = export_model(graph.part([node]))
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", 20)]
    assert export_model(load_model(old)).opset_import[0].version == 20


def test_a_result_of_known_extent_goes_on_to_the_engine() -> None:
    conv = {"w": weight(4, 4, 3, 3), "v": weight(4, 4, 3, 3, seed=1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["p", "i"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "v"], ["y"], name="second", pads=[1, 1, 1, 1]),
    ]
    given = model(nodes, [X4], [("y", None, FLOAT), ("i", None, INT64)], conv)
    artifact = build(load_model(given))
    assert [isinstance(step, EngineStep) for step in artifact.plan.steps] == [True, False, True]
    x = weight(1, 4, 8, 8, seed=5)
    with Execution(artifact) as execution:
        found = execution.run({"x": x}).outputs
    y, _ = in_onnxruntime(given, {"x": x})
    np.testing.assert_allclose(found["y"], y, rtol=0, atol=2.0**-6 * float(np.abs(y).max()))


def test_an_operation_that_nothing_computes_is_explained_with_the_rest() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="before", pads=[1, 1, 1, 1]),
        helper.make_node("Magic", ["a"], ["b"], name="magic", domain="acme"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="after", pads=[1, 1, 1, 1]),
    ]
    given = model(nodes, [X4], [("y", [1, 4, 8, 8], FLOAT)], {"w": weight(4, 4, 3, 3)})
    for typed in (False, True):
        if typed:  # the file states the type of the result
            given.graph.value_info.append(helper.make_tensor_value_info("b", FLOAT, [1, 4, 8, 8]))
        graph = load_model(given)
        layers = {layer.name: layer for layer in explain(build(graph), graph).layers}
        assert layers["before"].where is Location.NE
        assert layers["magic"].where is Location.HOST and "Neither openane nor onnxruntime" in str(
            layers["magic"].reason
        )
        assert (layers["after"].where is Location.NE) is typed


def test_the_command_explains_what_it_cannot_run(tmp_path: Path) -> None:
    path = tmp_path / "magic.onnx"
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="before", pads=[1, 1, 1, 1]),
        helper.make_node("Magic", ["a"], ["y"], name="magic", domain="acme"),
        helper.make_node("Magic", ["y"], ["z"], name="more", domain="acme"),
    ]
    onnx.save(model(nodes, [X4], [("z", None, FLOAT)], {"w": weight(4, 4, 3, 3)}), path)
    explained = CliRunner().invoke(root, ["explain", str(path), "--json"])
    assert explained.exit_code == 0, explained.output
    assert '"NE"' in explained.output and "no-implementation" in explained.output
    ran = CliRunner().invoke(root, ["run", str(path), "--no-cache"])
    assert isinstance(ran.exception, UnsupportedError)
    assert [each.value for each in ran.exception.diagnostics] == ["acme.Magic", "acme.Magic"]


def test_random_numbers_are_drawn_anew_and_never_folded() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["w"], ["r"], name="noise"),
        helper.make_node("RandomNormalLike", ["w"], ["s"], name="other"),
        helper.make_node("Sub", ["r", "s"], ["d"], name="difference"),
        helper.make_node("Add", ["x", "d"], ["y"], name="add"),
    ]
    given = model(nodes, [("x", [64, 64], FLOAT)], [("y", None, FLOAT)], {"w": weight(64, 64)})
    with Execution(build(load_model(given))) as execution:
        first, second = (execution.run({"x": np.zeros((64, 64), np.float32)}).outputs["y"] for _ in range(2))
    assert first.shape == (64, 64) and 1.2 < float(first.std()) < 1.6
    assert not np.array_equal(first, second)


def test_texts_and_sequences_pass_through_the_host() -> None:
    nodes = [
        helper.make_node("StringConcat", ["a", "b"], ["c"], name="join"),
        helper.make_node("SplitToSequence", ["x"], ["s"], name="cut", axis=0),
        helper.make_node("SequenceAt", ["s", "i"], ["y"], name="take"),
    ]
    inputs: list[Value] = [("a", [2], STRING), ("b", [2], STRING), ("x", [3, 4], FLOAT)]
    given = model(nodes, inputs, [("c", [2], STRING), ("y", None, FLOAT)], {"i": np.array(1)}, opset=20)
    x = weight(3, 4)
    with Execution(build(load_model(given))) as execution:
        found = execution.run({"a": np.array(["x", "é"]), "b": np.array(["1", "2"]), "x": x}).outputs
    assert found["c"].tolist() == ["x1", "é2"]
    np.testing.assert_array_equal(found["y"], x[1:2])


def test_a_branch_that_depends_on_the_data_runs_on_the_host() -> None:
    def branch(kind: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(kind, FLOAT, [2, 3])
        return helper.make_graph([helper.make_node(kind, ["x"], [kind])], kind, [], [out])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=branch("Exp"), else_branch=branch("Neg")),
    ]
    given = model(nodes, [("x", [2, 3], FLOAT)], [("y", [2, 3], FLOAT)], {"zero": np.array(0, np.float32)})
    artifact = build(load_model(given))
    with Execution(artifact) as execution:
        for x in (np.ones((2, 3), np.float32), -np.ones((2, 3), np.float32)):
            found = execution.run({"x": x}).outputs["y"]
            np.testing.assert_allclose(found, in_onnxruntime(given, {"x": x})[0], rtol=1e-6)


def test_a_node_of_constants_is_folded() -> None:
    nodes = [helper.make_node("Det", ["w"], ["d"], name="det"), helper.make_node("Mul", ["x", "d"], ["y"], name="mul")]
    given = model(nodes, [("x", [3], FLOAT)], [("y", None, FLOAT)], {"w": weight(3, 3)})
    graph = load_model(given)
    assert not any(isinstance(node.operation, OnnxNode) for node in graph.nodes)
    x = weight(3)
    np.testing.assert_allclose(graph.evaluate({"x": x})["y"], in_onnxruntime(given, {"x": x})[0], rtol=1e-5)


def test_a_failure_while_it_runs_names_the_node() -> None:
    nodes = [
        helper.make_node("Gather", ["c", "i"], ["y"], name="gather"),
        helper.make_node("NonZero", ["x"], ["c"], name="nz"),
    ]
    given = model(nodes, [("x", [2, 3], FLOAT)], [("y", None, INT64)], {"i": np.array([7])})
    with (
        Execution(build(load_model(given))) as execution,
        pytest.raises(ModelError, match=r"node 'gather'.*onnxruntime fails in Gather.*indices"),
    ):
        execution.run({"x": np.ones((2, 3), np.float32)})
