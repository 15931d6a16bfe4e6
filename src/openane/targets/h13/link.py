"""Task headers, text layout and surfaces: from placed tasks to a program (encoding.md#program and #task-header)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openane.backend.alloc.constants import ConstantSection
from openane.backend.alloc.order import Ordering, order
from openane.backend.alloc.surfaces import align, dram_bytes, dram_strides, element_bytes
from openane.backend.ir.placement import NO_BUFFER, PlacedTask, Placement
from openane.backend.ir.plan import NeMode, NeWork, Nonlinearity, ProgramPlan, TaskPlan, TensorPlace
from openane.backend.machine import Dialect
from openane.backend.program_rules import fits_field, task_count
from openane.core.deadline import check_deadline
from openane.core.errors import InputError, UnsupportedError
from openane.core.types import DType
from openane.program import Burst, Program, Relocation, Role, Surface, Task
from openane.program.fields import Value
from openane.targets.h13.encode import bursts
from openane.targets.h13.estimate import time_estimate_us
from openane.targets.h13.patch_shape import active_log2, stream_patches
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.spec import MACHINE, MACOS11
from openane.targets.h13.stream import STREAM

#: Header word 2 by (first, last).
LOG_EVENTS = {(True, True): 0x42A, (True, False): 0x408, (False, False): 0x400, (False, True): 0x422}
MACOS11_LOG_EVENTS = {(True, True): 0x422, (True, False): 0x400, (False, False): 0x400, (False, True): 0x422}
#: The relocation word of a coefficient base (formats.md#symbols), and where the bases are in a task.
RELOCATION_INFO = 0x05000002
COEFFICIENT_BASES_OFFSET = 0x74


def link(plan: ProgramPlan, placement: Placement, constants: ConstantSection, dialect: Dialect) -> Program:
    """Encodes and links every task.

    Raises:
        UnsupportedError: the network has too many tasks, or a task more of something than a field can say.
    """
    tasks = placement.tasks
    found = task_count.check(MACHINE, len(tasks))
    if found is not None:
        raise UnsupportedError.of(task_count, found, machine=MACHINE, where=plan.name)
    linked = _tasks(plan, placement, constants, dialect)
    offsets = [0]
    for task in linked[:-1]:
        offsets.append(align(offsets[-1] + task.size_bytes, dialect.task_alignment_bytes))
    linked = [
        _with_link(task, offsets[index + 1], linked[index + 1]) if index + 1 < len(linked) else task
        for index, task in enumerate(linked)
    ]
    return Program(
        target=MACHINE.name,
        tasks=tuple(linked),
        task_offsets=tuple(offsets),
        surfaces=_surfaces(plan, placement),
        constants=constants.data,
        scratch_bytes=align(placement.scratch_bytes, MACHINE.page_bytes),
        name=plan.name,
        dialect=dialect.name,
        relocations=tuple(_relocations(tasks, constants, linked, offsets)),
        notes=_notes(plan, placement),
        codec=STREAM,
    )


def _tasks(plan: ProgramPlan, placement: Placement, constants: ConstantSection, dialect: Dialect) -> list[Task]:
    orderings = order(MACHINE, placement, separate_groups=dialect.separate_groups)
    stream = stream_patches(placement.tasks, orderings)
    kernel_writers: dict[str, int] = {}
    result = []
    for index, (task, ordering) in enumerate(zip(placement.tasks, orderings, strict=True)):
        check_deadline()
        dtypes = _dtypes(plan, task)
        try:
            body = bursts(task, ordering, dtypes, _lanes(task, constants, index), stream[index], dialect)
        except InputError as error:
            raise _beyond_a_field(plan, task, error) from error
        header = _header(placement, index, ordering, dialect)
        header = header if dialect.encoding == MACOS11 else _with_estimate(header, body)
        extra: tuple[int, ...] = ()
        if task.plan.kernel and task.plan.kernel.source and task.kernel_buffer == MACHINE.buffers.scratch:
            extra = (kernel_writers.get(task.plan.kernel.source, 0),)
        kernel_writers[task.plan.result.tensor] = index
        result.append(Task(header, body, extra, task.plan.origin, REGISTERS))
    return result


def _beyond_a_field(plan: ProgramPlan, task: PlacedTask, error: InputError) -> UnsupportedError:
    """A task wants more of something than its field can say: another plan, or the host, may still do it."""
    own = error.diagnostic
    where = f"{plan.name}: {task.plan.origin}"
    return UnsupportedError.of(fits_field, own.value, machine=MACHINE, where=where, detail=own.where, limit=own.limit)


def _lanes(task: PlacedTask, constants: ConstantSection, index: int) -> tuple[tuple[int, int], ...]:
    return tuple((offset + task.kernel_base, size) for offset, size in constants.lanes[index])


def _dtypes(plan: ProgramPlan, task: PlacedTask) -> tuple[DType, DType]:
    first = plan.tensors[task.plan.sources[0].tensor]
    return (first.dtype if task.sources[0].dma else DType.FLOAT16), plan.tensors[task.plan.result.tensor].dtype


def _header(placement: Placement, index: int, ordering: Ordering, dialect: Dialect) -> tuple[int, ...]:
    """The ten header words, without the link to the next task (words 1 and 7)."""
    task = placement.tasks[index]
    first, last = index == 0, index + 1 == len(placement.tasks)
    register = REGISTERS.header
    sources, result, kernel = task.sources, task.result, task.plan.kernel
    values: dict[str, Value] = {
        "TID": index,
        "LNID": int(not first),
        "EON": int(last),
        "LogEvents": (MACOS11_LOG_EVENTS if dialect.encoding == MACOS11 else LOG_EVENTS)[first, last],
        "DebugLogEvents": _debug_log_events(task.plan, first, last),
        "SPL": int(ordering.opens),
        "TSE": int(ordering.closes),
        "TSR": int(ordering.closes),
        "SPC": int(sources[0].buffer == MACHINE.buffers.scratch),
        "DPC": int(result.buffer == MACHINE.buffers.scratch and not result.dma),
        "DisallowAbort": int(ordering.signals),
        "SrcLoc": int(any(spot.dma for spot in sources)),
        "DstLoc": int(result.dma),
        "TBE": int(not last),
        "ENE": active_log2(task.plan) + 1 if task.plan.is_ne else 0,
    }
    if sources[0].buffer != NO_BUFFER:
        values |= {"RBase0": sources[0].buffer, "RBE0": 1}
    if len(sources) > 1 and sources[1].dma:
        values |= {"RBase1": sources[1].buffer, "RBE1": 1}
    if result.buffer != NO_BUFFER:
        values |= {"WBase": result.buffer, "WBE": 1}
    if kernel is not None:
        values |= {"KBase0": task.kernel_buffer, "KBE0": 1}
        values["TDE"] = int(bool(kernel.source) and task.kernel_buffer == MACHINE.buffers.scratch)
    return register.encode(values)


def _with_estimate(header: tuple[int, ...], body: tuple[Burst, ...]) -> tuple[int, ...]:
    registers = {address: word for burst in body for address, word in zip(burst.addresses(), burst.words, strict=True)}
    word = REGISTERS["Header.Next"].change(header[1], ExeCycles=time_estimate_us(registers, header[8]))
    return (header[0], word, *header[2:])


def _debug_log_events(task: TaskPlan, first: bool, last: bool) -> int:
    """Word 4: low byte by place; the high part marks all but pure NE copies, without bit 13 for a table with a pole."""
    low = 0x6A if last else 0x68 if first else 0
    copies = isinstance(task.work, NeWork) and task.work.mode is NeMode.BYPASS and task.kernel is None
    if copies and isinstance(task.work, NeWork) and task.work.nonlinearity is Nonlinearity.NONE:
        return low
    pole = task.kernel is not None and task.kernel.pole
    return low | (0xFFD800 if pole else 0xFFF800)


def _with_link(task: Task, next_offset: int, following: Task) -> Task:
    header = list(task.header)
    register = REGISTERS["Header.Next"]
    header[1] = register.change(header[1], NextSize=following.size_words - 1)
    header[7] = next_offset
    return replace(task, header=tuple(header))


def _surfaces(plan: ProgramPlan, placement: Placement) -> tuple[Surface, ...]:
    named = [(name, name, Role.INPUT) for name in sorted(plan.inputs)]
    named += [(name, tensor, Role.OUTPUT) for name, tensor in plan.outputs.items()]
    surfaces = []
    for name, tensor_name, role in named:
        tensor = plan.tensors[tensor_name]
        size = element_bytes(tensor)
        strides = dram_strides(MACHINE, tensor.shape, size)
        surfaces.append(
            Surface(
                name,
                role,
                tensor.shape.ndchw,
                (strides.group, strides.depth, strides.channel, strides.row, size),
                dram_bytes(MACHINE, tensor.shape, size),
                placement.buffers[tensor_name],
                tensor.dtype,
            )
        )
    return tuple(surfaces)


def _relocations(
    tasks: Sequence[PlacedTask], constants: ConstantSection, linked: Sequence[Task], offsets: Sequence[int]
) -> list[Relocation]:
    found = []
    for index, task in enumerate(tasks):
        if task.plan.kernel is None or task.kernel_buffer != MACHINE.buffers.constants:
            continue
        start = offsets[index] + COEFFICIENT_BASES_OFFSET + 4 * len(linked[index].extra)
        found += [Relocation(start + 4 * lane, RELOCATION_INFO) for lane in range(len(constants.lanes[index]))]
    return found


def _notes(plan: ProgramPlan, placement: Placement) -> dict[str, str]:
    """Where intermediate tensors are, for tests and reports."""
    kept = [place for name, place in placement.places.items() if plan.tensors[name].place is TensorPlace.AUTO]
    return {
        "intermediates": f"{kept.count(TensorPlace.RESIDENT)} in L2, {kept.count(TensorPlace.SCRATCH)} in DRAM",
    }
