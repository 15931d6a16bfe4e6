"""Tasks that differ in addresses alone are decoded once: networks repeat their layers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from openane.core.errors import FaultError
from openane.program import Task
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacWork, MemorySpace, UnusedKernel
from openane.targets.h13.machine import tensors
from openane.targets.h13.machine.decode import decode_fields
from openane.targets.h13.machine.kernels import KernelStreams
from openane.targets.h13.machine.understood import EXECUTED
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.spec import MACHINE

ADDRESSES = frozenset(
    {
        *("TileDMASrc.BaseAddr", "TileDMASrc.Src2BaseAddr", "TileDMADst.BaseAddr"),
        *("L2.SourceBase", "L2.Source2Base", "L2.ResultBase"),
        *(f"KernelDMASrc.CoeffBaseAddr[{lane}]" for lane in range(MACHINE.lanes)),
    }
)
"""Registers that say where something is, and nothing else."""
_STRUCTURE = tuple(
    register.address
    for register in REGISTERS.by_address.values()
    if register.path not in ADDRESSES
    and ({register.path, *(f"{register.path}.{field.name}" for field in register.fields)} & EXECUTED)
)
"""All other registers that the decoder reads."""
_BUFFERS = slice(REGISTERS["Header.Bases"].address // 4, None)
"""The words of the header that the decoder reads."""
_ABSENT = (0,) * len(_STRUCTURE)


def decode(task: Task, index: int, written: Mapping[int, int] | None = None) -> DecodedTask:
    """The work of a task.

    Args:
        task: with its header.
        index: position in the chain.
        written: its registers, when the caller has collected them already.

    Raises:
        FaultError: a combination of registers that is not understood or makes no sense.
    """
    words = TaskFields.of(task, index, written)
    structure = tuple(map(words.words.get, _STRUCTURE, _ABSENT))
    try:
        model = _without_addresses(structure, words.header[_BUFFERS])
    except FaultError:
        return decode_fields(words, index, str(task.origin))  # raises the error of this very task
    return _with_addresses(model, words, index, str(task.origin))


@lru_cache(1024)
def _without_addresses(structure: tuple[int, ...], buffers: tuple[int, ...]) -> DecodedTask:
    """A task whose addresses are all 0; `buffers` are its words of the header."""
    return decode_fields(
        TaskFields(dict(zip(_STRUCTURE, structure, strict=True)), (0,) * _BUFFERS.start + buffers), 0, ""
    )


def _with_addresses(model: DecodedTask, words: TaskFields, index: int, name: str) -> DecodedTask:
    sources = tuple([_operand(source, words) for source in model.sources])
    result, engine, unused = _operand(model.result, words), model.engine, model.unused_kernel
    if isinstance(engine, MacWork) and isinstance(engine.kernel, KernelStreams):
        engine = engine.with_kernel(engine.kernel.with_lanes(words.streams(), words.where))
    return DecodedTask(
        index, name, engine, model.view, model.result_view, sources, result,
        None if model.kept is None else _operand(model.kept, words),
        tensors.staging(words, engine, sources, (model.view, model.result_view)),
        tensors.result_staging(words, result, model.result_view),
        None if unused is None else UnusedKernel(unused.buffer, words.streams()),
    )  # fmt: skip


def _operand(model: DecodedOperand, words: TaskFields) -> DecodedOperand:
    if model.space is MemorySpace.CHAIN:
        return model
    return DecodedOperand(
        model.role, model.space, model.buffer, words(model.registers, "Addr"), model.extent, model.strides,
        model.dtype, model.interleave, model.registers, model.swapped,
    )  # fmt: skip
