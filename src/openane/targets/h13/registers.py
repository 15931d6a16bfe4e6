"""The registers of H13 (A14, M1), every one that any program writes.

Sources, by the short names used below:

- ``programs``: some 600 task descriptors of Apple-compiled programs (2020 to 2026 compilers) were decoded with these
  fields; a rule said to be *proved* makes an interpreter of the program compute the right function, and another
  reading does not.
- ``hardware``: experiments on an M1 published by allbilly/ane and tinygrad.
- ``printer``: names and bits as the vendor's debug printer shows them (tinygrad's list).
- ``maps``: freedomtan/coreml_to_ane_hwx, ANETools, and the maps of later generations, where they agree with programs.

Where sources disagree the programs decide; the differences are told in the docs page of the register reference.
Defaults are the words that the newest compiler writes in every task, so that text shows what makes a task special.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openane.program.fields import Block, Evidence, Field, Kind, Register, RegisterMap

PROVED, SEEN, GUESS, UNKNOWN = Evidence.PROVED, Evidence.SEEN, Evidence.GUESS, Evidence.UNKNOWN

FORMATS = {0: "uint8", 1: "int8", 2: "fp16"}
TASK_TYPES = {
    0: "ne",
    1: "pe_pool",  # assumed, no program shows it
    2: "pe_unary",
    3: "pe_binary",
    4: "pe_binary_rows",
    5: "pe_reduction",
    6: "pe_variance",
}
SOURCE_TYPES = {0: "resident", 1: "dram_kept", 2: "dram", 3: "chain"}
RESULT_TYPES = {0: "resident", 1: "dram_swapped", 2: "dram", 3: "chain"}
PE_OPERATIONS = {0: "add", 1: "mul", 2: "max", 3: "min", 4: "sumsq"}
PE_POOL_MODES = {0: "sum", 1: "average", 2: "max", 3: "min"}
PE_CONDITIONS = {0: "none", 1: "abs", 2: "eq", 3: "gt", 4: "ge", 5: "le", 6: "lt", 7: "ne"}
PE_NONLINEAR = {0: "none", 1: "reciprocal", 2: "rsqrt"}
PE_SECOND_SOURCE = {0: "none", 2: "source2", 3: "minus_source2"}
#: 5 is assumed, no program shows it.
NE_OPERATIONS = {0: "conv", 2: "multiply", 3: "maximum", 4: "bypass", 5: "transposed_conv"}
NE_NONLINEAR = {0: "none", 1: "relu", 2: "table"}
AXES = {mask: "".join(axis for bit, axis in enumerate("WHDC") if mask >> bit & 1) or "none" for mask in range(16)}


def _field(
    name: str,
    lsb: int,
    width: int,
    meaning: str = "",
    evidence: Evidence = SEEN,
    source: str = "programs, printer",
    *,
    values: Mapping[int, str] | None = None,
    kind: Kind = Kind.UNSIGNED,
    unit: int = 1,
    default: int = 0,
) -> Field:
    return Field(name, lsb, width, meaning, kind, values or {}, unit, default, evidence, source)


def _unknown(lsb: int, width: int = 1, meaning: str = "set in real programs", *, default: int = 0) -> Field:
    return _field(f"Unknown_{lsb}", lsb, width, meaning, UNKNOWN, "programs", default=default)


#: A register without its place: name, meaning, fields.
_Draft = tuple[str, str, tuple[Field, ...]]


def _block(name: str, base: int, meaning: str, *drafts: _Draft) -> Block:
    registers = (
        Register(draft_name, base + 4 * i, fields, text, name) for i, (draft_name, text, fields) in enumerate(drafts)
    )
    return Block(name, base, tuple(registers), meaning)


def _draft(name: str, meaning: str, *fields: Field) -> _Draft:
    return name, meaning, fields


def _dram(name: str, meaning: str, evidence: Evidence = PROVED, *, field: str = "Stride") -> _Draft:
    """A DRAM offset or stride: bits 31:6, in bytes, a multiple of 64."""
    return _draft(name, meaning, _field(field, 6, 26, "bytes, a multiple of 64", evidence, unit=64))


def _l2(name: str, meaning: str, evidence: Evidence = PROVED, *, field: str = "Stride") -> _Draft:
    """An address or stride in the engine's L2: bits 20:4, in bytes, a multiple of 16."""
    return _draft(name, meaning, _field(field, 4, 17, "bytes, a multiple of 16", evidence, unit=16))


