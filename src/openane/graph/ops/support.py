"""What the operations share: shape rules, checks, sample arrays, and the precision of the reference arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph.operation import TensorType

Types = Sequence[TensorType | None]
Arrays = Sequence[np.ndarray | None]
Results = tuple[np.ndarray, ...]


def operand(inputs: Types, index: int, name: str) -> TensorType:
    """Input number `index`, which must be there.

    Raises:
        ModelError: it is left out.
    """
    found = inputs[index] if index < len(inputs) else None
    if found is None:
        raise ModelError(f"input {name!r} is missing")
    return found


def optional(inputs: Types, index: int) -> TensorType | None:
    """Input number `index`, or None where it is left out."""
    return inputs[index] if index < len(inputs) else None


def array(inputs: Arrays, index: int) -> np.ndarray:
    """The array of a required input."""
    found = inputs[index]
    assert found is not None, f"input {index} is required"
    return found


def optional_array(inputs: Arrays, index: int) -> np.ndarray | None:
    """The array of an optional input, or None."""
    return inputs[index] if index < len(inputs) else None


def require(condition: bool, what: str, *, value: object = "", limit: object = "", hint: str = "") -> None:
    """Raise a ModelError unless `condition` holds."""
    if not condition:
        raise ModelError(what, value=value, limit=limit, hint=hint)


def require_float(x: TensorType, name: str = "x") -> None:
    """Raise a ModelError unless the element type is floating point."""
    require(x.dtype.is_float, f"input {name!r} must be floating point", value=x.dtype.value)


def require_integer(x: TensorType, name: str) -> None:
    """Raise a ModelError unless the element type is an integer."""
    integer = not x.dtype.is_float and x.dtype is not DType.BOOL
    require(integer, f"input {name!r} must hold integers", value=x.dtype.value)


def require_same_dtype(inputs: Types) -> DType:
    """The one element type of all inputs that are there.

    Raises:
        ModelError: they differ.
    """
    dtypes = dict.fromkeys(x.dtype for x in inputs if x is not None)
    require(len(dtypes) == 1, "inputs must have one element type", value=", ".join(d.value for d in dtypes))
    return next(iter(dtypes))


def require_axis(axis: int, rank: int) -> None:
    """Raise a ModelError unless 0 <= axis < rank. Axes count from the front in a Graph."""
    require(0 <= axis < rank, "axis is out of range", value=axis, limit=f"0..{rank - 1}")


def require_axes(axes: Sequence[int], rank: int) -> None:
    """Raise a ModelError unless all axes are in range and differ."""
    for axis in axes:
        require_axis(axis, rank)
    require(len(set(axes)) == len(axes), "an axis is named twice", value=tuple(axes))


def normalize_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front; negative ones count from the back.

    Raises:
        ModelError: out of range.
    """
    require(-rank <= axis < rank, "axis is out of range", value=axis, limit=f"{-rank}..{rank - 1}")
    return axis % rank


def normalize_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """`axes` counted from the front, in increasing order.

    Raises:
        ModelError: one is out of range or named twice.
    """
    result = tuple(sorted(normalize_axis(axis, rank) for axis in axes))
    require(len(set(result)) == len(result), "an axis is named twice", value=tuple(axes))
    return result


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all `shapes` broadcast to, by numpy's rule.

    Raises:
        ModelError: they do not fit.
    """
    rank = max(map(len, shapes), default=0)
    result = []
    for extents in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        real = {extent for extent in extents if extent != 1}
        if len(real) > 1:
            raise ModelError("shapes do not broadcast", value=" and ".join(str(list(s)) for s in shapes))
        result.append(real.pop() if real else 1)
    return tuple(result)


def require_broadcast_to(shape: tuple[int, ...], target: tuple[int, ...], name: str) -> None:
    """Raise a ModelError unless `shape` broadcasts to exactly `target`."""
    fits = len(shape) <= len(target) and all(
        own in (1, full) for own, full in zip(reversed(shape), reversed(target), strict=False)
    )
    require(fits, f"input {name!r} does not broadcast to the shape", value=list(shape), limit=list(target))


def product_of(extents: Sequence[int]) -> int:
    """The product of the extents, 1 for none."""
    result = 1
    for extent in extents:
        result *= extent
    return result


def widen(x: np.ndarray) -> np.ndarray:
    """float16 as float32; everything else as it is.

    The reference computes half precision in single precision inside an operation and rounds the result once.
    """
    return x.astype(np.float32) if x.dtype == np.float16 else x


def result_dtype(*arrays: np.ndarray | None) -> np.dtype[np.generic]:
    """The precision of the result: the widest of the arrays that are there."""
    return np.result_type(*(a.dtype for a in arrays if a is not None))


def taps(
    x: np.ndarray,
    out: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Iterator[np.ndarray]:
    """For every kernel position in row-major order, the view of the padded `x` (..., spatial) that it meets."""
    for position in product(*map(range, kernel)):
        view: tuple[slice, ...] = tuple(
            slice(p * d, p * d + (o - 1) * s + 1, s)
            for p, d, o, s in zip(position, dilations, out, strides, strict=True)
        )
        yield x[(slice(None),) * (x.ndim - len(out)) + view]


def sample(
    *shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0, dtype: DType = DType.FLOAT32
) -> np.ndarray:
    """A seeded array for sample cases: uniform floats, or integers of [low, high)."""
    random = np.random.default_rng(seed + 1000 * len(shape))
    if dtype is DType.BOOL:
        return random.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        return random.uniform(low, high, shape).astype(dtype.numpy)
    return random.integers(int(low), int(high), shape).astype(dtype.numpy)
