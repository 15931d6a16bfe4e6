"""Pitches of tensors in L2: the bank rule of encoding.md#bank-rule.

L2 behaves as 64 banks of 16 bytes. A tensor lies there row by row; a row holds all channels (and depths), each padded
to 16 bytes. The row pitch is padded so that rows that are fetched together start in banks far enough apart.
"""

from __future__ import annotations

from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import NeWork, PeWork, Strides, TaskPlan
from openane.backend.machine import MachineSpec
from openane.net.net import TensorShape


def padded_row(machine: MachineSpec, used_bytes: int, width_out: int, stride: int, distance_banks: int) -> int:
    """The row pitch: the smallest that keeps rows fetched together `distance_banks` banks apart.

    Args:
        used_bytes: bytes of a row that hold data.
        width_out: columns of the result; 16 to 64 columns make a patch, the rest of 64 pixels are rows.
        stride: of the convolution.
        distance_banks: least circular distance of the first banks of two rows.
    """
    patch_width = min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64)
    rows = machine.banks // patch_width
    pitch = align(used_bytes, machine.bank_bytes) // machine.bank_bytes

    def apart(candidate: int) -> bool:
        steps = ((index * stride * candidate) % machine.banks for index in range(1, rows))
        return all(min(step, machine.banks - step) >= distance_banks for step in steps)

    while not apart(pitch):
        pitch += 1
    return pitch * machine.bank_bytes


def ne_distance(width_out: int) -> int:
    """Banks between rows for the MAC engine: an eighth of the patch width, plus one."""
    return min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64) // 8 + 1


def staged_source(machine: MachineSpec, task: TaskPlan, index: int = 0) -> Strides:
    """L2 strides of a DRAM source in the task's view (196 of 200 recorded sources)."""
    source, view, work = task.sources[index], task.view, task.work
    if source.staging is not None:
        return source.staging
    width = 1 if any(axis.value == "width" for axis in source.repeats) else view.width
    if isinstance(work, NeWork) and _is_elementwise(work) and not source.keep:
        width = min(width, machine.segment_columns)
    height = 1 if any(axis.value == "height" for axis in source.repeats) else view.height
    channels = 1 if any(axis.value == "channel" for axis in source.repeats) else view.channels
    channel = align(2 * width, machine.bank_bytes)
    used = channel * channels * view.depth
    row = used
    if isinstance(work, PeWork):
        row = padded_row(machine, used, view.width, 1, machine.planar_distance_banks)
    elif (task.unicast and task.kernel is None) or _is_elementwise(work):
        if height > 1:
            distance = machine.planar_distance_banks if source.keep else ne_distance(task.result_view.width)
            row = padded_row(machine, used, task.result_view.width, 1, distance)
    else:
        row = padded_row(machine, used, task.result_view.width, work.stride[1], ne_distance(task.result_view.width))
    return Strides(channel=channel, row=row, depth=channel * channels, group=used)


def _is_elementwise(work: NeWork) -> bool:
    return work.mode.name != "CONVOLUTION"


def resident(
    machine: MachineSpec, shape: TensorShape, *, pe_reader: bool, width_out: int | None = None, stride: int = 1
) -> Strides:
    """L2 strides of a whole tensor that stays resident, in its own axes.

    Args:
        shape: of the tensor.
        pe_reader: its first reader is a PE task; otherwise a NE task.
        width_out: columns of the reader's result.
        stride: of the reader's convolution.
    """
    channel = align(2 * shape.width, machine.bank_bytes)
    depth = channel * shape.channels
    group = depth * shape.depth
    used = group * shape.batch
    row = used
    if shape.height > 1:
        columns = width_out or shape.width
        distance = machine.planar_distance_banks if pe_reader else ne_distance(columns)
        row = padded_row(machine, used, columns, 1 if pe_reader else stride, distance)
    return Strides(channel=channel, row=row, depth=depth, group=group)


def explicit_result(machine: MachineSpec, task: TaskPlan, columns: int = 0) -> Strides:
    """L2 strides of the result of a convolution on its way to DRAM, where the compiler states them (macOS 11).

    Args:
        task: a convolution.
        columns: of a tile; 0 when rows are whole.
    """
    view = task.result_view
    width = min(view.width, columns or view.width)
    channel = align(2 * width, machine.bank_bytes)
    depth = channel * view.channels
    return Strides(
        channel, padded_row(machine, depth * view.depth, width, 1, machine.planar_distance_banks), depth, depth
    )


def result_row(machine: MachineSpec, task: TaskPlan, *, explicit_layout: bool, columns: int = 0) -> int:
    """Bytes of one row of a result in L2 on its way to DRAM.

    Args:
        task: that writes it.
        explicit_layout: whether convolutions state the layout of their results.
        columns: of a tile; 0 when rows are whole.
    """
    if explicit_layout and isinstance(task.work, NeWork) and not _is_elementwise(task.work):
        return explicit_result(machine, task, columns).row
    view = task.result_view
    return align(2 * min(view.width, columns or view.width), machine.bank_bytes) * view.channels * view.depth


def odd_row(machine: MachineSpec, row: int) -> int:
    """A row made odd in units of 16 bytes, for tensors read by a transposing task (encoding.md#bank-rule)."""
    return (align(row, machine.bank_bytes) // machine.bank_bytes | 1) * machine.bank_bytes


def second_base(machine: MachineSpec, first_end: int) -> int:
    """Where a second staged source begins: behind the first, at least 4 banks away from bank 0 (10 of 10)."""
    bank = first_end // machine.bank_bytes
    while min(bank % machine.banks, machine.banks - bank % machine.banks) < 4:
        bank += 1
    return bank * machine.bank_bytes