def _zero(address: int) -> _Draft:
    return _draft(f"Unknown_{address:#x}", "0 in every program")


def _lanes(name: str, draft: Callable[[str], _Draft]) -> tuple[_Draft, ...]:
    """One register for each of the 16 neural engines."""
    return tuple(draft(f"{name}[{lane}]") for lane in range(16))


# Header ------------------------------------------------------------------------------------------------------------


def _base(name: str, enable: str, lsb: int, meaning: str) -> tuple[Field, Field]:
    """A buffer index and its enable bit above it."""
    return (
        _field(name, lsb, 5, f"buffer index (BAR) of {meaning}", PROVED),
        _field(enable, lsb + 5, 1, f"{name} is used", PROVED),
    )


_HEADER = _block(
    "Header",
    0,
    "the first words of a task descriptor, read by the task manager",
    _draft(
        "Task",
        "number and place in the chain",
        _field("TID", 0, 16, "task number from 0"),
        _field("NID", 16, 8, "network id, patched by drivers at run time"),
        _field("LNID", 24, 1, "1 on every task but the first"),
        _field("EON", 25, 1, "end of network: the last task"),
    ),
    _draft(
        "Next",
        "estimate and size of the next task",
        _field("ExeCycles", 0, 16, "the compiler's time estimate in microseconds"),
        _field("NextSize", 16, 9, "words of the next task minus 1, 0 on the last"),
    ),
    _draft("LogEvents", "event log mask", _field("LogEvents", 0, 24, "no effect on results")),
    _draft("Exceptions", "exception mask", _field("Exceptions", 0, 24, "0 in every program")),
    _draft("DebugLogEvents", "debug event log mask", _field("DebugLogEvents", 0, 24, "no effect on results")),
    _draft("DebugExceptions", "debug exception mask", _field("DebugExceptions", 0, 24, "0 in every program")),
    _draft(
        "Control",
        "order of execution",
        _field("DisallowAbort", 8, 1, "equals KernelCfg.PESignal in every program"),
        _field("TDSkip", 9, 1),
        _field("KPC", 10, 1),
        _field("SPL", 11, 1, "first task of a group of tasks that may overlap"),
        _field("TSR", 12, 1, "last task of a group"),
        _field("SPC", 13, 1, "source is an intermediate of another group"),
        _field("DPC", 14, 1, "result goes to the next group through the L2"),
        _field("TSE", 15, 1, "last task of a group"),
        _field("NextPriority", 16, 6),
        _field("TDE", 24, 1, "one more header word follows (DTID)"),
        _field("SrcLoc", 28, 1, "some source is read from DRAM by this task"),
        _field("DstLoc", 29, 1, "the result is written to DRAM by this task"),
        _field("TQDis", 31, 1),
    ),
    _draft(
        "NextPointer",
        "link",
        _field("NextPointer", 0, 32, "byte offset of the next task from the first, 0 on the last", PROVED),
    ),
    _draft(
        "Bases",
        "buffers of tensors and tasks",
        *_base("RBase0", "RBE0", 0, "source 1"),
        *_base("RBase1", "RBE1", 6, "source 2"),
        *_base("WBase", "WBE", 12, "the result"),
        *_base("TBase", "TBE", 18, "the next task"),
        _field("ENE", 24, 3, "number of active engines as log2 plus 1, 0 on planar tasks"),
    ),
    _draft(
        "KernelBases",
        "buffers of kernels",
        *_base("KBase0", "KBE0", 0, "the kernel: 1 constants, 3 scratch, or an input"),
        *_base("KBase1", "KBE1", 6, "kernel 1"),
        *_base("KBase2", "KBE2", 12, "kernel 2"),
        *_base("KBase3", "KBE3", 18, "kernel 3"),
    ),
)

