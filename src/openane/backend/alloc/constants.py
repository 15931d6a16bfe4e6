"""The constant section: kernels and constant tensors in task order, equal ones stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from openane.backend.alloc.surfaces import align, dram_bytes, dram_strides
from openane.backend.ir.plan import KernelPlan, PlannedTensor, ProgramPlan, TaskPlan, TensorPlace
from openane.backend.machine import MachineSpec
from openane.backend.program_rules import constant_bytes
from openane.core.deadline import check_deadline
from openane.core.errors import UnsupportedError

#: A table takes this much of the section for each lane that loads it (encoding.md#kernel-registers).
TABLE_BYTES = 128


@dataclass(frozen=True, slots=True)
class ConstantSection:
    """The bytes and where things are in them.

    Attributes:
        data: the section.
        lanes: for each task the (offset, size) in bytes of its coefficient lanes; empty without constant kernel.
        tensors: constant tensor -> offset.
    """

    data: bytes
    lanes: tuple[tuple[tuple[int, int], ...], ...]
    tensors: Mapping[str, int]


class _ConstantWriter:
    def __init__(self, machine: MachineSpec) -> None:
        self.machine = machine
        self.parts: list[bytes] = []
        self.size = 0
        self.known: dict[bytes, int] = {}

    def add(self, data: bytes, reserved: int, part: int = 0) -> int:
        """Appends data in `reserved` bytes, or finds the same data of the same part written before."""
        key = hashlib.sha256(f"{reserved} {part} ".encode() + data).digest()
        if key not in self.known:
            offset = align(self.size, self.machine.dma_alignment_bytes)
            self.parts += [bytes(offset - self.size), data, bytes(reserved - len(data))]
            self.size = offset + reserved
            self.known[key] = offset
        return self.known[key]


def build(machine: MachineSpec, plan: ProgramPlan) -> ConstantSection:
    """Lays out the constants of a plan.

    Raises:
        UnsupportedError: the section is larger than a program may have.
    """
    writer = _ConstantWriter(machine)
    lanes: list[tuple[tuple[int, int], ...]] = []
    tensors: dict[str, int] = {}
    for task in _tasks(plan):
        check_deadline()
        streamed = (task.kernel.source,) if task.kernel is not None and task.kernel.source else ()
        for name in (*(source.tensor for source in task.sources), *streamed):
            tensor = plan.tensors[name]
            if tensor.place is TensorPlace.CONSTANT and tensor.name not in tensors:
                data = surface_image(machine, tensor)
                tensors[tensor.name] = writer.add(data, len(data))
        lanes.append(_lanes(writer, task.kernel))
        if found := constant_bytes.check(machine, writer.size):
            raise UnsupportedError.of(constant_bytes, found, machine=machine, where=plan.name)
    data = b"".join(writer.parts) if writer.size else bytes(machine.empty_constant_bytes)
    return ConstantSection(data, tuple(lanes), tensors)


def _tasks(plan: ProgramPlan) -> Iterator[TaskPlan]:
    for block in plan.blocks:
        yield from block.tasks


def _lanes(writer: _ConstantWriter, kernel: KernelPlan | None) -> tuple[tuple[int, int], ...]:
    if kernel is None:
        return ()
    if kernel.source:
        return tuple((lane * kernel.lane_bytes, kernel.lane_bytes) for lane in range(kernel.lane_count))
    if kernel.table_lanes:
        (table,) = kernel.lanes
        offset = writer.add(table, TABLE_BYTES * kernel.table_lanes)
        return ((offset, len(table)),) * kernel.table_lanes
    # Slices of one kernel are stored each, also when they are equal, as Apple's compiler does.
    offset = writer.add(b"".join(kernel.lanes), sum(map(len, kernel.lanes)), kernel.part)
    rows = []
    for lane in kernel.lanes:
        rows.append((offset, len(lane)))
        offset += len(lane)
    return tuple(rows)


def surface_image(machine: MachineSpec, tensor: PlannedTensor) -> bytes:
    """The bytes of a constant tensor as a DRAM surface, rows padded to 64 bytes."""
    assert tensor.constant is not None
    shape, together = tensor.shape, tensor.interleave
    strides = dram_strides(machine, shape, interleave=together)
    image = np.zeros(dram_bytes(machine, shape, interleave=together) // 2, np.float16)
    batch, depth, channels, height, width = shape.ndchw
    blocks = (batch, depth, channels // together, together, height, width)
    steps = (strides.group, strides.depth, strides.channel, 2, strides.row, 2 * together)
    view = np.lib.stride_tricks.as_strided(image, blocks, steps)
    view[...] = tensor.constant.reshape(blocks)
    return image.tobytes()
