"""H13 in the simulator: registers to work descriptions, coefficient streams to weights.

`machine` loads a program. What is proved, what only agrees with Apple's compiler and what is assumed is in
docs/assumptions.md and next to each rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from openane.core.errors import Diagnostic, FaultError
from openane.program import Program, Task
from openane.sim.check import check_addresses
from openane.sim.decoded_task import DecodedTask, MemorySpace
from openane.sim.layout import BufferMap, layout_of
from openane.sim.reference import ReferenceMachine
from openane.targets.h13.machine.repeated import decode
from openane.targets.h13.machine.tensors import result_staging
from openane.targets.h13.machine.understood import findings
from openane.targets.h13.read import TaskFields
from openane.targets.h13.spec import MACHINE
from openane.targets.registry import GENERATIONS
from openane.targets.target import RunOptions

if TYPE_CHECKING:
    from openane.sim.machine import Simulator

PROFILE = GENERATIONS["h13"].arithmetic
"""The arithmetic of H13."""

BUFFERS = BufferMap(
    constants=MACHINE.buffers.constants,
    scratch=MACHINE.buffers.scratch,
    l2_bytes=MACHINE.l2_bytes,
    first_surface=MACHINE.buffers.first_surface,
)
"""Buffer 0 is the task chain."""

_PROOF_BYTES = 1 << 40
"""No limit: the maps are as large as the buffers of a program that we made ourselves."""


def machine(program: Program, options: RunOptions | None = None) -> Simulator:
    """Loads a program into the simulator.

    Args:
        program: tasks, constants, surfaces.
        options: choices of the run.

    Raises:
        FaultError: a register combination that is not understood, an address outside its buffer, a read of memory that
            nobody wrote, a missing kernel, or too much memory.
        InputError: an unknown option of the profile.
    """
    from openane.sim.machine import ExecutionOptions, Simulator  # decoding does without

    options = options or RunOptions()
    works = decode_program(program, permissive=options.permissive)
    profile = PROFILE.with_options(options.profile)
    execution = ExecutionOptions(
        profile,
        fast=options.fast,
        threads=options.threads,
        memory_limit_bytes=options.memory_limit_bytes,
        until=options.until,
        time_limit_seconds=options.time_limit_seconds,
        partial_outputs=options.partial_outputs,
    )
    return Simulator(program, works, BUFFERS, execution)


def check_program(program: Program) -> None:
    """Proves, without running it, that a program keeps to its memories and never reads what it has overwritten.

    Args:
        program: complete: every task, and every output written as a whole.

    Raises:
        FaultError: names the first task, register and address that break a rule.
    """
    works = map(_with_staged_result, program.tasks, _decoded(program))
    check_addresses(program, works, layout_of(program, (), BUFFERS), BUFFERS, _PROOF_BYTES, program.outputs)


def _with_staged_result(task: Task, work: DecodedTask) -> DecodedTask:
    if work.result_staging is not None or work.result.space is not MemorySpace.DRAM:
        return work
    staged = result_staging(TaskFields.of(task, work.index), work.result, work.result_view, compiled=True)
    return replace(work, result_staging=staged)


def reference(program: Program, options: RunOptions | None = None) -> ReferenceMachine:
    """Loads a program into the reference machine, which defines what it computes and is slow.

    Args:
        program: tasks, constants, surfaces.
        options: choices of the run; only `profile` and `permissive` have a meaning here.

    Raises:
        FaultError: a register combination that is not understood.
        InputError: an unknown option of the profile.
    """
    options = options or RunOptions()
    works = decode_program(program, permissive=options.permissive)
    return ReferenceMachine(program, works, BUFFERS, PROFILE.with_options(options.profile))


def decode_program(program: Program, *, permissive: bool = False) -> tuple[DecodedTask, ...]:
    """The work of every task, in order.

    Raises:
        FaultError: a register combination that is not understood; with `permissive` only one that cannot be run.
    """
    return tuple(_decoded(program, permissive))


def _decoded(program: Program, permissive: bool = False) -> Iterator[DecodedTask]:
    """The work of one task after the other."""
    return (_decode(task, index, permissive) for index, task in enumerate(program.tasks))


def _decode(task: Task, index: int, permissive: bool) -> DecodedTask:
    written = task.registers()
    found = tuple(findings(task, written))
    if found and not permissive:
        first, *others = found
        where = f"task {index}" + (f" ({task.origin})" if str(task.origin) else "")
        raise FaultError(
            first.what,
            where=f"{where}: {first.where}",
            value=first.value,
            limit=first.limit,
            hint="With --permissive this is a warning.",
            others=tuple(Diagnostic(other.what, f"{where}: {other.where}", value=other.value) for other in others),
        )
    work = decode(task, index, written)
    return replace(work, notes=tuple(map(str, found))) if found else work


__all__ = ["BUFFERS", "PROFILE", "check_program", "decode_program", "machine", "reference"]
