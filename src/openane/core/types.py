"""Element types, shared by all levels."""

from __future__ import annotations

from enum import Enum

import numpy as np


class DType(Enum):
    """An element type. The value is the numpy name."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    BOOL = "bool"
    OBJECT = "object"
    """Texts, and values that are not tensors (sequences, optional values): only nodes of `OnnxNode` read them."""

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype."""
        return np.dtype(self.value)

    @property
    def is_float(self) -> bool:
        """Whether this is one of the floating-point types."""
        return self in (DType.FLOAT16, DType.FLOAT32, DType.FLOAT64)

    @classmethod
    def of(cls, array: np.ndarray | np.dtype[np.generic]) -> DType:
        """The element type of an array or numpy dtype.

        Raises:
            ValueError: numpy has the type, openane has not (complex, text, ...).
        """
        return cls(array.dtype.name if isinstance(array, np.ndarray) else array.name)
