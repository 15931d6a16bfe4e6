"""A MIL program with its constants at hand, whether it was written as text or comes from another container.

Operations keep their MIL names and arguments; `operations` gives each its meaning in the Graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from openane.graph.operation import TensorType


@dataclass(frozen=True, slots=True)
class ValueReference:
    """An argument that is the value of that name."""

    name: str


#: A constant argument: numbers as arrays (scalars have shape ()), texts, or a tuple of constants.
Constant = np.ndarray | str | tuple["Constant", ...]
#: What an operation may be given: a value, a constant, or a tuple of both (`concat(values = (a, b))`).
Argument = ValueReference | Constant | tuple["Argument", ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared value.

    Attributes:
        type: None where the text does not say it (unknown extents, texts, tuples).
    """

    name: str
    type: TensorType | None


@dataclass(frozen=True, slots=True)
class MilOperation:
    """One operation.

    Attributes:
        kind: the MIL name, "conv".
        arguments: by MIL name; numbers of positional ones as "0", "1", ...
        results: what it defines.
        name: of the layer.
        where: the place in the file, for messages.
    """

    kind: str
    arguments: Mapping[str, Argument]
    results: tuple[Variable, ...]
    name: str
    where: str


@dataclass(frozen=True, slots=True)
class MilProgram:
    """One function of a MIL program.

    Attributes:
        name: of the model.
        inputs: parameters in order, with their types.
        operations: in order, `const` ones included.
        outputs: names of the results.
        states: inputs that the program may write.
    """

    name: str
    inputs: Mapping[str, TensorType]
    operations: tuple[MilOperation, ...]
    outputs: tuple[str, ...]
    states: frozenset[str] = frozenset()
