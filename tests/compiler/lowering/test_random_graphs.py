"""Random graphs: the net of units computes what the graph of operations says."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.lowering_graphs import assert_same_answers, chain

from openane.compiler.lowering import LoweringOptions, lower
from openane.graph import Graph, Operation
from openane.graph import ops as g

UNARY: list[Operation] = [
    g.Relu(),
    g.Sigmoid(),
    g.Tanh(),
    g.LeakyRelu(0.1),
    g.Clip(-1.0, 1.0),
    g.HardSwish(),
    g.Abs(),
    g.Neg(),
    g.Identity(),
    g.Silu(1.5),
]
BINARY: list[Operation] = [g.Add(), g.Sub(), g.Mul(), g.Max(), g.Min()]


class Maker:
    """Draws one step after another; knows the shape of every value so far."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        rank = self.draw(st.integers(1, 5))
        shape = tuple(self.draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank)))
        self.inputs = {"x": shape, "z": shape}
        self.shapes: dict[str, tuple[int, ...]] = dict(self.inputs)
        self.steps: list[tuple[object, ...]] = []

    def number(self) -> int:
        return self.draw(st.integers(0, 1 << 16))

    def array(self, *shape: int) -> np.ndarray:
        return np.random.default_rng(self.number()).uniform(-1, 1, shape)

    def step(self) -> None:
        value = self.draw(st.sampled_from(sorted(self.shapes)))
        shape = self.shapes[value]
        ways = [self.unary, self.binary, self.constant, self.reshape, self.transpose, self.reduce, self.softmax]
        ways += [self.slice, self.concat]
        if len(shape) >= 2:
            ways += [self.matmul, self.product]
        if len(shape) in (3, 4):
            ways += [self.convolution, self.pool]
        self.draw(st.sampled_from(ways))(value, shape)

    def add(self, operation: Operation, operands: list[object], shape: tuple[int, ...]) -> None:
        name = f"v{len(self.steps)}"
        self.steps.append((operation, *operands, name))
        self.shapes[name] = shape

    def unary(self, value: str, shape: tuple[int, ...]) -> None:
        self.add(self.draw(st.sampled_from(UNARY)), [value], shape)

    def binary(self, value: str, shape: tuple[int, ...]) -> None:
        others = [name for name, other in self.shapes.items() if len(other) <= len(shape) and _fits(other, shape)]
        other = self.draw(st.sampled_from(sorted(others)))
        operands: list[object] = [value, other] if self.draw(st.booleans()) else [other, value]
        self.add(self.draw(st.sampled_from(BINARY)), operands, shape)

    def constant(self, value: str, shape: tuple[int, ...]) -> None:
        rank = self.draw(st.integers(0, len(shape)))
        own = tuple(e if self.draw(st.booleans()) else 1 for e in shape[len(shape) - rank :])
        operands: list[object] = [value, self.array(*own)]
        if self.draw(st.booleans()):
            operands.reverse()
        self.add(self.draw(st.sampled_from(BINARY)), operands, shape)

    def reshape(self, value: str, shape: tuple[int, ...]) -> None:
        extents = [e for e in shape if e > 1]
        while len(extents) > 1 and self.draw(st.booleans()):
            extents = [extents[0] * extents[1], *extents[2:]]
        while len(extents) < 5 and self.draw(st.booleans()):
            extents.insert(self.draw(st.integers(0, len(extents))), 1)
        target = tuple(extents) or (1,)
        self.add(g.Reshape(target), [value], target)

    def transpose(self, value: str, shape: tuple[int, ...]) -> None:
        order = tuple(self.draw(st.permutations(range(len(shape)))))
        self.add(g.Transpose(order), [value], tuple(shape[i] for i in order))

    def reduce(self, value: str, shape: tuple[int, ...]) -> None:
        axes = tuple(sorted(self.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
        keep = self.draw(st.booleans()) or len(axes) == len(shape)
        operation = self.draw(st.sampled_from([g.ReduceSum, g.ReduceMean, g.ReduceMax]))(axes, keep)
        kept = tuple(1 if i in axes else e for i, e in enumerate(shape) if keep or i not in axes)
        self.add(operation, [value], kept)

    def softmax(self, value: str, shape: tuple[int, ...]) -> None:
        axis = self.draw(st.integers(0, len(shape) - 1))
        self.add(self.draw(st.sampled_from([g.Softmax(axis), g.LayerNorm((axis,), 0.1)])), [value], shape)

    def slice(self, value: str, shape: tuple[int, ...]) -> None:
        starts = tuple(self.draw(st.integers(0, e - 1)) for e in shape)
        steps = tuple(self.draw(st.sampled_from([1, 1, 2])) for _ in shape)
        ends = tuple(self.draw(st.integers(s + 1, e)) for s, e in zip(starts, shape, strict=True))
        operation = g.Slice(starts, ends, steps)
        self.add(operation, [value], tuple(len(r) for r in operation.ranges()))

    def concat(self, value: str, shape: tuple[int, ...]) -> None:
        axis = self.draw(st.integers(0, len(shape) - 1))
        same = sorted(name for name, other in self.shapes.items() if other == shape)
        other = self.draw(st.sampled_from(same))
        self.add(g.Concat(axis), [value, other], (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]))

    def product(self, value: str, shape: tuple[int, ...]) -> None:
        columns = self.draw(st.integers(1, 4))
        self.add(g.MatMul(), [value, self.array(shape[-1], columns)], (*shape[:-1], columns))

    def matmul(self, value: str, shape: tuple[int, ...]) -> None:
        self.add(g.MatMul(transpose_b=True), [value, value], (*shape[:-1], shape[-2]))

    def convolution(self, value: str, shape: tuple[int, ...]) -> None:
        space = len(shape) - 2
        outputs = self.draw(st.integers(1, 4))
        kernel = [self.draw(st.integers(1, 3)) for _ in range(space)]
        pads = tuple(k - 1 for k in kernel) * 2
        strides = tuple(self.draw(st.integers(1, 2)) for _ in range(space))
        out = [(e + 2 * (k - 1) - k) // s + 1 for e, k, s in zip(shape[2:], kernel, strides, strict=True)]
        operation = g.Conv(strides, pads, (1,) * space)
        self.add(
            operation, [value, self.array(outputs, shape[1], *kernel), self.array(outputs)], (shape[0], outputs, *out)
        )

    def pool(self, value: str, shape: tuple[int, ...]) -> None:
        space = len(shape) - 2
        kind = self.draw(st.sampled_from([g.MaxPool, g.AveragePool]))
        operation = kind((2,) * space, (2,) * space, (1,) * 2 * space, ceil_mode=self.draw(st.booleans()))
        self.add(operation, [value], (*shape[:2], *operation.spatial(shape[2:])))

    def graph(self) -> Graph:
        return chain(self.inputs, *self.steps, outputs=tuple(dict.fromkeys([self.steps[-1][-1], self.steps[0][-1]])))


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return all(a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False))


@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_random_graphs(data: st.DataObject) -> None:
    maker = Maker(data)
    for _ in range(data.draw(st.integers(1, 8))):
        if math.prod(max(maker.shapes.values(), key=math.prod)) < 20_000:
            maker.step()
    graph = maker.graph()
    net = lower(graph, LoweringOptions(rows=data.draw(st.booleans())))
    random = np.random.default_rng(0)
    assert_same_answers(graph, net, {n: random.uniform(-1, 1, k.shape) for n, k in graph.inputs.items()})
