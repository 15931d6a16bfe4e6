"""Matrices in the engine's views, shared by the families that work on rows: products, softmax, normalization, sums.

A matrix [M, K] is the surface C=1, H=M, W=K; tasks address the same bytes as C=M, H=1, W=K (h13-encoding 1). Any tensor is
a matrix of its rows, because batch, depth, channels and rows lie one inside the other without gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openane.net.net import TensorShape
from openane.targets.h13.plan import Axis, Operand, Strides, View
from openane.targets.h13.staging import BANK_BYTES, padded_row
from openane.targets.h13.surfaces import align

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
#: Columns a matrix task stages at a time (h13-encoding 9.2: segments of 0x100 bytes).
SEGMENT_BYTES = 0x100


def as_matrix(shape: TensorShape) -> TensorShape:
    """All rows of a tensor under each other."""
    return TensorShape(height=shape.batch * shape.depth * shape.channels * shape.height, width=shape.width)


def as_image(shape: TensorShape) -> TensorShape:
    """All channels of a tensor, of every batch and depth, behind each other."""
    return TensorShape(channels=shape.batch * shape.depth * shape.channels, height=shape.height, width=shape.width)


def rows_of(operand: Operand, matrix: TensorShape, first: int = 0) -> Operand:
    """Rows of a DRAM tensor as channels, beginning with row `first`."""
    return replace(operand, axes=ROWS, shape=matrix, offset=(0, 0, 0, first))


def matrix_view(rows: int, columns: int) -> View:
    """The view of a matrix task."""
    return View(width=columns, channels=rows)


def segments(rows: int, columns: int) -> Strides:
    """Staging of a matrix that is read in segments of columns."""
    channel = min(SEGMENT_BYTES, align(2 * columns, BANK_BYTES))
    return Strides(channel=channel, row=channel * rows, depth=channel * rows, group=channel * rows)


def odd_pitch(rows: int) -> int:
    """Bytes from column to column of a transposed operand: an odd number of banks (h13-encoding 6.3)."""
    return (-(-2 * rows // BANK_BYTES) | 1) * BANK_BYTES


def flat(channel: int, channels: int) -> Strides:
    """L2 strides of a tensor of one row: channels behind each other."""
    size = channel * channels
    return Strides(channel=channel, row=size, depth=size, group=size)


def image(channels: int, row: int, width: int) -> Strides:
    """L2 strides of an image with a given row pitch."""
    channel = align(2 * width, BANK_BYTES)
    return Strides(channel=channel, row=row, depth=channel * channels, group=channel * channels)


def streamed_row(channels: int, width: int) -> int:
    """Row pitch of a planar result that the neural engine follows tile by tile: planar rule, tiles of 16 columns."""
    return padded_row(align(2 * width, BANK_BYTES) * channels, 16, 1, 2)


def planar_row(channels: int, width: int) -> int:
    """Row pitch of a tensor that the planar engine reads."""
    return padded_row(align(2 * width, BANK_BYTES) * channels, width, 1, 2)


def bands(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, count) of consecutive parts of at most `size`."""
    for first in range(0, total, size):
        yield first, min(size, total - first)