#: The optional header word after the ten, present when Control.TDE is set.
EXTRA = Block(
    "Extra",
    40,
    (
        Register(
            "DTID",
            40,
            (_field("DTID", 0, 16, "number of the task that wrote the kernel to scratch", SEEN, "programs"),),
            "dependency of a run-time kernel",
            "Extra",
        ),
    ),
    "the optional header word",
)

# Common ------------------------------------------------------------------------------------------------------------

_COMMON = _block(
    "Common",
    0x00000,
    "geometry of the task and choice of the engine",
    _draft(
        "InDim",
        "input extents",
        _field("Win", 0, 15, "width", PROVED),
        _field("Hin", 16, 15, "height", PROVED),
    ),
    _draft("InDepth", "input depth", _field("Din", 0, 15, "depth; 0 hangs", PROVED, default=1)),
    _draft(
        "ChCfg",
        "element formats",
        _field("InFmt", 0, 2, "source 1; 0 and 1 are not settled", SEEN, values=FORMATS, default=2),
        _field("Src2InFmt", 2, 2, "source 2, 0 without one", SEEN, values=FORMATS),
        _field("OutFmt", 4, 2, "result", SEEN, values=FORMATS, default=2),
    ),
    _draft("Cin", "input channels", _field("Cin", 0, 17, "of this task, per group", PROVED)),
    _draft("Cout", "output channels", _field("Cout", 0, 17, "of this task, per group", PROVED)),
    _draft(
        "OutDim",
        "output extents",
        _field("Wout", 0, 15, "width (a reduction keeps the input's)", PROVED),
        _field("Hout", 16, 15, "height (a reduction keeps the input's)", PROVED),
    ),
    _draft("OutDepth", "output depth", _field("Dout", 0, 15, "depth; 0 hangs", PROVED, default=1)),
    _draft(
        "ConvCfg",
        "kernel, stride and padding",
        _field("Kw", 0, 5, "kernel width", PROVED, default=1),
        _field("Kh", 5, 5, "kernel height", PROVED, default=1),
        _field("OCGSize", 10, 3, "log2 of the output channels an engine computes at once", PROVED),
        _field("Sx", 13, 2, "step over columns", PROVED, default=1),
        _field("Sy", 15, 2, "step over rows", PROVED, default=1),
        _field("Px", 17, 5, "padding on the left", PROVED),
        _field("Py", 22, 5, "padding on top", PROVED),
        _field("Ox", 28, 2, "output step over columns", SEEN, default=1),
        _field("Oy", 30, 2, "output step over rows", SEEN, default=1),
    ),
    _draft(
        "ConvCfg3d",
        "kernel, stride and padding over depth",
        _field("Kd", 0, 5, "kernel depth", GUESS, "maps", default=1),
        _field("Sz", 6, 2, "step over depth", GUESS, "maps", default=1),
        _field("Pz", 8, 4, "padding in front", GUESS, "maps"),
        _field("Oz", 13, 2, "output step over depth", GUESS, "maps", default=1),
    ),
    _draft(
        "GroupConvCfg",
        "groups",
        _field("NumGroups", 0, 13, "groups of a convolution, or the batch", PROVED, default=1),
        _field("UnicastEn", 14, 1, "each engine has its own input channels (elementwise, depthwise)"),
        _field("ElemMultMode", 15, 1, "two-source multiply"),
        _field("UnicastCin", 16, 16, "input channels an engine gets", SEEN, default=1),
    ),
    _draft("TileCfg", "schedule only", _field("TileHeight", 0, 15, "rows of a tile; 0 hangs")),
    _draft(
        "PatchCfg",
        "tile of planar tasks; schedule only, not 0 hangs a task of the neural engine",
        _field("PatchWidth", 0, 4, "log2 of the tile width", SEEN, "programs, maps"),
        _field("PatchHeight", 4, 4, "log2 of the tile height", SEEN, "programs, maps"),
    ),
    _draft(
        "PECfg",
        "operand views of the planar engine",
        _field("Src1Broadcast", 0, 4, "axes on which source 1 is repeated", PROVED, "programs", values=AXES),
        _field("Src2Broadcast", 4, 4, "axes on which source 2 is repeated", PROVED, "programs", values=AXES),
        _field("Src1Transpose", 8, 1, "source 1 is stored with channel and column swapped", SEEN, "programs"),
        _field("Src2Transpose", 9, 1, "source 2 is stored with channel and column swapped", SEEN, "programs"),
        _field("OutTranspose", 10, 1, "the result is stored with channel and column swapped", SEEN, "programs"),
    ),
    _draft(
        "Cfg",
        "engine, patches, active engines",
        _field("Src1Tiled", 0, 1, "source 1 walks the tiles (not resident and repeated)", SEEN, "programs"),
        _field("Src2Tiled", 1, 1, "source 2 walks the tiles, it comes from DRAM", SEEN, "programs"),
        _field("SmallSourceMode", 2, 1, "small image with weights"),
        _field("TaskType", 4, 3, "engine and shape of the operation", PROVED, "programs", values=TASK_TYPES),
        _field("ShPref", 8, 3, "preferred patch: 2^(7-s) columns by 2^s rows; schedule only"),
        _field("ShMin", 12, 3, "first patch shape; schedule only"),
        _field("ShMax", 16, 3, "last patch shape; schedule only"),
        _field("ActiveNE", 19, 3, "log2 of the engines at work", PROVED),
        _field("ContextSwitchIn", 22, 1),
        _field("ContextSwitchOut", 24, 1),
        _field("AccDoubleBufEn", 26, 1, "two accumulator sets; schedule only"),
        _field("Transpose", 28, 1, "the result is written with channel and column swapped", PROVED, "programs"),
    ),
    _draft(
        "TaskInfo",
        "for the task manager",
        _field("TaskID", 0, 16),
        _field("TaskQ", 16, 4),
        _field("NID", 20, 8, "1 on tasks of the neural engine, no effect"),
    ),
    _draft("DPE", "power estimate", _field("Category", 0, 4, "1 with AccBias, 2 on two-source multiply")),
)

