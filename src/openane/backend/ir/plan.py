"""What the back end decides before it writes a word: tensors, operands and one :class:`TaskPlan` a task.

The way down is  Net -> fused Net (`fusion`) -> task plans (`units/*`, one file a family) -> places and addresses
(`allocate`) -> register words (`encode`) -> headers and text (`link`).

A family describes a task in the engine's own terms: a *view* (width, height, channels, depth, groups), the axes of a
tensor that each view axis walks along, and what the engine does. It need not know where a tensor lives: `allocate`
puts each tensor into DRAM or L2 and derives strides from the axes. Where Apple's compiler uses a particular L2
address or pitch the family may say so (`l2_base`, `l2_strides`); such addresses are relative to the family's block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from openane.core.origin import Origin
from openane.core.types import DType
from openane.net.net import TensorShape


class Axis(Enum):
    """An axis of a tensor or of a task's view. GROUP is the batch of a tensor, outermost."""

    WIDTH = "width"
    HEIGHT = "height"
    CHANNEL = "channel"
    DEPTH = "depth"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class View:
    """The extents a task works on (Common 0x00..0x18 and the groups of 0x24)."""

    width: int = 1
    height: int = 1
    channels: int = 1
    depth: int = 1
    groups: int = 1

    @classmethod
    def of(cls, shape: TensorShape) -> View:
        """The plain view: each axis of the tensor is the axis of the same name, batch is the groups."""
        return cls(shape.width, shape.height, shape.channels, shape.depth, shape.batch)

    def extent(self, axis: Axis) -> int:
        """The extent of one axis."""
        return {
            Axis.WIDTH: self.width,
            Axis.HEIGHT: self.height,
            Axis.CHANNEL: self.channels,
            Axis.DEPTH: self.depth,
            Axis.GROUP: self.groups,
        }[axis]


@dataclass(frozen=True, slots=True)
class Strides:
    """Distances in bytes between neighbors along the four outer axes; columns are 2 bytes apart.

    The channel stride is `plane` in the DMA blocks (0x13810, 0x1780C) and the first L2 word (0x480C, 0x4838).
    """

    channel: int = 0
    row: int = 0
    depth: int = 0
    group: int = 0

    def along(self, axis: Axis) -> int:
        """The stride of an axis; WIDTH is the element."""
        return {
            Axis.WIDTH: 2,
            Axis.HEIGHT: self.row,
            Axis.CHANNEL: self.channel,
            Axis.DEPTH: self.depth,
            Axis.GROUP: self.group,
        }[axis]


class TensorPlace(Enum):
    """Where a tensor lives."""

    INPUT = "input surface"
    OUTPUT = "output surface"
    CONSTANT = "constant section"
    SCRATCH = "scratch buffer in DRAM"
    RESIDENT = "L2"
    #: In L2 with an address in the scratch buffer that no DMA uses: how Apple hands a prepared matmul operand over
    #: a group border.
    HANDOVER = "L2 with a scratch address"
    #: The allocator chooses RESIDENT when the tensor fits over its whole life, else SCRATCH.
    AUTO = "to be chosen"


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """Something a task writes or reads.

    Attributes:
        name: unique in the program.
        shape: of the whole tensor; DRAM strides follow from it (`surfaces.dram_strides`).
        place: where it lives, or AUTO.
        dtype: element type in DRAM.
        l2_strides: the L2 strides for the axes of `shape`, if the family fixes them; None: encoding.md#bank-rule.
        l2_base: L2 address relative to the block of the task that writes it; None: the allocator chooses.
        part_of: the tensor whose memory this one shares (concat), else empty; `part_offset` is its first channel there.
        part_offset: first (group, depth, channel, row) inside `part_of`.
        constant: fp16 words of a constant tensor laid out as its DRAM surface.
        interleave: channels side by side in DRAM; only whole tensors are read and written then.
    """

    name: str
    shape: TensorShape
    place: TensorPlace = TensorPlace.AUTO
    dtype: DType = DType.FLOAT16
    l2_strides: Strides | None = None
    l2_base: int | None = None
    part_of: str = ""
    part_offset: tuple[int, int, int, int] = (0, 0, 0, 0)
    constant: np.ndarray | None = field(default=None, compare=False)
    interleave: int = 1


