"""What an operation is: attributes, a shape rule and reference arithmetic, in one class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.core.types import DType


@dataclass(frozen=True, slots=True)
class TensorType:
    """A static shape and an element type."""

    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def __str__(self) -> str:
        return f"{self.dtype.value}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Case:
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

    A subclass says in its docstring what it computes, and implements the three methods. Optional inputs
    arrive as None.
    """

    #: Names of the inputs in order; a trailing "*" marks a variadic input, a "?" an optional one.
    input_names: ClassVar[tuple[str, ...]] = ("x",)

    #: Whether every element of the result is an element of an input or a fixed number: nothing is computed.
    moves_data: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
        """The result types for these input types.

        Raises:
            ModelError: the inputs do not fit the operation.
        """
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        """The results in the precision of the inputs (float64 in, float64 out)."""
        raise NotImplementedError

    @classmethod
    def cases(cls) -> Iterator[Case]:
        """Sample uses that cover every attribute; none is required of an abstract class."""
        return iter(())
