"""Computing constant nodes ahead of time, within bounds of work and memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openane.core.types import DType
from openane.graph.operation import Operation, TensorType

#: Elementary steps that one node may take when it is folded.
WORK_LIMIT = 1 << 28

#: Elements that a folded node may read and write in all; larger constants stay computations.
SIZE_LIMIT = 1 << 25


def type_of(array: np.ndarray) -> TensorType:
    """The shape and element type of an array."""
    return TensorType(array.shape, DType.of(array))


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
    if not operation.is_repeatable:
        return None
    types = [None if array is None else type_of(array) for array in inputs]
    size = sum(t.size for t in (*types, *outputs) if t is not None)
    if operation.is_view and size <= 2 * SIZE_LIMIT:
        return operation.evaluate(inputs)  # a view, which costs nothing here, but as much as others in a program
    if size > SIZE_LIMIT or operation.reference_steps(types, outputs) > WORK_LIMIT:
        return None
    with np.errstate(all="ignore"):
        results = operation.evaluate(inputs)
    return tuple(np.ascontiguousarray(r).reshape(t.shape) for r, t in zip(results, outputs, strict=True))
