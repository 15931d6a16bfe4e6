"""What can be wrong with an H13 program beyond its form: buffers that do not exist, kernels outside their buffer, and
what is known to hang the engine."""

from __future__ import annotations

from collections.abc import Iterator

from openane.core.errors import Diagnostic
from openane.program import Program, Task
from openane.targets.h13.hazards import hazards
from openane.targets.h13.registers import REGISTERS

_BASES = REGISTERS.header["Bases"]
_KERNEL_BASES = REGISTERS.header["KernelBases"]
_FIELDS = (
    (_BASES, "RBase0", "RBE0", "source 1"),
    (_BASES, "RBase1", "RBE1", "source 2"),
    (_BASES, "WBase", "WBE", "the result"),
    *((_KERNEL_BASES, f"KBase{i}", f"KBE{i}", "a kernel") for i in range(4)),
)
_CONSTANTS, _SECOND_SCRATCH, _SCRATCH = 1, 2, 3
_LANES = tuple(
    tuple(REGISTERS[f"KernelDMASrc.{name}[{lane}]"] for name in ("CoeffDMAConfig", "CoeffBaseAddr", "CoeffBfrSize"))
    for lane in range(16)
)


def verify(program: Program) -> Iterator[Diagnostic]:
    """Every finding about the tasks of a program, in order."""
    sizes = _buffers(program)
    for index, task in enumerate(program.tasks):
        where = f"task {index}"
        yield from _missing_buffers(task, sizes, where)
        yield from _kernels(task, sizes, where)
        for each in hazards(task):
            yield Diagnostic(each.what, where, each.rule, each.limit, each.value, each.hint)


def _buffers(program: Program) -> dict[int, int]:
    """Buffer index -> bytes of those that exist."""
    sizes = {_CONSTANTS: len(program.constants)}
    if program.scratch_bytes:
        sizes[_SCRATCH] = program.scratch_bytes
    if program.second_scratch_bytes:
        sizes[_SECOND_SCRATCH] = program.second_scratch_bytes
    return sizes | {surface.buffer: surface.size_bytes for surface in program.surfaces}


def _missing_buffers(task: Task, sizes: dict[int, int], where: str) -> Iterator[Diagnostic]:
    for register, base, enable, what in _FIELDS:
        word = task.header[REGISTERS.header.registers.index(register)]
        buffer = register[base].get(word)
        if register[enable].get(word) and buffer not in sizes:
            known = ", ".join(map(str, sorted(sizes)))
            yield Diagnostic(
                f"the buffer of {what} does not exist", f"{where}: Header.{base}", value=str(buffer), limit=known
            )


def _kernels(task: Task, sizes: dict[int, int], where: str) -> Iterator[Diagnostic]:
    words = task.registers()
    bases = task.header[REGISTERS.header.registers.index(_KERNEL_BASES)]
    size = sizes.get(_KERNEL_BASES["KBase0"].get(bases), 0)
    for lane, (config, base, length) in enumerate(_LANES):
        if not config["En"].get(words.get(config.address, 0)):
            continue
        end = base["Addr"].get(words.get(base.address, 0)) + length["MemBfrSize"].get(words.get(length.address, 0))
        if end > size:
            yield Diagnostic(
                "a kernel stream ends behind its buffer",
                f"{where}: KernelDMASrc lane {lane}",
                value=f"{end:#x}",
                limit=f"{size:#x}",
            )