#: Four numbers for the outer axes: group, depth, channel, row.
Quad = tuple[int, int, int, int]


def quad(numbers: Iterable[int]) -> Quad:
    """Exactly four numbers."""
    group, depth, channel, row = numbers
    return (group, depth, channel, row)


#: View axis -> tensor axis, for an operand whose axes are named alike.
PLAIN: Mapping[Axis, Axis] = {axis: axis for axis in Axis}


@dataclass(frozen=True, slots=True)
class TaskOperand:
    """A tensor, or a part of it, as one task sees it.

    Attributes:
        tensor: its name.
        axes: view axis -> tensor axis it walks along. A view axis that is missing has extent 1; its stride word is then
            the size of the whole tensor, as Apple's compiler writes it.
        shape: reads the bytes of the DRAM tensor under another shape with the same rows (reshape); None: its own.
            Such an operand cannot be resident unless the two shapes differ only in axes of extent 1.
        offset: first (group, depth, channel, row) of the part, in the axes of the tensor (or of `shape`).
        column: first column of the part; in DRAM a multiple of 32.
        step: distance of neighbors along (group, depth, channel, row).
        column_step: columns from neighbor to neighbor along a view axis, other than WIDTH, that walks along columns
            (the parts of a row as channels or rows).
        group_channels: channels from one group to the next, of a grouped convolution; 0: GROUP is the batch.
        swapped: channel and column are swapped in memory (Common 0x30 bits 0x100, 0x200; Cfg bit 28 or 0x400 of a
            result).
        repeats: axes on which this source has size 1 and is repeated (Common 0x30 low bits).
        relu: the source is rectified while it is loaded (0x4800).
        keep: name of the resident tensor that the staged copy of this DRAM source becomes, else empty.
        staging_base: L2 address of the staged copy relative to the block; None: rule of encoding.md#l2-allocation.
        staging: L2 strides of the staged copy in the task's view; None: rule of 6.1.
        dram: the four DMA stride words, when no rule gives them.
        l2: the four L2 stride words of a resident tensor, when the axes do not give them.
        read_again: a later task reads the same DRAM tensor once more (cache hint: 0x13800 = 0x3BB81).
        reread: an earlier task of the block read it from DRAM (cache hint: 0x33B01).
    """

    tensor: str
    axes: Mapping[Axis, Axis] = field(default_factory=lambda: PLAIN)
    shape: TensorShape | None = None
    offset: tuple[int, int, int, int] = (0, 0, 0, 0)
    column: int = 0
    step: tuple[int, int, int, int] = (1, 1, 1, 1)
    column_step: int = 1
    group_channels: int = 0
    swapped: bool = False
    repeats: frozenset[Axis] = frozenset()
    relu: bool = False
    keep: str = ""
    staging_base: int | None = None
    staging: Strides | None = None
    dram: Strides | None = None
    l2: Strides | None = None
    read_again: bool = False
    reread: bool = False


class NeMode(Enum):
    """What the MAC engine does with its source."""

    CONVOLUTION = "convolution"
    ACCUMULATE = "accumulate"
    """Passes x through the accumulator, x + AccBias; with one output channel: the sum over channels."""
    MULTIPLY = "multiply"
    """Products of channel pairs (2i, 2i + 1)."""
    CHANNEL_MAX = "channel maximum"
    BYPASS = "bypass"


