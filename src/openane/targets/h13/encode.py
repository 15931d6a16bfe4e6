"""Register words of a task, from its plan, its addresses and its place in the schedule (encoding.md).

Every word is computed from the geometry by a rule; fields are those declared in `registers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from openane.backend.alloc.order import Ordering, Wait, has_address
from openane.backend.ir.placement import PlacedTask, Spot
from openane.backend.ir.plan import (
    Axis,
    NeMode,
    NeWork,
    Nonlinearity,
    PeArithmetic,
    PeMode,
    PePool,
    PeWork,
    Strides,
    TaskOperand,
    TaskPlan,
)
from openane.backend.machine import Dialect
from openane.core.types import DType
from openane.program.fields import Value
from openane.program.task import Burst
from openane.targets.h13 import macos11
from openane.targets.h13.patch_shape import patch_config, planar_tile
from openane.targets.h13.registers import REGISTERS, codes
from openane.targets.h13.registers.codes import (
    ElementFormat,
    NeNonlinear,
    NeOperation,
    PePoolMode,
    RepeatedAxes,
    ResultType,
    SecondSource,
    SourceType,
    TaskType,
)
from openane.targets.h13.spec import MACHINE, MACOS11

Fields = dict[str, Value]

#: Element codes of ChCfg and of the DMA formats; the codes of the 8-bit types are not settled (formats.md#net-plist).
ELEMENT_CODES: Mapping[DType, ElementFormat] = {
    DType.UINT8: ElementFormat.UINT8,
    DType.INT8: ElementFormat.INT8,
    DType.FLOAT16: ElementFormat.FP16,
}
_REPEAT_BITS = {
    Axis.WIDTH: RepeatedAxes.W,
    Axis.HEIGHT: RepeatedAxes.H,
    Axis.DEPTH: RepeatedAxes.D,
    Axis.CHANNEL: RepeatedAxes.C,
}
_TASK_TYPES = {
    PeMode.POOLING: TaskType.PE_POOL,
    PeMode.UNARY: TaskType.PE_UNARY,
    PeMode.BINARY: TaskType.PE_BINARY,
    PeMode.ROWS: TaskType.PE_BINARY_ROWS,
    PeMode.REDUCTION: TaskType.PE_REDUCTION,
    PeMode.VARIANCE: TaskType.PE_VARIANCE,
}
_PE_OPERATIONS = {
    PeArithmetic.ADD: codes.PeOperation.ADD,
    PeArithmetic.MULTIPLY: codes.PeOperation.MUL,
    PeArithmetic.MAX: codes.PeOperation.MAX,
    PeArithmetic.MIN: codes.PeOperation.MIN,
    PeArithmetic.SQUARE_SUM: codes.PeOperation.SUMSQ,
}
_POOL_MODES = {PePool.SUM: PePoolMode.SUM, PePool.AVERAGE: PePoolMode.AVERAGE, PePool.MAX: PePoolMode.MAX}
_NE_OPERATIONS = {
    NeMode.CONVOLUTION: NeOperation.CONV,
    NeMode.ACCUMULATE: NeOperation.CONV,
    NeMode.MULTIPLY: NeOperation.MULTIPLY,
    NeMode.CHANNEL_MAX: NeOperation.MAXIMUM,
    NeMode.BYPASS: NeOperation.BYPASS,
}
_NONLINEAR = {
    Nonlinearity.NONE: NeNonlinear.NONE,
    Nonlinearity.RELU: NeNonlinear.RELU,
    Nonlinearity.TABLE: NeNonlinear.TABLE,
}
#: Alias and dependency bits of the L2 configuration words.
_WAIT_BITS: Mapping[Wait, int] = {
    Wait.NE_SOURCE: 0x10,
    Wait.NE_RESULT: 0x20,
    Wait.PE_SOURCE: 0x100000,
    Wait.PE_RESULT: 0x400000,
    Wait.FOLLOW_NE: 0x4,
    Wait.FOLLOW_PE: 0x8,
}
#: Words of KernelDMASrc before and after the coefficient bases and sizes, which compact tasks leave out.
_COMPACT_HEAD, _COMPACT_TAIL = 18, 50


def log2_ceil(value: int) -> int:
    """The smallest n with 2^n >= value."""
    return max(value - 1, 0).bit_length()


def bursts(
    task: PlacedTask,
    ordering: Ordering,
    dtypes: tuple[DType, DType],
    lanes: tuple[tuple[int, int], ...],
    stream_patch: int | None,
    dialect: Dialect,
) -> tuple[Burst, ...]:
    """The register stream of a task.

    Args:
        task: with addresses.
        ordering: its schedule words.
        dtypes: element types of the first source and of the result in DRAM.
        lanes: (offset, size) in bytes of each enabled coefficient lane.
        stream_patch: preferred patch of the NE task that a planar task streams with, else None.
        dialect: whether tasks without coefficients take the compact form.
    """
    words = {
        "KernelDMASrc": kernel_dma(task.plan, lanes),
        "Common": common(task, ordering, dtypes, stream_patch),
        "TileDMASrc": tile_dma_source(task, ordering, dtypes[0]),
        "L2": l2(task, ordering),
        "PE": planar(task.plan),
        "NE": neural(task.plan, ordering),
        "TileDMADst": tile_dma_result(task, dtypes[1]),
    }
    if dialect.encoding == MACOS11:
        macos11.adapt(words, task, ordering)
    stream = []
    for block in REGISTERS.blocks:
        encoded = block.encode(words[block.name])
        if block.name == "KernelDMASrc" and dialect.compact and not lanes:
            stream.append(Burst(block.base, encoded[:_COMPACT_HEAD]))
            stream.append(Burst(block.base + 4 * _COMPACT_TAIL, encoded[_COMPACT_TAIL:]))
        else:
            stream.append(Burst(block.base, encoded))
    return tuple(stream)


def kernel_dma(plan: TaskPlan, lanes: tuple[tuple[int, int], ...]) -> Fields:
    """KernelDMASrc: one stream per lane (encoding.md#kernel-registers)."""
    fields: Fields = {"MasterEnable": int(bool(lanes))}
    if plan.kernel and plan.kernel.sparse:
        fields["SparseEnable"] = 1
    for lane, (offset, size) in enumerate(lanes):
        fields[f"CoeffDMAConfig[{lane}].En"] = 1
        fields[f"CoeffBaseAddr[{lane}].Addr"] = offset
        fields[f"CoeffBfrSize[{lane}].MemBfrSize"] = size
    return fields


def common(task: PlacedTask, ordering: Ordering, dtypes: tuple[DType, DType], stream_patch: int | None) -> Fields:
    """Common: extents, kernel geometry, flags and engine choice (encoding.md#common-block)."""
    plan = task.plan
    view, result = plan.view, plan.result_view
    two = len(plan.sources) > 1
    fields: Fields = {
        "Win": view.width,
        "Hin": view.height,
        "Din": view.depth,
        "InFmt": ELEMENT_CODES[dtypes[0]],
        "Src2InFmt": ELEMENT_CODES[DType.FLOAT16] if two else 0,
        "OutFmt": ELEMENT_CODES[dtypes[1]],
        "Cin": view.channels,
        "Cout": result.channels,
        "Wout": plan.positions,
        "Hout": result.height,
        "Dout": result.depth,
        "TileHeight": task.tile.rows,
    }
    fields |= _groups(plan)
    fields |= _axes_flags(plan)
    if isinstance(plan.work, NeWork):
        fields |= _ne_geometry(plan, plan.work)
        fields |= patch_config(task, ordering)
        fields |= {"TaskInfo.NID": 1, "Category": _power_category(plan.work)}
    else:
        fields |= _pe_geometry(plan.work)
        width, height = planar_tile(plan, stream_patch)
        fields |= {"PatchWidth": width, "PatchHeight": height, "TaskType": _TASK_TYPES[plan.work.mode], "Src1Tiled": 1}
        second_dma = two and task.sources[1].dma
        fields |= {"Src1Tiled": int(task.sources[0].dma or not second_dma), "Src2Tiled": int(second_dma)}
    return fields


def _groups(plan: TaskPlan) -> Fields:
    return {
        "NumGroups": plan.view.groups,
        "UnicastEn": int(plan.unicast or plan.lane_inputs is not None),
        "UnicastCin": plan.lane_inputs or 1,
        "ElemMultMode": int(isinstance(plan.work, NeWork) and plan.work.mode is NeMode.MULTIPLY),
    }


def _axes_flags(plan: TaskPlan) -> Fields:
    fields: Fields = {}
    for number, source in enumerate(plan.sources, 1):
        fields[f"Src{number}Broadcast"] = sum(_REPEAT_BITS[axis] for axis in source.repeats if axis in _REPEAT_BITS)
        fields[f"Src{number}Transpose"] = int(source.swapped)
    if isinstance(plan.work, PeWork):
        fields["OutTranspose"] = int(plan.result.swapped)
    return fields


def _ne_geometry(plan: TaskPlan, work: NeWork) -> Fields:
    group = plan.kernel.group_channels if plan.kernel else 1
    return {
        "Kw": work.kernel_width,
        "Kh": work.kernel_height,
        "Sx": work.stride[0] * (1 + work.pairs),
        "Ox": 1 + work.pairs,
        "Sy": work.stride[1],
        "Px": work.pad_left,
        "Py": work.pad_top,
        "OCGSize": log2_ceil(group),
    }


def _pe_geometry(work: PeWork) -> Fields:
    if work.mode is not PeMode.POOLING:
        return {}
    return {
        "Kw": work.kernel[0],
        "Kh": work.kernel[1],
        "Sx": work.stride[0],
        "Sy": work.stride[1],
        "Px": work.pad[0],
        "Py": work.pad[1],
    }


def _power_category(work: NeWork) -> int:
    return {NeMode.ACCUMULATE: 1, NeMode.MULTIPLY: 2}.get(work.mode, 0)


def tile_dma_source(task: PlacedTask, ordering: Ordering, dtype: DType) -> Fields:
    """TileDMASrc: which sources come from DRAM, and their strides (encoding.md#tile-dma)."""
    plan, first = task.plan, task.sources[0]
    second = task.sources[1] if len(task.sources) > 1 else None
    fields: Fields = {f"DMAConfig.{name}": value for name, value in _source_config(task, ordering).items()}
    if second is not None and second.dma and not first.dma:
        fields["DMAConfig.En"] = 1
    hints = {"CacheHint": 2, "CacheHintReuse": 2, "CacheHintNoReuse": 2}
    if second is not None and second.dma:
        hints |= {"CacheHintReuse": 14, "CacheHintNoReuse": 14 if plan.sources[1].read_again else 12}
        hints |= {"CacheHint": 14} if plan.sources[1].read_again else {}
    fields |= {f"Src2DMAConfig.{name}": value for name, value in hints.items()}
    if has_address(first):
        fields |= _stride_fields("", first.dram)
        fields |= {"Fmt.FmtMode": _width_mode(dtype), "Fmt.Truncate": 3, "Fmt.MemFmt": ELEMENT_CODES[dtype]}
        fields |= {"Fmt.Interleave": first.interleave}
    if first.dma:
        fields["BaseAddr.Addr"] = first.dram_base
    if second is not None and second.dma:
        fields |= _stride_fields("Src2", second.dram)
        fields |= {"Src2BaseAddr.Addr": second.dram_base}
        fields |= {"Src2Fmt.Truncate": 3, "Src2Fmt.MemFmt": 2}
        if not has_address(first):  # source 2 has no interleave of its own (encoding.md#softmax)
            fields |= {"Fmt.FmtMode": 1, "Fmt.Interleave": second.interleave}
    return fields


def _width_mode(dtype: DType) -> int:
    return 1 if dtype is DType.FLOAT16 else 0


def _source_config(task: PlacedTask, ordering: Ordering) -> dict[str, int]:
    """0x33881 from DRAM, 0x3BB81 and 0x33B01 when read twice, 0x53901 after a write of this program, 0x8880 else."""
    first, operand = task.sources[0], task.plan.sources[0]
    hints = {"CacheHint": 2, "CacheHintReuse": 2, "CacheHintNoReuse": 2}
    if not first.dma:
        return hints | {"DependencyMode": int(first.buffer == MACHINE.buffers.scratch)}
    hints |= {"En": 1, "CacheHintReuse": 14, "CacheHintNoReuse": 12}
    if operand.read_again:
        hints |= {"CacheHint": 14, "CacheHintNoReuse": 14}
    elif operand.reread:
        hints |= {"CacheHint": 12}
    elif ordering.depends:
        hints |= {"CacheHint": 4, "CacheHintNoReuse": 4, "DependencyMode": 1}
    return hints


def _stride_fields(prefix: str, strides: Strides) -> Fields:
    return {
        f"{prefix}RowStride.Stride": strides.row,
        f"{prefix}PlaneStride.Stride": strides.channel,
        f"{prefix}DepthStride.Stride": strides.depth,
        f"{prefix}GroupStride.Stride": strides.group,
    }


def l2(task: PlacedTask, ordering: Ordering) -> Fields:
    """L2: types, waits, addresses and pitches of both sources and the result (encoding.md#l2)."""
    plan, first = task.plan, task.sources[0]
    fields: Fields = {"InputReLU": int(plan.sources[0].relu), "PaddingMode": int(_is_maximum(plan))}
    if len(plan.sources) > 1:
        fields["Source2ReLU"] = int(plan.sources[1].relu)
    second_dma = len(task.sources) > 1 and task.sources[1].dma
    source = REGISTERS["L2.SourceCfg"].encode(
        SourceType=_source_type(first, plan.sources[0]),
        DMAFmt=int(has_address(first) or second_dma),
        DMAInterleave=max(spot.interleave for spot in task.sources),
        Source2Dram=int(second_dma),
    )
    fields |= _word("SourceCfg", source | _wait_bits(ordering.source_waits))
    for prefix, spot, operand in zip(("Source", "Source2"), task.sources, plan.sources, strict=False):
        fields |= _l2_fields(prefix, spot, operand, plan)
    fields |= _word("ResultCfg", _result_type(task) | _wait_bits(ordering.result_waits))
    fields["ResultBase.Addr"] = task.result.l2_base
    strides = task.result.l2
    fields |= {"ConvResultChannelStride.Stride": strides.channel, "ConvResultRowStride.Stride": strides.row}
    fields |= {"ResultDepthStride.Stride": strides.depth}
    fields |= {"ResultGroupStride.Stride": strides.group if plan.result_view.groups > 1 or task.result.dma else 0}
    return fields


def _wait_bits(waits: Wait) -> int:
    return sum(bit for wait, bit in _WAIT_BITS.items() if wait in waits)


def _word(register: str, word: int) -> Fields:
    return {f"{register}.{name}": value for name, value in REGISTERS[f"L2.{register}"].decode(word).items()}


def _source_type(spot: Spot, operand: TaskOperand) -> int:
    if not spot.dma:
        return SourceType.RESIDENT
    return SourceType.DRAM_KEPT if operand.keep else SourceType.DRAM


def _result_type(task: PlacedTask) -> int:
    plan = task.plan
    tuning = plan.tuning
    kind: int = ResultType.RESIDENT
    if task.result.dma:
        kind = tuning.result_type if tuning.result_type is not None else ResultType.DRAM
    buffered = tuning.result_buffered if task.result.dma else False
    if buffered is None:
        buffered = task.result.dma and kind == ResultType.DRAM and not task.tile.columns and not task.result.l2.row
    return REGISTERS["L2.ResultCfg"].encode(
        ResultType=kind, L2BfrMode=int(buffered), DMAFmt=1, DMAInterleave=plan.interleave
    )


def _l2_fields(prefix: str, spot: Spot, operand: TaskOperand, plan: TaskPlan) -> Fields:
    grouped = plan.view.groups > 1 and Axis.GROUP not in operand.repeats
    group = spot.l2.group if spot.dma or grouped else 0
    return {
        f"{prefix}Base.Addr": spot.l2_base,
        f"{prefix}ChannelStride.Stride": spot.l2.channel,
        f"{prefix}RowStride.Stride": spot.l2.row,
        f"{prefix}DepthStride.Stride": spot.l2.depth,
        f"{prefix}GroupStride.Stride": group,
    }


def _is_maximum(plan: TaskPlan) -> bool:
    if isinstance(plan.work, NeWork):
        return plan.work.mode is NeMode.CHANNEL_MAX
    return plan.work.pool is PePool.MAX


def planar(plan: TaskPlan) -> Fields:
    """PE: operation, scales and bias; zero on NE tasks (encoding.md#engine-words)."""
    work = plan.work
    if isinstance(work, NeWork):
        return {}
    fields: Fields = {
        "PoolMode": _POOL_MODES[work.pool],
        "OpMode": _PE_OPERATIONS[work.operation],
        "ReluEn": int(work.relu),
        "Condition": int(work.absolute),
        "NLMode": codes.PeNonlinear.RSQRT if work.reciprocal_root else int(work.reciprocal),
        "FirstSrc": int(work.negate_first),
        "SecSrc": _second_source(work, len(plan.sources)),
    }
    fields |= {"Bias": float(work.bias), "Scale": float(work.scale), "PreScale": float(work.pre_scale)}
    return fields | {"Epsilon": float(work.epsilon), "FinalScale": float(work.final_scale)}


def _second_source(work: PeWork, sources: int) -> SecondSource:
    if sources < 2:
        return SecondSource.NONE
    return SecondSource.MINUS_SOURCE2 if work.subtract else SecondSource.SOURCE2


def neural(plan: TaskPlan, ordering: Ordering) -> Fields:
    """NE: kernel format, operation and scales (encoding.md#engine-words)."""
    fields: Fields = {"PESignal": int(ordering.signals), "PEWait": int(ordering.waits)}
    work, kernel = plan.work, plan.kernel
    if isinstance(work, PeWork):
        return fields
    if kernel is not None and kernel.palette_bits:
        fields |= {"PalettizedEn": 1, "PalettizedBits": kernel.palette_bits}
    fields |= {
        "KernelFmt": ElementFormat.FP16,
        "SparseFmt": int(kernel is not None and kernel.sparse),
        "RuntimeKernel": int(kernel is not None and bool(kernel.source)),
        "OpMode": _NE_OPERATIONS[work.mode],
        "KernelMode": int(work.mode is not NeMode.CONVOLUTION),
        "BiasMode": int(kernel is not None and kernel.bias),
        "BinaryPoint": 0x1C,
        "NonlinearMode": _NONLINEAR[work.nonlinearity],
        "AccBias.AccBias": float(work.accumulate_bias),
        "PostScale.PostScale": float(work.post_scale),
    }
    return fields


def tile_dma_result(task: PlacedTask, dtype: DType) -> Fields:
    """TileDMADst: where the result goes in DRAM (encoding.md#tile-dma)."""
    spot, plan = task.result, task.plan
    fields: Fields = {"CacheHint": 3, "En": int(spot.dma)}
    if spot.dma:
        fields["CacheHint"] = 15 if spot.buffer == MACHINE.buffers.scratch else 3
        fields["L2BfrMode"] = REGISTERS["L2.ResultCfg"]["L2BfrMode"].get(_result_type(task))
        if plan.tuning.kernel_result:
            fields |= {"DMAConfig.DependencyMode": 2, "DMAConfig.Unknown_24": 1}
        fields["BaseAddr.Addr"] = spot.dram_base
    if has_address(spot):
        fields |= {
            "RowStride": spot.dram.row,
            "PlaneStride": spot.dram.channel,
            "DepthStride": spot.dram.depth,
            "GroupStride": spot.dram.group,
            "FmtMode": _width_mode(dtype),
            "Truncate": 3,
            "MemFmt": ELEMENT_CODES[dtype],
            "ZeroPadLast": 1,
            "ZeroPadFirst": 1,
            "Interleave": plan.interleave,
        }
    return fields
