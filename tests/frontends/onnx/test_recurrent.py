"""LSTM, GRU and RNN of ONNX against onnxruntime: directions, layouts, lengths, states, activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from openane.artifact.plan import HostStep
from openane.compiler.driver import build
from openane.frontends.onnx import load_model
from openane.runtimes.execution import Execution

onnxruntime = pytest.importorskip("onnxruntime")

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS = {
    "RNN": (["Relu"], [], []),
    "GRU": (["HardSigmoid", "LeakyRelu"], [0.3, 0.1], [0.4]),
    "LSTM": (["HardSigmoid", "ScaledTanh", "Softsign"], [0.3, 1.2], [0.4, 0.7]),
}
TIME, BATCH, FEATURES, HIDDEN = 5, 3, 4, 6


def layer(
    kind: str,
    direction: str = "forward",
    *,
    lengths: bool = False,
    states: bool = False,
    peepholes: bool = False,
    activations: bool = False,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one layer whose states are inputs and outputs of the model."""
    random = np.random.default_rng(11)
    count, rows = 1 + (direction == "bidirectional"), GATES[kind] * HIDDEN
    weights = {
        "w": random.uniform(-0.6, 0.6, (count, rows, FEATURES)).astype(np.float32),
        "r": random.uniform(-0.6, 0.6, (count, rows, HIDDEN)).astype(np.float32),
        "b": random.uniform(-0.6, 0.6, (count, 2 * rows)).astype(np.float32),
    }
    names = ["x", "w", "r", "b", "lengths" if lengths else "", "h" if states else ""]
    state = ["h"] if states else []
    if kind == "LSTM":
        names += ["c" if states else "", "p" if peepholes else ""]
        state += ["c"] if states else []
        if peepholes:
            weights["p"] = random.uniform(-0.6, 0.6, (count, 3 * HIDDEN)).astype(np.float32)
    if lengths:
        weights["lengths"] = np.array([5, 2, 3], np.int32)
    if activations:
        functions, alpha, beta = ACTIVATIONS[kind]
        attributes["activations"] = functions * count
        attributes |= {"activation_alpha": alpha * count} if alpha else {}
        attributes |= {"activation_beta": beta * count} if beta else {}
    outputs = ["y", "y_h", "y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, names, outputs, hidden_size=HIDDEN, direction=direction, name="layer", **attributes)
    shapes = {"x": [TIME, BATCH, FEATURES], **{name: [count, BATCH, HIDDEN] for name in state}}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    given = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "recurrent", inputs, results, given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def compare(model: onnx.ModelProto) -> None:
    random = np.random.default_rng(5)
    feeds = {
        value.name: random.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in model.graph.input
    }
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    graph = load_model(model)
    with Execution(build(graph)) as execution:
        found = execution.run(feeds).outputs
    reference = graph.evaluate(feeds)
    for value, expected in zip(model.graph.output, session.run(None, feeds), strict=True):
        for name, array in (("host", found[value.name]), ("reference", reference[value.name])):
            assert array.shape == expected.shape
            np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5, err_msg=f"{name}: {value.name}")


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("states", [False, True])
def test_directions_lengths_and_states(kind: str, direction: str, lengths: bool, states: bool) -> None:
    compare(layer(kind, direction, lengths=lengths, states=states))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_activations_with_parameters(kind: str, direction: str) -> None:
    compare(layer(kind, direction, activations=True, states=True))


@pytest.mark.parametrize("kind", GATES)
def test_clipped_arguments(kind: str) -> None:
    compare(layer(kind, clip=0.4))


def test_variants_of_the_gates() -> None:
    compare(layer("GRU", "bidirectional", linear_before_reset=1, lengths=True))
    compare(layer("LSTM", "bidirectional", peepholes=True, states=True))


@pytest.mark.parametrize("kind", GATES)
def test_batches_first(kind: str) -> None:
    """onnxruntime has no layout 1: the same layer with the axes in the other order."""
    plain, swapped = layer(kind, "bidirectional", states=True), layer(kind, "bidirectional", states=True, layout=1)
    for value in swapped.graph.input:
        first, second = value.type.tensor_type.shape.dim[:2]
        first.dim_value, second.dim_value = second.dim_value, first.dim_value
    random = np.random.default_rng(5)
    feeds = {
        value.name: random.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in plain.graph.input
    }
    expected = load_model(plain).evaluate(feeds)
    with Execution(build(load_model(swapped))) as execution:
        found = execution.run({name: array.swapaxes(0, 1) for name, array in feeds.items()}).outputs
    # The engine may transpose the results, in half precision.
    np.testing.assert_allclose(found["y"], expected["y"].transpose(2, 0, 1, 3), rtol=2.0**-10, atol=1e-5)
    for name in expected.keys() - {"y"}:
        np.testing.assert_allclose(found[name], expected[name].swapaxes(0, 1), rtol=2.0**-10, atol=1e-5)


def test_a_long_sequence_in_two_parts_is_the_whole_one() -> None:
    """The state of the first part is an input of the second."""
    model = layer("LSTM", states=True)
    artifact = build(load_model(model))
    assert all(isinstance(step, HostStep) for step in artifact.plan.steps)
    random = np.random.default_rng(2)
    parts = [random.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32) for _ in range(2)]
    zero = np.zeros((1, BATCH, HIDDEN), np.float32)
    with Execution(artifact) as execution:
        first = execution.run({"x": parts[0], "h": zero, "c": zero}).outputs
        second = execution.run({"x": parts[1], "h": first["y_h"], "c": first["y_c"]}).outputs
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2 * TIME
    whole = load_model(model).evaluate({"x": np.concatenate(parts), "h": zero, "c": zero})
    np.testing.assert_allclose(np.concatenate([first["y"], second["y"]]), whole["y"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second["y_c"], whole["y_c"], rtol=1e-4, atol=1e-5)