# Tile DMA ----------------------------------------------------------------------------------------------------------

CACHE_HINTS = {2: "default", 3: "write", 4: "last_read", 12: "no_reuse", 14: "keep", 15: "keep_write"}


def _source_config(name: str, meaning: str) -> _Draft:
    return _draft(
        name,
        meaning,
        _field("En", 0, 1, "DMA runs; on source 1 also when only source 2 is read", PROVED),
        _field("CrH", 4, 2),
        _field("CacheHint", 6, 4, "schedule only", SEEN, values=CACHE_HINTS),
        _field("CacheHintReuse", 10, 4, "schedule only", SEEN, values=CACHE_HINTS),
        _field("CacheHintNoReuse", 14, 4, "schedule only", SEEN, values=CACHE_HINTS),
        _field("DependencyMode", 18, 2, "1: first read of a value that an earlier task wrote"),
    )


def _format(name: str, meaning: str, *more: Field, interleave: int) -> _Draft:
    return _draft(
        name,
        meaning,
        _field("FmtMode", 0, 2, "1 16-bit, 0 8-bit, 3 32-bit", SEEN, "programs, maps"),
        _field("Truncate", 4, 2, "3 for fp16", SEEN, "programs, maps"),
        _field("Shift", 8, 1, "", SEEN, "maps"),
        _field("MemFmt", 12, 2, "element format in memory", SEEN, "programs, maps", values=FORMATS),
        _field("OffsetCh", 16, 3, "", SEEN, "maps"),
        *more,
        _field("Interleave", 24, 4, "channels per element group", SEEN, default=interleave),
        _field("CmpVec", 28, 4, "", SEEN, "maps"),
    )


