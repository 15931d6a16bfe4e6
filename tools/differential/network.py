"""A random network as data: it can be drawn, shrunk, written as JSON, and made into a Graph with its inputs."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np

from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops

Generator = np.random.Generator


def _special(random: Generator, size: int) -> np.ndarray:
    return random.choice([np.inf, -np.inf, 65504.0, -65504.0, 2.0**-24, -(2.0**-24), 2.0**-14, 0.0, -0.0, 1.5], size)


def _large(random: Generator, size: int) -> np.ndarray:
    return random.choice([-1.0, 1.0], size) * 10 ** random.uniform(2, 4.5, size)


def _tiny(random: Generator, size: int) -> np.ndarray:
    return random.choice([-1.0, 1.0], size) * 2 ** random.uniform(-24, -10, size)


def _sparse(random: Generator, size: int) -> np.ndarray:
    return random.standard_normal(size) * (random.random(size) < 0.3)


#: How values are made up. All are rounded to what half precision holds, so that no level starts with an error.
FILLS: Mapping[str, Callable[[Generator, int], np.ndarray]] = MappingProxyType(
    {
        "normal": lambda random, size: random.standard_normal(size),
        "uniform": lambda random, size: random.uniform(-1, 1, size),
        "positive": lambda random, size: random.uniform(0.5, 1.5, size),
        "whole": lambda random, size: random.integers(-4, 5, size).astype(np.float64),
        "equal": lambda random, size: np.full(size, random.uniform(0.5, 1.5)),
        "sparse": _sparse,
        "special": _special,
        "large": _large,
        "tiny": _tiny,
        "truth": lambda random, size: random.integers(0, 2, size).astype(np.float64),
        "bytes": lambda random, size: random.integers(-128, 128, size).astype(np.float64),
    }
)


@dataclass(frozen=True)
class Values:
    """An array by its recipe.

    Attributes:
        shape: of the array.
        fill: key of FILLS.
        scale: factor on what that gives.
        number: which of the arrays of this recipe.
        dtype: element type in the graph.
        literal: the numbers themselves, in row-major order, instead of a fill.
    """

    shape: tuple[int, ...]
    fill: str = "normal"
    scale: float = 1.0
    number: int = 0
    dtype: DType = DType.FLOAT32
    literal: tuple[float, ...] | None = None

    def array(self) -> np.ndarray:
        """The array: floats that half precision holds exactly."""
        if self.literal is not None:
            return np.array(self.literal, np.float64).reshape(self.shape).astype(self.dtype.numpy)
        values = FILLS[self.fill](np.random.default_rng([self.number, 9]), math.prod(self.shape)) * self.scale
        if self.dtype is DType.UINT8:
            values = values + 128
        elif self.dtype.is_float:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
        return values.reshape(self.shape).astype(self.dtype.numpy)


@dataclass(frozen=True)
class Step:
    """One node: an operation, the names it reads and the names it defines."""

    operation: Operation
    operands: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.results)} = {self.operation}({', '.join(self.operands)})"


@dataclass(frozen=True)
class Network:
    """Everything that a case is.

    Attributes:
        inputs, constants: arrays by name.
        steps: nodes in order.
        outputs: names.
        rows: `Graph.rows`.
        dialect: of the compiler; None for the default.
    """

    inputs: Mapping[str, Values]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Values] = field(default_factory=dict)
    rows: bool = False
    dialect: str | None = None

    def graph(self, *, wide: bool = False) -> Graph:
        """The network as a Graph; constants that no step reads are left out.

        Args:
            wide: in double precision, casts and constants included.
        """
        read = {name for step in self.steps for name in step.operands} | set(self.outputs)
        arrays = {name: values.array() for name, values in self.constants.items() if name in read}
        steps, inputs = self.steps, {name: values.dtype for name, values in self.inputs.items()}
        if wide:
            inputs = {name: DType.FLOAT64 if dtype.is_float else dtype for name, dtype in inputs.items()}
            arrays = {name: _widened(array) for name, array in arrays.items()}
            steps = tuple(
                dataclasses.replace(step, operation=dataclasses.replace(step.operation, dtype=DType.FLOAT64))
                if isinstance(step.operation, (ops.Cast, ops.DequantizeLinear)) and step.operation.dtype.is_float
                else step
                for step in steps
            )
        return Graph(
            "case",
            {name: TensorType(self.inputs[name].shape, dtype) for name, dtype in inputs.items()},
            self.outputs,
            tuple(Node(f"n{i}", step.operation, step.operands, step.results) for i, step in enumerate(steps)),
            arrays,
            self.rows,
        )

    def arrays(self, *, wide: bool = False) -> dict[str, np.ndarray]:
        """One array per input; floats in double precision if `wide`."""
        arrays = {name: values.array() for name, values in self.inputs.items()}
        return {name: _widened(array) for name, array in arrays.items()} if wide else arrays

    def lines(self) -> list[str]:
        """The network for people, shapes included."""
        types = self.graph().types
        given = [f"{name}: {types[name]} {values.fill}" for name, values in self.inputs.items()]
        steps = [
            f"{', '.join(f'{n}: {types[n]}' for n in step.results)} = {step.operation}({', '.join(step.operands)})"
            for step in self.steps
        ]
        known = [f"{name}: {values}" for name, values in self.constants.items()]
        return [*given, *steps, f"outputs {', '.join(self.outputs)}", *known]

    def json(self) -> dict[str, Any]:
        """The network as plain data; `parse` takes it back."""
        return {
            "inputs": {name: _plain(values) for name, values in self.inputs.items()},
            "constants": {name: _plain(values) for name, values in self.constants.items()},
            "steps": [
                {
                    "operation": type(step.operation).__name__,
                    "attributes": _plain(step.operation),
                    "operands": list(step.operands),
                    "results": list(step.results),
                }
                for step in self.steps
            ],
            "outputs": list(self.outputs),
            "rows": self.rows,
            "dialect": self.dialect,
        }


def parse(data: Mapping[str, Any]) -> Network:
    """The network that `Network.json` wrote."""
    return Network(
        {name: _build(Values, values) for name, values in data["inputs"].items()},
        tuple(
            Step(
                _build(ops.OPERATIONS[step["operation"]], step["attributes"]),
                tuple(step["operands"]),
                tuple(step["results"]),
            )
            for step in data["steps"]
        ),
        tuple(data["outputs"]),
        {name: _build(Values, values) for name, values in data["constants"].items()},
        data["rows"],
        data["dialect"],
    )


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _plain(value: Any) -> dict[str, Any]:
    """The attributes that are not at their default."""
    fields = {f.name: (getattr(value, f.name), f.default) for f in dataclasses.fields(value)}
    return {
        name: own.value if isinstance(own, Enum) else own for name, (own, default) in fields.items() if own != default
    }


def _build(kind: Any, attributes: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value) for name, value in attributes.items()})


def _value(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return tuple(value) if isinstance(value, list) else value
