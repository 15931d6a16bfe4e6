"""A network while it is being drawn: names, values and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import numpy as np

from differential.network import Network, Step, Values
from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph import Operation, TensorType, ops

T = TypeVar("T")
Draw = Callable[[int, int], int]

LARGEST_VALUE = 3000.0
"""Results beyond are not kept: their squares and sums would leave half precision."""
RANK_LIMIT = 5
MATRICES_LIMIT = 128
"""Products of one step: the engine takes a task for each."""


class RejectError(Exception):
    """A move that does not fit; the network stays as it was."""


#: Operations that only move or choose elements: what half precision holds, it holds afterwards.
EXACT = (
    *(ops.Abs, ops.ChannelShuffle, ops.Clip, ops.Concat, ops.DepthToSpace, ops.Expand, ops.Gather, ops.Identity),
    *(ops.Max, ops.MaxPool, ops.Min, ops.Neg, ops.Pad, ops.ReduceMax, ops.ReduceMin, ops.Relu, ops.Reshape),
    *(ops.Slice, ops.SpaceToDepth, ops.Split, ops.Tile, ops.Transpose, ops.Trilu, ops.Where),
    *(ops.Sign, ops.Floor, ops.Ceil, ops.Round, ops.Trunc, ops.Comparison, ops.And, ops.Or, ops.Xor, ops.Not),
    *(ops.Cast, ops.ThresholdedRelu),
)


def _is_exact(operation: Operation) -> bool:
    """Whether an operation keeps what half precision holds; its constants must be such numbers as well."""
    numbers = [getattr(operation, each.name) for each in fields(operation)]
    return isinstance(operation, EXACT) and all(
        float(np.float16(number)) == number for number in numbers if isinstance(number, float)
    )


@dataclass
class Sketch:
    """What has been drawn so far.

    Attributes:
        draw: gives an integer between two bounds, both included.
        elements: largest number of elements of a value.
        products: largest number of multiplications of a step.
        plain: values may be infinite or beyond any sum, and only movements and choices are drawn.
        inputs, constants, steps: of the network.
        values: every computed value, in double precision for the inputs of the network.
        exact: those values that half precision holds without an error.
    """

    draw: Draw
    elements: int
    products: int
    plain: bool = False
    inputs: dict[str, Values] = field(default_factory=dict)
    constants: dict[str, Values] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)

    def copy(self) -> Sketch:
        """The sketch as it is now; later moves do not change it."""
        return replace(
            self,
            inputs=dict(self.inputs),
            constants=dict(self.constants),
            steps=list(self.steps),
            values=dict(self.values),
            exact=set(self.exact),
        )

    # -- choices

    def pick(self, low: int, high: int) -> int:
        """An integer from low to high, both included; shrinks to low."""
        if high <= low:
            return low
        return self.draw(low, high)

    def flag(self, one_in: int = 2) -> bool:
        """True once in so many times; shrinks to False."""
        return self.pick(0, one_in - 1) == one_in - 1

    def choose(self, options: Sequence[T]) -> T:
        """One of some options; shrinks to the first."""
        if not options:
            raise RejectError
        return options[self.pick(0, len(options) - 1)]

    def value(self, *ranks: int, where: Callable[[str], bool] = lambda name: True) -> str:
        """A value of one of some ranks (none given: any but 0), the newest most often."""
        names = [
            name
            for name in reversed(self.values)
            if self.values[name].dtype.kind == "f"
            and (self.values[name].ndim in ranks if ranks else self.values[name].ndim > 0)
            and where(name)
        ]
        if not names:
            raise RejectError
        return names[0] if self.pick(0, 2) < 2 else self.choose(names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value or constant."""
        return self.values[name].shape if name in self.values else self.constants[name].shape

    def magnitude(self, name: str) -> float:
        """The largest absolute value."""
        return float(np.abs(self.values[name]).max(initial=0.0))

    # -- making

    def input(self, values: Values) -> str:
        """A new input of the network."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = values
        array = values.array()
        self.values[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        self.exact.add(name)
        return name

    def constant(self, *shape: int, fill: str = "", scale: float = 1.0) -> str:
        """A new constant; the fill is drawn when none is given."""
        if not fill:
            fill = self.choose(("normal", "normal", "uniform", "whole", "sparse", "equal"))
        return self.known(Values(tuple(shape), fill, float(np.float16(scale)), self.pick(0, 99)))

    def known(self, values: Values) -> str:
        """A new constant by its recipe."""
        name = f"c{len(self.constants)}"
        self.constants[name] = values
        return name

    def whole(self, *numbers: int) -> str:
        """A constant vector of indices."""
        return self.known(Values((len(numbers),), dtype=DType.INT64, literal=tuple(map(float, numbers))))

    def add(self, operation: Operation, *operands: str) -> str:
        """A step; gives the name of its first result.

        Raises:
            RejectError: the operation does not take these operands, or its results leave the range of values.
        """
        arrays = [self._operand(name) for name in operands]
        kinds = [None if array is None else TensorType(array.shape, self._dtype(array)) for array in arrays]
        try:
            types = operation.infer(kinds)
        except ModelError as error:
            raise RejectError from error
        if any(not kind.size or kind.size > self.elements or len(kind.shape) > RANK_LIMIT for kind in types):
            raise RejectError
        if self._products(operation, arrays, types[0]) > self.products:
            raise RejectError
        if isinstance(operation, (ops.MatMul, ops.Einsum)) and math.prod(types[0].shape[:-2]) > MATRICES_LIMIT:
            raise RejectError
        with np.errstate(all="ignore"):
            results = [np.asarray(result) for result in operation.evaluate(arrays)]
        for result in results:
            if result.dtype.kind == "f" and not self.plain and not float(np.abs(result).max()) <= LARGEST_VALUE:
                raise RejectError
        names = tuple(f"v{len(self.values) + i}" for i in range(len(results)))
        self.steps.append(Step(operation, operands, names))
        exact = _is_exact(operation) and all(n in self.exact or n not in self.values for n in operands)
        for name, result in zip(names, results, strict=True):
            self.values[name] = result.astype(np.float64) if result.dtype.kind == "f" else result
            if exact or result.dtype.kind != "f":
                self.exact.add(name)
        return names[0]

    def _operand(self, name: str) -> np.ndarray | None:
        if not name:
            return None
        if name in self.values:
            return self.values[name]
        array = self.constants[name].array()
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    @staticmethod
    def _dtype(array: np.ndarray) -> DType:
        return DType.FLOAT32 if array.dtype.kind == "f" else DType.of(array)

    @staticmethod
    def _products(operation: Operation, arrays: Sequence[np.ndarray | None], result: TensorType) -> int:
        if isinstance(operation, (ops.Conv, ops.ConvTranspose)) and arrays[1] is not None and arrays[0] is not None:
            larger = max(result.size, arrays[0].size)
            return int(larger * math.prod(arrays[1].shape[1:]))
        if isinstance(operation, ops.MatMul) and arrays[0] is not None:
            return result.size * int(arrays[0].shape[-2 if operation.transpose_a else -1])
        return result.size

    def network(self, rows: bool, dialect: str | None) -> Network:
        """The network; every value that nobody reads is an output, and now and then one that is read as well."""
        read = {name for step in self.steps for name in step.operands}
        made = [name for step in self.steps for name in step.results]
        outputs = [name for name in made if name not in read]
        if len(outputs) < len(made) and self.flag(3):
            outputs.append(self.choose([name for name in made if name in read]))
        inputs = {name: values for name, values in self.inputs.items() if name in read}
        constants = {name: values for name, values in self.constants.items() if name in read}
        return Network(inputs, tuple(self.steps), tuple(outputs), constants, rows, dialect)
