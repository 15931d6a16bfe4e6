"""Pitches of tensors in L2: the bank rule of encoding.md#bank-rule.

L2 behaves as 64 banks of 16 bytes. A tensor lies there row by row; a row holds all channels (and depths), each padded
to 16 bytes. The row pitch is padded so that rows that are fetched together start in banks far enough apart.
"""

from __future__ import annotations

from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import NeWork, PeWork, Strides, TaskPlan
from openane.net.net import TensorShape

BANKS = 64
BANK_BYTES = 16
#: Columns that an elementwise task of the MAC engine stages at a time (3 of 3 wider sources, and every matrix operand).
SEGMENT_COLUMNS = 128


def padded_row(used_bytes: int, width_out: int, stride: int, distance_banks: int) -> int:
    """The row pitch: the smallest that keeps rows fetched together `distance_banks` banks apart.

    Args:
        used_bytes: bytes of a row that hold data.
        width_out: columns of the result; 16 to 64 columns make a patch, the rest of 64 pixels are rows.
        stride: of the convolution.
        distance_banks: least circular distance of the first banks of two rows.
    """
    patch_width = min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64)
    rows = BANKS // patch_width
    pitch = align(used_bytes, BANK_BYTES) // BANK_BYTES

    def apart(candidate: int) -> bool:
        steps = ((index * stride * candidate) % BANKS for index in range(1, rows))
        return all(min(step, BANKS - step) >= distance_banks for step in steps)

    while not apart(pitch):
        pitch += 1
    return pitch * BANK_BYTES


def ne_distance(width_out: int) -> int:
    """Banks between rows for the MAC engine: an eighth of the patch width, plus one."""
    return min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64) // 8 + 1


PE_DISTANCE = 2


def staged_source(task: TaskPlan, index: int = 0) -> Strides:
    """L2 strides of a DRAM source in the task's view (196 of 200 recorded sources)."""
    source, view, work = task.sources[index], task.view, task.work
    if source.staging is not None:
        return source.staging
    width = 1 if any(axis.value == "width" for axis in source.repeats) else view.width
    if isinstance(work, NeWork) and _is_elementwise(work) and not source.keep:
        width = min(width, SEGMENT_COLUMNS)
    height = 1 if any(axis.value == "height" for axis in source.repeats) else view.height
    channels = 1 if any(axis.value == "channel" for axis in source.repeats) else view.channels
    channel = align(2 * width, BANK_BYTES)
    used = channel * channels * view.depth
    row = used
    if isinstance(work, PeWork):
        row = padded_row(used, view.width, 1, PE_DISTANCE)
    elif (task.unicast and task.kernel is None) or _is_elementwise(work):
        if height > 1:
            distance = PE_DISTANCE if source.keep else ne_distance(task.result_view.width)
            row = padded_row(used, task.result_view.width, 1, distance)
    else:
        row = padded_row(used, task.result_view.width, work.stride[1], ne_distance(task.result_view.width))
    return Strides(channel=channel, row=row, depth=channel * channels, group=used)


def _is_elementwise(work: NeWork) -> bool:
    return work.mode.name != "CONVOLUTION"


def resident(shape: TensorShape, *, pe_reader: bool, width_out: int | None = None, stride: int = 1) -> Strides:
    """L2 strides of a whole tensor that stays resident, in its own axes.

    Args:
        shape: of the tensor.
        pe_reader: its first reader is a PE task; otherwise a NE task.
        width_out: columns of the reader's result.
        stride: of the reader's convolution.
    """
    channel = align(2 * shape.width, BANK_BYTES)
    depth = channel * shape.channels
    group = depth * shape.depth
    used = group * shape.batch
    row = used
    if shape.height > 1:
        columns = width_out or shape.width
        distance = PE_DISTANCE if pe_reader else ne_distance(columns)
        row = padded_row(used, columns, 1 if pe_reader else stride, distance)
    return Strides(channel=channel, row=row, depth=depth, group=group)


def stated_result(task: TaskPlan, columns: int = 0) -> Strides:
    """L2 strides of the result of a convolution on its way to DRAM, where the compiler states them (macOS 11).

    Args:
        task: a convolution.
        columns: of a tile; 0 when rows are whole.
    """
    view = task.result_view
    width = min(view.width, columns or view.width)
    channel = align(2 * width, BANK_BYTES)
    depth = channel * view.channels
    return Strides(channel, padded_row(depth * view.depth, width, 1, PE_DISTANCE), depth, depth)


def result_row(task: TaskPlan, *, stated: bool, columns: int = 0) -> int:
    """Bytes of one row of a result in L2 on its way to DRAM.

    Args:
        task: that writes it.
        stated: whether convolutions state the layout of their results.
        columns: of a tile; 0 when rows are whole.
    """
    if stated and isinstance(task.work, NeWork) and not _is_elementwise(task.work):
        return stated_result(task, columns).row
    view = task.result_view
    return align(2 * min(view.width, columns or view.width), BANK_BYTES) * view.channels * view.depth


def odd_row(row: int) -> int:
    """A row made odd in units of 16 bytes, for tensors read by a transposing task (encoding.md#bank-rule)."""
    return (align(row, BANK_BYTES) // BANK_BYTES | 1) * BANK_BYTES


def second_base(first_end: int) -> int:
    """Where a second staged source begins: behind the first, at least 4 banks away from bank 0 (10 of 10)."""
    bank = first_end // BANK_BYTES
    while min(bank % BANKS, BANKS - bank % BANKS) < 4:
        bank += 1
    return bank * BANK_BYTES