class Nonlinearity(Enum):
    """The last step of a task of the MAC engine."""

    NONE = "none"
    RELU = "relu"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class NeWork:
    """What the MAC engine does: y = nonlinearity((acc + bias + accumulate_bias) * post_scale).

    Attributes:
        mode: see :class:`NeMode`.
        nonlinearity: none, ReLU, or the table of the task's kernel.
        accumulate_bias: AccBias (0xC80C), fp16.
        post_scale: PostScale (0xC810), fp16.
        kernel_width, kernel_height: taps, 1 without a kernel.
        stride: (x, y); 1 or 2 on both axes as Apple writes them.
        pad_left, pad_top: zeros in front; those after follow from the extents.
        pairs: two neighboring outputs are computed at each second column (Ox = 2), of a depthwise kernel of stride 1.
    """

    mode: NeMode = NeMode.BYPASS
    nonlinearity: Nonlinearity = Nonlinearity.NONE
    accumulate_bias: float = 0.0
    post_scale: float = 1.0
    kernel_width: int = 1
    kernel_height: int = 1
    stride: tuple[int, int] = (1, 1)
    pad_left: int = 0
    pad_top: int = 0
    pairs: bool = False


class PeMode(Enum):
    """The shape of a planar operation."""

    POOLING = "pooling"
    """Windowed pooling: no record (docs/assumptions.md, A1)."""
    UNARY = "unary"
    BINARY = "binary"
    ROWS = "rows"
    """The second source holds bias and scale rows, or mean and deviation."""
    REDUCTION = "reduction"
    VARIANCE = "variance"


class PeArithmetic(Enum):
    """How the planar engine joins its sources."""

    ADD = "add"
    MULTIPLY = "multiply"
    MAX = "max"
    MIN = "min"
    SQUARE_SUM = "square of the sum"


