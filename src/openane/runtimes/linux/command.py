"""A program in the form the Linux driver takes: command buffer, bootstrap buffer, sizes of all buffers.

Pure bytes and numbers; every limit is checked here, before the first call to the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from openane.core.errors import UnsupportedError
from openane.program import Program, Surface
from openane.program.layout import Memory, extent_bytes
from openane.runtimes.linux import abi
from openane.targets import encode_text, generation
from openane.targets.registry import LINUX_CHIPS, LINUX_TARGET

LARGEST_FIRST_TASK_BYTES: Final = 512 * 4
"""The size field of the next task in a header has 9 bits, words minus 1; the driver's own field is not narrower."""
CONSTANT_ALIGNMENT_BYTES: Final = 64
"""Kernel DMA addresses count in units of 64 bytes from the start of buffer 1."""


BASES: Final = {
    "RBase0": "RBE0",
    "RBase1": "RBE1",
    "WBase": "WBE",
    "TBase": "TBE",
    "KBase0": "KBE0",
    "KBase1": "KBE1",
    "KBase2": "KBE2",
    "KBase3": "KBE3",
}
"""Header fields that hold a buffer index, and the bits that say the index counts."""


@dataclass(frozen=True, slots=True)
class CommandBuffer:
    """What one submission consists of.

    Attributes:
        tasks: the task stream padded to where the constants begin.
        constants: the constant section, without a copy.
        task_count: descriptors in the stream.
        first_task_bytes: length of the first descriptor.
        bootstrap: the first descriptor with the network id that the driver expects.
        buffer_bytes: size of every buffer that gets memory of its own, by buffer index, in whole tiles.
    """

    tasks: bytes
    constants: memoryview
    task_count: int
    first_task_bytes: int
    bootstrap: bytes
    buffer_bytes: Mapping[int, int]

    @property
    def stream_bytes(self) -> int:
        """What the driver calls tsk_size: buffer 1 begins at the next multiple of 16 after it."""
        return len(self.tasks)

    @property
    def total_bytes(self) -> int:
        """Memory of all buffers, the bootstrap buffer included."""
        return sum(self.buffer_bytes.values()) + abi.align(self.first_task_bytes, abi.TILE_BYTES)

    def fill_command_buffer(self, memory: Memory) -> None:
        """Writes tasks and constants to the memory of buffer 0 and clears the rest."""
        view = np.frombuffer(memory, np.uint8)
        end = self.stream_bytes + len(self.constants)
        view[: self.stream_bytes] = np.frombuffer(self.tasks, np.uint8)
        view[self.stream_bytes : end] = np.frombuffer(self.constants, np.uint8)
        view[end:] = 0


def build_command(program: Program, memory_limit_bytes: int) -> CommandBuffer:
    """The submission for a program.

    Surfaces keep the buffer indices that the program's own headers use, so programs that number inputs first and
    programs that number outputs first both work.

    Args:
        program: for the generation that the driver binds to (`targets.registry.LINUX_TARGET`).
        memory_limit_bytes: largest sum of all buffers.

    Raises:
        UnsupportedError: the program breaks a limit of the driver; says which, and what was found.
    """
    where = f"program {program.name}"
    if program.target != LINUX_TARGET:
        raise UnsupportedError(
            f"the Linux driver runs programs for {LINUX_CHIPS} chips only",
            where=where,
            value=program.target,
            limit=LINUX_TARGET,
            hint=f"Compile with --target {LINUX_TARGET}.",
        )
    if not program.tasks:
        raise UnsupportedError("the program has no tasks", where=where)
    if program.task_offsets[0] != 0:
        raise UnsupportedError(
            "the first task does not begin the command buffer",
            where=where,
            value=f"{program.task_offsets[0]:#x}",
            limit="0x0",
        )
    first_bytes = program.tasks[0].size_bytes
    if first_bytes > LARGEST_FIRST_TASK_BYTES:
        raise UnsupportedError(
            "the first task is too long for the driver's size field",
            where=where,
            value=f"{first_bytes} bytes",
            limit=f"{LARGEST_FIRST_TASK_BYTES} bytes",
        )
    tasks = encode_text(program)
    tasks += bytes(-len(tasks) % CONSTANT_ALIGNMENT_BYTES)
    constants = memoryview(program.constants).cast("B")
    sizes = _buffer_sizes(program, len(tasks) + len(constants))
    _check_references(program, {*sizes, abi.CONSTANTS_BUFFER})
    command = CommandBuffer(
        tasks=tasks,
        constants=constants,
        task_count=len(program.tasks),
        first_task_bytes=first_bytes,
        bootstrap=bootstrap(tasks[:first_bytes]),
        buffer_bytes=sizes,
    )
    _check_total(command, memory_limit_bytes, where)
    return command


def bootstrap(first_task: bytes) -> bytes:
    """The first task with the driver's network id in header word 0; nothing else changes."""
    word = int.from_bytes(first_task[:4], "little") & abi.HEADER_KEEP_MASK | abi.NETWORK_ID << 16
    return word.to_bytes(4, "little") + first_task[4:]


def _buffer_sizes(program: Program, command_bytes: int) -> dict[int, int]:
    """Bytes of every buffer, in whole tiles; the command buffer must be longer than its task stream."""
    exact = {abi.TASKS_BUFFER: command_bytes + 1}
    for buffer, size_bytes in (
        (abi.SECOND_SCRATCH_BUFFER, program.second_scratch_bytes),
        (abi.SCRATCH_BUFFER, program.scratch_bytes),
    ):
        if size_bytes:
            exact[buffer] = size_bytes
    for surface in program.surfaces:
        _check_buffer_index(program, surface)
        needed = max(surface.size_bytes, extent_bytes(surface))
        exact[surface.buffer] = max(exact.get(surface.buffer, 0), needed)
    return {buffer: abi.align(size, abi.TILE_BYTES) for buffer, size in sorted(exact.items())}


def _check_buffer_index(program: Program, surface: Surface) -> None:
    if not abi.FIRST_SURFACE_BUFFER <= surface.buffer < abi.BUFFERS:
        raise UnsupportedError(
            "the driver has no such buffer",
            where=f"program {program.name}: surface {surface.name}",
            value=f"buffer {surface.buffer}",
            limit=f"{abi.FIRST_SURFACE_BUFFER} to {abi.BUFFERS - 1}",
            hint=f"A submission has {abi.BUFFERS} buffers; split the program or join surfaces.",
        )


def _check_references(program: Program, present: set[int]) -> None:
    """Every buffer that a task header enables must have memory: the engine faults on address 0."""
    header = generation(program.target).codec.registers.header
    words = [header.registers.index(header[name]) for name in ("Bases", "KernelBases")]
    for number, task in enumerate(program.tasks):
        for index in words:
            values = header.registers[index].decode(task.header[index])
            for base, enable in BASES.items():
                if values.get(enable) and values[base] not in present:
                    raise UnsupportedError(
                        "the task uses a buffer that has no memory",
                        where=f"program {program.name}: task {number}: {base}",
                        value=f"buffer {values[base]}",
                        limit=", ".join(map(str, sorted(present))),
                    )


def _check_total(command: CommandBuffer, memory_limit_bytes: int, where: str) -> None:
    total = command.total_bytes
    device_limit = abi.IOVA_BYTES - abi.TILE_BYTES
    for limit, what in (
        (memory_limit_bytes, "the buffers need more memory than this session may use"),
        (device_limit, "the buffers do not fit in the engine's address space"),
    ):
        if total > limit:
            raise UnsupportedError(what, where=where, value=f"{total} bytes", limit=f"{limit} bytes")
