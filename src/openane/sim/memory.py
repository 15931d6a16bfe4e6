"""The machine's memory: DRAM buffers by index, L2, and the link between chained tasks, in one array of fp16 words.

Kernels read and write fp16 words, so every address is an index into one array, the arena. Constants are not in it (they
are as large as the model and never change); sources that lie in the constant section are copied into it once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.numerics.lookup import from_fp16_words, to_fp16_words
from openane.sim.decoded_task import DecodedOperand, MemorySpace
from openane.sim.layout import MemoryLayout

Fp16Words = npt.NDArray[np.uint16]

_ALIGNMENT = 64
"""Fp16Words: areas begin at a cache line of their own."""
_SLACK = 128
"""Fp16Words after the last area that vector loads may read."""


@dataclass(eq=False, slots=True)
class ExecutionArena:
    """Where every memory is in the array; further areas are added while the tasks are prepared.

    Attributes:
        layout: sizes of the memories.
        constants: index of the buffer that is not in the arena.
        bases: first fp16 word of each memory.
        size: fp16 words in use.
        contents: values of areas that never change, by their first fp16 word.
    """

    layout: MemoryLayout
    constants: int
    bases: dict[tuple[MemorySpace, int], int] = field(default_factory=dict)
    size: int = 0
    contents: dict[int, Fp16Words] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, size_bytes in self.layout.buffers.items():
            if index != self.constants:
                self.bases[MemorySpace.DRAM, index] = self.add(-(-size_bytes // 2))
        self.bases[MemorySpace.L2, 0] = self.add(-(-self.layout.l2_bytes // 2))
        self.bases[MemorySpace.CHAIN, 0] = self.add(-(-self.layout.chain_bytes // 2))

    def add(self, fp16_words: int) -> int:
        """Reserves an area and returns its first fp16 word."""
        first = self.size
        self.size = -(-(first + fp16_words) // _ALIGNMENT) * _ALIGNMENT
        return first

    def keep(self, values: Fp16Words) -> int:
        """Reserves an area that holds these values in every run."""
        first = self.add(values.size)
        self.contents[first] = values.reshape(-1)
        return first

    def area(self, operand: DecodedOperand) -> tuple[MemorySpace, int]:
        """The memory that an operand is in, a key of `bases`."""
        return operand.space, operand.buffer if operand.space is MemorySpace.DRAM else 0

    def holds(self, operand: DecodedOperand) -> bool:
        """Whether the operand is in the arena; constants do not."""
        return self.area(operand) in self.bases

    def has_buffer(self, index: int) -> bool:
        """Whether there is such a DRAM buffer, constants not counted."""
        return (MemorySpace.DRAM, index) in self.bases

    def buffer_base(self, index: int) -> int:
        """First fp16 word of a DRAM buffer."""
        return self.bases[MemorySpace.DRAM, index]

    def allocate(self) -> MemoryState:
        """The memory of one run."""
        return MemoryState(self)


class MemoryState:
    """The bytes of one run.

    Attributes:
        memory: all fp16 words.
    """

    def __init__(self, arena: ExecutionArena) -> None:
        self._arena = arena
        self.memory = np.zeros(arena.size + _SLACK, np.uint16)
        for first, values in arena.contents.items():
            self.memory[first : first + values.size] = values

    def fp16_words(self, operand: DecodedOperand) -> Fp16Words:
        """The memory that the operand is in, from its first fp16 word on."""
        return self.memory[self._arena.bases[self._arena.area(operand)] :]

    def buffer_bytes(self, index: int) -> npt.NDArray[np.uint8]:
        """The bytes of a DRAM buffer, writable."""
        return self.area_bytes(MemorySpace.DRAM, index)

    def area_bytes(self, space: MemorySpace, buffer: int) -> npt.NDArray[np.uint8]:
        """The bytes of a DRAM buffer, or of L2 (buffer 0), writable."""
        layout, first = self._arena.layout, self._arena.bases[space, buffer]
        size_bytes = layout.l2_bytes if space is MemorySpace.L2 else layout.buffers[buffer]
        return self.memory[first : first + -(-size_bytes // 2)].view(np.uint8)

    def elements(self, operand: DecodedOperand) -> np.ndarray:
        """The operand's elements in its extents and element type."""
        return stored_elements(self.fp16_words(operand), operand)

    def read(self, operand: DecodedOperand) -> npt.NDArray[np.float32]:
        """The operand's elements as the data path sees them, in its extents."""
        return read_operand(self.fp16_words(operand), operand)

    def write(self, operand: DecodedOperand, values: npt.NDArray[np.float32]) -> None:
        """Rounds float32 values into the operand's elements."""
        for place, piece in enumerate(operand.pieces):
            target = strided(self.fp16_words(piece), piece)
            part = np.ascontiguousarray(values[operand.piece_index(place)])
            target[...] = to_fp16_words(part) if operand.dtype is DType.FLOAT16 else to_integers(part, operand.dtype)

    def copy(self, source: DecodedOperand, target: DecodedOperand) -> None:
        """Copies elements between two operands of the same extents and type."""
        for first, second in zip(source.pieces, target.pieces, strict=True):
            strided(self.fp16_words(second), second)[...] = strided(self.fp16_words(first), first)


def read_operand(memory: Fp16Words, operand: DecodedOperand) -> npt.NDArray[np.float32]:
    """The elements of an operand as the data path sees them, in its extents; `memory` is the one it is in."""
    result = np.empty(operand.extent, np.float32)
    for place, piece in enumerate(operand.pieces):
        values = strided(memory, piece)
        part = from_fp16_words(values) if operand.dtype is DType.FLOAT16 else values.astype(np.float32)
        result[operand.piece_index(place)] = part
    return result


def stored_elements(memory: Fp16Words, operand: DecodedOperand) -> np.ndarray:
    """The elements of an operand in its extents and element type; `memory` is the one it is in."""
    with np.errstate(over="ignore"):
        return read_operand(memory, operand).astype(operand.dtype.numpy)


def to_integers(values: npt.NDArray[np.float32], dtype: DType) -> npt.NDArray[np.integer]:
    """Nearest even, saturating."""
    bounds = np.iinfo(dtype.value)
    return np.clip(np.rint(values), bounds.min, bounds.max).astype(dtype.numpy)


def strided(memory: Fp16Words, operand: DecodedOperand) -> np.ndarray:
    """A view of a plain operand: fp16 words for fp16, else its integers."""
    dtype = np.dtype(np.uint16) if operand.dtype is DType.FLOAT16 else operand.dtype.numpy
    if operand.interleave != 1:
        raise FaultError("an interleaved tensor has no plain view", where=operand.role)
    return np.ndarray(operand.extent, dtype, memory.data, operand.base, operand.strides)
