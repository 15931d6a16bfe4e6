"""What the ONNX front end makes of a model, against onnxruntime where numbers matter."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.onnx_models import model, node, value

from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.frontends.onnx import load, load_model
from openane.frontends.onnx.handlers import HANDLERS
from openane.graph import Graph, TensorType
from openane.graph.ops import OnnxNode

X = value("x", [1, 4, 8, 9])


def kinds(graph: Graph) -> list[str]:
    """The operations in order."""
    return [type(n.operation).__name__ for n in graph.nodes]


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Seeded normal weights."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def agree(proto: onnx.ModelProto, *, tolerance: float = 2e-5, shapes: Any = None) -> Graph:
    """The graph, whose answers are those of onnxruntime on seeded inputs."""
    import onnxruntime

    graph = load_model(proto, shapes)
    rng = np.random.default_rng(1)
    feeds = {
        name: rng.normal(0, 1, kind.shape).astype(kind.dtype.numpy)
        if kind.dtype.is_float
        else rng.integers(0, 3, kind.shape).astype(kind.dtype.numpy)
        for name, kind in graph.inputs.items()
    }
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(list(graph.outputs), feeds)
    for (name, found), array in zip(graph.evaluate(feeds).items(), expected, strict=True):
        assert found.shape == array.shape and found.dtype == array.dtype
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance, err_msg=name)
    return graph


CONV = weights(w=(6, 4, 3, 2), b=(6,))


@pytest.mark.parametrize("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
def test_convolution_padding(auto_pad: str, strides: list[int]) -> None:
    agree(model([node("Conv", ["x", "w", "b"], ["y"], auto_pad=auto_pad, strides=strides)], [X], ["y"], CONV))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
        {"strides": [2, 3], "output_shape": [16, 27]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [3, 2], "auto_pad": "SAME_LOWER"},
        {"dilations": [2, 2], "group": 2},
    ],
)
def test_transposed_convolution(attributes: dict[str, Any]) -> None:
    proto = model([node("ConvTranspose", ["x", "w"], ["y"], **attributes)], [X], ["y"], weights(w=(4, 3, 3, 2)))
    agree(proto, tolerance=1e-4)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("extra", [{}, {"pads": [1, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}, {"dilations": [2, 1]}])
def test_pooling(kind: str, ceil_mode: int, extra: dict[str, Any]) -> None:
    pool = node(kind, ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], ceil_mode=ceil_mode, **extra)
    agree(model([pool], [X], ["y"], opset=19))


@pytest.mark.parametrize("include", [0, 1])
def test_average_with_padding(include: int) -> None:
    pool = node(
        "AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=include
    )
    agree(model([pool], [X], ["y"], opset=11))


@pytest.mark.parametrize("opset", [7, 11, 13, 17])
def test_softmax_axes(opset: int) -> None:
    for axis in (0, 1, 2, 3, -1):
        agree(model([node("Softmax", ["x"], ["y"], axis=axis)], [X], ["y"], opset=opset))
    agree(model([node("LogSoftmax", ["x"], ["y"])], [X], ["y"], opset=opset))


def test_softmax_over_channels_stays_one_node() -> None:
    proto = model([node("Softmax", ["x"], ["y"], axis=1)], [value("x", [1, 10, 1, 1])], ["y"], opset=9)
    assert kinds(agree(proto)) == ["Softmax"]


@pytest.mark.parametrize("attributes", [{}, {"transB": 1, "alpha": 0.5}, {"transA": 1, "beta": 2.0}, {"beta": 0.0}])
def test_gemm(attributes: dict[str, Any]) -> None:
    a = [5, 4] if not attributes.get("transA") else [4, 5]
    b = (4, 3) if not attributes.get("transB") else (3, 4)
    proto = model([node("Gemm", ["x", "w", "b"], ["y"], **attributes)], [value("x", a)], ["y"], weights(w=b, b=(3,)))
    agree(proto)
    two = model(
        [node("Gemm", ["x", "w", "b"], ["y"], **attributes)], [value("x", a), value("w", b)], ["y"], weights(b=(3,))
    )
    agree(two)


def test_clip_of_all_versions() -> None:
    agree(model([node("Clip", ["x"], ["y"], min=-0.5, max=0.5)], [X], ["y"], opset=7))
    bounds = {"a": np.float32(-0.5), "b": np.float32(0.5)}
    assert kinds(agree(model([node("Clip", ["x", "a", "b"], ["y"])], [X], ["y"], bounds))) == ["Clip"]
    agree(model([node("Clip", ["x", "", "b"], ["y"])], [X], ["y"], bounds))
    agree(model([node("Clip", ["x", "a"], ["y"])], [X, value("a", [])], ["y"]))


def test_slices_pads_and_splits_of_all_versions() -> None:
    agree(model([node("Slice", ["x"], ["y"], starts=[1, -3], ends=[3, 100], axes=[1, 3])], [X], ["y"], opset=9))
    ints = {"s": np.array([-1, 1]), "e": np.array([-100, 6]), "a": np.array([2, -1]), "t": np.array([-2, 2])}
    agree(model([node("Slice", ["x", "s", "e", "a", "t"], ["y"])], [X], ["y"], ints))
    agree(model([node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="reflect")], [X], ["y"], opset=7))
    cut = {"p": np.array([0, 0, -1, 2, 0, 0, 1, -1]), "v": np.float32(3)}
    agree(model([node("Pad", ["x", "p", "v"], ["y"])], [X], ["y"], cut))
    agree(model([node("Split", ["x"], ["y", "z"], axis=1)], [X], ["y", "z"], opset=7))
    agree(model([node("Split", ["x"], ["y", "z"], axis=3, num_outputs=2)], [X], ["y", "z"], opset=18))


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsampling_of_all_versions(opset: int, mode: str) -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32), "r": np.zeros(0, np.float32)}
    inputs = ["x", "s"] if opset < 11 else ["x", "r", "s"]
    extra = {} if opset < 11 else {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    kind = "Upsample" if opset < 10 else "Resize"
    agree(model([node(kind, inputs, ["y"], mode=mode, **extra)], [X], ["y"], scales, opset=opset))


def test_reductions_of_all_versions() -> None:
    for opset, nodes in (
        (11, [node("ReduceSum", ["x"], ["y"], axes=[1, -1], keepdims=0), node("ReduceMean", ["x"], ["z"])]),
        (18, [node("ReduceSum", ["x", "a"], ["y"], keepdims=0), node("ReduceL2", ["x", "a"], ["z"])]),
    ):
        agree(model(nodes, [X], ["y", "z"], {"a": np.array([1, -1])}, opset=opset))


def test_shape_arithmetic_is_folded() -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["y"]),
    ]
    ints = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    graph = agree(model(nodes, [value("x", ["n", 4, 8, 9])], ["y"], ints), shapes={"x": (2, 4, 8, 9)})
    assert kinds(graph) == ["Reshape"]


def test_symbols_are_bound_once() -> None:
    proto = model([node("Add", ["x", "z"], ["y"])], [value("x", ["n", 3]), value("z", ["n", 3])], ["y"])
    assert load_model(proto, {"x": (5, 3)}).inputs["z"] == TensorType((5, 3))


def test_inputs_as_constants() -> None:
    proto = model([node("Reshape", ["x", "s"], ["y"])], [X, value("s", [2], TensorProto.INT64)], ["y"])
    graph = load_model(proto, constants={"s": np.array([4, -1])})
    assert list(graph.inputs) == ["x"] and graph.types["y"].shape == (4, 72)


def _branch(kind: str) -> onnx.GraphProto:
    return helper.make_graph([node(kind, ["x"], ["r"], name="inner")], kind, [], [value("r", None)])


def test_a_branch_with_a_known_condition() -> None:
    nodes = [node("If", ["c"], ["y"], then_branch=_branch("Relu"), else_branch=_branch("Exp"), name="choice")]
    for condition, expected in ((True, "Relu"), (False, "Exp")):
        graph = agree(model(nodes, [X], ["y"], {"c": np.array(condition)}))
        assert kinds(graph) == [expected]
        assert graph.nodes[0].origin.layers == ("choice", "inner")
        assert graph.nodes[0].outputs == ("y",)


def test_loops_are_unrolled() -> None:
    body = helper.make_graph(
        [node("Identity", ["k"], ["k2"]), node("Add", ["v", "w"], ["v2"]), node("Relu", ["v2"], ["o"])],
        "body",
        [value("i", [], TensorProto.INT64), value("k", [], TensorProto.BOOL), value("v", [2])],
        [value("k2", [], TensorProto.BOOL), value("v2", [2]), value("o", [2])],
    )
    loop = node("Loop", ["n", "c", "x"], ["y", "z"], body=body)
    given = {"n": np.array(3), "c": np.array(True), **weights(w=(2,))}
    graph = agree(model([loop], [value("x", [2])], ["y", "z"], given))
    assert kinds(graph).count("Add") == 3


def test_scans_are_unrolled() -> None:
    body = helper.make_graph(
        [node("Add", ["h", "e"], ["h2"]), node("Identity", ["h2"], ["o"])],
        "body",
        [value("h", [3]), value("e", [3])],
        [value("h2", [3]), value("o", [3])],
    )
    scan = node("Scan", ["h0", "x"], ["y", "z"], body=body, num_scan_inputs=1, scan_input_directions=[1])
    agree(model([scan], [value("h0", [3]), value("x", [4, 3])], ["y", "z"]))


def test_functions_are_spelled_out() -> None:
    reference = onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    leaky = helper.make_node("LeakyRelu", ["a"], ["t"], name="leaky")
    leaky.attribute.append(reference)
    body = [leaky, helper.make_node("Add", ["t", "a"], ["b"], name="plus")]
    function = helper.make_function("local", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)], ["slope"])
    calls = [
        helper.make_node("Twice", ["x"], ["m"], domain="local", name="one", slope=0.25),
        helper.make_node("Twice", ["m"], ["y"], domain="local", name="two", slope=0.5),
    ]
    graph = agree(model(calls, [X], ["y"], functions=[function], domains=["local"]))
    assert kinds(graph) == ["LeakyRelu", "Add"] * 2
    assert [n.operation.alpha for n in graph.nodes[::2]] == [0.25, 0.5]  # type: ignore[attr-defined]
    assert graph.nodes[2].origin.layers == ("two", "leaky")


def test_names_stay() -> None:
    nodes = [node("Relu", ["in/0:x y"], ["mid"], name="layer"), node("Identity", ["mid"], ["out.1"])]
    graph = load_model(model(nodes, [value("in/0:x y", [1, 3])], ["out.1", "mid"]))
    assert list(graph.inputs) == ["in/0:x y"] and graph.outputs == ("out.1", "mid")
    assert graph.nodes[0].name == "layer" and graph.nodes[0].origin.layers == ("layer",)


def test_nodes_without_names_and_with_the_same_name() -> None:
    nodes = [
        node("Relu", ["x"], ["a"], name=""),
        node("Exp", ["a"], ["b"], name="n"),
        node("Abs", ["b"], ["y"], name="n"),
    ]
    assert [n.name for n in load_model(model(nodes, [X], ["y"])).nodes] == ["a", "n", "n.1"]


def test_nodes_in_any_order() -> None:
    nodes = [node("Exp", ["a"], ["y"]), node("Relu", ["x"], ["a"])]
    assert kinds(load_model(model(nodes, [X], ["y"]))) == ["Relu", "Exp"]


def test_outputs_that_nothing_computes() -> None:
    graph = load_model(model([node("Relu", ["x"], ["y"])], [X], ["y", "x", "w"], weights(w=(2,))))
    assert graph.outputs == ("y", "x", "w") and set(graph.outputs) <= set(graph.types)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT16, DType.FLOAT16),
        (TensorProto.DOUBLE, DType.FLOAT64),
        (TensorProto.BFLOAT16, DType.FLOAT32),
    ],
)
def test_weights_of_all_float_types(kind: int, dtype: DType) -> None:
    values = np.array([0.5, -1.25, 3.0], np.float64)
    proto = model([node("Mul", ["x", "w"], ["y"])], [value("x", [3], kind)], [value("y", [3], kind)])
    proto.graph.initializer.append(helper.make_tensor("w", kind, [3], values))
    graph = load_model(proto)
    assert graph.types["y"].dtype is dtype
    assert np.array_equal(graph.constants["w"].astype(np.float64), values)


def test_a_sparse_weight() -> None:
    proto = model([node("Mul", ["x", "w"], ["y"])], [value("x", [5])], ["y"])
    values = numpy_helper.from_array(np.array([2, 3], np.float32), "w")
    places = numpy_helper.from_array(np.array([1, 4]), "places")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [5]))
    assert load_model(proto).constants["w"].tolist() == [0, 2, 0, 0, 3]


def test_quantized_models() -> None:
    rng = np.random.default_rng(0)
    given = {
        "s": np.float32(0.05),
        "z": np.uint8(120),
        "w": rng.integers(-100, 100, (6, 4, 3, 3)).astype(np.int8),
        "t": rng.uniform(0.01, 0.02, 6).astype(np.float32),
        "u": np.zeros(6, np.int8),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "t", "u"], ["v"], axis=0),
        node("Conv", ["d", "v"], ["y"]),
    ]
    graph = agree(model(nodes, [X], ["y"], given), tolerance=1e-4)
    assert kinds(graph) == ["QuantizeLinear", "DequantizeLinear", "Conv"]


def test_contributed_operations() -> None:
    nodes = [
        helper.make_node("SkipLayerNormalization", ["x", "z", "g", "b"], ["a"], domain="com.microsoft", name="skip"),
        helper.make_node("FastGelu", ["a", "b"], ["c"], domain="com.microsoft", name="fast"),
        helper.make_node("FusedMatMul", ["c", "z"], ["y"], domain="com.microsoft", name="product", transB=1, alpha=0.5),
    ]
    inputs = [value("x", [1, 5, 8]), value("z", [1, 5, 8])]
    agree(model(nodes, inputs, ["y"], weights(g=(8,), b=(8,)), domains=["com.microsoft"]), tolerance=1e-4)


def test_a_refusal_says_node_operation_opset_and_reason() -> None:
    reshape = node("Reshape", ["x", "s"], ["y"], name="fold")
    with pytest.raises(UnsupportedError) as caught:
        load_model(model([reshape], [X, value("s", [2], TensorProto.INT64)], ["y"]), name="a.onnx")
    assert str(caught.value).startswith("a.onnx: node 'fold' (Reshape, opset 17): the shape")


def test_what_has_no_handler_is_left_to_onnxruntime_with_the_reason() -> None:
    pool = node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2], name="pool")
    graph = load_model(model([pool], [X], ["y", value("i", None, TensorProto.INT64)]), name="a.onnx")
    (found,) = graph.nodes
    assert (
        isinstance(found.operation, OnnxNode) and found.operation.onnx_name == "MaxPool" and not found.operation.problem
    )
    assert found.operation.reason.startswith("the places of the maxima")
    assert [str(graph.types[name]) for name in graph.outputs] == ["float32[1,4,7,8]", "int64[1,4,7,8]"]


def test_handlers_are_of_operations_that_exist() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert {name for domain, name in HANDLERS if domain == ""} <= known | {"Swish", "RMSNormalization", "CumProd"}


def test_digits(shared: Path) -> None:
    graph = load(shared / "models" / "digits_cnn.onnx")
    with np.load(shared / "models" / "digits_test.npz") as data:
        pictures, expected = data["pictures"][:16].astype(np.float32), data["probabilities"]
    small = np.kron(pictures / 16, np.ones((3, 3), np.float32))
    # The shared reference enlarges the pictures otherwise, so only the shape of the answer is compared here.
    picture = np.zeros((1, 1, 28, 28), np.float32)
    picture[0, 0, 2:26, 2:26] = small[0]
    found = graph.evaluate({"image": picture})["probabilities"]
    assert found.shape == expected[:1].shape and np.isclose(found.sum(), 1)


def test_networks_of_the_onnx_package() -> None:
    """The graphs of well-known networks, weights all alike; logits of some are too large to compare."""
    import onnxruntime

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    if not folder.is_dir():
        pytest.skip("this onnx package comes without its test data")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for name in ("light_shufflenet", "light_inception_v2"):
        graph = load(folder / f"{name}.onnx")
        ((input_name, kind),) = graph.inputs.items()
        x = np.random.default_rng(0).normal(0, 0.1, kind.shape).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options)
        (expected,) = session.run(None, {input_name: x})
        (found,) = graph.evaluate({input_name: x}).values()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("axis", "shape"), [(1, (4,)), (1, (4, 8)), (-1, (9,)), (None, (8, 9)), (0, (1,))])
def test_broadcasting_before_opset_7(axis: int | None, shape: tuple[int, ...]) -> None:
    """It was an attribute then. (ONNX's converter gets it wrong.)"""
    attributes = {} if axis is None else {"axis": axis}
    nodes = [node("Add", ["x", "w"], ["y"], broadcast=1, **attributes)]
    graph = load_model(model(nodes, [X], ["y"], weights(w=shape), opset=6))
    x = np.ones((1, 4, 8, 9), np.float32)
    place = 4 - len(shape) if axis is None else axis % 4
    whole = weights(w=shape)["w"].reshape(*shape, *(1,) * (4 - place - len(shape)))
    np.testing.assert_allclose(graph.evaluate({"x": x})["y"], x + whole, rtol=1e-6)


def test_slopes_before_opset_7_are_per_channel() -> None:
    graph = load_model(model([node("PRelu", ["x", "w"], ["y"])], [X], ["y"], weights(w=(4,)), opset=6))
    x = -np.ones((1, 4, 8, 9), np.float32)
    expected = x * weights(w=(4,))["w"].reshape(4, 1, 1)
    np.testing.assert_allclose(graph.evaluate({"x": x})["y"], expected, rtol=1e-6)
