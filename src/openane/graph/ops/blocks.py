"""Operations that move elements between channels and the picture, or among channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import Arrays, Results, Types, array, operand, require, sample

__all__ = ["BlockOrder", "ChannelShuffle", "DepthToSpace", "SpaceToDepth"]


class BlockOrder(Enum):
    """Which part of a channel's number names the place in the block."""

    DEPTH_COLUMN_ROW = "DCR"  #: the high part: channel = (row * block + column) * depth + d
    COLUMN_ROW_DEPTH = "CRD"  #: the low part: channel = d * block^2 + row * block + column (pixel shuffle)


@dataclass(frozen=True)
class DepthToSpace(Operation):
    """Channels of (N, C, H, W) laid out as blocks of pixels: (N, C / block^2, H * block, W * block).

    Attributes:
        block: side of the block.
        order: which part of the channel number names the place in the block.
    """

    moves_data: ClassVar[bool] = True

    block: int
    order: BlockOrder = BlockOrder.DEPTH_COLUMN_ROW
    is_spatial: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(len(x.shape) == 4, "input 'x' must have four axes", value=x)
        fits = self.block >= 1 and x.shape[1] % self.block**2 == 0
        require(fits, "the block does not divide the channels", value=self.block, limit=x)
        n, c, h, w = x.shape
        b = self.block
        return (TensorType((n, c // b**2, h * b, w * b), x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, b = array(inputs, 0), self.block
        n, c, h, w = x.shape
        if self.order is BlockOrder.DEPTH_COLUMN_ROW:
            y = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        return (y.reshape(n, c // b**2, h * b, w * b),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        for order in BlockOrder:
            yield OperationCase(cls(2, order), (sample(1, 8, 2, 3),))


@dataclass(frozen=True)
class SpaceToDepth(Operation):
    """Blocks of pixels of (N, C, H, W) laid out as channels: the inverse of DepthToSpace.

    Attributes:
        block: side of the block.
        order: which part of the channel number names the place in the block.
    """

    moves_data: ClassVar[bool] = True

    block: int
    order: BlockOrder = BlockOrder.DEPTH_COLUMN_ROW
    is_spatial: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(len(x.shape) == 4, "input 'x' must have four axes", value=x)
        fits = self.block >= 1 and x.shape[2] % self.block == 0 and x.shape[3] % self.block == 0
        require(fits, "the block does not divide the picture", value=self.block, limit=x)
        n, c, h, w = x.shape
        b = self.block
        return (TensorType((n, c * b**2, h // b, w // b), x.dtype),)

    def evaluate(self, inputs: Arrays) -> Results:
        x, b = array(inputs, 0), self.block
        n, c, h, w = x.shape
        order = (0, 3, 5, 1, 2, 4) if self.order is BlockOrder.DEPTH_COLUMN_ROW else (0, 1, 3, 5, 2, 4)
        y = x.reshape(n, c, h // b, b, w // b, b).transpose(order)
        return (y.reshape(n, c * b**2, h // b, w // b),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        for order in BlockOrder:
            yield OperationCase(cls(2, order), (sample(1, 2, 4, 6),))


@dataclass(frozen=True)
class ChannelShuffle(Operation):
    """Channels of (N, C, ...) dealt out: y[:, j * groups + i] = x[:, i * (C / groups) + j].

    Attributes:
        groups: of neighboring channels, into which x is cut.
    """

    moves_data: ClassVar[bool] = True

    groups: int
    is_spatial: ClassVar[bool] = True
    keeps_range: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        fits = len(x.shape) >= 2 and self.groups >= 1 and x.shape[1] % self.groups == 0
        require(fits, "groups must divide the channels", value=self.groups, limit=x)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        grouped = x.reshape(x.shape[0], self.groups, x.shape[1] // self.groups, *x.shape[2:])
        return (grouped.swapaxes(1, 2).reshape(x.shape),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(2), (sample(1, 6, 2, 3),))
        yield OperationCase(cls(3), (sample(2, 6),))
