"""How order-free work on strided tensors is laid out for the kernels: axes merged and put in order, cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError
from openane.sim.kernels.library import LINE

TILE = LINE
"""Most elements of a tile, row padding counted: three operands of float32 stay in the first cache."""

_CROSSED = 32
"""Columns of a tile that some operand holds in columns: whole cache lines are used on both sides."""

_LANES = 16

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Arrangement:
    """Tensors as the kernels walk over them.

    Attributes:
        extents: int64 (7,): three outer axes, rows, columns; rows and columns of a tile.
        strides: int64 (5,) for each operand, fp16 words.
        units: tiles, numbered from the innermost axis on.
    """

    extents: Integers
    strides: tuple[Integers, ...]
    units: int

    def columns(self, **places: int) -> dict[str, Any]:
        """Fields of a row: the extents, and base and strides of each operand, named in the order of `arrange`."""
        strides = {f"{name}_strides": own for name, own in zip(places, self.strides, strict=True)}
        return {"extents": self.extents, **places, **strides}


_Axis = tuple[int, ...]
"""Extent, then the stride of each operand."""


def arrange(extents: Sequence[int], *strides: Sequence[int]) -> Arrangement:
    """Axes in the best order for work that does every element by itself.

    Args:
        extents: of any axes.
        strides: of each operand, fp16 words, as many; the result's come last. 0 repeats a source.

    Raises:
        InputError: more than five axes that cannot be merged.
    """
    axes = _merged([(int(n), *map(int, own)) for n, *own in zip(extents, *strides, strict=True) if n != 1])
    axes.sort(key=lambda axis: -abs(axis[-1]))
    columns = _take_columns(axes, len(strides))
    rows = _take_rows(axes, columns)
    if len(axes) > 3:
        raise InputError("too many axes for one pass", value=len(axes) + 2, limit=5)
    alone = (1, *(0 for _ in strides))
    ordered = [alone] * (3 - len(axes)) + axes + [rows, columns]
    counts = [axis[0] for axis in ordered]
    tile = _tile(rows, columns)
    units = math.prod(counts[:3]) * -(-counts[3] // tile[0]) * -(-counts[4] // tile[1])
    own = tuple(np.array([axis[1 + i] for axis in ordered], np.int64) for i in range(len(strides)))
    return Arrangement(np.array([*counts, *tile], np.int64), own, units)


def _merged(axes: list[_Axis]) -> list[_Axis]:
    """Axes of which no two follow one another in all operands."""
    for i, outer in enumerate(axes):
        for j, inner in enumerate(axes):
            if i != j and all(o == inner[0] * n for o, n in zip(outer[1:], inner[1:], strict=True)):
                rest = [axis for k, axis in enumerate(axes) if k not in (i, j)]
                return _merged([*rest, (outer[0] * inner[0], *inner[1:])])
    return axes


def _take_columns(axes: list[_Axis], operands: int) -> _Axis:
    """Takes the axis along which the result is contiguous, else a source, else the longest."""
    if not axes:
        return (1, *[0] * operands)
    best = max(axes, key=lambda axis: (axis[-1] == 1, 1 in axis[1:-1], axis[0]))
    axes.remove(best)
    return best


def _take_rows(axes: list[_Axis], columns: _Axis) -> _Axis:
    """Takes the axis along which a source is contiguous that is not so along the columns, else the innermost."""
    crossed = [axis for axis in axes if _is_crossed(axis, columns)]
    best = crossed[-1] if crossed else axes[-1] if axes else (1, *[0] * (len(columns) - 1))
    if best in axes:
        axes.remove(best)
    return best


def _is_crossed(rows: _Axis, columns: _Axis) -> bool:
    return any(along == 1 and across > 1 for along, across in zip(rows[1:], columns[1:], strict=True))


def _tile(rows: _Axis, columns: _Axis) -> tuple[int, int]:
    """Rows and columns of a tile."""
    if not _is_crossed(rows, columns):
        width = min(columns[0], TILE)
        return max(1, min(rows[0], TILE // _pitch(width))), width
    width = min(columns[0], _CROSSED if rows[0] >= _LANES else TILE // _LANES)
    return min(rows[0], TILE // _pitch(width) // _LANES * _LANES), width


def _pitch(columns: int) -> int:
    return -(-columns // _LANES) * _LANES
