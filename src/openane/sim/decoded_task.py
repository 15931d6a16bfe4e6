"""Work: what one task asks of the machine, in words that no chip generation owns.

A target decodes its registers into these descriptions; the rest of this package checks and executes them and never
sees a register. Extents are always (groups, depth, channels, height, width), strides bytes of the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import mul
from types import EllipsisType
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from openane.core.types import DType

Axes = tuple[int, int, int, int, int]


class MemorySpace(Enum):
    """A kind of memory."""

    DRAM = "dram"
    L2 = "l2"
    CHAIN = "chain"
    """The value goes from one task straight into the next."""


@dataclass(frozen=True, slots=True)
class DecodedOperand:
    """A tensor somewhere in memory.

    The byte address of element (g, d, c, y, x) is the base plus every index times its stride, where the
    channel counts in groups of `interleave`: (c // I) * stride_c + (c % I) * item, and neighbors in x are I items
    apart.

    Attributes:
        role: for messages: "source 1", "source 2", "result".
        space: kind of memory.
        buffer: index in the task header for DRAM, 0 otherwise.
        base: byte offset of the first element.
        extent: as stored; an axis on which the tensor is repeated has extent 1.
        strides: bytes; the stride of x is one item when the layout is plain, and another one when it is swapped.
        dtype: element type in memory.
        interleave: channels in memory that lie side by side.
        swapped: channels in memory are the columns x of the task; they are what is interleaved then.
        registers: where the address comes from, for messages.
    """

    role: str
    space: MemorySpace
    buffer: int
    base: int
    extent: Axes
    strides: Axes
    dtype: DType = DType.FLOAT16
    interleave: int = 1
    registers: str = ""
    swapped: bool = False

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return 2 if self.dtype is DType.FLOAT16 else self.dtype.numpy.itemsize

    @property
    def count(self) -> int:
        """Number of elements stored."""
        return math.prod(self.extent)

    @property
    def size_bytes(self) -> int:
        """Bytes of the elements, padding not counted."""
        return self.count * self.item_bytes

    @property
    def pieces(self) -> tuple[DecodedOperand, ...]:
        """The operand as plain strided tensors: one per place in a channel group."""
        if self.interleave == 1:
            return (self,)
        parts = []
        g, d, c, h, w = self.extent
        channels = w if self.swapped else c
        for place in range(min(self.interleave, channels)):
            count = len(range(place, channels, self.interleave))
            extent = (g, d, c, h, count) if self.swapped else (g, d, count, h, w)
            parts.append(replace(self, base=self.base + place * self.item_bytes, extent=extent, interleave=1))
        return tuple(parts)

    @property
    def end(self) -> int:
        """One past the last byte."""
        if self.interleave == 1:
            return self.base + sum(map(mul, self.extent, self.strides)) - sum(self.strides) + self.item_bytes
        steps = [(n - 1) * s for n, s in zip(self.extent, self.strides, strict=True)]
        axis = 4 if self.swapped else 2  # the last channel of the last group, or the last one of the group before
        channels, stride = self.extent[axis], self.strides[axis]
        steps[axis] = 0
        groups, last = divmod(channels - 1, self.interleave)
        ends = [groups * stride + last * self.item_bytes]
        if groups:
            ends.append((groups - 1) * stride + (self.interleave - 1) * self.item_bytes)
        return self.base + sum(steps) + max(ends) + self.item_bytes

    def piece_index(self, place: int) -> tuple[EllipsisType | slice, ...]:
        """The elements that piece `place` holds."""
        part = slice(place, None, self.interleave)
        return (..., part) if self.swapped else (..., part, slice(None), slice(None))


@dataclass(frozen=True, eq=False, slots=True)
class DecodedKernel:
    """What the coefficient memory holds for one task.

    Attributes:
        weights: fp16 bits, (groups, output channels, steps) in the order of the steps; None without weights.
        bias: fp16 bits, (groups * output channels,); None without bias.
        table: 128 bytes; None without a table.
    """

    weights: npt.NDArray[np.uint16] | None = None
    bias: npt.NDArray[np.uint16] | None = None
    table: bytes | None = None


class Lane(NamedTuple):
    """The stream of one neural engine.

    Attributes:
        engine: its number.
        offset: bytes from the start of the buffer.
        size_bytes: of the transfer.
    """

    engine: int
    offset: int
    size_bytes: int


class KernelSource(Protocol):
    """Where a kernel comes from and how its bytes are read; packing belongs to the target."""

    @property
    def buffer(self) -> int:
        """Index of the buffer."""
        ...

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The streams."""
        ...

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """(steps, 3): input channel within the group, kernel row, kernel column of each step, in stream order."""
        ...

    @property
    def step_count(self) -> int:
        """Length of `steps`, without building it."""
        ...

    @property
    def least_bytes(self) -> int:
        """Bytes that the lanes must hold at least, all together."""
        ...

    @property
    def element_bits(self) -> int:
        """Bits of a stored weight before palettes: 8 or 16."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether zeros are left out of the streams."""
        ...

    @property
    def plain(self) -> bool:
        """Whether the streams hold weights only, as fp16 fp16 words at even addresses."""
        ...

    @property
    def description(self) -> str:
        """Layout of the streams in one line, for the trace."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Bytes that hold weights and bias, of all lanes."""
        ...

    @property
    def table_bytes(self) -> int:
        """Bytes that hold tables, of all lanes."""
        ...

    @property
    def decoding_bytes(self) -> int:
        """Memory that `read` takes at most, its result included."""
        ...

    def used_bytes(self) -> Iterator[tuple[Lane, npt.NDArray[np.bool_]]]:
        """For each stream, which of its bytes `read` makes something of.

        Raises:
            FaultError: a stream is missing or shorter than its part of the kernel.
        """
        ...

    def read(self, memory: npt.NDArray[np.uint8], origin: int = 0) -> DecodedKernel:
        """Decodes the streams out of the buffer's bytes.

        Args:
            memory: bytes of the buffer, those of the streams at least.
            origin: address of the first of them in the buffer.

        Raises:
            FaultError: the stream is damaged or contradicts itself.
        """
        ...


class MacFunction(Enum):
    """What the MAC engine does after its scale."""

    LINEAR = 0
    RELU = 1
    TABLE = 2


class MacOperation(Enum):
    """How the MAC engine makes one output of its inputs."""

    CONVOLUTION = "convolution"
    TRANSPOSED = "transposed convolution"
    SUM = "sum"
    PRODUCT = "product"
    MAXIMUM = "maximum"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class MacWork:
    """A task of the MAC engine.

    Attributes:
        operation: see there.
        inputs_per_output: input channels of one output channel; 0 when every output sees all of its group.
        kernel_groups: kernels that follow one another; 1 when all groups share one.
        kernel: None when nothing is loaded.
        window: (rows, columns) of the kernel as stored.
        stride, pad: (rows, columns); pad is top and left.
        relu_in: ReLU on the way in.
        acc_bias, post_scale: as numbers, see `numerics.definition.epilogue`.
        function: after the scale.
        zero_binary_point: the task has binary point 0 and not -4; see `numerics.profile.ZeroBinaryPoint`.
    """

    operation: MacOperation
    inputs_per_output: int
    kernel_groups: int = 1
    kernel: KernelSource | None = None
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    relu_in: bool = False
    acc_bias: float = 0.0
    post_scale: float = 1.0
    function: MacFunction = MacFunction.LINEAR
    zero_binary_point: bool = False

    def with_kernel(self, kernel: KernelSource) -> MacWork:
        """The same work with another kernel; many times faster than `dataclasses.replace`."""
        return MacWork(
            self.operation, self.inputs_per_output, self.kernel_groups, kernel, self.window, self.stride, self.pad,
            self.relu_in, self.acc_bias, self.post_scale, self.function, self.zero_binary_point,
        )  # fmt: skip


class PlanarOperation(Enum):
    """How the planar engine joins two values."""

    ADD = 0
    MULTIPLY = 1
    MAXIMUM = 2
    MINIMUM = 3
    SQUARED_SUM = 4


class PlanarReduction(Enum):
    """How the planar engine joins the values of a window."""

    NONE = -1
    SUM = 0
    AVERAGE = 1
    MAXIMUM = 2
    MINIMUM = 3


class PlanarFunction(Enum):
    """What the planar engine does before its ReLU."""

    NONE = 0
    RECIPROCAL = 1
    RSQRT = 2


@dataclass(frozen=True, slots=True)
class PlanarWork:
    """A task of the planar engine.

    Per element: t = op(pre_scale * (first sign) a, (second sign) b), |t| if absolute; then the reduction; then
    y = f((t * scale + bias) * final_scale + epsilon), ReLU. With `rows`, source 2 holds two rows per channel and
    t = (a with row 0) * row 1 instead.

    Attributes:
        operation: how a and b are joined; source 2 may be absent.
        negate_first, negate_second: signs.
        rows: source 2 is a pair of rows.
        absolute: magnitude after the operation.
        reduction: over all of depth, height and width when `window` is None, else over windows.
        window, stride, pad: (rows, columns) of pooling.
        pre_scale, scale, bias, final_scale, epsilon: numbers.
        function: reciprocal or reciprocal square root.
        relu: at the end.
        relu_first, relu_second: ReLU while loading a source.
    """

    operation: PlanarOperation
    negate_first: bool = False
    negate_second: bool = False
    rows: bool = False
    absolute: bool = False
    reduction: PlanarReduction = PlanarReduction.NONE
    window: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    pre_scale: float = 1.0
    scale: float = 1.0
    bias: float = 0.0
    final_scale: float = 1.0
    epsilon: float = 0.0
    function: PlanarFunction = PlanarFunction.NONE
    relu: bool = False
    relu_first: bool = False
    relu_second: bool = False


@dataclass(frozen=True, slots=True)
class Staging:
    """A part of L2 that a DMA transfer of the task passes through; what stood there is lost.

    Attributes:
        role: which operand.
        base, end: bytes.
        registers: where the address comes from, for messages.
    """

    role: str
    base: int
    end: int
    registers: str = ""


@dataclass(frozen=True, slots=True)
class UnusedKernel:
    """Streams that a task loads and makes nothing of.

    Attributes:
        buffer: index of their buffer.
        lanes: the streams.
    """

    buffer: int
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class DecodedTask:
    """One task, decoded.

    Attributes:
        index: position in the chain.
        name: the user's layers, empty when unknown.
        engine: MAC or planar description.
        view: extents of the source as the engine walks them.
        result_view: extents of the result before any swap.
        sources: one or two.
        kept: where a source from DRAM stays in L2 for later tasks.
        result: where the result goes.
        staging: L2 that sources overwrite on their way.
        result_staging: L2 that the result overwrites on its way.
        unused_kernel: streams that are loaded for nothing.
        notes: findings that do not stop the run.
    """

    index: int
    name: str
    engine: MacWork | PlanarWork
    view: Axes
    result_view: Axes
    sources: tuple[DecodedOperand, ...]
    result: DecodedOperand
    kept: DecodedOperand | None = None
    staging: tuple[Staging, ...] = ()
    result_staging: Staging | None = None
    unused_kernel: UnusedKernel | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def where(self) -> str:
        """For messages."""
        unit = "NE" if isinstance(self.engine, MacWork) else "PE"
        layers = f", {self.name}" if self.name else ""
        return f"task {self.index} ({unit}{layers})"

    @property
    def elements(self) -> int:
        """Elements that the engine walks over."""
        return max(math.prod(self.view), math.prod(self.result_view))

    @property
    def macs(self) -> int:
        """Multiply-adds of the MAC engine, zeros of sparse kernels included."""
        if (
            not isinstance(self.engine, MacWork)
            or self.engine.kernel is None
            or self.engine.operation
            not in (
                MacOperation.CONVOLUTION,
                MacOperation.TRANSPOSED,
            )
        ):
            return 0
        return math.prod(self.result_view) * self.engine.kernel.step_count
