"""The machine's memory: DRAM buffers by index, L2, and the link between chained tasks.

Bytes live in arrays of halfwords, because every kernel reads and writes halfwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.numerics.lookup import from_halfwords, to_halfwords
from openane.sim.work import Operand, Space


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """Sizes of everything that can be addressed.

    Attributes:
        buffers: bytes of each DRAM buffer by index.
        names: of the tensors behind the buffers, for messages.
        l2_bytes: size of L2.
        chain_bytes: largest value that two chained tasks exchange.
        read_only: buffers that a task must not write.
    """

    buffers: Mapping[int, int]
    names: Mapping[int, str]
    l2_bytes: int
    chain_bytes: int = 0
    read_only: frozenset[int] = frozenset()

    def size_of(self, operand: Operand) -> int:
        """Bytes of the memory that the operand lies in; -1 when there is no such buffer."""
        if operand.space is Space.L2:
            return self.l2_bytes
        if operand.space is Space.CHAIN:
            return self.chain_bytes
        return self.buffers.get(operand.buffer, -1)

    def describe(self, operand: Operand) -> str:
        """The memory in words: "buffer 4 (image)", "L2"."""
        if operand.space is not Space.DRAM:
            return operand.space.value
        name = self.names.get(operand.buffer)
        return f"buffer {operand.buffer} ({name})" if name else f"buffer {operand.buffer}"

    @property
    def total_bytes(self) -> int:
        """Bytes of all buffers together."""
        return sum(self.buffers.values())


class MemoryState:
    """The bytes of one run.

    Attributes:
        prepared: what the users of this memory worked out for its addresses, by keys of theirs.
    """

    def __init__(self, layout: MemoryLayout, constants: Mapping[int, npt.NDArray[np.uint16]]) -> None:
        self.prepared: dict[int, Any] = {}
        self._layout = layout
        self._buffers = {
            index: constants[index] if index in constants else np.zeros((size + 1) // 2, np.uint16)
            for index, size in layout.buffers.items()
        }
        self._l2 = np.zeros(layout.l2_bytes // 2, np.uint16)
        self._chain = np.zeros((layout.chain_bytes + 1) // 2, np.uint16)

    def halfwords(self, operand: Operand) -> npt.NDArray[np.uint16]:
        """The memory that the operand lies in."""
        if operand.space is Space.L2:
            return self._l2
        if operand.space is Space.CHAIN:
            return self._chain
        return self._buffers[operand.buffer]

    def buffer_bytes(self, index: int) -> npt.NDArray[np.uint8]:
        """The bytes of a DRAM buffer, writable unless they are constants."""
        return self._buffers[index].view(np.uint8)

    def read(self, operand: Operand) -> npt.NDArray[np.float32]:
        """The operand's elements as the data path sees them, in its extents."""
        result = np.empty(operand.extent, np.float32)
        for place, piece in enumerate(operand.pieces):
            values = strided(self.halfwords(piece), piece)
            part = from_halfwords(values) if operand.dtype is DType.FLOAT16 else values.astype(np.float32)
            result[operand.piece_index(place)] = part
        return result

    def write(self, operand: Operand, values: npt.NDArray[np.float32]) -> None:
        """Rounds float32 values into the operand's elements."""
        for place, piece in enumerate(operand.pieces):
            target = strided(self.halfwords(piece), piece)
            part = np.ascontiguousarray(values[operand.piece_index(place)])
            target[...] = to_halfwords(part) if operand.dtype is DType.FLOAT16 else to_integers(part, operand.dtype)

    def copy(self, source: Operand, target: Operand) -> None:
        """Copies elements between two operands of the same extents and type."""
        target_view = strided(self.halfwords(target), target)
        target_view[...] = strided(self.halfwords(source), source)


def to_integers(values: npt.NDArray[np.float32], dtype: DType) -> npt.NDArray[np.integer]:
    """Nearest even, saturating."""
    bounds = np.iinfo(dtype.value)
    return np.clip(np.rint(values), bounds.min, bounds.max).astype(dtype.numpy)


def strided(memory: npt.NDArray[np.uint16], operand: Operand) -> np.ndarray:
    """A writable view of a plain operand: halfwords for fp16, else its integers."""
    dtype = np.dtype(np.uint16) if operand.dtype is DType.FLOAT16 else operand.dtype.numpy
    if operand.interleave != 1:
        raise FaultError("an interleaved tensor has no plain view", where=operand.role)
    return np.ndarray(operand.extent, dtype, memory.data, operand.base, operand.strides)
