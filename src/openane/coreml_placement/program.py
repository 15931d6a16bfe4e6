"""The program that Core ML's segmenter sees: operations with the types of their operands and results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

BYTES: Mapping[str, float] = {
    "fp16": 2, "fp32": 4, "fp64": 8, "bf16": 2, "bool": 1, "string": 0,
    **{f"{sign}int{bits}": bits / 8 for sign in ("", "u") for bits in (1, 2, 3, 4, 6, 8, 16, 32, 64)},
}  # fmt: skip
"""Bytes of one element of a MIL type."""

INPUT_OUTPUT = frozenset({"tensor_buffer_to_tensor", "tensor_to_tensor_buffer"})
"""Operations that Core ML's compiler adds at the border of a program; they cost nothing."""


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """An operand or a result.

    Attributes:
        name: of the value; empty for a constant that is written in place.
        dtype: as MIL spells it: "fp16", "int32", "bool".
        shape: None where the program leaves a dimension open.
        constant: whether it is known at compile time.
        values: elements of a small constant: numbers, booleans or strings.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    constant: bool = False
    values: tuple[float | int | bool | str, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements; 0 where it is not known."""
        return 0 if self.shape is None else math.prod(self.shape)

    @property
    def bytes(self) -> float:
        """Size in bytes; sub-byte elements count by their bits."""
        return self.size * BYTES.get(self.dtype, 0)


@dataclass(frozen=True, slots=True)
class PlacedOperation:
    """One operation at run time; `const` and `constexpr_...` operations are operands instead.

    Attributes:
        kind: the MIL name.
        name: of the layer.
        inputs: operands by MIL name, in the order of the program; `concat(values = (a, b))` has two for one name.
        results: what it defines.
        layers: names of the nodes of the model that it was made of; empty where the operation is the model's own.
    """

    kind: str
    name: str
    inputs: Mapping[str, tuple[PlacedTensor, ...]]
    results: tuple[PlacedTensor, ...]
    layers: tuple[str, ...] = ()

    @property
    def operands(self) -> tuple[PlacedTensor, ...]:
        """All operands in order."""
        return tuple(tensor for tensors in self.inputs.values() for tensor in tensors)

    @property
    def data(self) -> tuple[PlacedTensor, ...]:
        """Operands that are computed at run time."""
        return tuple(tensor for tensor in self.operands if not tensor.constant)

    def input(self, name: str) -> PlacedTensor | None:
        """The operand of that name, the first one of several; None where there is none."""
        found = self.inputs.get(name)
        return found[0] if found else None

    def integers(self, name: str) -> tuple[int, ...]:
        """The elements of a constant integer operand; empty where it is not given or not known."""
        found = self.input(name)
        values = found.values if found is not None else None
        return tuple(int(value) for value in values if not isinstance(value, str)) if values else ()

    @property
    def main(self) -> PlacedTensor | None:
        """The data operand: `x` where there is one, otherwise the first operand that is computed."""
        return self.input("x") or next(iter(self.data), None)

    @property
    def result(self) -> PlacedTensor:
        """The first result."""
        return self.results[0]


@dataclass(frozen=True, slots=True)
class PlacedProgram:
    """A function of a model as Core ML sees it.

    Attributes:
        name: of the model.
        operations: in file order, without constants.
        outputs: names of the results.
        source: where the operations are from, for the report.
        notes: what the reader should know about that.
    """

    name: str
    operations: tuple[PlacedOperation, ...]
    outputs: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = field(default=())

    def output_counts(self) -> list[int]:
        """How many outputs of the program each operation produces."""
        wanted = set(self.outputs)
        return [sum(result.name in wanted for result in operation.results) for operation in self.operations]
