"""One MIL operation on its way into the Graph: arguments by name, results by `emit`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np

from openane.core.errors import ModelError, OpenaneError, UnsupportedError
from openane.core.origin import Origin
from openane.core.types import DType
from openane.frontends.mil.program import Argument, Constant, MilOperation, ValueReference, Variable
from openane.graph.builder import GraphBuilder
from openane.graph.naming import Names
from openane.graph.operation import Operation, TensorType
from openane.graph.ops import Cast


@dataclass(frozen=True, slots=True)
class ConstantValue:
    """A constant by name.

    Attributes:
        name: under which it becomes a Graph constant when a node reads it.
        value: number array, text, or a tuple.
    """

    name: str
    value: Constant


#: The value of a MIL name: the name of a Graph value, a constant that no node has asked for yet, or a tuple of these.
Value = str | ConstantValue | tuple["Value", ...]


class MilGraphBuilder(GraphBuilder):
    """Collects nodes and constants; knows the value of every name of the program so far.

    Args:
        declared: every name that the program itself defines; made-up names keep clear of them.

    Attributes:
        values: name -> what it is at this place of the program; a state changes.
        states: names of the inputs that are states.
        compressed: whether a constant is stored in fewer bits, or without zeros.
    """

    element_limit: ClassVar[int] = 1 << 33
    fold_limited: ClassVar[bool] = False  # weights are computed by the program, whatever their size

    def __init__(self, declared: Iterable[str] = ()) -> None:
        self._declared = frozenset(declared)
        super().__init__({}, Names(self._declared, separator="_", first=2), Names(separator="_", first=2))
        self.values: dict[str, Value] = {}
        self.states: frozenset[str] = frozenset()
        self.compressed = False

    def constant(self, array: np.ndarray, name: str) -> str:
        """The name of a Graph value with these elements: `name` itself where the program declares it."""
        if self.constants.get(name) is array:
            return name
        if name not in self._declared or name in self.types:
            return super().constant(array, name)
        self.weight(name, array)
        return name


class OperationCall:
    """A MIL operation with its arguments looked up."""

    def __init__(self, builder: MilGraphBuilder, operation: MilOperation, parameters: Sequence[str]) -> None:
        self.builder = builder
        self.operation = operation
        self._arguments: dict[str, Value] = {}
        base = operation.results[0].name if operation.results else operation.name
        for key, argument in operation.arguments.items():
            name = key
            if key.isascii() and key.isdigit():
                if len(key) > 3 or int(key) >= len(parameters):
                    self.refuse("too many arguments without a name")
                name = parameters[int(key)]
                if name in operation.arguments:
                    self.refuse(f"argument {name!r} is given twice")
            self._arguments[name] = self._value(argument, f"{base}_{name}")

    # Messages ----------------------------------------------------------------------------------------

    def refuse(self, what: str, *, value: object = "", limit: object = "", hint: str = "") -> NoReturn:
        """Raises a ModelError at this operation."""
        raise ModelError(what, where=self._where, value=value, limit=limit, hint=hint)

    def unsupported(self, what: str, *, value: object = "", limit: object = "", hint: str = "") -> NoReturn:
        """Raises an UnsupportedError at this operation."""
        raise UnsupportedError(what, where=self._where, value=value, limit=limit, hint=hint)

    @property
    def _where(self) -> str:
        return f"{self.operation.where}: {self.operation.kind} {self.operation.name!r}"

    # Arguments ---------------------------------------------------------------------------------------

    def _value(self, argument: Argument, name: str) -> Value:
        if isinstance(argument, ValueReference):
            if argument.name not in self.builder.values:
                self.refuse(f"reads {argument.name!r}, which nothing before it defines")
            return self.builder.values[argument.name]
        if isinstance(argument, tuple) and any(not isinstance(item, (np.ndarray, str)) for item in argument):
            return tuple(self._value(item, f"{name}_{i}") for i, item in enumerate(argument))
        return ConstantValue(name, argument)  # type: ignore[arg-type]  # a tuple of constants

    def has(self, name: str) -> bool:
        """Whether the argument is given."""
        return name in self._arguments

    def _argument(self, name: str) -> Value:
        if name not in self._arguments:
            self.refuse(f"argument {name!r} is missing")
        return self._arguments[name]

    def value(self, name: str) -> str:
        """The Graph value of a tensor argument."""
        return self._graph_value(self._argument(name), name)

    def _graph_value(self, found: Value, name: str) -> str:
        if isinstance(found, str):
            return found
        if not isinstance(found, ConstantValue) or not isinstance(found.value, np.ndarray):
            self.refuse(f"argument {name!r} must be a tensor")
        return self.builder.constant(found.value, found.name)

    def optional(self, name: str) -> str:
        """The Graph value of a tensor argument, empty where it is left out."""
        return self.value(name) if self.has(name) else ""

    def values(self, name: str) -> tuple[str, ...]:
        """The Graph values of a tuple argument."""
        found = self._argument(name)
        if isinstance(found, ConstantValue) and isinstance(found.value, tuple):
            found = tuple(ConstantValue(f"{found.name}_{i}", item) for i, item in enumerate(found.value))
        if not isinstance(found, tuple):
            return (self._graph_value(found, name),)
        return tuple(self._graph_value(item, name) for item in found)

    def constant(self, name: str) -> np.ndarray:
        """The elements of an argument that must be constant.

        Raises:
            UnsupportedError: it is computed when the model runs.
        """
        found = self._argument(name)
        if isinstance(found, str) and found in self.builder.constants:
            return self.builder.constants[found]
        if isinstance(found, str):
            self.unsupported(f"argument {name!r} is not constant", value=found, hint="Only static models compile.")
        if not isinstance(found, ConstantValue) or not isinstance(found.value, np.ndarray):
            self.refuse(f"argument {name!r} must be a number or tensor")
        return found.value

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A constant list of integers."""
        if default is not None and not self.has(name):
            return tuple(default)
        array = self.constant(name).reshape(-1)
        if not (np.isfinite(array) & (array == np.trunc(array))).all():
            self.refuse(f"argument {name!r} must be integers")
        return tuple(int(v) for v in array)

    def integer(self, name: str, default: int | None = None) -> int:
        """A constant integer."""
        if default is not None and not self.has(name):
            return default
        value = self._scalar(name)
        if not math.isfinite(value) or value != int(value):
            self.refuse(f"argument {name!r} must be an integer", value=value)
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """A constant number."""
        if default is not None and not self.has(name):
            return default
        return float(self._scalar(name))

    def truth(self, name: str, default: bool | None = None) -> bool:
        """A constant boolean."""
        if default is not None and not self.has(name):
            return default
        return bool(self._scalar(name))

    def truths(self, name: str, length: int) -> tuple[bool, ...]:
        """A constant list of booleans, all false where it is left out."""
        if not self.has(name):
            return (False,) * length
        values = self.constant(name).reshape(-1)
        if values.size != length:
            self.refuse(f"argument {name!r} needs {length} booleans", value=values.size)
        return tuple(bool(v) for v in values)

    def _scalar(self, name: str) -> float | int | bool:
        array = self.constant(name)
        if array.size != 1:
            self.refuse(f"argument {name!r} must be one number", value=f"{array.size} of them")
        scalar: float | int | bool = array.reshape(-1)[0].item()
        return scalar

    def text(self, name: str, default: str | None = None, allowed: Sequence[str] = ()) -> str:
        """A constant text, one of `allowed`."""
        found: Value = (
            ConstantValue(name, default) if default is not None and not self.has(name) else self._argument(name)
        )
        if not isinstance(found, ConstantValue) or not isinstance(found.value, str):
            self.refuse(f"argument {name!r} must be a text")
        if allowed and found.value not in allowed:
            self.unsupported(f"argument {name!r} is not supported", value=found.value, limit=", ".join(allowed))
        return found.value

    def type(self, name: str) -> TensorType:
        """Shape and element type of a tensor argument."""
        return self.builder.types[self.value(name)]

    def axis(self, name: str, rank: int, default: int | None = None) -> int:
        """A constant axis, counted from the front."""
        return self._from_front(self.integer(name, default), rank)

    def axes(self, name: str, rank: int) -> tuple[int, ...]:
        """Constant axes, counted from the front in increasing order; all of them where the argument is left out."""
        if not self.has(name):
            return tuple(range(rank))
        return tuple(sorted({self._from_front(axis, rank) for axis in self.integers(name)}))

    def _from_front(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            self.refuse("an axis is out of range", value=axis, limit=f"{-rank}..{rank - 1}")
        return axis % rank

    # Results -----------------------------------------------------------------------------------------

    def emit(self, operation: Operation, *inputs: str) -> str:
        """Adds a node whose result is used inside this operation; the name of its value."""
        return self._emit(operation, inputs, (self.builder.unique(f"{self.operation.name}_part"),))[0]

    def emit_all(self, operation: Operation, *inputs: str) -> tuple[str, ...]:
        """As `emit`, for an operation of several results."""
        count = len(self._infer(operation, inputs))
        outputs = tuple(self.builder.unique(f"{self.operation.name}_part") for _ in range(count))
        return self._emit(operation, inputs, outputs)

    def finish_values(self, *values: str) -> None:
        """Makes values that were computed before the operation's results.

        Raises:
            ModelError: a result is not what the text declares.
        """
        results = self.operation.results
        if len(values) != len(results):
            self.refuse("wrong number of results", value=len(results), limit=len(values))
        for result, value in zip(results, values, strict=True):
            self._check_declaration(self.builder.types[value], result)
            self._define(result.name, value)

    def finish(self, operation: Operation, *inputs: str) -> None:
        """Adds the node that makes the operation's results.

        Raises:
            ModelError: a result is not what the text declares.
        """
        results = self.operation.results
        found = self._infer(operation, inputs)
        if len(found) != len(results):
            self.refuse("wrong number of results", value=len(results), limit=len(found))
        casts = [_needs_cast(kind, result.type) for kind, result in zip(found, results, strict=True)]
        outputs = tuple(
            self.builder.unique(f"{result.name}_before_cast") if cast else result.name
            for result, cast in zip(results, casts, strict=True)
        )
        for kind, result in zip(found, results, strict=True):
            self._check_declaration(kind, result)
        values = self._emit(operation, inputs, outputs)
        for result, value, cast in zip(results, values, casts, strict=True):
            if cast and result.type is not None:
                (value,) = self._emit(Cast(result.type.dtype), (value,), (result.name,))
            self._define(result.name, value)

    def finish_constant(self, array: np.ndarray) -> None:
        """Makes the operation's only result a constant."""
        self.finish_constants(array)

    def finish_constants(self, *arrays: np.ndarray) -> None:
        """Makes each result of the operation a constant."""
        results = self.operation.results
        if len(arrays) != len(results):
            self.refuse("wrong number of results", value=len(results), limit=len(arrays))
        for array, result in zip(arrays, results, strict=True):
            self._finish_constant(array, result)

    def _finish_constant(self, array: np.ndarray, result: Variable) -> None:
        array = np.asarray(array)  # arithmetic makes numbers of arrays without axes
        kind = TensorType(array.shape, DType.of(array))
        self._check_declaration(kind, result)
        if result.type is not None and _needs_cast(kind, result.type):
            array = array.astype(result.type.dtype.numpy)
        self.builder.values[result.name] = ConstantValue(result.name, array)

    def _define(self, name: str, value: str) -> None:
        constants = self.builder.constants
        folded = value in constants
        self.builder.values[name] = ConstantValue(name, constants[value]) if folded else value

    def _check_declaration(self, found: TensorType, result: Variable) -> None:
        declared = result.type
        if declared is None:
            return
        kinds_differ = found.dtype != declared.dtype and not _needs_cast(found, declared)
        if found.shape != declared.shape or kinds_differ:
            self.refuse(f"result {result.name!r} is not what the text declares", value=found, limit=declared)

    def _infer(self, operation: Operation, inputs: Sequence[str]) -> tuple[TensorType, ...]:
        try:
            return self.builder.infer(operation, inputs)
        except OpenaneError as error:
            raise error.at(self._where) from error

    def _emit(self, operation: Operation, inputs: Sequence[str], outputs: tuple[str, ...]) -> tuple[str, ...]:
        """Adds the node; computes it right away when every input is constant."""
        self._infer(operation, inputs)
        name = self.operation.name
        return self.builder.emit(operation, inputs, name, Origin((name,)), outputs=outputs)


def _needs_cast(found: TensorType, declared: TensorType | None) -> bool:
    """Whether integers come in another width than declared (MIL counts in int32, the Graph in int64)."""
    if declared is None or found.dtype == declared.dtype:
        return False
    return not found.dtype.is_float and not declared.dtype.is_float and DType.BOOL not in (found.dtype, declared.dtype)
