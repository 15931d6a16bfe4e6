"""What an operation is: attributes, a shape rule and reference arithmetic, in one class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from openane.core.types import DType

_registered: dict[str, type[Operation]] = {}

OPERATIONS: Mapping[str, type[Operation]] = MappingProxyType(_registered)
"""Every operation by its class name. A class registers itself when its module is imported."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """A shape and an element type.

    Extents are fixed, but for results of `OnnxNode`: there an extent is -1 where it depends on the data.
    """

    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32

    @property
    def size(self) -> int:
        """Number of elements; 0 where an extent is open."""
        size = 1
        for extent in self.shape:
            size *= max(extent, 0)
        return size

    @property
    def is_static(self) -> bool:
        """Whether every extent is known and the elements are numbers."""
        return self.dtype is not DType.OBJECT and min(self.shape, default=0) >= 0

    def __str__(self) -> str:
        extents = ("?" if extent < 0 else str(extent) for extent in self.shape)
        return f"{self.dtype.value}[{','.join(extents)}]"


@dataclass(frozen=True)
class OperationCase:
    """A sample use of an operation, for tests and docs.

    Attributes:
        operation: with its attributes.
        inputs: arrays, None where an optional input is left out.
    """

    operation: Operation
    inputs: tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class Operation:
    """Base of all operations: frozen dataclasses whose fields are the attributes.

    A subclass says in its docstring what it computes, and implements `infer`, `evaluate` and `cases`. Optional inputs
    arrive as None. What else the compiler wants to know of an operation is stated on its class, in the attributes and
    the two counts below; the defaults are safe.

        class Swish(Unary): ...                      # registers itself in OPERATIONS
        class Unary(Operation, abstract=True): ...   # a base, which does not

    Raises:
        TypeError: on definition, if another operation has the name.
    """

    #: Names of the inputs in order; a trailing "*" marks a variadic input, a "?" an optional one.
    input_names: ClassVar[tuple[str, ...]] = ("x",)

    #: Whether every element of the result is an element of an input or a fixed number: nothing is computed.
    moves_data: ClassVar[bool] = False

    #: Whether of the first input only the elements of the result are read, as in a table that is looked up.
    reads_selection: ClassVar[bool] = False

    #: Whether the reference gives a view of its input, at no cost.
    is_view: ClassVar[bool] = False

    #: Whether axis 1 of the first input holds channels and the axes after it are those of an image.
    is_spatial: ClassVar[bool] = False

    #: Whether the result is best laid out on the engine as its operands are.
    keeps_layout: ClassVar[bool] = False

    #: Whether models clean up positions with it (token ids first of all) before they look something up by them.
    prepares_positions: ClassVar[bool] = False

    #: The numbers of the results that hold positions along the attribute `axis` of the first operand.
    position_results: ClassVar[tuple[int, ...]] = ()

    #: Whether each element of the result is a sum of elements, or of products of elements, of the inputs.
    is_linear: ClassVar[bool] = False

    #: Whether each element of the result is a sum of products, which the MAC array accumulates.
    sums_products: ClassVar[bool] = False

    #: Whether the engine's result is the exact one, rounded once, for values whose sums stay in range.
    rounds_once: ClassVar[bool] = False

    #: The least and the greatest result, whatever the inputs are; None where there are none.
    result_range: ClassVar[tuple[float, float] | None] = None

    #: Whether no result is below the least or above the greatest element of the first input.
    keeps_range: ClassVar[bool] = False

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        if abstract:
            return
        if cls.__name__ in _registered:
            raise TypeError(f"two operations are named {cls.__name__}")
        _registered[cls.__name__] = cls

    @property
    def title(self) -> str:
        """The name that messages and reports show."""
        return type(self).__name__

    @property
    def is_repeatable(self) -> bool:
        """Whether the same inputs give the same results, in shapes that are known ahead."""
        return True

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
        """The result types for these input types.

        Raises:
            ModelError: the inputs do not fit the operation.
        """
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        """The results in the precision of the inputs (float64 in, float64 out)."""
        raise NotImplementedError

    def macs(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> int:
        """Multiply-adds of a convolution, matmul or recurrent layer for these types; 0 for all others."""
        return 0

    def reference_steps(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> int:
        """About how many elementary steps `evaluate` takes: one per multiply-add and per element read or written."""
        sizes = sum(x.size for x in inputs if x is not None) + sum(y.size for y in outputs)
        return sizes + self.macs(inputs, outputs)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        """Sample uses that cover every attribute; none is required of an abstract class."""
        return iter(())