_TILE_DMA_SRC = _block(
    "TileDMASrc",
    0x13800,
    "reads sources from DRAM; address = base + g*group + d*depth + c*plane + y*row + 2*x",
    _source_config("DMAConfig", "source 1"),
    _source_config("Src2DMAConfig", "source 2; its own En bit is never set"),
    _dram("BaseAddr", "source 1, offset in its buffer", field="Addr"),
    _dram("RowStride", "source 1"),
    _dram("PlaneStride", "source 1, from channel to channel"),
    _dram("DepthStride", "source 1"),
    _dram("GroupStride", "source 1, also from batch to batch"),
    _dram("Src2BaseAddr", "source 2, offset in its buffer", field="Addr"),
    _dram("Src2RowStride", "source 2"),
    _dram("Src2PlaneStride", "source 2, from channel to channel"),
    _dram("Src2DepthStride", "source 2"),
    _dram("Src2GroupStride", "source 2, also from batch to batch"),
    _zero(0x13830),
    _zero(0x13834),
    _format("Fmt", "source 1; 0x1000000 without DMA", interleave=1),
    _format("Src2Fmt", "source 2; 0 without DMA", interleave=0),
    _draft(
        "Unknown_0x13840",
        "0x100 in every task of newer compilers, no effect",
        _unknown(8, meaning="0 only in planar tasks of old compilers", default=1),
    ),
    _zero(0x13844),
    _zero(0x13848),
    _zero(0x1384C),
    *(_draft(f"PixelOffset[{i}]", "0 in every program", _field("Offset", 0, 16, "", GUESS, "maps")) for i in range(4)),
    _zero(0x13860),
    _zero(0x13864),
    _zero(0x13868),
    _zero(0x1386C),
)

_TILE_DMA_DST = _block(
    "TileDMADst",
    0x17800,
    "writes the result to DRAM",
    _draft(
        "DMAConfig",
        "result",
        _field("En", 0, 1, "DMA runs", PROVED),
        _field("CrH", 4, 2),
        _field("CacheHint", 6, 4, "schedule only", SEEN, values=CACHE_HINTS, default=3),
        _field("DependencyMode", 18, 2, "set on some writes that a later task depends on", GUESS, "programs"),
        _unknown(22, 2, "set on some intermediate writes"),
        _unknown(24, 1, "set when a result is written as a kernel"),
        _field("L2BfrMode", 26, 1, "equals L2.ResultCfg.L2BfrMode"),
        _field("BypassEOW", 27, 1, "never set"),
    ),
    _dram("BaseAddr", "offset in the result's buffer", field="Addr"),
    _dram("RowStride", "", field="RowStride"),
    _dram("PlaneStride", "from channel to channel", field="PlaneStride"),
    _dram("DepthStride", "", field="DepthStride"),
    _dram("GroupStride", "also from batch to batch", field="GroupStride"),
    _format(
        "Fmt",
        "result; 0x1000000 without DMA",
        _field("ZeroPadLast", 20, 1, "fills the row up to 64 bytes", GUESS),
        _field("ZeroPadFirst", 21, 1, "fills the row up to 64 bytes", GUESS),
        _field("CmpVecFill", 22, 1, "", GUESS),
        interleave=1,
    ),
)

# L2 ----------------------------------------------------------------------------------------------------------------


def _l2_config(kind: Field, *more: Field) -> tuple[Field, ...]:
    return (
        kind,
        _field("AliasConvSrc", 4, 1, "wait for (or follow) the source of the neural engine"),
        _field("AliasConvRslt", 5, 1, "wait for (or follow) the result of the neural engine"),
        _field("DMAFmt", 6, 2, "1 16-bit elements in DRAM"),
        _field("DMAInterleave", 8, 4, "channels per element group in DRAM", SEEN, default=1),
        _field("DMACmpVec", 12, 4),
        _field("DMAOffsetCh", 16, 3),
        _field("AliasPlanarSrc", 20, 1, "wait for (or follow) the source of the planar engine"),
        _field("AliasPlanarRslt", 22, 1, "wait for (or follow) the result of the planar engine"),
        *more,
    )


