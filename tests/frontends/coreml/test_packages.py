"""Core ML models as they are shipped: state, several functions, pipelines, labels, constants of iOS 18."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.coreml_models import network, read, setter

import openane
from openane.artifact.bundle import read_bundle
from openane.cli import root
from openane.core.errors import InputError, ModelError, UnsupportedError
from openane.frontends.coreml.proto import module
from openane.frontends.mil import loads
from openane.graph import Graph
from openane.runtimes.execution import Execution

SHAPE = (1, 8, 4, 4)


def tensor(message: Any, shape: Sequence[int]) -> None:
    """Fills in a tensor type of half precision."""
    message.dataType, message.rank = 10, len(shape)
    for extent in shape:
        message.dimensions.add().constant.size = extent


def add_function(model: Any, name: str, operations: Sequence[tuple[str, dict[str, str], str]], state: str = "") -> None:
    """A function of x (and a state) with (kind, arguments, result) operations; the last result is given out."""
    function = model.mlProgram.functions[name]
    function.opset = "CoreML8"
    tensor(function.inputs.add(name="x").type.tensorType, SHAPE)
    if state:
        tensor(function.inputs.add(name=state).type.stateType.wrappedType.tensorType, SHAPE)
    block = function.block_specializations["CoreML8"]
    for kind, arguments, result in operations:
        operation = block.operations.add(type=kind)
        for key, value in arguments.items():
            operation.inputs[key].arguments.add(name=value)
        if result:
            tensor(operation.outputs.add(name=result).type.tensorType, SHAPE)
    block.outputs.append(next(result for _, _, result in reversed(operations) if result))


def described(message: Any, shape: Sequence[int] = SHAPE, name: str = "x") -> None:
    feature = message.add(name=name)
    feature.type.multiArrayType.dataType = 65552
    feature.type.multiArrayType.shape.extend(shape)


def program() -> Any:
    model = module("Model_pb2").Model(specificationVersion=9)
    model.mlProgram.version = 1
    return model


def saved(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def given(seed: int = 0, shape: Sequence[int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float16)


# State ----------------------------------------------------------------------------------------------------------------

RUNNING_SUM = [
    ("read_state", {"input": "total"}, "before"),
    ("add", {"x": "before", "y": "x"}, "sum"),
    ("write_state", {"input": "total", "data": "sum"}, ""),
    ("read_state", {"input": "total"}, "after"),
    ("mul", {"x": "after", "y": "before"}, "y"),
]


@pytest.fixture
def running_sum(tmp_path: Path) -> Path:
    """Adds x to a state, and gives the product of its values before and after."""
    model = program()
    add_function(model, "main", RUNNING_SUM, "total")
    described(model.description.input)
    return saved(model, tmp_path / "sum.mlmodel")


def test_a_state_is_an_input_and_an_output(running_sum: Path) -> None:
    graph = openane.load(running_sum)
    assert isinstance(graph, Graph)
    assert graph.states == {"total": "total_out"}
    assert graph.outputs == ("y", "total_out")
    x, total = given(0), given(1)
    values = graph.evaluate({"x": x, "total": total})
    np.testing.assert_array_equal(values["total_out"], total + x)
    np.testing.assert_array_equal(values["y"], (total + x) * total)


def test_an_execution_keeps_the_state(running_sum: Path, tmp_path: Path) -> None:
    artifact = openane.compile(running_sum)
    artifact.save(tmp_path / "sum.openane")
    for each in (artifact, read_bundle(tmp_path / "sum.openane").select()):
        with Execution(each) as execution:
            total = np.zeros(SHAPE, np.float16)
            for step in range(3):
                outputs = execution.run({"x": given(step)}).outputs
                np.testing.assert_array_equal(outputs["y"], (total + given(step)) * total)
                total = total + given(step)
                np.testing.assert_array_equal(outputs["total_out"], total)
            execution.reset()
            np.testing.assert_array_equal(execution.run({"x": given()}).outputs["total_out"], given())
            chosen = execution.run({"x": given(), "total": given(7)}).outputs["total_out"]
            np.testing.assert_array_equal(chosen, given(7) + given())
    assert set(openane.run(artifact, {"x": given()})) == {"y", "total_out"}


def test_a_state_that_is_only_read(tmp_path: Path) -> None:
    model = program()
    add_function(model, "main", [("read_state", {"input": "s"}, "v"), ("add", {"x": "v", "y": "x"}, "y")], "s")
    described(model.description.input)
    graph = read(model)
    assert graph.states == {}
    assert list(graph.inputs) == ["x", "s"]


def test_writes_to_something_else() -> None:
    model = program()
    add_function(model, "main", [("write_state", {"input": "x", "data": "s"}, ""), *RUNNING_SUM[:2]], "total")
    described(model.description.input)
    with pytest.raises(ModelError):
        read(model)


def test_a_state_in_mil_text() -> None:
    text = (
        "program(1.3) { func main<ios18>(tensor<fp16, [4]> x, state<tensor<fp16, [4]>> s) {"
        'tensor<fp16, [4]> v = read_state(input = s)[name = string("r")];'
        'tensor<fp16, [4]> y = add(x = v, y = x)[name = string("a")];'
        'tensor<fp16, [4]> w = coreml_update_state(state = s, value = y)[name = string("u")];'
        "} -> (w); }"
    )
    graph = loads(text)
    assert graph.states == {"s": "s_out"}
    values = graph.evaluate({"x": np.ones(4, np.float16), "s": np.arange(4, dtype=np.float16)})
    np.testing.assert_array_equal(values["s_out"], [1, 2, 3, 4])


def test_states_of_any_model(running_sum: Path) -> None:
    plain = openane.compile(running_sum, states={"x": "y"})
    assert plain.plan.states == {"total": "total_out", "x": "y"}
    with pytest.raises(InputError, match=r"a state needs an output.*x=z"):
        openane.compile(running_sum, states={"x": "z"})
    with pytest.raises(InputError, match=r"a state needs an input.*z=y"):
        openane.compile(running_sum, states={"z": "y"})


# Functions ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    model = program()
    add_function(model, "double", [("add", {"x": "x", "y": "x"}, "y")])
    add_function(model, "square", [("mul", {"x": "x", "y": "x"}, "y")])
    for name in ("double", "square"):
        described(model.description.functions.add(name=name).input)
    model.description.defaultFunctionName = "square"
    return saved(model, tmp_path / "functions.mlmodel")


def test_functions(functions: Path, tmp_path: Path) -> None:
    x = {"x": given()}
    np.testing.assert_array_equal(openane.run(functions, x)["y"], given() * given())
    np.testing.assert_array_equal(openane.run(functions, x, function="double")["y"], given() + given())
    with pytest.raises(InputError, match=r"no such function.*found triple; allowed: double, square"):
        openane.compile(functions, function="triple")
    output = tmp_path / "f.openane"
    result = CliRunner().invoke(root, ["compile", str(functions), "-o", str(output), "--no-cache"])
    assert result.exit_code == 0, result.output
    assert read_bundle(output).functions == ("square", "double")
    np.testing.assert_array_equal(openane.run(output, x, function="double")["y"], given() + given())
    facts = json.loads(CliRunner().invoke(root, ["info", str(functions), "--function", "double", "--json"]).output)
    assert facts["operations"] == {"Add": 1}


def test_several_functions_without_a_default(functions: Path, tmp_path: Path) -> None:
    model = module("Model_pb2").Model.FromString(functions.read_bytes())
    model.description.defaultFunctionName = ""
    with pytest.raises(InputError, match=r"none is the default.*--function NAME"):
        openane.compile(saved(model, tmp_path / "m.mlmodel"))


def test_functions_of_other_files(tmp_path: Path) -> None:
    path = saved(double("x", "y"), tmp_path / "m.mlmodel")
    with pytest.raises(InputError, match="only ML programs have functions"):
        openane.compile(path, function="main")
    with pytest.raises(InputError, match="only a pipeline has several models"):
        openane.compile(path, model=0)


# Pipelines ------------------------------------------------------------------------------------------------------------


def double(source: str, result: str, shape: tuple[int, ...] = (8, 4, 4)) -> Any:
    """A network: result = 2 * source + 1."""
    layer = ("double", "activation", [source], [result], setter(linear__alpha=2.0, linear__beta=1.0))
    return network({source: shape}, {result: shape}, layer)


def pipeline(*parts: Any, outputs: Sequence[str] = ("y",)) -> Any:
    model = module("Model_pb2").Model(specificationVersion=4)
    described(model.description.input, (8, 4, 4))
    for name in outputs:
        described(model.description.output, (8, 4, 4), name)
    model.pipeline.models.extend(parts)
    return model


def test_a_pipeline_runs_its_models_in_a_row(tmp_path: Path) -> None:
    path = saved(pipeline(double("x", "t"), double("t", "y")), tmp_path / "p.mlmodel")
    x = {"x": given(0, (8, 4, 4)).astype(np.float32)}
    graph = openane.load(path)
    assert isinstance(graph, Graph)
    assert (list(graph.inputs), graph.outputs) == (["x"], ("y",))
    np.testing.assert_allclose(graph.evaluate(x)["y"], 4 * x["x"] + 3, rtol=1e-6)
    np.testing.assert_allclose(openane.run(path, x)["y"], 4 * x["x"] + 3, rtol=1e-2, atol=1e-2)
    second = openane.compile(path, model=1)
    assert list(second.plan.inputs) == ["t"]


def test_a_pipeline_with_names_that_repeat(tmp_path: Path) -> None:
    """Every part calls its inner values alike, an output is passed on, and an input goes to two parts."""
    sum_layer = ("sum", "add", ["x", "t"], ["y"], setter())
    whole = pipeline(
        double("x", "t"), network({"x": (8, 4, 4), "t": (8, 4, 4)}, {"y": (8, 4, 4)}, sum_layer), outputs=("y", "t")
    )
    x = {"x": given(0, (8, 4, 4)).astype(np.float32)}
    values = read(whole).evaluate(x)
    np.testing.assert_allclose(values["t"], 2 * x["x"] + 1, rtol=1e-6)
    np.testing.assert_allclose(values["y"], 3 * x["x"] + 1, rtol=1e-6)


def test_pipelines_that_cannot_be_read(tmp_path: Path) -> None:
    other = module("Model_pb2").Model(specificationVersion=4)
    other.normalizer.normType = 1
    described(other.description.input, (8, 4, 4), "t")
    path = saved(pipeline(double("x", "t"), other), tmp_path / "p.mlmodel")
    with pytest.raises(UnsupportedError, match="0 neuralNetwork, 1 normalizer; select one: --model N"):
        openane.compile(path)
    assert openane.compile(path, model=0).plan.outputs
    with pytest.raises(InputError, match=r"no such model.*found 2; allowed: 0 neuralNetwork, 1 normalizer"):
        openane.compile(path, model=2)
    with pytest.raises(ModelError, match="does not fit its reader"):
        read(pipeline(double("x", "t"), double("t", "y", (8, 4, 5))))


# Classifiers ----------------------------------------------------------------------------------------------------------


def test_labels_of_a_classifier(tmp_path: Path) -> None:
    names = ["cat", "dog", "cow"]
    scores = network({"x": (3,)}, {}, ("softmax", "softmaxND", ["x"], ["scores"], setter(axis=-1)))
    model = module("Model_pb2").Model(specificationVersion=4)
    described(model.description.input, (3,))
    model.description.predictedProbabilitiesName = "scores"
    model.neuralNetworkClassifier.layers.extend(scores.neuralNetwork.layers)
    model.neuralNetworkClassifier.arrayInputShapeMapping = 1
    model.neuralNetworkClassifier.stringClassLabels.vector.extend(names)
    path = saved(model, tmp_path / "c.mlmodel")
    artifact = openane.compile(path)
    assert artifact.plan.labels == {"scores": tuple(names)}
    artifact.save(tmp_path / "c.openane")
    assert read_bundle(tmp_path / "c.openane").select().plan.labels == {"scores": tuple(names)}
    np.save(tmp_path / "x.npy", np.array([1, 3, 2], np.float32))
    for file in (path, tmp_path / "c.openane"):
        arguments = ["run", str(file), "--input", f"x={tmp_path / 'x.npy'}", "--no-cache"]
        assert "dog: 0.66" in CliRunner().invoke(root, arguments).output
        facts = json.loads(CliRunner().invoke(root, [*arguments, "--json"]).output)
        assert facts["outputs"]["scores"]["top_labels"] == ["dog", "cow", "cat"]


# Constants and quantized values ---------------------------------------------------------------------------------------


def constant(body: str, result: str) -> np.ndarray:
    """The value of `y` of a program of constants."""
    graph = loads(f"program(1.3) {{ func main<ios18>(tensor<fp16, [1]> x) {{ {body} }} -> ({result}); }}")
    return graph.evaluate({"x": np.zeros(1, np.float16)})[result]


def numbers(array: Any, kind: str) -> str:
    flat = np.asarray(array)
    values = ", ".join(str(float(each)) if kind.startswith("fp") else str(int(each)) for each in flat.reshape(-1))
    return f"tensor<{kind}, [{', '.join(map(str, flat.shape))}]>([{values}])"


MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])


def test_sparse_palettes() -> None:
    indices = np.array([0, 1, 3, 2, 1, 0, 2, 3, 1])
    table = np.array([1.5, 2.5, -3, 7]).reshape(1, 1, 4, 1)
    body = (
        f"tensor<uint8, [4, 4]> m, tensor<fp16, [9]> v = constexpr_lut_to_sparse(indices_mask = "
        f"{numbers(MASK, 'uint8')}, indices_nonzero_data = {numbers(indices, 'uint8')}, lut = {numbers(table, 'fp16')})"
        '[name = string("a")]; tensor<fp16, [4, 4]> y = constexpr_sparse_to_dense(nonzero_data = v, mask = m)'
        '[name = string("b")];'
    )
    expected = np.zeros((4, 4))
    expected[MASK == 1] = table.reshape(-1)[indices]
    np.testing.assert_array_equal(constant(body, "y"), expected)


def test_sparse_palettes_of_vectors() -> None:
    """The example of the operation: each index selects two rows."""
    table = np.array([[1, 2], [3, 4]], np.float16).reshape(1, 1, 2, 2)
    mask, indices = np.array([[1, 0, 1]]), np.array([1, 0])
    body = (
        f"tensor<uint8, [2, 3]> m, tensor<fp16, [4]> v = constexpr_lut_to_sparse(indices_mask = "
        f"{numbers(mask, 'uint8')}, indices_nonzero_data = {numbers(indices, 'uint8')}, lut = {numbers(table, 'fp16')},"
        'vector_axis = int32(0))[name = string("a")]; tensor<fp16, [2, 3]> y = '
        'constexpr_sparse_to_dense(nonzero_data = v, mask = m)[name = string("b")];'
    )
    np.testing.assert_array_equal(constant(body, "y"), [[3, 0, 1], [4, 0, 2]])


def test_sparse_integers() -> None:
    """The example of the operation: one scale and offset for each column."""
    data = np.array([10, 11, 3, 4, 5, 6, 7, 8, 9])
    scale, offset = np.array([[0.5, 0.25, 2, 4]]), np.array([[1, 2, 3, 4]])
    body = (
        f"tensor<uint8, [4, 4]> m, tensor<fp16, [9]> v = constexpr_sparse_blockwise_shift_scale(data_mask = "
        f"{numbers(MASK, 'uint8')}, nonzero_data = {numbers(data, 'int8')}, scale = {numbers(scale, 'fp16')},"
        f'offset = {numbers(offset, "int8")})[name = string("a")]; tensor<fp16, [4, 4]> y = '
        'constexpr_sparse_to_dense(nonzero_data = v, mask = m)[name = string("b")];'
    )
    dense = np.zeros((4, 4))
    dense[MASK == 1] = data
    np.testing.assert_array_equal(constant(body, "y"), (dense - offset) * scale * MASK)


@pytest.mark.parametrize(
    ("values", "message"), [([0, 1], "the mask does not fit"), ([0] * 8 + [4], "outside the table")]
)
def test_sparse_palettes_that_do_not_fit(values: list[int], message: str) -> None:
    body = (
        f"tensor<uint8, [4, 4]> m, tensor<fp16, [9]> v = constexpr_lut_to_sparse(indices_mask = "
        f"{numbers(MASK, 'uint8')}, indices_nonzero_data = {numbers(values, 'uint8')}, "
        f'lut = {numbers(np.zeros((1, 1, 4, 1)), "fp16")})[name = string("a")];'
    )
    with pytest.raises(ModelError, match=message):
        constant(body, "v")


@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize("zero", [True, False])
def test_quantize_and_dequantize(kind: str, zero: bool) -> None:
    x = np.array([[-3.2, 0.24, 1.76], [100, -0.26, 2.5]], np.float32)
    scale, points = np.array([0.5, 0.25], np.float32), np.array([3, 1])
    more = f", zero_point = {numbers(points, kind)}" if zero else ""
    text = (
        f"program(1.3) {{ func main<ios18>(tensor<fp32, [2, 3]> x) {{ tensor<{kind}, [2, 3]> q = quantize(input = x, "
        f'output_dtype = string("{kind}"), scale = {numbers(scale, "fp32")}, axis = int32(0){more})'
        '[name = string("q")];'
        f"tensor<fp32, [2, 3]> y = dequantize(input = q, scale = {numbers(scale, 'fp32')}, axis = int32(0){more})"
        '[name = string("d")]; } -> (q, y); }'
    )
    values = loads(text).evaluate({"x": x})
    limits = np.iinfo(kind)
    shift = points[:, None] if zero else 0
    quantized = np.clip(np.round(x / scale[:, None]) + shift, limits.min, limits.max)
    np.testing.assert_array_equal(values["q"], quantized)
    np.testing.assert_array_equal(values["y"], (quantized - shift) * scale[:, None])
