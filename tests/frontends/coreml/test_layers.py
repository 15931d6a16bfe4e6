"""Layers of neural networks against numpy, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.support.coreml_models import EXACT, RANK_5, network, read, run_layer, setter
from tests.support.layer_examples import EXAMPLES, MATRIX, V, X, array

from openane.core.errors import ModelError, OpenaneError, UnsupportedError
from openane.frontends.coreml.network import _LAYERS
from openane.frontends.coreml.network.weights import unpack_bits, weights
from openane.frontends.coreml.proto import module


@pytest.mark.parametrize("name", EXAMPLES)
def test_layer(name: str) -> None:
    kind, fill, arrays, reference = EXAMPLES[name]
    (result,) = run_layer(kind, fill, *arrays)
    wanted = reference(*arrays)
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=2e-5, atol=2e-6)


def test_transposed_convolution_is_the_gradient_of_the_convolution() -> None:
    """<conv(x), y> = <x, deconv(y)> for every x and y, with the same kernel and padding."""
    x, kernel = array(1, 3, 6, 7), array(2, 3, 3, 2, seed=2)
    common: dict[str, Any] = {"kernelSize": [3, 2], "stride": [2, 2]}
    common["valid__paddingAmounts__borderAmounts"] = [(1, 0), (1, 0)]
    forward = setter(outputChannels=2, kernelChannels=3, weights=kernel, **common)
    (y,) = run_layer("convolution", forward, x)
    g = array(*y.shape, seed=4)
    backward = setter(
        outputChannels=3,
        kernelChannels=2,
        isDeconvolution=True,
        weights=kernel,
        outputShape=[6, 7],
        **common,
    )
    (back,) = run_layer("convolution", backward, g)
    assert back.shape == x.shape
    np.testing.assert_allclose((y * g).sum(), (x * back).sum(), rtol=1e-4)


def test_split_and_top_k_have_several_outputs() -> None:
    first, second = run_layer("splitND", setter(axis=1, numSplits=2, splitSizes=[1, 2]), X, outputs=2)
    np.testing.assert_array_equal(np.concatenate([first, second], 1), X)
    values, places = run_layer("topK", setter(axis=1, K=2), MATRIX, outputs=2)
    np.testing.assert_array_equal(np.take_along_axis(MATRIX, places.astype(int), 1), values)


def test_bilinear_upsampling_modes() -> None:
    row = np.float32([0, 1, 2, 3]).reshape(1, 1, 1, 4)
    fill = {"scalingFactor": [1, 2], "mode": 1}
    (default,) = run_layer("upsample", setter(**fill), row)
    np.testing.assert_allclose(default.ravel(), [0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    (corners,) = run_layer("upsample", setter(**fill, linearUpsampleMode=1), row)
    np.testing.assert_allclose(corners.ravel(), np.linspace(0, 3, 8), rtol=1e-6)
    (pixels,) = run_layer("upsample", setter(**fill, linearUpsampleMode=2), row)
    np.testing.assert_allclose(pixels.ravel(), [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_old_networks_see_five_axes() -> None:
    x = array(3, 4, 5)
    (flat,) = run_layer("flatten", setter(mode=1), x, mapping=RANK_5)
    np.testing.assert_array_equal(flat, x.transpose(1, 2, 0).ravel())
    (moved,) = run_layer("permute", setter(axis=[0, 3, 1, 2]), x, mapping=RANK_5)
    np.testing.assert_array_equal(moved, x.transpose(2, 0, 1))
    (shaped,) = run_layer("reshape", setter(targetShape=[5, 2, 6], mode=1), x, mapping=RANK_5)
    np.testing.assert_array_equal(shaped, x.transpose(1, 2, 0).reshape(2, 6, 5).transpose(2, 0, 1))
    (repeated,) = run_layer("sequenceRepeat", setter(nRepetitions=2), x, mapping=RANK_5)
    np.testing.assert_array_equal(repeated[1, 0], x)


def test_preprocessing_of_images() -> None:
    model = network({}, {"y": ()}, ("relu", "activation", ["image"], ["y"], setter(ReLU=None)))
    feature = model.description.input.add(name="image")
    feature.type.imageType.width, feature.type.imageType.height, feature.type.imageType.colorSpace = 4, 3, 30
    step = model.neuralNetwork.preprocessing.add(featureName="image")
    step.scaler.channelScale, step.scaler.redBias, step.scaler.blueBias = 0.5, 1.0, -100.0
    model.neuralNetwork.imageInputShapeMapping = EXACT
    graph = read(model)
    image = array(1, 3, 3, 4, low=0, high=255)
    bias = np.float32([-100, 0, 1]).reshape(3, 1, 1)  # blue comes first
    np.testing.assert_allclose(graph.evaluate({"image": image})["y"], np.maximum(image / 2 + bias, 0), rtol=1e-6)


def test_quantized_weights() -> None:
    numbers = np.arange(16, dtype=np.uint8) % 8
    message = module("NeuralNetwork_pb2").WeightParams()
    bits = np.unpackbits(numbers[:, None], axis=1)[:, 5:].ravel()
    message.rawValue = np.packbits(bits).tobytes()
    message.quantization.numberOfBits = 3
    np.testing.assert_array_equal(unpack_bits(message.rawValue, 3, 16), numbers)
    message.quantization.linearQuantization.scale.extend([1, 2])
    message.quantization.linearQuantization.bias.extend([0.5, 0])
    found = weights(message, (2, 8), "here")
    np.testing.assert_array_equal(found, numbers.reshape(2, 8) * np.float32([[1], [2]]) + np.float32([[0.5], [0]]))
    message.quantization.lookupTableQuantization.floatValue.extend(range(10, 18))
    np.testing.assert_array_equal(weights(message, (16,), "here"), numbers + np.float32(10))
    half = module("NeuralNetwork_pb2").WeightParams(float16Value=np.float16([1, 2]).tobytes())
    assert weights(half, (2,), "here").tolist() == [1, 2]


def test_every_layer_that_is_read_exists_in_the_specification() -> None:
    fields = module("NeuralNetwork_pb2").NeuralNetworkLayer.DESCRIPTOR.oneofs_by_name["layer"].fields
    assert set(_LAYERS) <= {field.name for field in fields}


@pytest.mark.parametrize(
    ("kind", "fill", "arrays", "error", "message"),
    [
        ("custom", setter(className="mine"), [X], UnsupportedError, "cannot be read"),
        ("softmaxND", setter(axis=7), [X], ModelError, "axis is out of range"),
        ("innerProduct", setter(inputChannels=5, outputChannels=1), [MATRIX], ModelError, "number of channels"),
        ("innerProduct", setter(inputChannels=6, outputChannels=1), [MATRIX], OpenaneError, "wrong number of weights"),
        ("convolution", setter(outputChannels=1, kernelChannels=3, kernelSize=[1]), [X], ModelError, "two numbers"),
        (
            "convolution",
            setter(outputChannels=1 << 30, kernelChannels=1 << 30, kernelSize=[3, 3]),
            [X],
            OpenaneError,
            "absurd size",
        ),
        ("reshapeStatic", setter(targetShape=[7, -1]), [X], ModelError, "another number of elements"),
        ("transpose", setter(axes=[0, 0, 1, 2]), [X], ModelError, "permutation"),
        ("addBroadcastable", setter(), [X], ModelError, "input is missing"),
        ("tile", setter(reps=[1 << 20] * 4), [X], ModelError, "absurdly large"),
        ("fillStatic", setter(targetShape=[1 << 20] * 4), [X], ModelError, "impossible size"),
        ("pooling", setter(kernelSize=[0, 1], stride=[1, 1]), [X], ModelError, "must be positive"),
        ("upsample", setter(fractionalScalingFactor=[np.inf, 1.0]), [X], ModelError, "two positive factors"),
        ("upsample", setter(fractionalScalingFactor=[1e30, 1.0]), [X], ModelError, "absurdly large"),
        ("rangeStatic", setter(endValue=np.inf), [], ModelError, "a range without end"),
        ("rangeStatic", setter(startValue=np.nan, endValue=1.0), [], ModelError, "a range without end"),
        ("rangeStatic", setter(endValue=1e30), [], ModelError, "impossible size"),
        ("simpleRecurrent", setter(outputVectorSize=1 << 31), [X], OpenaneError, "absurd size"),
        ("gru", setter(outputVectorSize=1 << 31), [X], OpenaneError, "wrong number of weights"),
    ],
)
def test_bad_layers_are_named(
    kind: str, fill: Callable[[Any], None], arrays: list[np.ndarray], error: type[OpenaneError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run_layer(kind, fill, *arrays)
    assert "layer 'layer'" in str(caught.value)


def test_lstm_of_the_older_kind() -> None:
    steps, batch, features, hidden = 3, 2, 4, 2
    x = array(steps, batch, features, 1, 1)
    h, c = array(1, batch, hidden, 1, 1, seed=1), array(1, batch, hidden, 1, 1, seed=2)
    gates = ("inputGate", "forgetGate", "outputGate", "blockInput")
    w = {gate: array(hidden, features, seed=i) for i, gate in enumerate(gates)}
    r = {gate: array(hidden, hidden, seed=9 + i) for i, gate in enumerate(gates)}
    b = {gate: array(hidden, seed=20 + i) for i, gate in enumerate(gates)}

    def fill(p: Any) -> None:
        p.inputVectorSize, p.outputVectorSize = features, hidden
        for kind in ("sigmoid", "tanh", "tanh"):
            getattr(p.activations.add(), kind).SetInParent()
        p.params.sequenceOutput = p.params.hasBiasVectors = p.params.forgetBias = True
        for gate in gates:
            getattr(p.weightParams, f"{gate}WeightMatrix").floatValue.extend(w[gate].ravel().tolist())
            getattr(p.weightParams, f"{gate}RecursionMatrix").floatValue.extend(r[gate].ravel().tolist())
            getattr(p.weightParams, f"{gate}BiasVector").floatValue.extend(b[gate].tolist())

    found = run_layer("uniDirectionalLSTM", fill, x, h, c, outputs=3)
    state, cell = h[0, :, :, 0, 0], c[0, :, :, 0, 0]
    for step in range(steps):
        i, f, o, z = (x[step, :, :, 0, 0] @ w[n].T + state @ r[n].T + b[n] for n in gates)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f + 1, o))
        cell = f * cell + i * np.tanh(z)
        state = o * np.tanh(cell)
        np.testing.assert_allclose(found[0][step, :, :, 0, 0], state, rtol=1e-5)
    np.testing.assert_allclose(found[1][0, :, :, 0, 0], state, rtol=1e-5)
    np.testing.assert_allclose(found[2][0, :, :, 0, 0], cell, rtol=1e-5)


def test_embeddings_are_columns_of_their_weights() -> None:
    table = array(3, 5)
    ids = np.float32([[4], [0], [2]])
    fill = setter(vocabSize=5, embeddingSize=3, weights=table, hasBias=True, bias=V)
    (rows,) = run_layer("embeddingND", fill, ids)
    np.testing.assert_allclose(rows, table.T[[4, 0, 2]] + V)