_L2 = _block(
    "L2",
    0x04800,
    "where tensors lie in the engine's memory of 2 MB; address = base + g*group + d*depth + c*channel + y*row + 2*x",
    _draft(
        "L2Cfg",
        "on the way in",
        _field("InputReLU", 0, 1, "ReLU on source 1 while loading"),
        _field("PaddingMode", 2, 2, "1 on maximum reductions: pad with the neutral value"),
        _field("Source2ReLU", 4, 1, "ReLU on source 2 while loading", SEEN, "programs"),
    ),
    _draft(
        "SourceCfg",
        "sources",
        *_l2_config(
            _field("SourceType", 0, 2, "where source 1 comes from", PROVED, values=SOURCE_TYPES),
            _field("Dependent", 2, 2, "follows the running task of the neural (1) or planar (2) engine"),
            _field("Source2Dram", 24, 1, "source 2 comes from DRAM (else it is resident)", PROVED, "programs"),
        ),
    ),
    _l2("SourceBase", "source 1", field="Addr"),
    _l2("SourceChannelStride", "source 1"),
    _l2("SourceRowStride", "source 1"),
    _l2("SourceDepthStride", "source 1"),
    _l2("SourceGroupStride", "source 1"),
    _l2("Source2Base", "source 2", field="Addr"),
    _l2("Source2ChannelStride", "source 2"),
    _l2("Source2RowStride", "source 2"),
    _l2("Source2DepthStride", "source 2"),
    _l2("Source2GroupStride", "source 2"),
    _draft(
        "ResultCfg",
        "result; 0 hangs",
        *_l2_config(
            _field("ResultType", 0, 2, "where the result goes", PROVED, values=RESULT_TYPES),
            _field("L2BfrMode", 3, 1, "schedule only; equals TileDMADst.DMAConfig.L2BfrMode"),
        ),
    ),
    _l2("ResultBase", "result", field="Addr"),
    _l2("ConvResultChannelStride", "result"),
    _l2("ConvResultRowStride", "result"),
    _l2("ResultDepthStride", "result"),
    _l2("ResultGroupStride", "result"),
)

# Engines -----------------------------------------------------------------------------------------------------------

_PE = _block(
    "PE",
    0x08800,
    "planar engine: y = nonlinear(op(pre_scale*a, b)*scale + bias) * final_scale",
    _draft(
        "Cfg",
        "operation",
        _field("PoolMode", 0, 2, "reduction", PROVED, "programs", values=PE_POOL_MODES),
        _field("OpMode", 2, 3, "operation of two sources", PROVED, "programs, hardware", values=PE_OPERATIONS),
        _field("ReluEn", 5, 1, "ReLU on the result", SEEN, "printer"),
        _field("Condition", 6, 3, "abs proved, comparisons by analogy", SEEN, values=PE_CONDITIONS),
        _field("NLMode", 12, 2, "applied to the result", PROVED, "programs", values=PE_NONLINEAR),
        _field("FirstSrc", 16, 1, "set in the variance task of layer_norm"),
        _field("SecSrc", 18, 2, "second operand", PROVED, "programs", values=PE_SECOND_SOURCE),
    ),
    _draft(
        "BiasScale",
        "after the operation",
        _field("Bias", 0, 16, "added after the scale", PROVED, kind=Kind.FP16),
        _field("Scale", 16, 16, "multiplied after the operation", PROVED, kind=Kind.FP16),
    ),
    _draft(
        "PreScale",
        "before the operation",
        _field("Epsilon", 0, 16, "added under the reciprocal root", SEEN, "programs", kind=Kind.FP16),
        _field("PreScale", 16, 16, "multiplies source 1", PROVED, "programs", kind=Kind.FP16),
    ),
    _draft("FinalScale", "last factor", _field("FinalScale", 0, 32, "1/n of a mean", SEEN, kind=Kind.FP32)),
)

