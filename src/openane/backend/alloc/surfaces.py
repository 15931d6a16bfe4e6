"""How a tensor is in DRAM (encoding.md#program: exact on 429 of 429 recorded tensors)."""

from __future__ import annotations

from openane.backend.ir.plan import Axis, PlannedTensor, Strides, TaskOperand
from openane.backend.machine import MachineSpec
from openane.net.net import TensorShape


def align(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


def row_bytes(machine: MachineSpec, width: int, element_bytes: int = 2) -> int:
    """Bytes from row to row: whole DMA units."""
    return align(element_bytes * width, machine.dma_alignment_bytes)


def dram_strides(machine: MachineSpec, shape: TensorShape, element_bytes: int = 2, interleave: int = 1) -> Strides:
    """Strides of a tensor in DRAM: rows, planes (of `interleave` channels), depths, batches, each inside the next."""
    row = row_bytes(machine, shape.width * interleave, element_bytes)
    plane = row * shape.height
    depth = plane * -(-shape.channels // interleave)
    return Strides(channel=plane, row=row, depth=depth, group=depth * shape.depth)


def dram_bytes(machine: MachineSpec, shape: TensorShape, element_bytes: int = 2, interleave: int = 1) -> int:
    """Bytes of the whole tensor in DRAM."""
    return dram_strides(machine, shape, element_bytes, interleave).group * shape.batch


def element_bytes(tensor: PlannedTensor) -> int:
    """Bytes of one element in DRAM."""
    return tensor.dtype.numpy.itemsize


def operand_base(operand: TaskOperand, strides: Strides) -> int:
    """Byte offset of the part an operand shows, for the strides of its tensor."""
    group, depth, channel, row = operand.offset
    base = group * strides.group + depth * strides.depth + channel * strides.channel + row * strides.row
    return base + 2 * operand.column


def walked(operand: TaskOperand, strides: Strides, missing: int) -> Strides:
    """The strides of the view axes, from those of the tensor's axes.

    Args:
        operand: says which tensor axis each view axis walks along, and in which steps.
        strides: of the tensor.
        missing: the word of a view axis that walks along nothing.
    """
    steps = dict(zip((Axis.GROUP, Axis.DEPTH, Axis.CHANNEL, Axis.HEIGHT), operand.step, strict=True))
    steps[Axis.WIDTH] = operand.column_step

    def stride(axis: Axis) -> int:
        source = operand.axes.get(axis)
        return missing if source is None else strides.along(source) * steps.get(source, 1)

    return Strides(
        channel=stride(Axis.CHANNEL),
        row=stride(Axis.HEIGHT),
        depth=stride(Axis.DEPTH),
        group=operand.group_channels * stride(Axis.CHANNEL) or stride(Axis.GROUP),
    )
