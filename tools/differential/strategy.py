"""Random legal networks: by number, and as a hypothesis strategy that shrinks them."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from hypothesis import strategies as st

from differential import arithmetic, movement
from differential.network import Network, Values
from differential.sketch import Draw, RejectError, Sketch
from openane.core.types import DType
from openane.graph import ops

Move = Callable[[Sketch], None]

#: How often each move is tried, relative to the others.
MOVES: tuple[Move, ...] = (
    *(arithmetic.convolution,) * 4,
    *(arithmetic.function,) * 3,
    *(arithmetic.pair,) * 3,
    *(arithmetic.pool, arithmetic.product, arithmetic.reduction, arithmetic.norm, arithmetic.softmax) * 2,
    *(arithmetic.bounded, arithmetic.transposed, arithmetic.attention, arithmetic.residual, movement.concat) * 2,
    *(arithmetic.jump, arithmetic.quotient, arithmetic.parametric, arithmetic.logic, arithmetic.products),
    *(arithmetic.einsum, arithmetic.running_sum, arithmetic.gate),
    *(movement.transpose, movement.reshape, movement.split, movement.cut, movement.pad, movement.resize) * 2,
    *(movement.flatten, movement.gather, movement.repeat, movement.shuffle, movement.host),
    *(movement.parts, movement.joined) * 2,
)
#: Moves that are right for infinities, denormals and numbers near the limit.
PLAIN_MOVES: tuple[Move, ...] = (
    *(movement.transpose, movement.reshape, movement.split, movement.cut, movement.concat, movement.repeat),
    *(movement.gather, movement.shuffle),
    lambda s: s.add(s.choose((ops.Relu(), ops.Abs(), ops.Neg())), s.value()) and None,
    lambda s: s.add(s.choose((ops.Max(), ops.Min())), s.value(), s.value()) and None,
    lambda s: s.add(ops.MaxPool((2, 2), (1, 1), (0, 0, 1, 1)), s.value(4)) and None,
)
STEP_LIMIT = 10
BATCH_LIMIT = 40
ATTEMPTS = 60
"""Moves that are tried before a network is taken as it is."""
#: (elements of a value, products of a step) of small, middle and large networks.
SIZES = ((3_000, 1_000_000), (40_000, 10_000_000), (1_500_000, 60_000_000))
DIALECTS = (None, None, None, "macos-11", "linux")


def _extents(s: Sketch, rank: int, room: int) -> tuple[int, ...]:
    """Extents of a tensor: odd, even, one, and powers of two, with at most `room` elements."""
    extents: list[int] = []
    for left in range(rank, 0, -1):
        most = max(1, room // max(1, math.prod(extents)))
        even = max(1, int(most ** (1 / left)))
        top = s.choose((5, 9, 17, 33, 64, even, 4 * even))
        extents.append(min(most, s.pick(1, max(1, top))))
    # The largest first is only one way; which axis is long is drawn.
    turn = s.pick(0, rank - 1)
    shape = tuple(extents[turn:] + extents[:turn])
    # Long batches make many tasks of the same kind, and take the time of many other cases.
    return shape[::-1] if rank > 2 and shape[0] > BATCH_LIMIT else shape


def _inputs(s: Sketch, plain: bool) -> None:
    """One input, or two of one shape, or a second of any other."""
    rank = s.choose((4, 4, 4, 3, 2, 1, 5))
    shape = _extents(s, rank, s.elements // 2)
    if rank == 4 and s.flag(3):
        shape = (1, *shape[1:])
    fills = ("special", "large", "tiny") if plain else ("normal", "normal", "uniform", "whole", "sparse")
    fill = s.choose(fills)
    first = Values(shape, fill, 1.0, s.pick(0, 99))
    if not plain and s.flag(10):
        signed = s.flag()
        s.input(Values(shape, "bytes", 1.0, first.number, DType.INT8 if signed else DType.UINT8))
        s.add(ops.Affine(2.0**-7), s.add(ops.Cast(DType.FLOAT32), "x0"))
    else:
        s.input(first)
    if s.flag(3):
        other = shape if s.flag() else _extents(s, s.pick(1, 4), s.elements // 4)
        s.input(Values(other, fill, 1.0, s.pick(0, 99)))


def draw_network(draw: Draw) -> Network:
    """A network of one to a dozen steps.

    Args:
        draw: gives an integer between two bounds, both included. Random numbers make a random network; hypothesis
            makes the same network simpler by simpler choices.
    """
    kind = draw(0, 11)
    elements, products = SIZES[(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 2)[kind]]
    sketch = Sketch(draw, elements, products, plain=kind == 10)
    _inputs(sketch, sketch.plain)
    moves = PLAIN_MOVES if sketch.plain else MOVES
    for _ in range(ATTEMPTS):
        before = sketch.copy()
        try:
            sketch.choose(moves)(sketch)
        except RejectError:
            sketch = before
            continue
        if len(sketch.steps) >= STEP_LIMIT or sketch.pick(0, 7) == 0:
            break
    if not sketch.steps:
        sketch.add(ops.Relu(), next(iter(sketch.values)))
    rows = sketch.flag(8)
    return sketch.network(rows, sketch.choose(DIALECTS))


@st.composite
def networks(draw: Callable[[st.SearchStrategy[int]], int]) -> Network:
    """Every network that `draw_network` makes, for hypothesis."""
    return draw_network(lambda low, high: draw(st.integers(low, high)))


def make(seed: int) -> tuple[Network, tuple[int, ...]]:
    """The network of a number, and the choices that made it."""
    random, choices = Random(seed), []

    def draw(low: int, high: int) -> int:
        choices.append(random.randint(low, high))
        return choices[-1]

    return draw_network(draw), tuple(choices)
