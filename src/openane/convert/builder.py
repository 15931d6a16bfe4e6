"""A MIL program under construction, and the few moves that its handlers are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_DTYPES = {
    DType.FLOAT16: np.float32,
    DType.FLOAT32: np.float32,
    DType.FLOAT64: np.float32,
    DType.BOOL: np.bool_,
}
"""Element types of constants; integers become 32 bits wide, which is all that Core ML has."""
NAMES = {np.float32: "fp32", np.bool_: "bool", np.int32: "int32"}


def plain_names(names: Sequence[str]) -> dict[str, str]:
    """Names that Core ML allows for these, each once, in order."""
    taken: set[str] = set()
    found = {}
    for name in names:
        stem = _NOT_IN_NAMES.sub("_", name) or "value"
        stem = stem if not stem[0].isdigit() else f"_{stem}"
        plain, count = stem, 1
        while plain in taken:
            count += 1
            plain = f"{stem}_{count}"
        taken.add(plain)
        found[name] = plain
    return found


class MilBuilder:
    """Makes MIL operations with coremltools' builder.

    Args:
        mb: coremltools' `Builder`.
        graph: that is converted.

    Attributes:
        values: name in the graph -> MIL variable.
    """

    def __init__(self, mb: Any, graph: Graph) -> None:
        self.mb = mb
        self.graph = graph
        self.values: dict[str, Any] = {}

    def type(self, name: str) -> TensorType:
        """The type of a value of the graph."""
        return self.graph.types[name]

    def get(self, name: str) -> Any:
        """The MIL variable of a value; constants are made on first use."""
        if name not in self.values:
            self.values[name] = self.mb.const(val=self.array(name))
        return self.values[name]

    def array(self, name: str, what: str = "an operand") -> np.ndarray:
        """The array of a constant, in an element type of Core ML.

        Raises:
            UnsupportedError: it is computed at run time, or its integers need more than 32 bits.
        """
        array = self.graph.constants.get(name)
        if array is None:
            raise UnsupportedError(f"Core ML needs {what} to be constant", value=f"{name!r} is computed at run time")
        return as_core_ml(array)

    def floats(self, name: str) -> bool:
        """Whether a value is floating point."""
        return self.type(name).dtype.is_float

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        """The same elements in another shape."""
        return self.mb.reshape(x=x, shape=np.array(shape, np.int32))

    def broadcast(self, name: str, shape: Sequence[int]) -> Any:
        """A value repeated up to a shape."""
        x, own = self.get(name), self.type(name).shape
        padded = (1,) * (len(shape) - len(own)) + tuple(own)
        if padded != tuple(own):
            x = self.reshape(x, padded)
        repeats = [to // of if of else 1 for to, of in zip(shape, padded, strict=True)]
        return x if math.prod(repeats) == 1 else self.mb.tile(x=x, reps=np.array(repeats, np.int32))

    def scaled(self, x: Any, factor: float, summand: float = 0.0) -> Any:
        """factor * x + summand."""
        if factor != 1:
            x = self.mb.mul(x=x, y=np.float32(factor))
        return self.mb.add(x=x, y=np.float32(summand)) if summand else x


def as_core_ml(array: np.ndarray) -> np.ndarray:
    """An array in an element type that Core ML has.

    Raises:
        UnsupportedError: integers that need more than 32 bits.
    """
    wanted = _DTYPES.get(DType.of(array), np.int32)
    if wanted is np.int32 and array.size:
        bounds, low, high = np.iinfo(np.int32), int(array.min()), int(array.max())
        if low < bounds.min or high > bounds.max:
            array = np.clip(array, bounds.min, bounds.max)
    return np.asarray(array, wanted)


def element_name(dtype: DType) -> str:
    """The name of an element type in MIL, as Core ML has it: "fp32", "int32" or "bool"."""
    return NAMES[_DTYPES.get(dtype, np.int32)]


#: Makes the MIL operations of one node; its results.
Handler = Callable[[MilBuilder, Node], tuple[Any, ...]]
