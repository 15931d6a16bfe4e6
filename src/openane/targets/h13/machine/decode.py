"""From the registers of one H13 task to a description of its work.

Meanings and their evidence stand in the register declarations (`targets.h13.registers`); what no record shows is
listed in docs/assumptions.md. Registers that a task does not write are 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.program import Task
from openane.sim.work import (
    Axes,
    Function,
    Lane,
    MacOperation,
    MacWork,
    Operand,
    PlanarFunction,
    PlanarOperation,
    PlanarWork,
    Reduction,
    Space,
    Staging,
    Work,
)
from openane.targets.h13.machine.kernels import FP16, KernelStreams, WeightFormat
from openane.targets.h13.registers import REGISTERS

ENGINES = 16
NE, PE_POOLING, PE_SINGLE, PE_DOUBLE, PE_ROWS, PE_REDUCTION, PE_VARIANCE = range(7)
"""Values of Common.Cfg.TaskType; 1 is assumption A1."""
RESIDENT, DRAM_KEPT, DRAM, CHAIN = range(4)
"""Values of SourceType and ResultType."""

_DTYPES: Mapping[int, DType] = MappingProxyType({0: DType.UINT8, 1: DType.INT8, 2: DType.FLOAT16})
_MAC_OPERATIONS: Mapping[tuple[int, int], MacOperation] = MappingProxyType(
    {
        (0, 0): MacOperation.CONVOLUTION,
        (5, 0): MacOperation.TRANSPOSED,  # assumption A6
        (0, 1): MacOperation.SUM,
        (2, 1): MacOperation.PRODUCT,
        (3, 1): MacOperation.MAXIMUM,
        (4, 1): MacOperation.PASS,
    }
)
_HALF_ZERO = (0x0000, 0x8000)


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a task by register path and field name."""

    words: Mapping[int, int]
    header: tuple[int, ...]
    where: str

    def word(self, path: str) -> int:
        register = REGISTERS[path]
        if path.startswith("Header."):
            return self.header[register.address // 4]
        return self.words.get(register.address, 0)

    def __call__(self, path: str, name: str) -> int:
        return REGISTERS[path][name].get(self.word(path))

    def half(self, path: str, name: str) -> float:
        """A field of 16 bits as the data path reads it: exponent 31 is 2^16."""
        bits = self(path, name)
        if bits & 0x7C00 == 0x7C00:
            return -65536.0 if bits == 0xFC00 else 65536.0
        return float(struct.unpack("<e", struct.pack("<H", bits))[0])

    def refuse(self, what: str, path: str, limit: object = "", hint: str = "") -> FaultError:
        return FaultError(what, where=f"{self.where}: {path}", value=f"{self.word(path):#x}", limit=limit, hint=hint)


def decode(task: Task, index: int) -> Work:
    """The work of a task.

    Raises:
        FaultError: a combination of registers that is not understood or makes no sense.
    """
    where = f"task {index}" + (f" ({task.origin})" if str(task.origin) else "")
    words = _Words(task.registers(), task.header, where)
    planar = words("Common.Cfg", "TaskType") != NE
    return _planar(words, task, index) if planar else _mac(words, task, index)


# Tensors -----------------------------------------------------------------------------------------------------------


def _extents(words: _Words) -> tuple[Axes, Axes]:
    groups = words("Common.GroupConvCfg", "NumGroups")
    view = (
        groups,
        words("Common.InDepth", "Din"),
        words("Common.Cin", "Cin"),
        words("Common.InDim", "Hin"),
        words("Common.InDim", "Win"),
    )
    result = (
        groups,
        words("Common.OutDepth", "Dout"),
        words("Common.Cout", "Cout"),
        words("Common.OutDim", "Hout"),
        words("Common.OutDim", "Wout"),
    )
    for path, extents in (("Common.InDim", view), ("Common.OutDim", result)):
        if min(extents) < 1:
            raise words.refuse(
                "an extent is zero", path, "groups, depth, channels, height, width of at least 1",
                f"Found {extents}; the hardware hangs on zero.",
            )  # fmt: skip
    return view, result


def _broadcast(extents: Axes, flags: int) -> Axes:
    """Extents as stored, with 1 on the repeated axes; flags: W 1, H 2, D 4, C 8."""
    g, d, c, h, w = extents
    return (g, 1 if flags & 4 else d, 1 if flags & 8 else c, 1 if flags & 2 else h, 1 if flags & 1 else w)


def _swap(strides: Axes) -> Axes:
    """Strides of a tensor that is stored with channel and column exchanged."""
    g, d, c, h, w = strides
    return (g, d, w, h, c)


def _dense(extents: Axes, item: int) -> Axes:
    strides, step = [], item
    for extent in reversed(extents):
        strides.append(step)
        step *= extent
    g, d, c, h, w = reversed(strides)
    return (g, d, c, h, w)


def _format(words: _Words, path: str, second: bool = False) -> tuple[DType, int]:
    """Element type and interleave of a tensor in DRAM."""
    memory = words(path, "MemFmt")
    fp16 = memory == FP16
    if memory not in _DTYPES or (
        fp16 and (words(path, "FmtMode") == second or words(path, "FmtMode") > 1 or words(path, "Truncate") != 3)
    ):
        raise words.refuse("element format is not understood", path, "fp16 (0x2031), uint8, int8")
    stated = words(path, "Interleave")
    if bool(stated) == second:  # 0 on source 2, the number itself elsewhere
        raise words.refuse("interleave is not understood", path, "0 on source 2, else 1 and above")
    return _DTYPES[memory], max(stated, 1)


def _source(words: _Words, number: int, extents: Axes, swapped: bool) -> Operand:
    second = number == 2
    kind = words("L2.SourceCfg", "SourceType")
    if second:
        kind = DRAM if words("L2.SourceCfg", "Source2Dram") else RESIDENT
    role = f"source {number}"
    if kind == CHAIN:
        return Operand(role, Space.CHAIN, 0, 0, extents, _dense(extents, 2), registers="L2.SourceCfg")
    if kind == RESIDENT:
        return _resident(
            words, role, "Source2" if second else "Source", extents, swapped, "Src2InFmt" if second else "InFmt"
        )
    if not words("TileDMASrc.DMAConfig", "En"):
        raise words.refuse("a source comes from DRAM and its DMA is off", "TileDMASrc.DMAConfig")
    base, enable = ("RBase1", "RBE1") if second else ("RBase0", "RBE0")
    if not words("Header.Bases", enable):
        raise words.refuse(f"{role} comes from DRAM and {enable} is off", "Header.Bases")
    prefix = "TileDMASrc.Src2" if second else "TileDMASrc."
    dtype, interleave = _format(words, f"{prefix}Fmt", second)
    item = dtype.numpy.itemsize
    strides = (
        words(f"{prefix}GroupStride", "Stride"),
        words(f"{prefix}DepthStride", "Stride"),
        words(f"{prefix}PlaneStride", "Stride"),
        words(f"{prefix}RowStride", "Stride"),
        item * interleave,
    )
    return Operand(
        role, Space.DRAM, words("Header.Bases", base), words(f"{prefix}BaseAddr", "Addr"), extents,
        _swap(strides) if swapped else strides, dtype, interleave, f"{prefix}BaseAddr",
    )  # fmt: skip


def _resident(words: _Words, role: str, prefix: str, extents: Axes, swapped: bool, format_field: str) -> Operand:
    """A tensor in L2."""
    code = words("Common.ChCfg", format_field)
    if code not in _DTYPES:
        raise words.refuse("element format is not understood", "Common.ChCfg", "0 uint8, 1 int8, 2 fp16")
    dtype = _DTYPES[code]
    result = prefix == "Result"
    strides = (
        words(f"L2.{prefix}GroupStride", "Stride"),
        words(f"L2.{prefix}DepthStride", "Stride"),
        words(f"L2.{'ConvResult' if result else prefix}ChannelStride", "Stride"),
        words(f"L2.{'ConvResult' if result else prefix}RowStride", "Stride"),
        dtype.numpy.itemsize,
    )
    if not result and not strides[0]:  # the same values for every group: a batch shares them
        extents = (1, *extents[1:])
    base = words(f"L2.{prefix}Base", "Addr")
    strides = _swap(strides) if swapped else strides
    return Operand(role, Space.L2, 0, base, extents, strides, dtype, 1, f"L2.{prefix}Base")


def _kept(words: _Words, extents: Axes) -> Operand | None:
    """Where source 1 stays in L2 for later tasks."""
    if words("L2.SourceCfg", "SourceType") != DRAM_KEPT:
        return None
    return _resident(words, "kept source", "Source", extents, False, "InFmt")


def _result(words: _Words, extents: Axes, swapped: bool) -> Operand:
    kind = words("L2.ResultCfg", "ResultType")
    if kind == CHAIN:
        return Operand("result", Space.CHAIN, 0, 0, extents, _dense(extents, 2), registers="L2.ResultCfg")
    if kind == RESIDENT:
        if words("TileDMADst.DMAConfig", "En"):
            raise words.refuse("the result stays in L2 and its DMA is on", "TileDMADst.DMAConfig")
        return _resident(words, "result", "Result", extents, swapped, "OutFmt")
    if not words("TileDMADst.DMAConfig", "En"):
        raise words.refuse("the result goes to DRAM and its DMA is off", "TileDMADst.DMAConfig")
    if not words("Header.Bases", "WBE"):
        raise words.refuse("the result goes to DRAM and WBE is off", "Header.Bases")
    dtype, interleave = _format(words, "TileDMADst.Fmt")
    strides = (
        words("TileDMADst.GroupStride", "GroupStride"),
        words("TileDMADst.DepthStride", "DepthStride"),
        words("TileDMADst.PlaneStride", "PlaneStride"),
        words("TileDMADst.RowStride", "RowStride"),
        dtype.numpy.itemsize * interleave,
    )
    return Operand(
        "result", Space.DRAM, words("Header.Bases", "WBase"), words("TileDMADst.BaseAddr", "Addr"), extents,
        _swap(strides) if swapped else strides, dtype, interleave, "TileDMADst.BaseAddr", swapped,
    )  # fmt: skip


def _staging(words: _Words, sources: tuple[Operand, ...], view: Axes) -> tuple[Staging, ...]:
    """L2 that sources from DRAM pass through: the rows that are in flight, from the source's L2 base on."""
    found = []
    rows = min(view[3], max(words("Common.TileCfg", "TileHeight"), 1))
    for source, prefix in zip(sources, ("Source", "Source2"), strict=False):
        if source.space is Space.DRAM:
            base = words(f"L2.{prefix}Base", "Addr")
            found.append(Staging(source.role, base, base + rows * words(f"L2.{prefix}RowStride", "Stride")))
    return tuple(found)


# Planar engine -----------------------------------------------------------------------------------------------------


def _planar(words: _Words, task: Task, index: int) -> Work:
    kind = words("Common.Cfg", "TaskType")
    if kind > PE_VARIANCE:
        raise words.refuse("task type is not understood", "Common.Cfg", "0 to 6 in bits 6:4")
    if words("Common.Cfg", "Transpose"):
        raise words.refuse("a planar task swaps its result with PECfg, not with Cfg", "Common.Cfg")
    view, stated = _extents(words)
    engine = _planar_engine(words, kind)
    reduced = kind in (PE_REDUCTION, PE_VARIANCE)
    if (view[2] != stated[2] or view[1] != stated[1]) or (kind != PE_POOLING and view != stated):
        raise words.refuse(
            "source and result of a planar task differ in size", "Common.OutDim", f"{view}", f"Found {stated}."
        )
    result_view = (view[0], 1, view[2], 1, 1) if reduced else stated
    sources = [
        _source(
            words, 1, _broadcast(view, words("Common.PECfg", "Src1Broadcast")),
            bool(words("Common.PECfg", "Src1Transpose")),
        )
    ]  # fmt: skip
    if kind in (PE_DOUBLE, PE_ROWS, PE_VARIANCE):
        if words("Common.ChCfg", "Src2InFmt") != words("Common.ChCfg", "InFmt"):
            raise words.refuse("the two sources have different formats", "Common.ChCfg", "0x2a")
        extents = _broadcast(view, words("Common.PECfg", "Src2Broadcast"))
        if kind == PE_ROWS:
            extents = (1, 1, extents[2], 2, 1)
        sources.append(_source(words, 2, extents, bool(words("Common.PECfg", "Src2Transpose"))))
    elif words("Common.ChCfg", "Src2InFmt"):
        raise words.refuse("a second source has a format and the task has one source", "Common.ChCfg", "0x22")
    return Work(
        index, str(task.origin), engine, view, result_view, tuple(sources),
        _result(words, result_view, bool(words("Common.PECfg", "OutTranspose"))),
        _kept(words, sources[0].extent), _staging(words, tuple(sources), view),
    )  # fmt: skip


def _planar_engine(words: _Words, kind: int) -> PlanarWork:
    operation = words("PE.Cfg", "OpMode")
    if operation > PlanarOperation.SQUARED_SUM.value:
        raise words.refuse("operation is not understood", "PE.Cfg", "add, mul, max, min, squared sum (0 to 4)")
    condition, function = words("PE.Cfg", "Condition"), words("PE.Cfg", "NLMode")
    if condition > 1:
        raise words.refuse("condition is not understood", "PE.Cfg", "0, or 1 = abs")
    if function > 2:
        raise words.refuse("function is not understood", "PE.Cfg", "0, 1 = reciprocal, 2 = rsqrt")
    second = words("PE.Cfg", "SecSrc")
    double = kind in (PE_DOUBLE, PE_ROWS, PE_VARIANCE)
    if second not in ((2, 3) if double else (0,)):
        raise words.refuse("second operand does not go with the task type", "PE.Cfg", "2 or 3 with two sources, else 0")
    if not double and operation not in (0, 4):
        raise words.refuse("an operation of two sources on one", "PE.Cfg", "add or squared sum")
    pool = words("PE.Cfg", "PoolMode")
    reducing = kind in (PE_POOLING, PE_REDUCTION, PE_VARIANCE)
    if pool and not reducing:
        raise words.refuse("a pool mode on a task that does not reduce", "PE.Cfg", "0")
    if words("Common.GroupConvCfg", "UnicastEn") or words("Common.GroupConvCfg", "ElemMultMode"):
        raise words.refuse("groups of a planar task", "Common.GroupConvCfg", "no unicast, no multiply mode")
    window, stride, pad = _window(words) if kind == PE_POOLING else (None, (1, 1), (0, 0))
    if kind != PE_POOLING and words.word("Common.ConvCfg") != 0x5000A021:
        raise words.refuse("a planar task with a kernel size", "Common.ConvCfg", "0x5000a021")
    return PlanarWork(
        PlanarOperation(operation),
        negate_first=bool(words("PE.Cfg", "FirstSrc")),
        negate_second=second == 3,
        rows=kind == PE_ROWS,
        absolute=condition == 1,
        reduction=Reduction(pool) if reducing else Reduction.NONE,
        window=window,
        stride=stride,
        pad=pad,
        pre_scale=words.half("PE.PreScale", "PreScale"),
        scale=words.half("PE.BiasScale", "Scale"),
        bias=words.half("PE.BiasScale", "Bias"),
        final_scale=_single(words.word("PE.FinalScale")),
        epsilon=words.half("PE.PreScale", "Epsilon"),
        function=PlanarFunction(function),
        relu=bool(words("PE.Cfg", "ReluEn")),
        relu_first=bool(words("L2.L2Cfg", "InputReLU")),
        relu_second=bool(words("L2.L2Cfg", "Source2ReLU")),
    )


def _single(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def _window(words: _Words) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(rows, columns) of window, stride and pad."""
    path = "Common.ConvCfg"
    window = words(path, "Kh"), words(path, "Kw")
    stride = words(path, "Sy"), words(path, "Sx")
    pad = words(path, "Py"), words(path, "Px")
    if min(window) < 1 or min(stride) < 1:
        raise words.refuse("kernel size or stride is zero", path, "at least 1")
    if (words(path, "Oy"), words(path, "Ox")) != (1, 1):
        raise words.refuse("output step is not understood", path, "1")
    return window, stride, pad


# Neural engine -----------------------------------------------------------------------------------------------------


def _mac(words: _Words, task: Task, index: int) -> Work:
    view, result_view = _extents(words)
    if words.word("Common.PECfg"):
        raise words.refuse("operand views of the planar engine on a task of the neural engine", "Common.PECfg", "0")
    engine = _mac_engine(words, view, result_view)
    if engine.operation not in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED):
        if (view[1], *view[3:]) != (result_view[1], *result_view[3:]):
            raise words.refuse("source and result differ in size", "Common.OutDim", f"{view}", f"Found {result_view}.")
    elif view[1] != 1 or result_view[1] != 1:
        raise words.refuse("a convolution over depth", "Common.InDepth", "1")
    source = _source(words, 1, view, False)
    return Work(
        index, str(task.origin), engine, view, result_view, (source,),
        _result(words, result_view, bool(words("Common.Cfg", "Transpose"))),
        _kept(words, view), _staging(words, (source,), view),
    )  # fmt: skip


def _mac_engine(words: _Words, view: Axes, result_view: Axes) -> MacWork:
    code = words("NE.MACCfg", "OpMode"), words("NE.MACCfg", "KernelMode")
    if code not in _MAC_OPERATIONS:
        raise words.refuse("operation is not understood", "NE.MACCfg", "OpMode and KernelMode as on record")
    operation = _MAC_OPERATIONS[code]
    function = words("NE.MACCfg", "NonlinearMode")
    if function > 2:
        raise words.refuse("function is not understood", "NE.MACCfg", "0, 1 = ReLU, 2 = table")
    inputs = _inputs_per_output(words, operation, view, result_view)
    window, stride, pad = _window(words)
    with_kernel = operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    if not with_kernel and (window, stride, pad) != ((1, 1), (1, 1), (0, 0)):
        raise words.refuse("a kernel size on a task without a kernel", "Common.ConvCfg", "0x5000a021")
    if not with_kernel and words("NE.MACCfg", "BiasMode"):
        raise words.refuse("a bias on a task without a kernel", "NE.MACCfg")
    groups = view[0] if with_kernel and not words("NE.KernelCfg", "GroupKernelReuse") else 1
    unicast = bool(words("Common.GroupConvCfg", "UnicastEn"))
    kernel = _kernel(
        words, with_kernel, function == 2, groups, unicast and with_kernel, inputs or view[2], result_view[2]
    )
    return MacWork(
        operation, inputs if unicast or operation in (MacOperation.PASS,) else 0, groups, kernel, window, stride, pad,
        bool(words("L2.L2Cfg", "InputReLU")), words.half("NE.AccBias", "AccBias"),
        words.half("NE.PostScale", "PostScale"), Function(function),
    )  # fmt: skip


def _inputs_per_output(words: _Words, operation: MacOperation, view: Axes, result_view: Axes) -> int:
    """Input channels of one output channel; 0 when it sees all of them."""
    path = "Common.GroupConvCfg"
    unicast, count = words(path, "UnicastEn"), words(path, "UnicastCin")
    multiply = bool(words(path, "ElemMultMode"))
    if count != 1 and (not unicast or operation is MacOperation.PASS):
        raise words.refuse("UnicastCin has no meaning here", path, "1")
    if multiply != (operation is MacOperation.PRODUCT):
        raise words.refuse("multiply mode goes with the two-source multiply only", path)
    if operation is MacOperation.PASS:
        if view[2] != result_view[2]:
            raise words.refuse("a task that passes channels changes their number", "Common.Cout", view[2])
        return 1
    if not unicast:
        if operation in (MacOperation.SUM, MacOperation.MAXIMUM, MacOperation.PRODUCT) and result_view[2] != 1:
            raise words.refuse("a task over all channels has one result", "Common.Cout", 1)
        return 0
    if count * result_view[2] != view[2]:
        raise words.refuse(
            "input channels do not divide among the output channels", path, f"UnicastCin x {result_view[2]} = {view[2]}"
        )
    return count


def _kernel(
    words: _Words, weights: bool, table: bool, groups: int, depthwise: bool, inputs: int, channels: int
) -> KernelStreams | None:
    """The streams of a task that reads some."""
    if not weights and not table:
        return None
    master = "KernelDMASrc.MasterConfig"
    lanes = tuple(
        Lane(
            i,
            words(f"KernelDMASrc.CoeffBaseAddr[{i}]", "Addr"),
            words(f"KernelDMASrc.CoeffBfrSize[{i}]", "MemBfrSize"),
        )
        for i in range(ENGINES)
        if words(f"KernelDMASrc.CoeffDMAConfig[{i}]", "En")
    )
    if not lanes or not words(master, "MasterEnable"):
        raise words.refuse("the task needs a kernel or table and loads none", master, "0x40 and an enabled lane")
    if not words("Header.KernelBases", "KBE0"):
        raise words.refuse("the task loads a kernel and KBE0 is off", "Header.KernelBases")
    config = "NE.KernelCfg"
    sparse = bool(words(config, "SparseFmt"))
    if weights and sparse != bool(words(master, "SparseEnable")):
        raise words.refuse("SparseFmt and SparseEnable differ", master)
    element = words(config, "KernelFmt")
    palette = words(config, "PalettizedBits") if words(config, "PalettizedEn") else 0
    bits = words(config, "PalettizedBits")
    if element not in _DTYPES or bits not in ((1, 2, 4, 6, 8) if palette else (8,)):
        raise words.refuse("kernel format is not understood", config)
    window = words("Common.ConvCfg", "Kh"), words("Common.ConvCfg", "Kw")
    stride = words("Common.ConvCfg", "Sy"), words("Common.ConvCfg", "Sx")
    if weights and sparse and stride not in ((1, 1), (2, 2)):
        raise words.refuse("a sparse kernel with this stride", "Common.ConvCfg", "1 or 2 on both axes")
    return KernelStreams(
        words("Header.KernelBases", "KBase0"), lanes, 1 << words("Common.Cfg", "ActiveNE"), channels, inputs, window,
        groups, 1 << words("Common.ConvCfg", "OCGSize"), depthwise, weights, bool(words("NE.MACCfg", "BiasMode")),
        table, sparse and stride == (2, 2), WeightFormat(element, palette, sparse), words.where,
    )  # fmt: skip
