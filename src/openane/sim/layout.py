"""Sizes of the memories that a program addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openane.core.errors import FaultError
from openane.program import Program
from openane.program.layout import extent_bytes
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MemorySpace


@dataclass(frozen=True, slots=True)
class BufferMap:
    """Which buffer index means what, next to the surfaces.

    Attributes:
        constants: index of the constant section.
        scratch: index of the intermediate buffer.
        l2_bytes: size of L2.
        first_surface: the smallest index of a surface.
    """

    constants: int
    scratch: int
    l2_bytes: int
    first_surface: int


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """Sizes of everything that can be addressed.

    Attributes:
        buffers: bytes of each DRAM buffer by index.
        names: of the tensors after the buffers, for messages.
        l2_bytes: size of L2.
        chain_bytes: largest value that two chained tasks exchange.
        read_only: buffers that a task must not write.
    """

    buffers: Mapping[int, int]
    names: Mapping[int, str]
    l2_bytes: int
    chain_bytes: int = 0
    read_only: frozenset[int] = frozenset()

    def size_of(self, operand: DecodedOperand) -> int:
        """Bytes of the memory that the operand is in; -1 when there is no such buffer."""
        if operand.space is MemorySpace.L2:
            return self.l2_bytes
        if operand.space is MemorySpace.CHAIN:
            return self.chain_bytes
        return self.buffers.get(operand.buffer, -1)

    def describe(self, operand: DecodedOperand) -> str:
        """The memory in words: "buffer 4 (image)", "L2"."""
        if operand.space is not MemorySpace.DRAM:
            return operand.space.value
        name = self.names.get(operand.buffer)
        return f"buffer {operand.buffer} ({name})" if name else f"buffer {operand.buffer}"

    @property
    def total_bytes(self) -> int:
        """Bytes of all buffers together."""
        return sum(self.buffers.values())


def layout_of(program: Program, works: Sequence[DecodedTask], buffers: BufferMap) -> MemoryLayout:
    """Sizes of the memories that a program addresses.

    Args:
        program: surfaces, constants, scratch size.
        works: its decoded tasks.
        buffers: meaning of buffer indices.

    Raises:
        FaultError: a surface has an index that is not for surfaces.
    """
    sizes = {buffers.constants: len(program.constants)}
    names = {buffers.constants: "constants", buffers.scratch: "scratch"}
    if program.scratch_bytes:
        sizes[buffers.scratch] = program.scratch_bytes
    for surface in program.surfaces:
        if surface.buffer < buffers.first_surface:
            raise FaultError(
                "a surface has the index of a buffer that is not its own",
                where=f"{program.name}: surface {surface.name}",
                value=f"buffer {surface.buffer}",
                limit=f"{buffers.first_surface} and above",
            )
        sizes[surface.buffer] = max(surface.size_bytes, extent_bytes(surface), sizes.get(surface.buffer, 0))
        names[surface.buffer] = surface.name
    chained = [o for work in works for o in (*work.sources, work.result) if o.space is MemorySpace.CHAIN]
    chain_bytes = max((operand.end for operand in chained), default=0)
    read_only = frozenset({buffers.constants, *(surface.buffer for surface in program.inputs)})
    return MemoryLayout(sizes, names, buffers.l2_bytes, chain_bytes, read_only)
