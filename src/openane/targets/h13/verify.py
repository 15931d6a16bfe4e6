"""What can be wrong with an H13 program beyond its form: buffers that do not exist, kernels outside their buffer, and
what is known to hang the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openane.core.errors import Diagnostic
from openane.program import Program
from openane.targets.h13.hazards import hazards
from openane.targets.h13.read import TaskFields
from openane.targets.h13.spec import MACHINE

_FIELDS = (
    ("Bases", "RBase0", "RBE0", "source 1"),
    ("Bases", "RBase1", "RBE1", "source 2"),
    ("Bases", "WBase", "WBE", "the result"),
    *(("KernelBases", f"KBase{i}", f"KBE{i}", "a kernel") for i in range(4)),
)


def verify(program: Program) -> Iterator[Diagnostic]:
    """Every finding about the tasks of a program, in order."""
    sizes = _buffers(program)
    for index, task in enumerate(program.tasks):
        where, fields = f"task {index}", TaskFields.of(task)
        yield from _missing_buffers(fields, sizes, where)
        yield from _kernels(fields, sizes, where)
        for each in hazards(task):
            yield replace(each, where=where)


def _buffers(program: Program) -> dict[int, int]:
    """Buffer index -> bytes of those that exist."""
    sizes = {MACHINE.buffers.constants: len(program.constants)}
    if program.scratch_bytes:
        sizes[MACHINE.buffers.scratch] = program.scratch_bytes
    if program.second_scratch_bytes:
        sizes[MACHINE.buffers.second_scratch] = program.second_scratch_bytes
    return sizes | {surface.buffer: surface.size_bytes for surface in program.surfaces}


def _missing_buffers(fields: TaskFields, sizes: dict[int, int], where: str) -> Iterator[Diagnostic]:
    for register, base, enable, what in _FIELDS:
        buffer = fields(f"Header.{register}", base)
        if fields(f"Header.{register}", enable) and buffer not in sizes:
            known = ", ".join(map(str, sorted(sizes)))
            yield Diagnostic(
                f"the buffer of {what} does not exist", f"{where}: Header.{base}", value=str(buffer), limit=known
            )


def _kernels(fields: TaskFields, sizes: dict[int, int], where: str) -> Iterator[Diagnostic]:
    size = sizes.get(fields("Header.KernelBases", "KBase0"), 0)
    for stream in fields.streams():
        end = stream.offset + stream.size_bytes
        if end > size:
            yield Diagnostic(
                "a kernel stream ends after its buffer",
                f"{where}: KernelDMASrc lane {stream.engine}",
                value=f"{end:#x}",
                limit=f"{size:#x}",
            )
