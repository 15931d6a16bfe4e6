"""What a task does, in a form for people: made by a target from registers, shown by text, info and diff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Memory(Enum):
    """Where a tensor of a task is."""

    BUFFER = "buffer"
    L2 = "L2"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class OperandReference:
    """A tensor that a task reads or writes.

    Attributes:
        memory: a buffer in DRAM, the engine's own memory, or the neighboring task directly.
        buffer: buffer index, None outside DRAM.
        offset: byte offset in the buffer, or address in the engine's memory.
    """

    memory: Memory
    buffer: int | None = None
    offset: int = 0

    def text(self, names: Mapping[int, str]) -> str:
        """For people: "probs (buffer 4)+0x400"."""
        if self.memory is Memory.CHAIN:
            return "chain"
        if self.memory is Memory.L2:
            return f"L2:{self.offset:#x}"
        name = names.get(self.buffer) if self.buffer is not None else None
        place = f"{name} (buffer {self.buffer})" if name else f"buffer {self.buffer}"
        return place + (f"+{self.offset:#x}" if self.offset else "")


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One task in a line.

    Attributes:
        engine: unit that does the work ("NE", "PE").
        operation: "conv 3x3 + bias + relu".
        source_shape, result_shape: (groups, D, C, H, W); empty when not known.
        sources: first and second source.
        result: destination.
        kernel: where kernels are loaded from, None without.
        kernel_bytes: bytes loaded over all streams.
        kernel_form: how weights are stored, empty for fp16.
    """

    engine: str
    operation: str
    source_shape: tuple[int, ...] = ()
    result_shape: tuple[int, ...] = ()
    sources: tuple[OperandReference, ...] = ()
    result: OperandReference | None = None
    kernel: OperandReference | None = None
    kernel_bytes: int = 0
    kernel_form: str = ""

    def text(self, names: Mapping[int, str]) -> str:
        """One line for people.

        Args:
            names: of buffers by index.
        """
        parts = [f"{self.engine} {self.operation}".strip()]
        if self.source_shape:
            parts.append(f"{_extents(self.source_shape)} -> {_extents(self.result_shape)}")
        if self.sources or self.result:
            sources = ", ".join(each.text(names) for each in self.sources) or "nothing"
            parts.append(f"{sources} -> {self.result.text(names) if self.result else 'nothing'}")
        if self.kernel:
            form = f" ({self.kernel_form})" if self.kernel_form else ""
            parts.append(f"{self.kernel_bytes} bytes of kernel{form} from {self.kernel.text(names)}")
        return "; ".join(parts)


def _extents(shape: tuple[int, ...]) -> str:
    """The extents from the first that is not 1, at least (C, H, W)."""
    start = 0
    while start < len(shape) - 3 and shape[start] == 1:
        start += 1
    return "x".join(map(str, shape[start:]))
