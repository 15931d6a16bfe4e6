"""Element by element units of two and three tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np

from openane.core.errors import UnsupportedError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.fields import describe
from openane.net.schema.parameters import ChoiceKey, HalfKey, ReadContext
from openane.net.units.dimensions import compute_dtype, equal, storage_dtype

__all__ = ["ElementWiseKind", "ElementWiseParams", "SelectParams"]


class ElementWiseKind(Enum):
    """What is done with two elements a and b. The value is the `Type` of the plist's `Params`."""

    ADD = "Add"
    SUB = "Sub"
    MULT = "Mult"
    DIV = "Div"
    MAX = "Max"
    MIN = "Min"
    POW = "Pow"
    SUM_SQUARE = "SumSquare"
    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"
    LESS = "LessThan"
    LESS_EQUAL = "LessThanEqual"
    GREATER = "GreaterThan"
    GREATER_EQUAL = "GreaterThanEqual"

    @property
    def is_comparison(self) -> bool:
        """Whether the result is 1 for true and 0 for false."""
        return self in _COMPARISONS


_COMPARISONS = frozenset(
    {
        ElementWiseKind.EQUAL,
        ElementWiseKind.NOT_EQUAL,
        ElementWiseKind.LESS,
        ElementWiseKind.LESS_EQUAL,
        ElementWiseKind.GREATER,
        ElementWiseKind.GREATER_EQUAL,
    }
)


def _sum_square(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    y: np.ndarray = np.square(a + b)
    return y


_FUNCTIONS: Mapping[ElementWiseKind, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        ElementWiseKind.ADD: np.add,
        ElementWiseKind.SUB: np.subtract,
        ElementWiseKind.MULT: np.multiply,
        ElementWiseKind.DIV: np.divide,
        ElementWiseKind.MAX: np.maximum,
        ElementWiseKind.MIN: np.minimum,
        ElementWiseKind.POW: np.power,
        ElementWiseKind.SUM_SQUARE: _sum_square,
        ElementWiseKind.EQUAL: np.equal,
        ElementWiseKind.NOT_EQUAL: np.not_equal,
        ElementWiseKind.LESS: np.less,
        ElementWiseKind.LESS_EQUAL: np.less_equal,
        ElementWiseKind.GREATER: np.greater,
        ElementWiseKind.GREATER_EQUAL: np.greater_equal,
    }
)


_SCALED = "ScaledElementWise"
_SCALED_KINDS = frozenset(
    {
        ElementWiseKind.ADD,
        ElementWiseKind.MULT,
        ElementWiseKind.MAX,
        ElementWiseKind.MIN,
        ElementWiseKind.SUM_SQUARE,
    }
)


class _KindKey(ChoiceKey):
    """The kind, of which a "ScaledElementWise" has only some."""

    def read(self, context: ReadContext, default: Any) -> ElementWiseKind:
        name = context.params.text(self.key)
        scaled = context.unit.text("Type") == _SCALED
        for kind in ElementWiseKind:
            if kind.value == name and (kind in _SCALED_KINDS or not scaled):
                return kind
        raise UnsupportedError("Type is not known", where=context.params.where, value=describe(name))


@dataclass(frozen=True)
class ElementWiseParams(UnitParams):
    """Two tensors of equal shape: y = op(a, b) * scale. Comparisons give 1 and 0.

    A net.plist calls ADD, MULT, MAX, MIN and SUM_SQUARE ((a + b)^2) "ScaledElementWise" and the others "ElementWise"
    (the kinds of formats.md section 10; only Add, Mult and Min were seen in files).

    Attributes:
        kind: the operation.
        scale: factor on the result.
    """

    kind: Annotated[ElementWiseKind, _KindKey("Type", ElementWiseKind)]
    scale: Annotated[float, HalfKey("Scale")] = 1.0
    plist_type: ClassVar[str] = "ElementWise"
    plist_aliases: ClassVar[tuple[str, ...]] = (_SCALED,)

    @property
    def plist_name(self) -> str:
        return _SCALED if self.kind in _SCALED_KINDS else self.plist_type

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Two bottoms of one shape, which is the result's."""
        return equal(bottoms, 2)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Plain numpy; infinities and divisions by zero follow IEEE 754."""
        a, b = bottoms
        dtype = np.result_type(compute_dtype(a), compute_dtype(b))
        with np.errstate(all="ignore"):
            y = _FUNCTIONS[self.kind](a.astype(dtype, copy=False), b.astype(dtype, copy=False)).astype(dtype)
            y = y if self.scale == 1.0 else y * dtype.type(self.scale)
            return y.astype(np.result_type(storage_dtype(a), storage_dtype(b)), copy=False)


@dataclass(frozen=True)
class SelectParams(UnitParams):
    """Three tensors of equal shape: y = a where the condition is not 0, else b. Bottoms: condition, a, b."""

    plist_type: ClassVar[str] = "Select"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Three bottoms of one shape, which is the result's."""
        return equal(bottoms, 3)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Copies; no arithmetic touches the values that are not chosen."""
        condition, a, b = bottoms
        return np.where(condition != 0, a, b)
