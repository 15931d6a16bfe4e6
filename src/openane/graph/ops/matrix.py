"""Matrix products and general sums of products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph.operation import Case, Operation, TensorType
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    broadcast,
    operand,
    require,
    require_same_dtype,
    result_dtype,
    sample,
    widen,
)


@dataclass(frozen=True)
class MatMul(Operation):
    """The matrix product of the last two axes; the axes before them broadcast.

    A one-dimensional x is a row, a one-dimensional y a column, and their extent 1 is dropped from the result.

    Attributes:
        transpose_a: the last two axes of x change places first.
        transpose_b: the last two axes of y change places first.
    """

    transpose_a: bool = False
    transpose_b: bool = False

    input_names: ClassVar[tuple[str, ...]] = ("x", "y")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, y = operand(inputs, 0, "x"), operand(inputs, 1, "y")
        dtype = require_same_dtype(inputs)
        require(dtype is not DType.BOOL, "inputs must hold numbers", value=dtype.value)
        ranks = len(x.shape), len(y.shape)
        require(min(ranks) >= 1, "a matrix product needs at least one axis", value=f"{x} and {y}")
        for rank, transposed in zip(ranks, (self.transpose_a, self.transpose_b), strict=True):
            require(rank >= 2 or not transposed, "one axis cannot be transposed", value=f"{x} and {y}")
        left = x.shape if ranks[0] > 1 else (1, *x.shape)
        right = y.shape if ranks[1] > 1 else (*y.shape, 1)
        rows, inner = left[-2:] if not self.transpose_a else left[:-3:-1]
        other, columns = right[-2:] if not self.transpose_b else right[:-3:-1]
        require(inner == other, "inner extents of the product differ", value=f"{x} and {y}")
        shape = broadcast(left[:-2], right[:-2])
        shape += (rows,) if ranks[0] > 1 else ()
        shape += (columns,) if ranks[1] > 1 else ()
        return (TensorType(shape, dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, y = array(inputs, 0), array(inputs, 1)
        left = widen(x.swapaxes(-1, -2) if self.transpose_a else x)
        right = widen(y.swapaxes(-1, -2) if self.transpose_b else y)
        return (np.asarray(np.matmul(left, right)).astype(result_dtype(x, y), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[Case]:
        yield Case(cls(), (sample(3, 4), sample(4, 5)))
        yield Case(cls(), (sample(2, 1, 3, 4), sample(6, 4, 5, seed=1)))
        yield Case(cls(True), (sample(2, 4, 3), sample(2, 4, 5, seed=1)))
        yield Case(cls(transpose_b=True), (sample(2, 3, 4), sample(5, 4, seed=1)))
        yield Case(cls(), (sample(4), sample(2, 4, 5, seed=1)))
        yield Case(cls(), (sample(2, 3, 4), sample(4, seed=1)))


@dataclass(frozen=True)
class Einsum(Operation):
    """Sums of products of elements, by Einstein's convention.

    Attributes:
        equation: terms by letters, "..." for broadcast axes, as numpy.einsum has it ("bhqd,bhkd->bhqk").
    """

    equation: str

    input_names: ClassVar[tuple[str, ...]] = ("x*",)

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        dtype = require_same_dtype(inputs)
        operands = [operand(inputs, i, "x") for i in range(len(inputs))]
        try:
            shape = _einsum_shape(self.equation, [x.shape for x in operands])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ModelError(
                "the equation does not fit the inputs",
                value=f"{self.equation} of {', '.join(map(str, operands))}",
                hint=str(error),
            ) from error
        return (TensorType(shape, dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        arrays = [array(inputs, i) for i in range(len(inputs))]
        y = np.einsum(self.equation.replace(" ", ""), *map(widen, arrays), optimize=len(arrays) > 1)
        return (np.asarray(y).astype(result_dtype(*arrays), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[Case]:
        yield Case(cls("bhqd,bhkd->bhqk"), (sample(1, 2, 3, 4), sample(1, 2, 5, 4, seed=1)))
        yield Case(cls("...ii->...i"), (sample(2, 3, 3),))
        yield Case(cls("ij, jk"), (sample(3, 4), sample(4, 2)))
        yield Case(cls("i,j,k->kij"), (sample(3), sample(4), sample(2)))


def _einsum_shape(equation: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of an einsum.

    Raises:
        ValueError: the equation is malformed.
        ModelError: extents of a letter differ.
    """
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    extents: dict[str, int] = {}
    ellipsis: tuple[int, ...] = ()
    for term, shape in zip(left.split(","), shapes, strict=True):
        before, dots, after = term.partition("...")
        named = len(before) + len(after)
        free = shape[len(before) : len(shape) - len(after)] if dots else ()
        if named + len(free) != len(shape):
            raise ValueError(f"term {term!r} does not name {len(shape)} axes")
        ellipsis = broadcast(ellipsis, free)
        own = shape[: len(before)] + shape[len(shape) - len(after) :]
        for letter, extent in zip(before + after, own, strict=True):
            known = extents.setdefault(letter, extent)
            require(known == extent, f"extents of {letter!r} differ", value=f"{known} and {extent}")
    letters = left.replace(",", "").replace(".", "")
    if not arrow:
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    before, dots, after = right.partition("...")
    head = tuple(extents[letter] for letter in before)
    return head + (ellipsis if dots else ()) + tuple(extents[letter] for letter in after)
