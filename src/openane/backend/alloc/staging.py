"""Pitches of tensors in L2: the bank rule of encoding.md#bank-rule.

L2 behaves as 64 banks of 16 bytes. A tensor is there row by row; a row holds all channels (and depths), each padded
to 16 bytes. The row pitch is padded so that rows that are fetched together start in banks far enough apart.
"""

from __future__ import annotations

from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import Axis, NeWork, PeMode, PeWork, Strides, TaskPlan
from openane.backend.machine import MachineSpec
from openane.net.net import TensorShape

#: Planar patches of rows that fill the widest patch badly (see `planar_patch`), and from which width on, as log2.
_NARROW_PATCH, _WIDE_PATCH = 5, 8
#: Columns of the widest planar patch, as log2.
WIDEST_PLANAR_PATCH = 9
#: Columns and rows up to which an image is small.
_SMALL_IMAGE = 8
#: Rows that are fetched together at most where L2 holds one patch of columns.
_SEGMENT_ROWS = 8


def padded_row(machine: MachineSpec, used_bytes: int, width_out: int, stride: int, distance_banks: int) -> int:
    """The row pitch: the smallest that keeps rows fetched together `distance_banks` banks apart.

    Args:
        used_bytes: bytes of a row that hold data.
        width_out: columns of the result; 16 to 64 columns make a patch, the rest of 64 pixels are rows.
        stride: of the convolution.
        distance_banks: least circular distance of the first banks of two rows.
    """
    patch_width = min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64)
    return _row_apart(machine, used_bytes, machine.banks // patch_width, stride, distance_banks)


def _row_apart(machine: MachineSpec, used_bytes: int, rows: int, stride: int, distance_banks: int) -> int:
    """The smallest pitch with which the first banks of `rows` rows lie `distance_banks` apart."""
    pitch = align(used_bytes, machine.bank_bytes) // machine.bank_bytes

    def apart(candidate: int) -> bool:
        steps = ((index * stride * candidate) % machine.banks for index in range(1, rows))
        return all(min(step, machine.banks - step) >= distance_banks for step in steps)

    while not apart(pitch):
        pitch += 1
    return pitch * machine.bank_bytes


def ragged_result(machine: MachineSpec, task: TaskPlan) -> Strides | None:
    """L2 strides of a result that is not double-buffered on its way to DRAM, None for the others.

    These are results whose rows end inside of a DMA unit: of planar tasks, and of copies that transpose one row.
    """
    view, swapped = task.result_view, task.result.swapped
    if isinstance(task.work, NeWork):
        if not (swapped and _is_elementwise(task.work) and view.height == view.depth == view.groups == 1):
            return None
        if not (2 * view.channels % machine.dma_alignment_bytes and view.channels > machine.bank_bytes):
            return None
        channel = align(2 * view.channels, machine.bank_bytes)
        return Strides(channel, channel * view.width, channel * view.width, channel * view.width)
    if swapped or task.work.mode not in (PeMode.UNARY, PeMode.BINARY) or not is_ragged(machine, task):
        return None
    channel = 2 << planar_patch(task)[0]
    used = channel * view.channels * view.depth
    return Strides(channel, planar_row(machine, task, used, segmented=True), channel * view.channels, used)


def ne_distance(width_out: int) -> int:
    """Banks between rows for the MAC engine: an eighth of the patch width, plus one."""
    return min(max(1 << max(width_out - 1, 0).bit_length(), 16), 64) // 8 + 1


def staged_source(machine: MachineSpec, task: TaskPlan, index: int = 0) -> Strides:
    """L2 strides of a DRAM source in the task's view (196 of 200 recorded sources)."""
    source, view, work = task.sources[index], task.view, task.work
    if source.staging is not None:
        return source.staging
    width = 1 if Axis.WIDTH in source.repeats else view.width
    columns = width if source.keep else min(width, staged_columns(machine, task))
    height = 1 if Axis.HEIGHT in source.repeats else view.height
    channels = 1 if Axis.CHANNEL in source.repeats else view.channels
    channel = align(2 * columns, machine.bank_bytes)
    used = channel * channels * view.depth
    row = used
    if isinstance(work, PeWork):
        row = planar_row(machine, task, used, segmented=columns < width)
    elif columns < width and work.stride[1] == 1:
        row = _segmented_row(machine, task, used)
    elif (task.unicast and task.kernel is None) or _is_elementwise(work):
        if height > 1:
            distance = machine.planar_distance_banks if source.keep else ne_distance(task.result_view.width)
            row = padded_row(machine, used, task.result_view.width, 1, distance)
    else:
        distance = ne_distance(task.positions)
        if task.result_view.height > _SMALL_IMAGE >= task.positions:
            distance = machine.planar_distance_banks  # a narrow, tall image (9x1 on 375x1)
        row = padded_row(machine, used, task.positions, work.stride[1], distance)
    return Strides(channel=channel, row=row, depth=channel * channels, group=used)


def staged_columns(machine: MachineSpec, task: TaskPlan) -> int:
    """Columns of a source that L2 holds at a time: what one patch of the result reads (encoding.md#real-sizes)."""
    work = task.work
    if isinstance(work, PeWork):
        return task.view.width if work.mode is PeMode.POOLING else 1 << planar_patch(task)[0]
    columns = min(task.positions, machine.segment_columns)
    if work.pairs:  # the kernel of both outputs, whole units of the DMA
        return align(2 * (2 * columns + work.kernel_width - 1), machine.dma_alignment_bytes) // 2
    return (columns - 1) * work.stride[0] + work.kernel_width


def planar_patch(task: TaskPlan) -> tuple[int, int]:
    """log2 of columns and rows of the patch that a planar task works in (encoding.md#common-block).

    Rows of several patches that leave more than a quarter of the last one empty are covered by patches of 32 columns
    (375 columns: 4 tasks on record; 224, 1024 and 4096 columns keep the widest patch).
    """
    work, view = task.work, task.view
    assert isinstance(work, PeWork)
    size = WIDEST_PLANAR_PATCH - (work.mode in (PeMode.BINARY, PeMode.ROWS, PeMode.VARIANCE))
    width = min(max((view.width - 1).bit_length(), 4), WIDEST_PLANAR_PATCH)
    if view.height > 1 and view.width > 1 << _WIDE_PATCH and 4 * view.width <= 3 * align(view.width, 1 << width):
        width = _NARROW_PATCH
    return width, min((view.height - 1).bit_length(), max(0, size - width))


def planar_row(machine: MachineSpec, task: TaskPlan, used_bytes: int, *, segmented: bool) -> int:
    """Row pitch of a tensor that a planar task stages; `segmented` when L2 holds one patch of columns of it."""
    if not segmented:
        return padded_row(machine, used_bytes, task.view.width, 1, machine.planar_distance_banks)
    rows = min(1 << planar_patch(task)[1], _SEGMENT_ROWS)
    return _row_apart(machine, used_bytes, rows, 1, machine.planar_distance_banks)


def _segmented_row(machine: MachineSpec, task: TaskPlan, used_bytes: int) -> int:
    """Row pitch of a source of which L2 holds 128 columns: padded as for 32 columns when patches have several rows."""
    several = is_ragged(machine, task) or patch_shape(task.positions, task.result_view.height) > 0
    if keeps_rows(machine, task) or task.result_view.height == 1 or not several:
        return used_bytes
    return _row_apart(machine, used_bytes, 2, 1, ne_distance(32))


def patch_shape(width: int, height: int) -> int:
    """The smallest s in 0..4 with the fewest patches of 2^(7-s) columns by 2^s rows (encoding.md#patch-shape)."""
    patches = [-(-width // (1 << (7 - s))) * -(-height // (1 << s)) for s in range(5)]
    return patches.index(min(patches))


def is_ragged(machine: MachineSpec, task: TaskPlan) -> bool:
    """Whether rows of the result are wider than what L2 holds and end inside of a unit of the DMA."""
    segment = machine.segment_columns if isinstance(task.work, NeWork) else 1 << planar_patch(task)[0]
    width = task.result_view.width
    return width > segment and 2 * width % machine.dma_alignment_bytes > 0


def keeps_rows(machine: MachineSpec, task: TaskPlan) -> bool:
    """Whether patches of a MAC task are single rows: its rows are ragged, and each is one run in DRAM."""
    run = not task.result.swapped and task.result_view.channels == task.interleave
    return isinstance(task.work, NeWork) and run and is_ragged(machine, task)


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
    """Where a second staged source begins: after the first, at least 4 banks away from bank 0 (10 of 10)."""
    bank = first_end // machine.bank_bytes
    while min(bank % machine.banks, machine.banks - bank % machine.banks) < 4:
        bank += 1
    return bank * machine.bank_bytes
