"""The networks of the published timings, with random weights."""

from __future__ import annotations

import math

import numpy as np

from openane.graph import Graph, Node, Operation, TensorType, ops


class _Network:
    """Writes a graph node by node."""

    def __init__(self, **inputs: tuple[int, ...]) -> None:
        self.inputs = {name: TensorType(shape) for name, shape in inputs.items()}
        self.random = np.random.default_rng(17)
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, operation: Operation, *operands: str | np.ndarray) -> str:
        """Adds a node; arrays become constants."""
        names = []
        for operand in operands:
            if not isinstance(operand, str):
                name = f"c{len(self.constants)}"
                self.constants[name] = np.asarray(operand, np.float32)
                operand = name
            names.append(operand)
        made = f"{type(operation).__name__.lower()}{len(self.nodes)}"
        self.nodes.append(Node(made, operation, tuple(names), (made,)))
        return made

    def weights(self, *shape: int) -> np.ndarray:
        """Normal values, scaled so that a sum over all axes but the first keeps its size."""
        return (self.random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]) or 1)).astype(np.float32)

    def linear(self, x: str, inner: int, outer: int) -> str:
        """A product by a constant, without bias."""
        return self(ops.MatMul(), x, self.weights(outer, inner).T)

    def conv(self, x: str, channels: int, out: int, kernel: int, stride: int = 1, relu: bool = False) -> str:
        """A square convolution that keeps the size of the image, or divides it by the stride."""
        pad = kernel // 2
        operation = ops.Conv(strides=(stride, stride), pads=(pad, pad, pad, pad))
        made = self(operation, x, self.weights(out, channels, kernel, kernel))
        return self(ops.Relu(), made) if relu else made

    def graph(self, *outputs: str) -> Graph:
        """Everything so far."""
        return Graph("network", self.inputs, outputs, tuple(self.nodes), self.constants)


def matmul(rows: int, inner: int, columns: int) -> Graph:
    """[rows, inner] x [inner, columns], constant weights."""
    net = _Network(x=(rows, inner))
    return net.graph(net.linear("x", inner, columns))


def convolution(
    channels: int,
    out: int,
    side: int,
    kernel: int,
    *,
    batch: int = 1,
    layers: int = 1,
    stride: int = 1,
    relu: bool = False,
) -> Graph:
    """A stack of square convolutions."""
    net = _Network(x=(batch, channels, side, side))
    x = "x"
    for _ in range(layers):
        x, channels = net.conv(x, channels, out, kernel, stride, relu), out
    return net.graph(x)


def one(operation: Operation, *shape: int) -> Graph:
    """One operation of one operand."""
    net = _Network(x=shape)
    return net.graph(net(operation, "x"))


def norm(kind: str, *shape: int) -> Graph:
    """layer_norm, rms_norm over the last axis, or group_norm in 32 groups."""
    net = _Network(x=shape)
    size = shape[1] if kind == "group_norm" else shape[-1]
    gain, offset = 1 + 0.1 * net.weights(size), 0.1 * net.weights(size)
    last = (len(shape) - 1,)
    if kind == "rms_norm":
        return net.graph(net(ops.RmsNorm(last), "x", gain))
    return net.graph(net(ops.LayerNorm(last) if kind == "layer_norm" else ops.GroupNorm(32), "x", gain, offset))


def attention(rows: int, width: int, heads: int) -> Graph:
    """Multi-head attention over the rows of one operand, its four products by constants with biases included."""
    net, size = _Network(x=(rows, width)), width // heads

    def linear(x: str) -> str:
        return net(ops.Add(), net.linear(x, width, width), 0.01 * net.weights(width))

    def heads_of(x: str) -> str:
        return net(ops.Transpose((1, 0, 2)), net(ops.Reshape((rows, heads, size)), x))

    query, key, value = (heads_of(linear("x")) for _ in range(3))
    scores = net(ops.Mul(), net(ops.MatMul(transpose_b=True), query, key), np.float32(size**-0.5))
    joined = net(ops.Transpose((1, 0, 2)), net(ops.MatMul(), net(ops.Softmax(2), scores), value))
    return net.graph(linear(net(ops.Reshape((rows, width)), joined)))


def jacobi(size: int, iterations: int) -> Graph:
    """x <- (b - R x) d, as often as given."""
    net = _Network(x=(1, size), b=(1, size), d=(1, size))
    matrix, x = net.weights(size, size), "x"
    for _ in range(iterations):
        x = net(ops.Mul(), net(ops.Sub(), "b", net(ops.MatMul(), x, matrix)), "d")
    return net.graph(x)


def resnet18() -> Graph:
    """ResNet-18 on one image of 224x224, batch norms folded."""
    net = _Network(x=(1, 3, 224, 224))
    x = net(ops.MaxPool((3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), net.conv("x", 3, 64, 7, 2, relu=True))
    channels = 64
    for out, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        y = net.conv(net.conv(x, channels, out, 3, stride, relu=True), out, out, 3)
        x = x if channels == out else net.conv(x, channels, out, 1, stride)
        x, channels = net(ops.Relu(), net(ops.Add(), y, x)), out
    x = net(ops.Reshape((1, 512)), net(ops.ReduceMean((2, 3)), x))
    return net.graph(net.linear(x, 512, 1000))
