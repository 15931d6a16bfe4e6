"""Small networks that half precision spoils for some inputs, each with inputs of the same shapes that it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g

Arrays = dict[str, np.ndarray]


@dataclass
class Builder:
    """Writes a graph node by node; every value has the name of its node."""

    inputs: dict[str, TensorType] = field(default_factory=dict)
    constants: Arrays = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def input(self, name: str, *shape: int, dtype: DType = DType.FLOAT32) -> str:
        self.inputs[name] = TensorType(shape, dtype)
        return name

    def constant(self, value: np.ndarray | float) -> str:
        name = f"c{next(self.numbers)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def __call__(self, operation: Operation, *operands: str, name: str = "") -> str:
        name = name or f"{type(operation).__name__.lower()}{next(self.numbers)}"
        self.nodes.append(Node(name, operation, operands, (name,)))
        return name

    def graph(self, *outputs: str) -> Graph:
        return Graph("network", self.inputs, outputs, tuple(self.nodes), self.constants)


@dataclass(frozen=True)
class Network:
    """A graph, inputs with which it is off on the engine (None: there are none) and inputs with which it is right."""

    graph: Graph
    spoiled: Arrays | None
    right: Arrays


Make = Callable[[np.random.Generator], Network]
NETWORKS: dict[str, Make] = {}


def network(make: Make) -> Make:
    NETWORKS[make.__name__] = make
    return make


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def size(random: np.random.Generator) -> int:
    return int(random.choice([8, 16, 24, 40, 64]))


@network
def log_of_softmax(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.Log(), b(g.Softmax(1), b.input("x", 2, n)))
    peaked = np.zeros((2, n), np.float32)
    peaked[:, 3] = random.uniform(30, 80)
    return Network(b.graph(y), {"x": peaked}, {"x": normal(random, 2, n)})


@network
def log_of_reshaped_softmax(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    s = b(g.Reshape((2, 2, n // 2)), b(g.Softmax(1), b.input("x", 2, n)))
    y = b(g.Mul(), b(g.Log(), s), b.constant(0.5))
    peaked = np.zeros((2, n), np.float32)
    peaked[:, 1] = random.uniform(30, 80)
    return Network(b.graph(y), {"x": peaked}, {"x": normal(random, 2, n)})


@network
def epsilon_before_log(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 1, 8, n)
    y = b(g.Log(), b(g.Add(), b(g.Mul(), x, x), b.constant(10.0 ** -random.uniform(9, 14))))
    holes = normal(random, 1, 8, n)
    holes[:, 2:5] = 0
    return Network(b.graph(y), {"x": holes}, {"x": np.abs(normal(random, 1, 8, n)) + np.float32(0.1)})


@network
def epsilon_in_a_maximum(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 3, n)
    length = b(g.Max(), b(g.ReduceL2((1,)), x), b.constant(1e-12))
    values = normal(random, 3, n)
    tiny = values * np.float32(10 ** -random.uniform(7, 9))
    return Network(b.graph(b(g.Div(), x, length)), {"x": tiny}, {"x": values})


@network
def epsilon_in_a_clip(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 3, n)
    total = b(g.ReduceSum((1,)), b(g.Abs(), x))
    y = b(g.Reciprocal(), b(g.Clip(1e-12, float("inf")), total))
    values = normal(random, 3, n)
    return Network(b.graph(y), {"x": values * np.float32(1e-9)}, {"x": values})


@network
def sine_of_time(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    rates = np.exp(-np.log(1e4) * np.arange(n) / n)
    angle = b(g.Mul(), b.input("t", 1, n), b.constant(rates[None]))
    y = b(g.Concat(1), b(g.Sin(), angle), b(g.Cos(), angle))
    late, early = random.uniform(700, 1000), random.uniform(0.5, 3)
    return Network(b.graph(y), {"t": np.full((1, n), late, np.float32)}, {"t": np.full((1, n), early, np.float32)})


@network
def rotary_positions(random: np.random.Generator) -> Network:
    b, half_size = Builder(), 16
    rates = (10000.0 ** (-np.arange(half_size) / half_size)).reshape(1, 1, half_size)
    angle = b(g.Mul(), b.input("p", 1, 1, half_size), b.constant(rates))
    twice = b(g.Concat(2), angle, angle)
    x = b.input("x", 4, 1, 2 * half_size)
    y = b(g.Add(), b(g.Mul(), x, b(g.Cos(), twice)), b(g.Mul(), x, b(g.Sin(), twice)))
    values = normal(random, 4, 1, 2 * half_size)
    far, near = np.float32(random.integers(5000, 30000)), np.float32(random.integers(1, 60))
    shape = (1, 1, half_size)
    return Network(b.graph(y), {"p": np.full(shape, far), "x": values}, {"p": np.full(shape, near), "x": values})


@network
def small_results(random: np.random.Generator) -> Network:
    b, n = Builder(), 16
    weights = normal(random, n, n, 3, 3) / np.float32(12)
    y = b(g.Conv((1, 1), (1, 1, 1, 1)), b.input("x", 1, n, 12, 12), b.constant(weights * np.float32(1e-2)))
    x = normal(random, 1, n, 12, 12)
    return Network(b.graph(y), {"x": x * np.float32(5e-3)}, {"x": x})


@network
def power_of_large_vectors(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 4, n)
    y = b(g.Log(), b(g.ReduceSum((1,)), b(g.Mul(), x, x)))
    values = normal(random, 4, n)
    return Network(b.graph(y), {"x": values * np.float32(random.uniform(200, 400))}, {"x": values})


@network
def variance_by_hand(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 4, n)
    centered = b(g.Sub(), x, b(g.ReduceMean((1,)), x))
    variance = b(g.ReduceMean((1,)), b(g.Mul(), centered, centered))
    y = b(g.Log(), b(g.Add(), variance, b.constant(1e-3)))
    values = normal(random, 4, n)
    return Network(b.graph(y), {"x": values * np.float32(random.uniform(400, 900))}, {"x": values * np.float32(3)})


@network
def norm_far_from_zero(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.LayerNorm((1,), 1e-5), b.input("x", 4, n))
    values = normal(random, 4, n)
    values[:, 3] = 30000
    return Network(b.graph(y), {"x": normal(random, 4, n) + np.float32(3000)}, {"x": values})


@network
def mean_of_squares(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.RmsNorm((1,), 1e-6), b.input("x", 4, n))
    values = normal(random, 4, n)
    values[:, 3] = 30000
    return Network(b.graph(y), None, {"x": values})


@network
def constant_mask(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    low = float(random.choice([-1e9, -3.4028235e38, -65504.0, -np.inf]))
    mask = np.where(np.tril(np.ones((n, n))) > 0, 0, low)[None]
    scores = b(g.Add(), b.input("x", 2, n, n), b.constant(mask))
    return Network(b.graph(b(g.Softmax(2), scores)), None, {"x": normal(random, 2, n, n)})


@network
def padding_mask(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    kept = b(g.Cast(DType.FLOAT32), b.input("mask", 1, 1, n, dtype=DType.INT64))
    bias = b(g.Mul(), b(g.Sub(), b.constant(1.0), kept), b.constant(float(random.choice([-1e9, -1e4, -3.4e38]))))
    y = b(g.Softmax(2), b(g.Add(), b.input("x", 2, n, n), bias))
    mask = np.ones((1, 1, n), np.int64)
    mask[..., n // 2 :] = 0
    return Network(b.graph(y), None, {"mask": mask, "x": normal(random, 2, n, n)})


@network
def product_beyond_the_accumulator(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    weights = np.abs(normal(random, n, n))
    y = b(g.Sqrt(), b(g.MatMul(), b.input("x", 4, n), b.constant(weights)))
    x = np.abs(normal(random, 4, n))
    return Network(b.graph(y), {"x": x * np.float32(80000 / n)}, {"x": x})


@network
def product_beyond_half(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    x = b.input("x", 4, n)
    y = b(g.Sqrt(), b(g.Add(), b(g.Mul(), x, x), b.constant(1.0)))
    values = normal(random, 4, n)
    return Network(b.graph(y), {"x": values * np.float32(600)}, {"x": values * np.float32(20)})


@network
def close_logits(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.Softmax(1), b.input("x", 4, n))
    values = normal(random, 4, n)
    apart = np.full((4, n), 100, np.float32)
    apart[:, 2] = 900
    return Network(b.graph(y), {"x": values + np.float32(random.uniform(3000, 9000))}, {"x": apart})


@network
def exponential_beyond_half(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    e = b(g.Exp(), b.input("x", 4, n))
    y = b(g.Log(), b(g.ReduceSum((1,)), e))
    values = normal(random, 4, n)
    return Network(b.graph(y), {"x": values + np.float32(random.uniform(14, 30))}, {"x": values})


@network
def difference_of_close_values(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.Sub(), b.input("x", 4, n), b.input("z", 4, n))
    base = normal(random, 4, n)
    near = base * np.float32(1000) + normal(random, 4, n) * np.float32(0.1)
    return Network(b.graph(y), {"x": base * np.float32(1000), "z": near}, {"x": base, "z": normal(random, 4, n)})


@network
def sum_of_many(random: np.random.Generator) -> Network:
    b, n = Builder(), 512
    y = b(g.Sqrt(), b(g.ReduceSum((1,)), b.input("x", 4, n)))
    values = np.abs(normal(random, 4, n))
    return Network(b.graph(y), {"x": values * np.float32(400)}, {"x": values})


@network
def not_a_number(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.Relu(), b(g.Add(), b.input("x", 4, n), b.constant(1.0)))
    values = normal(random, 4, n)
    strange = values.copy()
    strange[2, 3] = np.nan
    return Network(b.graph(y), {"x": strange}, {"x": values})


@network
def division_by_zero(random: np.random.Generator) -> Network:
    b, n = Builder(), size(random)
    y = b(g.Div(), b.input("x", 4, n), b.input("z", 4, n))
    x, z = normal(random, 4, n), np.abs(normal(random, 4, n)) + np.float32(0.2)
    tiny = z.copy()
    tiny[1] = 1e-9
    return Network(b.graph(y), {"x": x * np.float32(1e-7), "z": tiny}, {"x": x, "z": z})


@network
def two_outputs(random: np.random.Generator) -> Network:
    """Only one of the outputs is spoiled."""
    b, n = Builder(), size(random)
    x = b.input("x", 4, n)
    spoiled = b(g.Sin(), b(g.Mul(), x, b.constant(1000.0)), name="spoiled")
    return Network(
        b.graph(spoiled, b(g.Relu(), x, name="fine")),
        {"x": np.abs(normal(random, 4, n)) + np.float32(1)},
        {"x": normal(random, 4, n) * np.float32(1e-3)},
    )


def inputs_of(made: Network, spoiled: bool) -> Mapping[str, np.ndarray]:
    found = made.spoiled if spoiled else made.right
    assert found is not None
    return found