class PePool(Enum):
    """How a planar reduction combines values; SUM is also the value of tasks that do not reduce."""

    SUM = "sum"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class PeWork:
    """What the planar engine does: y = final_scale * (scale * op(pre_scale * a, b) + bias), then 1/y, then ReLU.

    Attributes:
        mode: see :class:`PeMode`.
        operation: of the two sources.
        pool: how a reduction combines values.
        relu, absolute, reciprocal: result rectified, |.| after the operation, 1/y.
        reciprocal_root: 1 / sqrt(y + epsilon) in place of 1/y.
        subtract: the second source is negated.
        negate_first: the first source is negated (the mean of a variance).
        scale, bias, pre_scale, epsilon: fp16; final_scale: fp32.
        kernel, stride, pad: (x, y) of a pooling window.
    """

    mode: PeMode
    operation: PeArithmetic = PeArithmetic.ADD
    pool: PePool = PePool.SUM
    relu: bool = False
    absolute: bool = False
    reciprocal: bool = False
    subtract: bool = False
    scale: float = 1.0
    bias: float = 0.0
    pre_scale: float = 1.0
    epsilon: float = 0.0
    final_scale: float = 1.0
    reciprocal_root: bool = False
    negate_first: bool = False
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """What the coefficient lanes of a NE task load.

    Attributes:
        lanes: one byte string a lane, each a multiple of 64 bytes (bias, weights; the table is in front).
            For a table alone: one string of 128 bytes and `table_lanes` lanes that share it.
        table_lanes: lanes that load the one shared table; 0 when `lanes` has a string per lane.
        sparse: zeros are left out after masks.
        palette_bits: bits of an index into the palette of a lane; 0 without one.
        bias: the streams begin with bias fp16 words.
        group_channels: output channels a lane computes in one round; OCGSize is its log2, rounded up.
        source: the tensor that is read as kernel at run time instead of constants; then `lane_bytes` counts.
        part: number of this slice of the unit's output channels; equal slices are stored each.
        pole: the table has a pole (sqrt, rsqrt, reciprocal, log2), which header word 4 shows.
        source_offset_bytes: where the kernel begins in that tensor in DRAM.
        lane_bytes: bytes a lane of a run-time kernel.
        lane_count: lanes of a run-time kernel.
    """

    lanes: tuple[bytes, ...] = ()
    table_lanes: int = 0
    sparse: bool = False
    bias: bool = False
    group_channels: int = 1
    source: str = ""
    part: int = 0
    pole: bool = False
    source_offset_bytes: int = 0
    lane_bytes: int = 0
    lane_count: int = 0
    palette_bits: int = 0

    @property
    def count(self) -> int:
        """Enabled coefficient lanes."""
        return self.lane_count or self.table_lanes or len(self.lanes)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Schedule-only choices where a rule does not give Apple's; None takes the rule. They never change a result.

    Attributes:
        tile_height: Common 0x28.
        pe_tile: Common 0x2C of a PE task.
        patch: (preferred, smallest, largest) shape codes in Common 0x34 of a NE task.
        small_source: Common 0x34 bit 2.
        result_buffered: bit 26 of 0x17800 and bit 3 of 0x4830.
        result_type: type bits of 0x4830 for swapped PE results (1).
        streams: False keeps the task from following its producer tile by tile where it could, True lets it; None:
            the rule.
        kernel_result: the result of a planar task is the kernel of a later one (hints of 0x17800; one record).
    """

    tile_height: int | None = None
    pe_tile: int | None = None
    patch: tuple[int, int, int] | None = None
    small_source: bool | None = None
    result_buffered: bool | None = None
    result_type: int | None = None
    lanes_log2: int | None = None
    streams: bool | None = None
    kernel_result: bool = False


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task, before addresses and words.

    Attributes:
        work: what the engine does; its class says which engine.
        view: extents of the input; `channels` are those of this task (per group for a grouped convolution).
        result_view: extents of the result, as Common 0x10..0x18 shows them (before a swap; a reduction keeps the input
            size in 0x14: give the words Apple writes).
        sources: one or two; the second one only on a PE task.
        result: what is written.
        kernel: of a NE task.
        unicast: GroupConvCfg bit 14 (each channel for itself: elementwise, copies, depthwise).
        lane_inputs: input channels that a lane has for itself, of tasks that combine several into one; None: all, or
            one with `unicast`.
        new_group: the task begins a group (slices of a convolution that read their input from DRAM again).
        interleave: channels side by side in the DRAM result (M/16 of a run-time kernel), 1 otherwise.
    """

    work: NeWork | PeWork
    view: View
    result_view: View
    sources: tuple[TaskOperand, ...]
    result: TaskOperand
    kernel: KernelPlan | None = None
    unicast: bool = False
    lane_inputs: int | None = None
    interleave: int = 1
    new_group: bool = False
    tuning: Tuning = Tuning()
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def positions(self) -> int:
        """Columns at which the engine works: those of the result, or their pairs."""
        paired = isinstance(self.work, NeWork) and self.work.pairs
        return -(-self.result_view.width // 2) if paired else self.result_view.width

    @property
    def is_ne(self) -> bool:
        """Whether the MAC engine runs this task; otherwise the planar engine does."""
        return isinstance(self.work, NeWork)

    def with_origin(self, origin: Origin) -> TaskPlan:
        """The same task with an origin."""
        return replace(self, origin=origin)


@dataclass(frozen=True, slots=True)
class L2Block:
    """The tasks of one fused unit: they share one L2 origin for relative addresses.

    Attributes:
        tasks: in execution order.
        unit: name of the unit they compute.
    """

    tasks: tuple[TaskPlan, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ProgramPlan:
    """A whole program before addresses.

    Attributes:
        name: of the network.
        blocks: in execution order.
        tensors: every tensor by name.
        inputs: names of input tensors in the order of the network.
        outputs: name of the output -> the tensor that is its surface, in the order of the network.
    """

    name: str
    blocks: tuple[L2Block, ...]
    tensors: Mapping[str, PlannedTensor]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TileShape:
    """How a task is cut.

    Attributes:
        rows: output rows per tile.
        whole: nothing is cut.
        columns: columns a tile, 0 when rows are whole.
        result_rows: rows of the result that L2 holds on their way to DRAM; 0: those of a tile.
    """

    rows: int
    whole: bool = True
    columns: int = 0
    result_rows: int = 0
