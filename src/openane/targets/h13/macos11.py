"""What the compiler of macOS 11 (zin 4.2.1) writes differently, read from its published programs.

None of it changes a result: unused registers stay zero, group strides are left out where there is one group, patches of
copies and tables follow another rule, and convolutions state the L2 layout of their result.
"""

from __future__ import annotations

from collections.abc import Mapping

from openane.backend.alloc.order import Ordering
from openane.backend.alloc.staging import explicit_result
from openane.backend.ir.placement import PlacedTask
from openane.backend.ir.plan import NeMode, NeWork, TaskPlan
from openane.program.fields import Value
from openane.targets.h13.spec import MACHINE

#: Block -> field -> value.
Words = Mapping[str, dict[str, Value]]

_STREAMS = ("Bias", "PostScale", "Palette", "NonLinearLut")
#: Rounds of this many channels fill both accumulator sets (32 channels do, 1 channel does not; between: not seen).
DOUBLE_BUFFER_CHANNELS = 32


def adapt(words: Words, task: PlacedTask, ordering: Ordering) -> None:
    """Changes the fields of a task to the habits of macOS 11, in place."""
    for stream in _STREAMS:
        words["KernelDMASrc"][f"{stream}BfrSize.MemBfrSize"] = 0
    _no_group_strides(words, task)
    if isinstance(task.plan.work, NeWork):
        _neural(words, task.plan, task.plan.work)
        if task.plan.work.mode is NeMode.CONVOLUTION and task.result.dma:
            _explicit_result(words, task)
        return
    _planar(words, task)


def _no_group_strides(words: Words, task: PlacedTask) -> None:
    if task.plan.view.groups > 1:
        return
    for name in ("GroupStride.Stride", "Src2GroupStride.Stride"):
        words["TileDMASrc"][name] = 0
    words["TileDMADst"]["GroupStride"] = 0


def _neural(words: Words, plan: TaskPlan, work: NeWork) -> None:
    group = plan.kernel.group_channels if plan.kernel else 1
    words["Common"]["AccDoubleBufEn"] = int(group < DOUBLE_BUFFER_CHANNELS)
    if work.mode is NeMode.CONVOLUTION:
        return
    width, height = plan.result_view.width, plan.result_view.height
    counts = [-(-width // (128 >> shape)) * -(-height // (1 << shape)) for shape in (0, 1)]
    least = 1 if counts[1] <= counts[0] else 0
    words["Common"] |= {"ShPref": 1, "ShMin": least, "ShMax": 1}
    words["NE"] |= {"KernelFmt": 0, "BinaryPoint": 0}


def _explicit_result(words: Words, task: PlacedTask) -> None:
    """The L2 layout of a convolution's result, with the row padding of planar tasks; no double buffering."""
    strides = explicit_result(MACHINE, task.plan, task.tile.columns)
    words["L2"] |= {
        "ResultCfg.L2BfrMode": 0,
        "ConvResultChannelStride.Stride": strides.channel,
        "ConvResultRowStride.Stride": strides.row,
        "ResultDepthStride.Stride": strides.depth,
        "ResultGroupStride.Stride": strides.group,
    }
    words["TileDMADst"]["L2BfrMode"] = 0


def _planar(words: Words, task: PlacedTask) -> None:
    for lane in range(MACHINE.lanes):
        words["KernelDMASrc"][f"CoeffDMAConfig[{lane}].CacheHint"] = 0
        words["KernelDMASrc"][f"CoeffBfrSize[{lane}].MemBfrSize"] = 0
    for stream in _STREAMS:
        words["KernelDMASrc"][f"{stream}DMAConfig.CacheHint"] = 0
    words["NE"] |= {"PalettizedBits": 0, "MACCfg.Unknown_20": 0}
    words["TileDMASrc"]["Unknown_0x13840.Unknown_8"] = int(not task.sources[0].dma)
    words["TileDMADst"] |= {"ZeroPadLast": 0, "ZeroPadFirst": 0}
