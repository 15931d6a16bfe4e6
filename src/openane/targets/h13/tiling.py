"""Tiles of a task whose tensors do not fit into L2 together.

The engine works on a task in tiles of rows (TileCfg): L2 then holds a ring of rows instead of whole tensors. What is
recorded is little: a 3x3 convolution takes the largest multiple of its patch height that fits, a 1x1 convolution one
patch height (encoding.md#convolution, 3 of 4 tasks; the fourth works in column tiles of another form). Tiles change the
schedule only, never a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openane.backend.alloc import staging
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import Axis, NeMode, NeWork, PeMode, PeWork, Strides, TaskPlan, TileShape
from openane.backend.program_rules import tile_fits_l2
from openane.core.errors import UnsupportedError
from openane.targets.h13.spec import MACHINE

#: Columns of a tile when even one row of all channels is too much (goldens of 1600 columns work in columns of 64).
COLUMN_TILE = 64
#: Rows of a planar tile in the goldens of 2560 rows.
PLANAR_TILE_ROWS = 32


def choose(
    task: TaskPlan, staged: Sequence[bool], room_bytes: int, *, explicit_layout: bool, room_at_end: bool
) -> TileShape:
    """The tile of a task.

    Args:
        task: with its operands' staging rules.
        staged: for each source and the result: whether it passes through a staging area.
        room_bytes: free L2 for the staging areas.
        explicit_layout: whether convolutions state the layout of their results (`staging.result_row`).
        room_at_end: whether this room ends where L2 does.

    Raises:
        UnsupportedError: not even the smallest tile fits.
    """
    height = task.result_view.height
    whole = TileShape(task.tuning.tile_height or height)
    if sum(staging_bytes(task, staged, whole, explicit_layout=explicit_layout)) <= room_bytes:
        return whole
    strip = _strip(task, staged, room_bytes) if room_at_end and not explicit_layout else None
    if strip is not None:
        return strip
    for columns in (0, COLUMN_TILE):
        fitting = _rows_that_fit(task, staged, room_bytes, columns, explicit_layout)
        if fitting:
            return TileShape(fitting, False, columns)
    smallest = sum(staging_bytes(task, staged, TileShape(1, False, COLUMN_TILE), explicit_layout=explicit_layout))
    found = tile_fits_l2.check(smallest, room_bytes)
    raise UnsupportedError.of(tile_fits_l2, found, machine=MACHINE, limit=f"{room_bytes} bytes")


def _strip(task: TaskPlan, staged: Sequence[bool], room_bytes: int) -> TileShape | None:
    """A tile of which L2 holds the source, but of the result only what the engine writes at a time; None without one.

    A convolution leaves more room than one row of patches takes (7 tasks on record), a copy or table exactly one row;
    a planar task holds its whole sources. On record the room for the result ends where L2 does; what the engine would
    do at a resident tensor is not known.
    """
    work, height = task.work, task.result_view.height
    planar = isinstance(work, PeWork) and work.mode in (PeMode.UNARY, PeMode.BINARY, PeMode.ROWS)
    if not (planar or isinstance(work, NeWork)) or not (staged[0] and staged[-1]) or task.tuning.tile_height:
        return None
    if staging.ragged_result(MACHINE, task):
        return None
    weighted = isinstance(work, NeWork) and work.mode is NeMode.CONVOLUTION
    step = 1 << staging.patch_shape(task.positions, height) if weighted else 1

    def fits(rows: int) -> bool:
        tile = TileShape(rows, rows == height, 0, step)
        return sum(staging_bytes(task, staged, tile)) + weighted * MACHINE.bank_bytes <= room_bytes

    if fits(height):
        return TileShape(height, True, 0, step)
    source_bytes = staging_bytes(task, (True, False), TileShape(height))[0]
    if planar or task.sources[0].keep or (weighted and work.stride == (1, 1) and source_bytes <= room_bytes):
        return None
    low, high = 0, height // step
    while low < high:  # the largest number of steps that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle - 1)
    return TileShape(low * step, False, 0, step) if low else None


def _rows_that_fit(task: TaskPlan, staged: Sequence[bool], room_bytes: int, columns: int, explicit_layout: bool) -> int:
    def fits(rows: int) -> bool:
        return (
            sum(staging_bytes(task, staged, TileShape(rows, False, columns), explicit_layout=explicit_layout))
            <= room_bytes
        )

    height = task.result_view.height
    if isinstance(task.work, NeWork):
        step = 1 << staging.patch_shape(task.positions, height)
        wanted = step if task.work.kernel_height == 1 else height // step * step
    else:
        step, wanted = 1, min(PLANAR_TILE_ROWS, height)
    low, high = 0, max(wanted // step, 1)
    while low < high:  # the largest number of steps that fits
        middle = (low + high + 1) // 2
        if fits(middle * step):
            low = middle
        else:
            high = middle - 1
    if low:
        return min(low * step, height)
    return 1 if fits(1) else 0


def staging_bytes(
    task: TaskPlan, staged: Sequence[bool], tile: TileShape, *, explicit_layout: bool = False
) -> list[int]:
    """Bytes of the staging areas of each source and of the result; 0 for those without. See `choose`."""
    sizes = []
    for number, through in enumerate(staged[:-1]):
        if not through:
            sizes.append(0)
            continue
        rows = 1 if Axis.HEIGHT in task.sources[number].repeats else source_rows(task, tile)
        sizes.append(tile_strides(task, number, tile).row * rows)
    result = 0
    if staged[-1]:
        view = task.result_view
        rows = min(tile.result_rows or (view.height if tile.whole else tile.rows), view.height)
        result = _result_row(task, tile, explicit_layout) * rows
    return [*sizes, result]


def _result_row(task: TaskPlan, tile: TileShape, explicit_layout: bool) -> int:
    ragged = None if explicit_layout or not tile.whole else staging.ragged_result(MACHINE, task)
    return (
        ragged.row
        if ragged
        else staging.result_row(MACHINE, task, explicit_layout=explicit_layout, columns=tile.columns)
    )


def smallest_bytes(task: TaskPlan) -> int:
    """Bytes of all staging areas of the smallest tile: one row of a column tile."""
    staged = (True,) * (len(task.sources) + 1)
    return sum(staging_bytes(task, staged, TileShape(1, False, COLUMN_TILE)))


def tile_strides(task: TaskPlan, number: int, tile: TileShape) -> Strides:
    """L2 strides of a staged source: those of the whole tensor, or of the columns of a tile."""
    whole = staging.staged_source(MACHINE, task, number)
    if tile.result_rows and not tile.whole and isinstance(task.work, NeWork) and task.work.kernel_height == 1:
        return replace(whole, row=whole.group)  # tiles that share no row are not padded (3 tasks on record)
    columns = _input_columns(task, tile.columns)
    if not tile.columns or columns >= task.view.width or 2 * columns >= whole.channel:
        return whole
    channel = align(2 * columns, MACHINE.bank_bytes)
    used = whole.depth // whole.channel * channel
    depths = whole.group // whole.depth
    return Strides(channel=channel, row=used * depths, depth=used, group=used * depths)


def source_rows(task: TaskPlan, tile: TileShape) -> int:
    """Most input rows that one tile of output rows needs; padding takes some off the first and the last tile only."""
    height, work = task.view.height, task.work
    if tile.whole:
        return height
    if isinstance(work, NeWork):
        stride, taps, pad = work.stride[1], work.kernel_height, work.pad_top
        taps += taps % 2 if stride > 1 else 0  # kernels of stride 2 are extended to an even number of taps
    elif work.mode is PeMode.POOLING:
        stride, taps, pad = work.stride[1], work.kernel[1], work.pad[1]
    else:
        stride, taps, pad = 1, 1, 0
    result_height = task.result_view.height
    inner_tiles_begin = min(result_height, pad + tile.rows + 1)
    return max(
        min((min(first + tile.rows, result_height) - 1) * stride - pad + taps, height) - max(first * stride - pad, 0)
        for first in range(0, inner_tiles_begin, tile.rows)
    )


def _input_columns(task: TaskPlan, columns: int) -> int:
    work = task.work
    if isinstance(work, NeWork):
        return columns * work.stride[0] + work.kernel_width
    return columns * work.stride[0] + work.kernel[0]
