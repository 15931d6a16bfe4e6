"""Elements of operands in memory."""

from __future__ import annotations

from openane.core.types import DType
from openane.numerics.definition.fp16 import nearest, units
from openane.sim.decoded_task import DecodedOperand

Index = tuple[int, ...]
"""(group, depth, channel, row, column)."""
_ONE = 1 << 24
"""Units of `fp16.units` in 1."""


def address(operand: DecodedOperand, index: Index) -> int:
    """Byte address of an element; an axis of extent 1 is repeated."""
    places = [i if n > 1 else 0 for i, n in zip(index, operand.extent, strict=True)]
    channel = 4 if operand.swapped else 2  # the axis whose neighbors are interleaved in memory
    places[channel], lane = divmod(places[channel], operand.interleave)
    return (
        operand.base
        + sum(place * stride for place, stride in zip(places, operand.strides, strict=True))
        + lane * operand.item_bytes
    )


def load(memory: bytes | bytearray, operand: DecodedOperand, index: Index) -> int:
    """The fp16 word of an element; an 8-bit integer becomes the fp16 of the same value."""
    at = address(operand, index)
    if operand.dtype is DType.FLOAT16:
        return int.from_bytes(memory[at : at + 2], "little")
    return nearest(load_integer(memory, operand, index))


def load_integer(memory: bytes | bytearray, operand: DecodedOperand, index: Index) -> int:
    """An 8-bit element."""
    at = address(operand, index)
    return int.from_bytes(memory[at : at + 1], "little", signed=operand.dtype is DType.INT8)


def store(memory: bytearray | memoryview, operand: DecodedOperand, index: Index, word: int) -> None:
    """Stores the fp16 word of a result; an 8-bit result is the nearest integer, ties to even, and saturates."""
    at = address(operand, index)
    if operand.dtype is DType.FLOAT16:
        memory[at : at + 2] = word.to_bytes(2, "little")
        return
    low, high = (-128, 127) if operand.dtype is DType.INT8 else (0, 255)
    memory[at] = min(max(round(units(word) / _ONE), low), high) & 0xFF