_NE = _block(
    "NE",
    0x0C800,
    "neural engine: y = nonlinear((sum + bias + acc_bias) * post_scale)",
    _draft(
        "KernelCfg",
        "kernel format",
        _field("KernelFmt", 0, 2, "element format of the kernel", PROVED, "hardware", values=FORMATS),
        _field("PalettizedEn", 2, 1, "never set"),
        _field("PalettizedBits", 4, 4, "8 when off", SEEN, default=8),
        _field("SparseFmt", 8, 1, "masks and non-zero values", PROVED, "programs"),
        _field("GroupKernelReuse", 10, 1, "the batch shares the kernel"),
        _field("PESignal", 12, 1, "the next planar task of the group waits for this one", SEEN, "programs"),
        _field("PEWait", 14, 1, "waits for the planar task before", SEEN, "programs"),
        _field("RuntimeKernel", 16, 1, "the kernel is a tensor computed or given at run time", SEEN, "programs"),
    ),
    _draft(
        "MACCfg",
        "operation",
        _field("OpMode", 0, 3, "with KernelMode", PROVED, values=NE_OPERATIONS),
        _field("KernelMode", 3, 1, "1: no weights are read", PROVED),
        _field("BiasMode", 4, 1, "a bias per channel stands in the kernel stream", PROVED),
        _field("MatrixBiasEn", 6, 1, "never set"),
        _field("BinaryPoint", 8, 5, "0x1C from new compilers, 0 from old ones; no effect on fp16"),
        _field("PostScaleMode", 14, 1, "never set"),
        _field("NonlinearMode", 16, 2, "last step", PROVED, "programs, hardware", values=NE_NONLINEAR),
        _unknown(20, meaning="set in every task of the neural engine", default=1),
    ),
    _draft("MatrixVectorBias", "", _field("MatrixVectorBias", 0, 16, "0 in every program")),
    _draft(
        "AccBias",
        "added before the post-scale",
        _field("AccBias", 0, 16, "number", PROVED, kind=Kind.FP16),
        _field("AccBiasShift", 16, 5, "for integers"),
    ),
    _draft(
        "PostScale",
        "factor before the nonlinearity",
        _field("PostScale", 0, 16, "number", PROVED, "programs, hardware", kind=Kind.FP16),
        _field("PostRightShift", 16, 5, "for integers"),
    ),
)

# Kernel DMA --------------------------------------------------------------------------------------------------------


def _kernel_config(name: str) -> _Draft:
    return _draft(
        name,
        "stream of one channel",
        _field("En", 0, 1, "the stream is loaded", PROVED),
        _field("CrH", 4, 2),
        _field("CacheHint", 6, 4, "schedule only", SEEN, values=CACHE_HINTS, default=2),
        _field("PrefetchParticipateEn", 28, 1, "never set", GUESS, "printer"),
    )


def _kernel_base(name: str) -> _Draft:
    return _dram(name, "offset of the stream in the kernel's buffer", field="Addr")


def _kernel_size(name: str) -> _Draft:
    field = _field("MemBfrSize", 6, 26, "bytes, a multiple of 64", PROVED, unit=64, default=0x40)
    return _draft(name, "size of the stream; 0x40 when unused", field)


#: What the four channels after the 16 lanes carry is known from later generations only; they are never enabled.
_EXTRA_STREAMS = ("Bias", "PostScale", "Palette", "NonLinearLut")

_KERNEL_DMA_SRC = _block(
    "KernelDMASrc",
    0x1F800,
    "loads kernels: one stream for each of 16 engines",
    _draft(
        "MasterConfig",
        "all streams",
        _field("SparseEnable", 5, 1, "sparse streams", SEEN, "programs"),
        _field("MasterEnable", 6, 1, "some stream is loaded", SEEN, "programs"),
    ),
    _draft("AlignedCoeffSizePerCh", "0 in every program; name from later generations"),
    *_lanes("CoeffDMAConfig", _kernel_config),
    *_lanes("CoeffBaseAddr", _kernel_base),
    *_lanes("CoeffBfrSize", _kernel_size),
    *(_kernel_config(f"{name}DMAConfig") for name in _EXTRA_STREAMS),
    *(_kernel_base(f"{name}BaseAddr") for name in _EXTRA_STREAMS),
    *(_kernel_size(f"{name}BfrSize") for name in _EXTRA_STREAMS),
)

REGISTERS = RegisterMap(
    "h13",
    _HEADER,
    (_KERNEL_DMA_SRC, _COMMON, _TILE_DMA_SRC, _L2, _PE, _NE, _TILE_DMA_DST),
    EXTRA,
    "Verified: every descriptor of the programs at hand decodes and encodes to the same words. Only fp16 tensors"
    " have been seen, so the numbers of the 8-bit formats are not settled.",
)

#: Number of fixed header words.
HEADER_WORDS = len(_HEADER.registers)
