"""What an H13 task moves and computes, read from its registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from openane.backend.task_cost import FP16_KERNEL, Engine, Work, WorkKind
from openane.program import Task
from openane.targets.h13.read import TaskFields, kernel_form
from openane.targets.h13.spec import MACHINE

_VECTOR_KERNEL_MODE = 1
_READ_AGAIN = 14
"""CacheHint of a source that a later task reads again."""
_TABLE = 2
_TABLE_BYTES, _LANE_ALIGNMENT_BYTES = 128, 64


@dataclass(frozen=True)
class TaskFacts:
    """The numbers of a task that its cost is made of. Registers that are not written count as 0.

    Attributes:
        get: the fields of the task.
    """

    get: TaskFields

    def base(self, name: str) -> int:
        """A field of the header word with the buffers of sources and result."""
        return self.get("Header.Bases", name)

    @cached_property
    def width(self) -> int:
        """Input columns."""
        return self.get("Common.InDim", "Win")

    @cached_property
    def height(self) -> int:
        """Input rows."""
        return self.get("Common.InDim", "Hin")

    @cached_property
    def depth(self) -> int:
        """Input depth."""
        return self.get("Common.InDepth", "Din")

    @cached_property
    def output_width(self) -> int:
        """Output columns; a reduction keeps the input's."""
        return self.get("Common.OutDim", "Wout")

    @cached_property
    def output_height(self) -> int:
        """Output rows; a reduction keeps the input's."""
        return self.get("Common.OutDim", "Hout")

    @cached_property
    def channels(self) -> int:
        """Input channels of a group."""
        return self.get("Common.Cin", "Cin")

    @cached_property
    def channels_out(self) -> int:
        """Output channels of a group."""
        return self.get("Common.Cout", "Cout")

    @cached_property
    def groups(self) -> int:
        """Groups or batch."""
        return self.get("Common.GroupConvCfg", "NumGroups")

    @cached_property
    def planar_type(self) -> int:
        """0 for a task of the neural engine, else the shape of the planar operation."""
        return self.get("Common.Cfg", "TaskType")

    @cached_property
    def reduces(self) -> bool:
        """Whether a planar task is a reduction or a variance."""
        return self.planar_type in (5, 6)

    @cached_property
    def engines(self) -> int:
        """Multiply-accumulate engines at work."""
        return 0 if self.planar_type else 1 << self.get("Common.Cfg", "ActiveNE")

    @cached_property
    def has_weights(self) -> bool:
        """Whether the neural engine multiplies with a kernel stream."""
        return not self.planar_type and self.get("NE.MACCfg", "KernelMode") != _VECTOR_KERNEL_MODE

    @cached_property
    def has_table(self) -> bool:
        """Whether the neural engine ends with a lookup table."""
        return not self.planar_type and self.get("NE.MACCfg", "NonlinearMode") == _TABLE

    @cached_property
    def stream_bytes(self) -> int:
        """Bytes of all enabled kernel streams."""
        return sum(stream.size_bytes for stream in self.get.streams())

    @cached_property
    def reads_first(self) -> bool:
        """Whether source 1 comes from DRAM."""
        return bool(self.get("TileDMASrc.DMAConfig", "En") and self.base("RBE0"))

    @cached_property
    def reads_second(self) -> bool:
        """Whether source 2 comes from DRAM."""
        return bool(self.get("L2.SourceCfg", "Source2Dram"))

    @cached_property
    def writes(self) -> bool:
        """Whether the result goes to DRAM."""
        return bool(self.get("TileDMADst.DMAConfig", "En"))

    @cached_property
    def writes_scratch(self) -> bool:
        """Whether the result's buffer is the intermediate one."""
        return self.base("WBase") == MACHINE.buffers.scratch

    @cached_property
    def first_bytes(self) -> int:
        """The DRAM tensor after source 1, row padding included; 0 when it is not read."""
        if not self.reads_first:
            return 0
        return min(self._tensor_bytes("TileDMASrc", "", "Stride"), self._rows_read_bytes(self._repeats("Src1")))

    @cached_property
    def shared_bytes(self) -> int:
        """What tiles of source 1 read once more: the rows that two neighboring tiles of a kernel share.

        A source that a later task reads again counts once (one record each).
        """
        height, tile = self.output_height, self.get("Common.TileCfg", "TileHeight")
        again = self.get("TileDMASrc.DMAConfig", "CacheHint") == _READ_AGAIN
        if not self.reads_first or not self.has_weights or again or not 0 < tile < height:
            return 0
        kernel, stride, pad = (self.get("Common.ConvCfg", name) for name in ("Kh", "Sy", "Py"))
        kernel += kernel % 2 if stride == 2 else 0  # taps of stride 2 come in pairs
        rows = 0
        for first in range(0, height, tile):
            last = min(first + tile, height) - 1
            rows += min(last * stride - pad + kernel, self.height) - max(first * stride - pad, 0)
        return max(rows - self.height, 0) * (self.first_bytes // self.height)

    @cached_property
    def second_bytes(self) -> int:
        """The same of source 2."""
        if not self.reads_second:
            return 0
        return min(self._tensor_bytes("TileDMASrc", "Src2", "Stride"), self._rows_read_bytes(self._repeats("Src2")))

    def _repeats(self, source: str) -> int:
        """Axes along which a source of a planar task has one element."""
        return self.get("Common.PECfg", f"{source}Broadcast") if self.planar_type else 0

    def _rows_read_bytes(self, repeats: int) -> int:
        """Bytes of the rows that a task walks over, of a tensor of which it may read a part."""
        together = max(self.get("TileDMASrc.Fmt", "Interleave"), 1)
        width, height, depth, channels = (
            1 if repeats >> bit & 1 else extent
            for bit, extent in enumerate((self.width, self.height, self.depth, self.channels))
        )
        row = -(-2 * width * together // MACHINE.dma_alignment_bytes) * MACHINE.dma_alignment_bytes
        return row * height * depth * -(-channels // together) * max(self.groups, 1)

    @cached_property
    def result_bytes(self) -> int:
        """What this task writes to DRAM: of a tensor that several tasks write, its own part."""
        if not self.writes:
            return 0
        if self.get("Common.Cfg", "Transpose"):
            row = max(64, -(-2 * self.channels_out // 64) * 64)
            part = self.output_width * self.output_height * row
        else:
            part = self.channels_out * self.get("TileDMADst.PlaneStride", "PlaneStride") * max(1, self.groups)
        return min(self._tensor_bytes("TileDMADst", "", ""), part)

    def _tensor_bytes(self, block: str, source: str, field: str) -> int:
        """The largest stride of a DRAM tensor, that of a group for each group."""
        row, plane, depth, group = (
            self.get(f"{block}.{source}{axis}Stride", field or f"{axis}Stride")
            for axis in ("Row", "Plane", "Depth", "Group")
        )
        return max(row, plane, depth, group * self.groups)

    @cached_property
    def kernel_area(self) -> int:
        """Taps of the kernel."""
        return self.get("Common.ConvCfg", "Kw") * self.get("Common.ConvCfg", "Kh")

    @cached_property
    def kernel_channels(self) -> int:
        """Input channels that one output channel sums over."""
        own_channels = self.get("Common.GroupConvCfg", "UnicastEn")
        return self.get("Common.GroupConvCfg", "UnicastCin") if own_channels else self.channels

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the result."""
        if not self.has_weights:
            return 0
        pixels = self.output_width * self.output_height * max(1, self.groups)
        return self.kernel_channels * self.kernel_area * self.channels_out * pixels

    @cached_property
    def kernel_form(self) -> str:
        """How constant weights are stored; empty without any."""
        if not self.has_weights or not self.stream_bytes or self.get("NE.KernelCfg", "RuntimeKernel"):
            return ""
        return kernel_form(self.get)

    @cached_property
    def dense_kernel_bytes(self) -> int:
        """What the kernel streams would take as fp16: for each lane and group [table][bias, weights], padded."""
        lanes = sum(stream.size_bytes > 0 for stream in self.get.streams())
        per_lane = -(-self.channels_out // max(lanes, 1))
        words = self.kernel_channels * self.kernel_area + self.get("NE.MACCfg", "BiasMode")
        table = _TABLE_BYTES if self.has_table else 0
        block = -(-(2 * per_lane * words + table) // _LANE_ALIGNMENT_BYTES) * _LANE_ALIGNMENT_BYTES
        return lanes * block * max(1, self.groups)

    @cached_property
    def kind(self) -> WorkKind:
        """What the task does."""
        if self.planar_type:
            return WorkKind.REDUCTION if self.reduces else WorkKind.ELEMENTWISE
        if self.has_weights:
            return WorkKind.MATMUL if self.kernel_area == 1 else WorkKind.CONVOLUTION
        return WorkKind.TABLE if self.has_table else WorkKind.COPY


def work_of(task: Task) -> Work:
    """What a task moves and computes."""
    facts = TaskFacts(TaskFields.of(task))
    traffic = {"surface_in": 0, "surface_out": 0, "scratch": 0, "constant": 0}
    for moved, buffer in ((facts.first_bytes, facts.base("RBase0")), (facts.second_bytes, facts.base("RBase1"))):
        traffic[_place(buffer, "surface_in")] += moved
    traffic[_place(facts.base("WBase"), "surface_out")] += facts.result_bytes
    elements = facts.width * facts.height * facts.depth * facts.channels * max(1, facts.groups)
    return Work(
        name=str(task.origin),
        engine=Engine.PLANAR if facts.planar_type else Engine.NEURAL,
        kind=facts.kind,
        macs=facts.macs,
        elements=0 if facts.has_weights else elements,
        input_bytes=traffic["surface_in"],
        output_bytes=traffic["surface_out"],
        scratch_bytes=traffic["scratch"],
        weight_bytes=facts.stream_bytes + traffic["constant"],
        engines=facts.engines,
        kernel_form=facts.kernel_form,
        kernel_bytes=facts.stream_bytes,
        dense_kernel_bytes=facts.stream_bytes if facts.kernel_form == FP16_KERNEL else facts.dense_kernel_bytes,
    )


def _place(buffer: int, surface: str) -> str:
    """What a buffer index holds: a surface of the caller, constants, or an intermediate."""
    if buffer >= MACHINE.buffers.first_surface:
        return surface
    return "constant" if buffer <= MACHINE.buffers.constants else "scratch"
