"""Tiles of a task whose tensors do not fit into L2 together.

The engine works on a task in tiles of rows (TileCfg): L2 then holds a ring of rows instead of whole tensors. What is
recorded is little: a 3x3 convolution takes the largest multiple of its patch height that fits, a 1x1 convolution one
patch height (encoding.md#convolution, 3 of 4 tasks; the fourth works in column tiles of another form). Tiles change the
schedule only, never a result.
"""

from __future__ import annotations

from collections.abc import Sequence

from openane.backend.alloc import staging
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import NeWork, PeMode, Strides, TaskPlan, Tile
from openane.backend.program_rules import tile_fits_l2
from openane.core.errors import UnsupportedError
from openane.targets.h13.spec import MACHINE

#: Columns of a tile when even one row of all channels is too much (goldens of 1600 columns work in columns of 64).
COLUMN_TILE = 64
#: Rows of a planar tile in the goldens of 2560 rows.
PLANAR_TILE_ROWS = 32


def patch_shape(width: int, height: int) -> int:
    """The smallest s in 0..4 with the fewest patches of 2^(7-s) columns by 2^s rows (encoding.md#patch-shape)."""
    patches = [-(-width // (1 << (7 - s))) * -(-height // (1 << s)) for s in range(5)]
    return patches.index(min(patches))


def choose(task: TaskPlan, staged: Sequence[bool], room_bytes: int, *, explicit_layout: bool) -> Tile:
    """The tile of a task.

    Args:
        task: with its operands' staging rules.
        staged: for each source and the result: whether it passes through a staging area.
        room_bytes: free L2 for the staging areas.
        explicit_layout: whether convolutions state the layout of their results (`staging.result_row`).

    Raises:
        UnsupportedError: not even the smallest tile fits.
    """
    height = task.result_view.height
    whole = Tile(task.tuning.tile_height or height)
    if sum(staging_bytes(task, staged, whole, explicit_layout=explicit_layout)) <= room_bytes:
        return whole
    for columns in (0, COLUMN_TILE):
        fitting = _rows_that_fit(task, staged, room_bytes, columns, explicit_layout)
        if fitting:
            return Tile(fitting, False, columns)
    smallest = sum(staging_bytes(task, staged, Tile(1, False, COLUMN_TILE), explicit_layout=explicit_layout))
    found = tile_fits_l2.check(smallest, room_bytes)
    raise UnsupportedError.of(tile_fits_l2, found, machine=MACHINE, limit=f"{room_bytes} bytes")


def _rows_that_fit(task: TaskPlan, staged: Sequence[bool], room_bytes: int, columns: int, explicit_layout: bool) -> int:
    def fits(rows: int) -> bool:
        return (
            sum(staging_bytes(task, staged, Tile(rows, False, columns), explicit_layout=explicit_layout)) <= room_bytes
        )

    height = task.result_view.height
    if isinstance(task.work, NeWork):
        step = 1 << patch_shape(task.result_view.width, height)
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


def staging_bytes(task: TaskPlan, staged: Sequence[bool], tile: Tile, *, explicit_layout: bool = False) -> list[int]:
    """Bytes of the staging areas of each source and of the result; 0 for those without. See `choose`."""
    sizes = []
    for number, through in enumerate(staged[:-1]):
        if not through:
            sizes.append(0)
            continue
        sizes.append(tile_strides(task, number, tile).row * source_rows(task, tile))
    result = 0
    if staged[-1]:
        view = task.result_view
        rows = view.height if tile.whole else min(tile.rows, view.height)
        result = staging.result_row(MACHINE, task, explicit_layout=explicit_layout, columns=tile.columns) * rows
    return [*sizes, result]


def smallest_bytes(task: TaskPlan) -> int:
    """Bytes of all staging areas of the smallest tile: one row of a column tile."""
    staged = (True,) * (len(task.sources) + 1)
    return sum(staging_bytes(task, staged, Tile(1, False, COLUMN_TILE)))


def tile_strides(task: TaskPlan, number: int, tile: Tile) -> Strides:
    """L2 strides of a staged source: those of the whole tensor, or of the columns of a tile."""
    whole = staging.staged_source(MACHINE, task, number)
    columns = _input_columns(task, tile.columns)
    if not tile.columns or columns >= task.view.width or 2 * columns >= whole.channel:
        return whole
    channel = align(2 * columns, MACHINE.bank_bytes)
    used = whole.depth // whole.channel * channel
    depths = whole.group // whole.depth
    return Strides(channel=channel, row=used * depths, depth=used, group=used * depths)


def source_rows(task: TaskPlan, tile: Tile) -> int:
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
