"""Layers of neural networks: how they are set, arrays that they take, and what numpy makes of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.support.coreml_models import setter


def array(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


X = array(2, 3, 4, 5)
POSITIVE = array(2, 3, 4, 5, low=0.1, high=2.0)
V = array(3, seed=1)
MATRIX = array(4, 6)


def correlate(x: np.ndarray, w: np.ndarray, pads: tuple[int, int, int, int], step: tuple[int, int]) -> np.ndarray:
    """A plain convolution: pads are (top, left, bottom, right)."""
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    rows = (x.shape[2] - w.shape[2]) // step[0] + 1
    columns = (x.shape[3] - w.shape[3]) // step[1] + 1
    y = np.zeros((x.shape[0], w.shape[0], rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            window = x[:, :, r * step[0] : r * step[0] + w.shape[2], c * step[1] : c * step[1] + w.shape[3]]
            y[:, :, r, c] = np.einsum("nchw,ochw->no", window, w)
    return y


W3 = array(2, 3, 3, 2, seed=2)
GELU_TANH = math.sqrt(2 / math.pi)
EXAMPLES: dict[str, tuple[str, Callable[[Any], None], list[np.ndarray], Callable[..., np.ndarray]]] = {
    "relu": ("activation", setter(ReLU=None), [X], lambda x: np.maximum(x, 0)),
    "leaky": ("activation", setter(leakyReLU__alpha=0.25), [X], lambda x: np.where(x > 0, x, x / 4)),
    "linear": ("activation", setter(linear__alpha=2.0, linear__beta=1.0), [X], lambda x: 2 * x + 1),
    "scaled tanh": (
        "activation",
        setter(scaledTanh__alpha=2.0, scaledTanh__beta=0.5),
        [X],
        lambda x: 2 * np.tanh(x / 2),
    ),
    "hard sigmoid": (
        "activation",
        setter(sigmoidHard__alpha=0.2, sigmoidHard__beta=0.5),
        [X],
        lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    ),
    "prelu": (
        "activation",
        setter(PReLU__alpha=V),
        [X],
        lambda x: np.where(x > 0, x, x * V[:, None, None]),
    ),
    "parametric softplus": (
        "activation",
        setter(parametricSoftplus__alpha=V, parametricSoftplus__beta=V + 1),
        [X],
        lambda x: V[:, None, None] * np.log1p(np.exp((V[:, None, None] + 1) * x)),
    ),
    "elu": ("activation", setter(ELU__alpha=0.5), [X], lambda x: np.where(x > 0, x, (np.exp(x) - 1) / 2)),
    "threshold": ("activation", setter(thresholdedReLU__alpha=0.3), [X], lambda x: np.where(x > 0.3, x, 0)),
    "sqrt": ("unary", setter(type=0, scale=2.0, shift=1.0), [POSITIVE], lambda x: np.sqrt(2 * x + 1)),
    "rsqrt": ("unary", setter(type=1, epsilon=0.5), [POSITIVE], lambda x: 1 / np.sqrt(x + 0.5)),
    "inverse": ("unary", setter(type=2, epsilon=0.5), [POSITIVE], lambda x: 1 / (x + 0.5)),
    "power": ("unary", setter(type=3, alpha=1.5), [POSITIVE], lambda x: x**1.5),
    "log": ("unary", setter(type=5, epsilon=1e-45), [POSITIVE], np.log),
    "bounded log": ("unary", setter(type=5, epsilon=0.5), [POSITIVE], lambda x: np.log(np.maximum(x, 0.5))),
    "abs": ("unary", setter(type=6), [X], np.abs),
    "unary threshold": ("unary", setter(type=7, alpha=0.2), [X], lambda x: np.maximum(x, 0.2)),
    "add constant": ("add", setter(alpha=3.0), [X], lambda x: x + 3),
    "add three": ("add", setter(), [X, X[:, :1], X], lambda a, b, c: a + b + c),
    "average": ("average", setter(), [X, POSITIVE], lambda a, b: (a + b) / 2),
    "bias": ("bias", setter(shape=[3], bias=V), [X], lambda x: x + V[:, None, None]),
    "scale": (
        "scale",
        setter(shapeScale=[3], scale=V, hasBias=True, shapeBias=[1], bias=V[:1]),
        [X],
        lambda x: x * V[:, None, None] + V[0],
    ),
    "convolution": (
        "convolution",
        setter(
            outputChannels=2,
            kernelChannels=3,
            kernelSize=[3, 2],
            stride=[2, 1],
            valid__paddingAmounts__borderAmounts=[(1, 0), (1, 2)],
            hasBias=True,
            bias=V[:2],
            weights=W3,
        ),
        [X],
        lambda x: correlate(x, W3, (1, 1, 0, 2), (2, 1)) + V[:2, None, None],
    ),
    "convolution same": (
        "convolution",
        setter(outputChannels=2, kernelChannels=3, kernelSize=[3, 2], stride=[2, 2], same=None, weights=W3),
        [X],
        lambda x: correlate(x, W3, (0, 0, 1, 1), (2, 2)),
    ),
    "convolution same, top left": (
        "convolution",
        setter(outputChannels=2, kernelChannels=3, kernelSize=[3, 2], stride=[2, 2], same__asymmetryMode=1, weights=W3),
        [X],
        lambda x: correlate(x, W3, (1, 1, 0, 0), (2, 2)),
    ),
    "max pooling": (
        "pooling",
        setter(type=0, kernelSize=[2, 2], stride=[2, 2]),
        [X],
        lambda x: np.stack([x[:, :, i : i + 3 : 2, j : j + 3 : 2] for i in (0, 1) for j in (0, 1)]).max(0),
    ),
    "average pooling": (
        "pooling",
        setter(type=1, kernelSize=[2, 2], stride=[2, 2], valid__paddingAmounts__borderAmounts=[(1, 1), (1, 0)]),
        [X],
        lambda x: np.pad(x, [(0, 0)] * 2 + [(1, 1), (1, 0)]).reshape(2, 3, 3, 2, 3, 2).mean((3, 5)),
    ),
    "last pixel": (
        "pooling",
        setter(type=0, kernelSize=[2, 2], stride=[2, 2], includeLastPixel__paddingAmounts=[0, 0]),
        [X],
        lambda x: np.pad(x, [(0, 0)] * 3 + [(0, 1)], mode="edge").reshape(2, 3, 2, 2, 3, 2).max((3, 5)),
    ),
    "global average": ("pooling", setter(type=1, globalPooling=True), [X], lambda x: x.mean((2, 3), keepdims=True)),
    "global l2": (
        "pooling",
        setter(type=2, globalPooling=True),
        [X],
        lambda x: np.sqrt((x * x).sum((2, 3), keepdims=True)),
    ),
    "inner product": (
        "innerProduct",
        setter(inputChannels=6, outputChannels=3, hasBias=True, weights=array(3, 6, seed=3), bias=V),
        [MATRIX],
        lambda x: x @ array(3, 6, seed=3).T + V,
    ),
    "inner product of images": (
        "innerProduct",
        setter(inputChannels=60, outputChannels=3, weights=array(3, 60, seed=3)),
        [X],
        lambda x: (x.reshape(2, 60) @ array(3, 60, seed=3).T).reshape(2, 3, 1, 1),
    ),
    "batch norm": (
        "batchnorm",
        setter(channels=3, epsilon=0.1, gamma=V, beta=V + 1, mean=V, variance=V + 2),
        [X],
        lambda x: (x - V[:, None, None]) / np.sqrt(V[:, None, None] + 2.1) * V[:, None, None] + V[:, None, None] + 1,
    ),
    "instance norm": (
        "batchnorm",
        setter(channels=3, epsilon=0.1, computeMeanVar=True, instanceNormalization=True, gamma=V, beta=V),
        [X],
        lambda x: (
            (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 0.1) * V[:, None, None]
            + V[:, None, None]
        ),
    ),
    "mvn": ("mvn", setter(acrossChannels=True), [X], lambda x: x - x.mean((1, 2, 3), keepdims=True)),
    "l2 normalize": (
        "l2normalize",
        setter(epsilon=0.1),
        [X],
        lambda x: x / np.sqrt((x * x).sum((1, 2, 3), keepdims=True) + 0.1),
    ),
    "lrn": (
        "lrn",
        setter(alpha=0.5, beta=0.75, localSize=3, k=2.0),
        [X],
        lambda x: (
            x / (2 + 0.5 / 3 * np.stack([(x[:, max(0, c - 1) : c + 2] ** 2).sum(1) for c in range(3)], 1)) ** 0.75
        ),
    ),
    "softmax": (
        "softmax",
        setter(),
        [X],
        lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
    ),
    "softmax nd": ("softmaxND", setter(axis=-1), [X], lambda x: np.exp(x) / np.exp(x).sum(3, keepdims=True)),
    "upsample": ("upsample", setter(scalingFactor=[2, 3]), [X], lambda x: x.repeat(2, 2).repeat(3, 3)),
    "crop": (
        "crop",
        setter(cropAmounts__borderAmounts=[(1, 0), (2, 1)]),
        [X],
        lambda x: x[:, :, 1:, 2:-1],
    ),
    "padding": (
        "padding",
        setter(paddingAmounts__borderAmounts=[(1, 2), (0, 3)], constant__value=4.0),
        [X],
        lambda x: np.pad(x, [(0, 0)] * 2 + [(1, 2), (0, 3)], constant_values=4),
    ),
    "reflection": (
        "padding",
        setter(paddingAmounts__borderAmounts=[(1, 2), (0, 3)], reflection=None),
        [X],
        lambda x: np.pad(x, [(0, 0)] * 2 + [(1, 2), (0, 3)], mode="reflect"),
    ),
    "pixel shuffle": (
        "reorganizeData",
        setter(mode=2, blockSize=2),
        [array(1, 8, 2, 3)],
        lambda x: x.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6),
    ),
    "slice": ("slice", setter(startIndex=1, endIndex=-2, stride=2, axis=2), [X], lambda x: x[..., 1:4:2]),
    "slice static": (
        "sliceStatic",
        setter(
            beginIds=[0, -2, 3, 0],
            beginMasks=[True, False, False, False],
            endIds=[0, 9, 0, -1],
            endMasks=[True, False, False, False],
            strides=[1, 1, -1, 2],
            squeezeMasks=[False, False, False, False],
        ),
        [X],
        lambda x: x[:, -2:9, 3:0:-1, 0:-1:2],
    ),
    "slice and squeeze": (
        "sliceStatic",
        setter(
            beginIds=[1, 0, 0, 0],
            beginMasks=[False, True, True, True],
            endIds=[2, 0, 0, 0],
            endMasks=[False, True, True, True],
            strides=[1, 1, 1, 1],
            squeezeMasks=[True, False, False, False],
        ),
        [X],
        lambda x: x[1],
    ),
    "transpose": ("transpose", setter(axes=[0, 2, 3, 1]), [X], lambda x: x.transpose(0, 2, 3, 1)),
    "reshape static": ("reshapeStatic", setter(targetShape=[6, -1]), [X], lambda x: x.reshape(6, 20)),
    "rank preserving": (
        "rankPreservingReshape",
        setter(targetShape=[0, 6, -1, 1]),
        [X],
        lambda x: x.reshape(2, 6, 10, 1),
    ),
    "flatten": ("flattenTo2D", setter(axis=-2), [X], lambda x: x.reshape(6, 20)),
    "expand": ("expandDims", setter(axes=[0, -1]), [MATRIX], lambda x: x.reshape(1, 4, 6, 1)),
    "squeeze": ("squeeze", setter(squeezeAll=True), [array(1, 4, 1, 3)], lambda x: x.reshape(4, 3)),
    "concat": ("concatND", setter(axis=-2), [X, X[:, :, :1]], lambda a, b: np.concatenate([a, b], 2)),
    "stack": ("stack", setter(axis=1), [MATRIX, MATRIX + 1], lambda a, b: np.stack([a, b], 1)),
    "tile": ("tile", setter(reps=[1, 2, 1, 3]), [X], lambda x: np.tile(x, (1, 2, 1, 3))),
    "reverse": (
        "reverse",
        setter(reverseDim=[False, True, False, True]),
        [X],
        lambda x: x[:, ::-1, :, ::-1],
    ),
    "constant pad": (
        "constantPad",
        setter(padAmounts=[1, 0, 0, 2], value=5.0),
        [MATRIX],
        lambda x: np.pad(x, [(1, 0), (0, 2)], constant_values=5),
    ),
    "broadcast": ("broadcastToStatic", setter(targetShape=[2, 4, 6]), [MATRIX], lambda x: np.tile(x, (2, 1, 1))),
    "reduce mean": ("reduceMean", setter(axes=[-1, 1], keepDims=True), [X], lambda x: x.mean((1, 3), keepdims=True)),
    "reduce sum all": ("reduceSum", setter(reduceAll=True), [X], lambda x: x.sum().reshape(1)),
    "reduce log sum exp": (
        "reduceLogSumExp",
        setter(axes=[1]),
        [X],
        lambda x: np.log(np.exp(x).sum(1)),
    ),
    "old reduce": ("reduce", setter(mode=8, axis=1), [X], lambda x: x.min((2, 3), keepdims=True)),
    "batched matmul": (
        "batchedMatmul",
        setter(transposeB=True),
        [X, X + 1],
        lambda a, b: a @ b.swapaxes(2, 3),
    ),
    "matmul with weights": (
        "batchedMatmul",
        setter(
            weightMatrixFirstDimension=6,
            weightMatrixSecondDimension=3,
            weights=array(6, 3, seed=5).T,
            hasBias=True,
            bias=V,
        ),
        [MATRIX],
        lambda x: x @ array(6, 3, seed=5) + V,
    ),
    "layer norm": (
        "layerNormalization",
        setter(normalizedShape=[6], eps=0.1, gamma=array(6, seed=6), beta=array(6, seed=7)),
        [MATRIX],
        lambda x: (
            (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.1) * array(6, seed=6)
            + array(6, seed=7)
        ),
    ),
    "clip": ("clip", setter(minVal=-0.5, maxVal=0.25), [X], lambda x: np.clip(x, -0.5, 0.25)),
    "clamped relu": (
        "clampedReLU",
        setter(alpha=0.5, beta=0.4),
        [X],
        lambda x: np.minimum(np.where(x > 0, x, x / 2), 0.4),
    ),
    "gelu tanh": (
        "gelu",
        setter(mode=1),
        [X],
        lambda x: x / 2 * (1 + np.tanh(GELU_TANH * (x + 0.044715 * x**3))),
    ),
    "gelu sigmoid": ("gelu", setter(mode=2), [X], lambda x: x / (1 + np.exp(-1.702 * x))),
    "less": ("lessThan", setter(), [X, POSITIVE], lambda a, b: (a < b).astype(np.float32)),
    "greater than a number": ("greaterThan", setter(alpha=0.5), [X], lambda x: (x > 0.5).astype(np.float32)),
    "logical": (
        "logicalXor",
        setter(),
        [np.float32([[0, 0, 2, 1]]), np.float32([[0, 3, 0, 1]])],
        lambda a, b: np.float32((a != 0) ^ (b != 0)),
    ),
    "where": (
        "whereBroadcastable",
        setter(),
        [np.float32([[1, 0, 1]]), array(2, 3), array(2, 3, seed=1)],
        lambda c, a, b: np.where(c != 0, a, b),
    ),
    "cumulative sum": ("cumSum", setter(axis=1, excludeFinalSum=True), [MATRIX], lambda x: x.cumsum(1) - x),
    "band": (
        "matrixBandPart",
        setter(numLower=1, numUpper=0),
        [array(4, 4)],
        lambda x: np.tril(np.triu(x, -1)),
    ),
    "argmax": ("argMax", setter(axis=1), [MATRIX], lambda x: x.argmax(1, keepdims=True).astype(np.float32)),
    "cosine similarity": (
        "dot",
        setter(cosineSimilarity=True),
        [X, POSITIVE],
        lambda a, b: (
            (a * b).sum(1, keepdims=True) / np.sqrt((a * a).sum(1, keepdims=True) * (b * b).sum(1, keepdims=True))
        ),
    ),
    "power of two tensors": ("powBroadcastable", setter(), [POSITIVE, X], lambda a, b: a**b),
}
