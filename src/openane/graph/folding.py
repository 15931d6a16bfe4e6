"""Computing constant nodes ahead of time, within bounds of work and memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, TensorType
from openane.graph.ops import GRU, LSTM, RNN, Conv, ConvTranspose, Einsum, Expand, GridSample, MatMul, Resize
from openane.graph.ops.pooling import Pooling
from openane.graph.ops.support import product_of

#: Elementary steps that one node may take when it is folded.
WORK_LIMIT = 1 << 28

#: Elements that a folded node may read and write in all; larger constants stay computations.
SIZE_LIMIT = 1 << 25


def type_of(array: np.ndarray) -> TensorType:
    """The shape and element type of an array."""
    return TensorType(array.shape, DType.of(array))


def work(operation: Operation, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> int:
    """About how many elementary steps the reference takes for a node."""
    sizes = sum(x.size for x in inputs if x is not None) + sum(y.size for y in outputs)
    shapes = [x.shape for x in inputs if x is not None]
    match operation:
        case Conv():
            return sizes + outputs[0].size * product_of(shapes[1][1:])
        case ConvTranspose():
            return sizes + product_of(shapes[0]) * product_of(shapes[1][1:])
        case MatMul():
            return sizes + outputs[0].size * (shapes[0][-2 if operation.transpose_a else -1])
        case Einsum():
            return operation.work(shapes)
        case Pooling():
            return sizes + outputs[0].size * product_of(operation.kernel)
        case RNN() | GRU() | LSTM():
            return sizes + shapes[0][0] * shapes[0][1] * (product_of(shapes[1]) + product_of(shapes[2]))
        case GridSample():
            return sizes + outputs[0].size * 4 ** (len(shapes[0]) - 2)
        case Resize():
            # The reference holds one matrix (result extent, extent) per axis, and multiplies by it.
            pairs = zip(shapes[0], operation.sizes, strict=True)
            return sizes + sum(extent * size for extent, size in pairs) + max(shapes[0], default=1) * sizes
        case _:
            return sizes


def fold(
    operation: Operation, inputs: Sequence[np.ndarray | None], outputs: Sequence[TensorType]
) -> tuple[np.ndarray, ...] | None:
    """The results of a node whose inputs are all known, or None where computing them would cost too much.

    Args:
        operation: of the node.
        inputs: None where an optional input is left out.
        outputs: the inferred result types.

    Raises:
        ModelError: the values do not fit the operation.
    """
    types = [None if array is None else type_of(array) for array in inputs]
    size = sum(t.size for t in (*types, *outputs) if t is not None)
    if isinstance(operation, Expand) and size <= 2 * SIZE_LIMIT:
        return operation.evaluate(inputs)  # a view, which costs nothing here, but as much as others in a program
    if size > SIZE_LIMIT or work(operation, types, outputs) > WORK_LIMIT:
        return None
    with np.errstate(all="ignore"):
        results = operation.evaluate(inputs)
    return tuple(np.ascontiguousarray(r).reshape(t.shape) for r, t in zip(results, outputs, strict=True))
