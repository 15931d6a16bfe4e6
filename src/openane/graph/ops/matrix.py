"""Matrix products and general sums of products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    broadcast,
    operand,
    product_of,
    require,
    require_same_dtype,
    result_dtype,
    sample,
    widen,
)

__all__ = [
    "Einsum",
    "MatMul",
]

#: Letters with at most one ellipsis.
_TERM = r"[A-Za-z]*(\.\.\.[A-Za-z]*)?"


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
    sums_products: ClassVar[bool] = True
    is_linear: ClassVar[bool] = True

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

    def macs(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * operand(inputs, 0, "x").shape[-2 if self.transpose_a else -1]

    def evaluate(self, inputs: Arrays) -> Results:
        x, y = array(inputs, 0), array(inputs, 1)
        left = widen(x.swapaxes(-1, -2) if self.transpose_a else x)
        right = widen(y.swapaxes(-1, -2) if self.transpose_b else y)
        return (np.asarray(np.matmul(left, right)).astype(result_dtype(x, y), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(3, 4), sample(4, 5)))
        yield OperationCase(cls(), (sample(2, 1, 3, 4), sample(6, 4, 5, seed=1)))
        yield OperationCase(cls(True), (sample(2, 4, 3), sample(2, 4, 5, seed=1)))
        yield OperationCase(cls(transpose_b=True), (sample(2, 3, 4), sample(5, 4, seed=1)))
        yield OperationCase(cls(), (sample(4), sample(2, 4, 5, seed=1)))
        yield OperationCase(cls(), (sample(2, 3, 4), sample(4, seed=1)))


@dataclass(frozen=True)
class Einsum(Operation):
    """Sums of products of elements, by Einstein's convention.

    Attributes:
        equation: terms by letters, "..." for broadcast axes, as numpy.einsum has it ("bhqd,bhkd->bhqk").
    """

    equation: str

    input_names: ClassVar[tuple[str, ...]] = ("x*",)
    sums_products: ClassVar[bool] = True
    is_linear: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        dtype = require_same_dtype(inputs)
        require(dtype is not DType.BOOL, "inputs must hold numbers", value=dtype.value)
        operands = [operand(inputs, i, "x") for i in range(len(inputs))]
        extents, ellipsis = self._extents([x.shape for x in operands])
        before, dots, after = self.terms()[1].partition("...")
        unknown = [letter for letter in before + after if letter not in extents]
        require(not unknown, "the result names unknown axes", value=self.equation)
        head = tuple(extents[letter] for letter in before)
        tail = tuple(extents[letter] for letter in after)
        return (TensorType(head + (ellipsis if dots else ()) + tail, dtype),)

    def terms(self) -> tuple[list[str], str]:
        """The terms of the inputs and that of the result, which is spelled out where the equation leaves it out."""
        left, arrow, right = self.equation.replace(" ", "").partition("->")
        if not arrow:
            letters = left.replace(",", "").replace(".", "")
            once = sorted(c for c in set(letters) if letters.count(c) == 1)
            right = ("..." if "..." in left else "") + "".join(once)
        valid = re.fullmatch(_TERM, right) and all(re.fullmatch(_TERM, term) for term in left.split(","))
        require(
            bool(valid) and len(set(right.replace("...", ""))) == len(right.replace("...", "")),
            "the equation is malformed",
            value=repr(self.equation),
        )
        return left.split(","), right

    def macs(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        return self.reference_steps(inputs, outputs) if len(inputs) > 1 else 0

    def reference_steps(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        """One step per combination of all letters, whatever order numpy finds."""
        extents, ellipsis = self._extents([operand(inputs, i, "x").shape for i in range(len(inputs))])
        return product_of([*extents.values(), *ellipsis])

    def _extents(self, shapes: Sequence[tuple[int, ...]]) -> tuple[dict[str, int], tuple[int, ...]]:
        """The extent of every letter, and those of the ellipsis."""
        terms, _ = self.terms()
        require(len(terms) == len(shapes), "the equation has another number of terms than inputs", value=self.equation)
        extents: dict[str, int] = {}
        ellipsis: tuple[int, ...] = ()
        for term, shape in zip(terms, shapes, strict=True):
            before, dots, after = term.partition("...")
            named = len(before) + len(after)
            fits = named <= len(shape) if dots else named == len(shape)
            require(fits, f"term {term!r} does not fit its input", value=list(shape))
            middle = len(shape) - len(after)
            ellipsis = broadcast(ellipsis, shape[len(before) : middle])
            for letter, extent in zip(before + after, shape[: len(before)] + shape[middle:], strict=True):
                known = extents.setdefault(letter, extent)
                if known == 1:
                    extents[letter] = extent
                require(
                    1 in (known, extent) or known == extent,
                    f"extents of {letter!r} differ",
                    value=f"{known} and {extent}",
                )
        return extents, ellipsis

    def evaluate(self, inputs: Arrays) -> Results:
        arrays = [array(inputs, i) for i in range(len(inputs))]
        y = np.einsum(self.equation.replace(" ", ""), *map(widen, arrays), optimize=len(arrays) > 1)
        return (np.asarray(y).astype(result_dtype(*arrays), copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls("bhqd,bhkd->bhqk"), (sample(1, 2, 3, 4), sample(1, 2, 5, 4, seed=1)))
        yield OperationCase(cls("...ii->...i"), (sample(2, 3, 3),))
        yield OperationCase(cls("ij, jk"), (sample(3, 4), sample(4, 2)))
        yield OperationCase(cls("i,j,k->kij"), (sample(3), sample(4), sample(2)))
