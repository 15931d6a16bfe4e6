"""One block of a BERT, of a GPT-2 and of a Llama, with random weights as these models are initialized."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from openane.graph import Graph, Node, Operation, TensorType, ops

INITIAL = 0.02
"""Standard deviation of the weights of all three at initialization."""


class Block:
    """Writes a block node by node.

    Args:
        name: of the graph.
        rows, width: of the hidden states.
        heads: of the attention.
    """

    def __init__(self, name: str, rows: int, width: int, heads: int) -> None:
        self.name, self.rows, self.width, self.heads = name, rows, width, heads
        self.random = np.random.default_rng(16)
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, operation: Operation, *operands: str | np.ndarray | float) -> str:
        """Adds a node; arrays and numbers become constants."""
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

    def linear(self, x: str, inner: int, outer: int, deviation: float = INITIAL) -> str:
        """A product by a constant, without bias."""
        return self(ops.MatMul(), x, self.random.standard_normal((inner, outer)) * deviation)

    def norm(self, x: str) -> str:
        """A layer norm with a gain near 1."""
        gain = 1 + 0.1 * self.random.standard_normal(self.width)
        return self(ops.LayerNorm((2,)), x, gain, 0.1 * self.random.standard_normal(self.width))

    def split(self, x: str, heads: int) -> str:
        """(1, rows, heads * size) as (1, heads, rows, size)."""
        size = self.width // self.heads
        return self(ops.Transpose((0, 2, 1, 3)), self(ops.Reshape((1, self.rows, heads, size)), x))

    def attend(self, query: str, key: str, value: str, causal: bool) -> str:
        """Softmax of the scaled scores times the values, with the heads joined."""
        scores = self(ops.MatMul(transpose_b=True), query, key)
        scores = self(ops.Mul(), scores, 1 / math.sqrt(self.width // self.heads))
        if causal:
            scores = self(ops.Add(), scores, np.triu(np.full((self.rows, self.rows), -1e4), 1))
        heads = self(ops.MatMul(), self(ops.Softmax(3), scores), value)
        return self(ops.Reshape((1, self.rows, self.width)), self(ops.Transpose((0, 2, 1, 3)), heads))

    def graph(self, output: str) -> Graph:
        """The block from "x" to an output."""
        inputs = {"x": TensorType((1, self.rows, self.width))}
        return Graph(self.name, inputs, (output,), tuple(self.nodes), self.constants)


def bert(rows: int = 64, width: int = 768, heads: int = 12) -> Graph:
    """Attention, then a network with GELU; a norm after each."""
    block = Block("bert", rows, width, heads)
    query, key, value = (block.split(block.linear("x", width, width), heads) for _ in range(3))
    attended = block.linear(block.attend(query, key, value, causal=False), width, width)
    x = block.norm(block(ops.Add(), "x", attended))
    inner = block(ops.Gelu(), block.linear(x, width, 4 * width))
    return block.graph(block.norm(block(ops.Add(), x, block.linear(inner, 4 * width, width))))


def gpt2(rows: int = 64, width: int = 768, heads: int = 12) -> Graph:
    """Norms before causal attention and a network with GELU; smaller weights on the residual path."""
    block = Block("gpt2", rows, width, heads)
    small = INITIAL / math.sqrt(24)
    x = block.norm("x")
    query, key, value = (block.split(block.linear(x, width, width), heads) for _ in range(3))
    x = block(ops.Add(), "x", block.linear(block.attend(query, key, value, causal=True), width, width, small))
    inner = block(ops.Gelu(), block.linear(block.norm(x), width, 4 * width))
    return block.graph(block(ops.Add(), x, block.linear(inner, 4 * width, width, small)))


def llama(rows: int = 64, width: int = 512, heads: int = 8, shared: int = 2) -> Graph:
    """RMS norms, rotary positions, keys and values shared by heads, and a gated network."""
    block, size = Block("llama", rows, width, heads), width // heads
    angles = np.outer(np.arange(rows), 10000.0 ** (-np.arange(0, size, 2) / size))
    cosine, sine = (np.tile(each(angles), 2) for each in (np.cos, np.sin))
    turn = np.roll(np.eye(size), size // 2, 1) * np.where(np.arange(size) < size // 2, -1, 1)

    def rotary(x: str) -> str:
        turned = block(ops.MatMul(), x, turn)
        return block(ops.Add(), block(ops.Mul(), x, cosine), block(ops.Mul(), turned, sine))

    def repeat(x: str) -> str:
        wide = block(ops.Reshape((1, shared, 1, rows * size)), x)
        wide = block(ops.Expand((1, shared, heads // shared, rows * size)), wide)
        return block(ops.Reshape((1, heads, rows, size)), wide)

    x = block(ops.RmsNorm((2,)), "x", 1 + 0.1 * block.random.standard_normal(width))
    query = rotary(block.split(block.linear(x, width, width), heads))
    key = repeat(rotary(block.split(block.linear(x, width, shared * size), shared)))
    value = repeat(block.split(block.linear(x, width, shared * size), shared))
    x = block(ops.Add(), "x", block.linear(block.attend(query, key, value, causal=True), width, width))
    y = block(ops.RmsNorm((2,)), x, 1 + 0.1 * block.random.standard_normal(width))
    inner = 11 * width // 4
    gate = block(ops.Mul(), block(ops.Silu(), block.linear(y, width, inner)), block.linear(y, width, inner))
    return block.graph(block(ops.Add(), x, block.linear(gate, inner, width)))


BLOCKS: Mapping[str, Callable[[], Graph]] = MappingProxyType({"bert": bert, "gpt2": gpt2, "llama": llama})
DEVIATIONS: Mapping[str, float] = MappingProxyType({"bert": 1.0, "gpt2": 0.03, "llama": 0.02})
"""Standard deviation of the hidden states that enter the first block: after a norm, and of embeddings."""


def hidden_states(name: str, seed: int) -> np.ndarray:
    """Normal inputs of a block."""
    (kind,) = BLOCKS[name]().inputs.values()
    return (np.random.default_rng(seed).standard_normal(kind.shape) * DEVIATIONS[name]).astype(np.float32)
