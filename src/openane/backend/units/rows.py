"""Matrices in the engine's views, shared by the families that work on rows: products, softmax, normalization, sums.

A matrix [M, K] is the surface C=1, H=M, W=K; tasks address it as C=M, H=1, W=K (encoding.md#program). Any tensor
is a matrix of its rows, because batch, depth, channels and rows lie one inside the other without gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from openane.backend.alloc.staging import padded_row
from openane.backend.alloc.surfaces import align
from openane.backend.ir.plan import Axis, Strides, TaskOperand, View
from openane.backend.machine import MachineSpec
from openane.net.net import TensorShape

#: View axes of a matrix: rows are channels.
ROWS = {Axis.WIDTH: Axis.WIDTH, Axis.CHANNEL: Axis.HEIGHT}
#: View axes of an image whose rows and channels change places.
TURNED = {
    Axis.WIDTH: Axis.WIDTH,
    Axis.CHANNEL: Axis.HEIGHT,
    Axis.HEIGHT: Axis.CHANNEL,
    Axis.DEPTH: Axis.DEPTH,
}
#: View axes of a reduction over columns alone: rows are groups.
GROUPS = {Axis.WIDTH: Axis.WIDTH, Axis.CHANNEL: Axis.CHANNEL, Axis.GROUP: Axis.HEIGHT}
#: View axes that reduce channels and rows with the columns: channels are rows, rows depth (encoding.md#common-block).
DEEP = {Axis.WIDTH: Axis.WIDTH, Axis.HEIGHT: Axis.CHANNEL, Axis.DEPTH: Axis.HEIGHT}


def as_matrix(shape: TensorShape) -> TensorShape:
    """All rows of a tensor under each other."""
    return TensorShape(height=shape.batch * shape.depth * shape.channels * shape.height, width=shape.width)


def as_image(shape: TensorShape) -> TensorShape:
    """All channels of a tensor, of every batch and depth, after each other."""
    return TensorShape(channels=shape.batch * shape.depth * shape.channels, height=shape.height, width=shape.width)


def rows_of(operand: TaskOperand, matrix: TensorShape, first: int = 0) -> TaskOperand:
    """Rows of a DRAM tensor as channels, beginning with row `first`."""
    return replace(operand, axes=ROWS, shape=matrix, offset=(0, 0, 0, first))


def matrix_view(rows: int, columns: int) -> View:
    """The view of a matrix task."""
    return View(width=columns, channels=rows)


def segments(machine: MachineSpec, rows: int, columns: int) -> Strides:
    """Staging of a matrix that is read in segments of columns."""
    channel = min(machine.segment_bytes, align(2 * columns, machine.bank_bytes))
    return Strides(channel=channel, row=channel * rows, depth=channel * rows, group=channel * rows)


def odd_pitch(machine: MachineSpec, rows: int) -> int:
    """Bytes from column to column of a transposed operand: an odd number of banks (encoding.md#resident-layouts)."""
    return (-(-2 * rows // machine.bank_bytes) | 1) * machine.bank_bytes


def flat(channel: int, channels: int) -> Strides:
    """L2 strides of a tensor of one row: channels after each other."""
    size = channel * channels
    return Strides(channel=channel, row=size, depth=size, group=size)


def image(machine: MachineSpec, channels: int, row: int, width: int) -> Strides:
    """L2 strides of an image with a given row pitch."""
    channel = align(2 * width, machine.bank_bytes)
    return Strides(channel=channel, row=row, depth=channel * channels, group=channel * channels)


def streamed_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of a planar result that the neural engine follows tile by tile: planar rule, tiles of 16 columns."""
    return padded_row(machine, align(2 * width, machine.bank_bytes) * channels, 16, 1, 2)


def planar_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of a tensor that the planar engine reads."""
    return padded_row(machine, align(2 * width, machine.bank_bytes) * channels, width, 1, 2)


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `most` that fits, when every smaller one does too; 1 when none does."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def tile(machine: MachineSpec, rows: int, columns: int, fits: Callable[[int, int], bool]) -> tuple[int, int]:
    """Rows and columns of the largest part that fits; whole rows if one fits, else columns in whole DMA units."""
    width = columns
    while width > machine.dma_columns and not fits(1, width):
        width = align(-(-width // 2), machine.dma_columns)
    return largest(rows, lambda count: fits(count, width)), width


def bands(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, count) of consecutive parts of at most `size`."""
    for first in range(0, total, size):
        yield first, min(size, total - first)


def copied_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of an image that is copied into L2 for a reduction of its rows (4 records)."""
    used = align(2 * width, machine.bank_bytes) * channels
    return patch_row(machine, used, width, _patch_width(width) // 8)


def reread_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of a computed image whose rows are reduced next (4 records)."""
    return patch_row(machine, align(2 * width, machine.bank_bytes) * channels, width, 2)


def _patch_width(width: int) -> int:
    return min(max(1 << max(width - 1, 0).bit_length(), 16), 128)


def patch_row(machine: MachineSpec, used_bytes: int, width: int, distance_banks: int) -> int:
    """The bank rule of encoding.md#bank-rule for patches of 128 pixels."""
    rows = 128 // _patch_width(width)
    pitch = used_bytes // machine.bank_bytes
    while any(min(d * pitch % 64, -d * pitch % 64) < distance_banks for d in range(1, rows)):
        pitch += 1
    return pitch * machine.bank_bytes


@dataclass(frozen=True, slots=True)
class RowGroups:
    """How each row of an image is reduced by itself.

    Attributes:
        view: rows are groups, or channels.
        shape: of the image.
        as_channels: rows are channels, because the image has only one.
    """

    view: View
    shape: TensorShape
    as_channels: bool

    def source(self, operand: TaskOperand, strides: Strides) -> TaskOperand:
        """The resident image in this view."""
        channel = strides.channel
        used = channel * self.shape.channels
        if self.as_channels:
            return replace(operand, l2=Strides(strides.row, used, used, 0))
        row = 2 * self.view.width if self.view.height > 1 else used
        return replace(operand, l2=Strides(channel, row, used, strides.row))

    def statistic(self, machine: MachineSpec, operand: TaskOperand) -> TaskOperand:
        """The results, one a row and channel, as this view writes them."""
        step = machine.bank_bytes * self.shape.channels
        if self.as_channels:
            total = machine.bank_bytes * self.shape.height
            return replace(operand, l2=Strides(machine.bank_bytes, total, total, 0))
        return replace(operand, l2=Strides(machine.bank_bytes, step * self.shape.height, step, step))


#: Rows that are groups are folded into parts of so many columns when they are at least four parts long (2 records).
FOLDED_COLUMNS = 32
_FOLDED_LEAST = 128


def row_groups(shape: TensorShape, *, always_groups: bool = False) -> RowGroups:
    """The view in which every row of an image in L2 is reduced by itself; rows of the only channel are channels."""
    if shape.channels == 1 and not always_groups:
        return RowGroups(View(shape.width, 1, shape.height), shape, True)
    width, height = folded(shape.width)
    return RowGroups(View(width, height, shape.channels, 1, shape.height), shape, False)


def folded(width: int) -> tuple[int, int]:
    """Columns and rows into which a long resident row is folded for a reduction by groups."""
    if width >= _FOLDED_LEAST and width % FOLDED_COLUMNS == 0:
        return FOLDED_COLUMNS, width // FOLDED_COLUMNS
    return width, 1


def row_statistics(machine: MachineSpec, shape: TensorShape) -> Strides:
    """L2 strides of one value per row and channel, in the axes of the image."""
    if shape.channels == 1:
        total = machine.bank_bytes * shape.height
        return Strides(total, machine.bank_bytes, total, total)
    step = machine.bank_bytes * shape.channels
    return Strides(machine.bank_bytes, step, step, step)


def summed_row(machine: MachineSpec, channels: int, width: int) -> int:
    """Row pitch of an image with channels and columns swapped, whose `channels` columns are then added up (5 records).

    A fit: patches of 128 pixels, rows that are fetched together at least a bank apart for every 32 columns, counted
    modulo 16 banks.
    """
    used = align(2 * channels, machine.bank_bytes) * width
    columns = _patch_width(channels)
    pitch, least = used // machine.bank_bytes, max(columns // 32, 1)
    while any(min(d * pitch % 16, -d * pitch % 16) < least for d in range(1, 128 // columns)):
        pitch += 1
    return pitch * machine.bank_bytes


def swapped_patch(width: int) -> int:
    """The shape code of a patch that is as wide as the image, for copies that are forced to one (5 records)."""
    return min(max(7 - max(width - 1, 0).bit_length(), 0), 4)


#: Statistics of fewer values take this much.
LEAST_VECTOR_BYTES = 0x20


def vector_pair(machine: MachineSpec, rows: int) -> Strides:
    """L2 strides of two vectors, mean and deviation, of one value per row."""
    size = align(2 * rows, machine.bank_bytes)
    return Strides(size, max(LEAST_VECTOR_BYTES, size), size, 2 * max(LEAST_VECTOR_BYTES, size))
