"""Registers of H11 (A12): for reading programs only.

The table form is described in `openane.targets.declare`.
"""

# ruff: noqa: E501
from openane.program.registers import RegisterMap
from openane.targets.declare import block

_HEADER = block(
    "Header",
    0x0,
    "the first words of a task descriptor",
    """
        0x00 - W0 | TID 15:0, NID 23:16, LNID 24, EON 25 |
        0x04 - W1 | ExeCycles 15:0, NextSize 23:16 |
        0x08 - W2 | LogEvents 15:0, Exceptions 31:16 |
        0x0c - W3 | DebugLogEvents 15:0, DebugExceptions 31:16 |
        0x10 - W4 | SPL 11, TSR 12, SPC 13, DPC 14, TSE 15, NextPriority 21:16, TDE 24, SrcLoc 28, DstLoc 29, TQDis 31 |
        0x14 - NextPointer | NextPointer 31:0 |
        0x18 - W6 | KBase 2:0, KBE 3, RBase 6:4, RBE 7, WBase 10:8, WBE 11, TBase 14:12, TBE 15, ENE 23:16 |
        """,
)

_EXTRA = block(
    "Extra",
    0x1C,
    "only when TDE is set",
    """
        0x1c - DTID | DTID 15:0 |
        """,
)

_BLOCKS = (
    block(
        "KernelDMASrc",
        0x4000000,
        "address not known",
        """
            0x00 - DMAConfig | En 0, CrH 4, CacheHint 15:12, PrefetchParticipateEn 28 |
            0x04 - BaseAddr | Addr 31:6 *64 |
            0x08 - BfrSize | MemBfrSize 16:6 *64 |
            0x0c - Spare0 | Spare 31:0 | not written by the stream
            0x10 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
    block(
        "Common",
        0x4001000,
        "address not known",
        """
            0x00 - InDim | Win 14:0, Hin 30:16 |
            0x04 - ChCfg | InFmt 1:0, OutFmt 5:4 |
            0x08 - Cin | Cin 16:0 |
            0x0c - Cout | Cout 16:0 |
            0x10 - OutDim | Wout 14:0, Hout 30:16 |
            0x14 - ConvCfg | Kw 4:0, Kh 10:6, OCGSize 14:12, Sx 17:16, Sy 19:18, Px 23:20, Py 27:24, Ox 29:28, Oy 31:30 |
            0x18 - GroupConvCfg | NumGroups 12:0, UnicastEn 14, ElemMultMode 15, UnicastCin 31:16 |
            0x1c - TileCfg | TileHeight 14:0 |
            0x20 - Cfg | SmallSourceMode 2, ShPref 10:8, ShMin 14:12, ShMax 18:16, ActiveNE 20:19, ContextSwitchIn 22, ContextSwitchOut 24, AccDoubleBufEn 26 |
            0x24 - TaskInfo | TaskID 15:0, TaskQ 18:16, NID 27:20 |
            0x28 - DPE | Category 3:0 |
            0x2c - Spare0 | Spare 31:0 | not written by the stream
            0x30 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
    block(
        "TileDMASrc",
        0x4002000,
        "address not known",
        """
            0x00 - DMAConfig | En 0, CrH 4, CacheHint 15:12, CacheHintReuse 19:16, CacheHintNoReuse 23:20, DependencyMode 25:24 |
            0x04 - BaseAddr | Addr 31:6 *64 |
            0x08 - Stride | Stride 29:6 *64 |
            0x0c - PlaneStride | PlaneStride 29:6 *64 |
            0x10 - Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
            0x14 - PixelOffset[4] | Offset 15:0 |
            0x24 - Spare0 | Spare 31:0 | not written by the stream
            0x28 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
    block(
        "L2",
        0x4003000,
        "address not known",
        """
            0x00 - L2Cfg | InputReLU 0, PaddingMode 2 |
            0x04 - TileSourceCfg | TileSourceType 1:0, Dependent 2, AliasSrc 4, AliasConv 5, DMAFmt 7:6, DMAInterleave 11:8, DMACmpVec 15:12, DMAOffsetCh 18:16 |
            0x08 - TileSourceBase | Sox 3:0, Addr 20:4 *16 |
            0x0c - TileSourceChannelStride | Stride 15:4 *16 |
            0x10 - TileSourceRowStride | Stride 19:4 *16 |
            0x14 - ConvResultCfg | ConvResultType 1:0, L2BfrMode 3, AliasSrc 4, AliasConv 5, DMAFmt 7:6, DMAInterleave 11:8, DMACmpVec 15:12, DMAOffsetCh 18:16 |
            0x18 - ConvResultBase | Addr 20:4 *16 |
            0x1c - ConvResultChannelStride | Stride 15:4 *16 |
            0x20 - ConvResultRowStride | Stride 19:4 *16 |
            0x24 - Spare0 | Spare 31:0 | not written by the stream
            0x28 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
    block(
        "NE",
        0x4004000,
        "address not known",
        """
            0x00 - KernelCfg | KernelFmt 1:0, PalettizedEn 2, PalettizedBits 7:4, SparseFmt 8, GroupKernelReuse 10 |
            0x04 - MACCfg | OpMode 2:0, KernelMode 3, BiasMode 4, MatrixBiasEn 6, BinaryPoint 12:8, PostScaleMode 14, NonlinearMode 17:16 |
            0x08 - MatrixVectorBias | MatrixVectorBias 15:0 |
            0x0c - AccBias | AccBias 15:0, AccBiasShift 20:16 |
            0x10 - PostScale | PostScale 15:0, PostRightShift 20:16 |
            0x14 - Spare0 | Spare 31:0 | not written by the stream
            0x18 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
    block(
        "TileDMADst",
        0x4005000,
        "address not known",
        """
            0x00 - DMAConfig | En 0, CrH 4, CacheHint 15:12, L2BfrMode 26, BypassEOW 27 |
            0x04 - BaseAddr | Addr 31:6 *64 |
            0x08 - Stride | Stride 29:6 *64 |
            0x0c - PlaneStride | PlaneStride 29:6 *64 |
            0x10 - Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, ZeroPadLast 20, ZeroPadFirst 21, CmpVecFill 22, Interleave 27:24, CmpVec 31:28 |
            0x14 - Spare0 | Spare 31:0 | not written by the stream
            0x18 - Spare1 | Spare 31:0 | not written by the stream
            """,
    ),
)

REGISTERS = RegisterMap(
    "h11",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Unverified: one source, no program available.",
)
