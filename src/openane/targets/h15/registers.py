"""Registers of H15 (A16, M3): for reading programs only.

The table form is described in `openane.targets.declare`.
"""

# ruff: noqa: E501
from openane.program.registers import RegisterMap
from openane.targets.declare import block
from openane.targets.h16.registers import REGISTERS as PARENT

_HEADER = block(
    "Header",
    0x0,
    "the first words of a task descriptor",
    """
        - UnknownFlags, W8
        0x18 - LiveOuts | LiveOuts 31:0 |
        0x1c - W7 | TSR 0, TDE 1, ENE 18:16 |
        """,
    parent=PARENT.block("Header"),
)

_EXTRA = block(
    "Extra",
    0x20,
    "only when TDE is set",
    """
        0x20 - DTID | DTID 15:0 |
        """,
)

_BLOCKS = (
    block(
        "Common",
        0x0,
        "",
        """
            - InWidth, InHeight, OutWidth, OutHeight, NumGroups, UnicastCfg, TileHeight, MacCfg, PatchCfg
            - PECfg, NID, Reserved0, Reserved1
            0x00 - InDim | Win 14:0, Hin 30:16 |
            0x04 - InDepth | Din 14:0 |
            0x08 - = ChannelCfg
            0x10 - = OutChannels
            0x14 - OutDim | Wout 14:0, Hout 30:16 |
            0x18 - OutDepth | Dout 14:0 |
            0x1c ? OCGSize | OCGSize 2:0 |
            0x20 ? = ConvCfg | -PadLeft, -PadTop, Px 21:17, Py 26:22 |
            0x24 ? = ConvCfg3d
            0x28 ? GroupConvCfg | NumGroups 12:0, UnicastEn 14, ElemMultMode 15, UnicastCin 31:16 |
            0x2c ? TileCfg | TileHeight 14:0 |
            0x30 ? TileOverlap | Overlap 5:0, PadTop 10:6 |
            0x34 ? = NECfg
            0x38 ? Cfg | SmallSourceMode 3:2, TaskType 7:4, ShPref 10:8, ShMin 14:12, ShMax 18:16, ActiveNE 21:19 |
            0x3c ? TaskInfo | TaskID 15:0, TaskQ 19:16, NID 27:20 |
            0x40 ? = DPE
            0x44 - Spare0 | |
            0x48 - Spare1 | |
            """,
        parent=PARENT.block("Common"),
    ),
    block(
        "L2",
        0x4100,
        "",
        """
            - SrcIdxCfg, SrcIdxBase, SrcIdxChannelStride, SrcIdxDepthStride, SrcIdxGroupStride
            - ResultWrapIdxOff, Result2Base, Result2ChannelStride, Result2RowStride, Result2DepthStride
            - PEIndexCfg, Src1AddrWrap, Src2AddrWrap, ResultWrapAddrCfg, SrcOffsetXlsbs
            0x00 - = Control | -BarrierIdx |
            0x04 - = Src1Cfg | -AliasPlanarSrc, -AliasPlanarRslt |
            0x08 - = Src2Cfg | -AliasPlanarSrc, -AliasPlanarRslt |
            0x0c - = Src1Base..Src2GroupStride
            0x34 - ResultCfg | Type 1:0, DMAFmt 7:6, Interleave 11:8, Compression 26:25 |
            0x38 - = ResultBase..ResultGroupStride
            0x4c - = SrcAndResultWrapCfg..Src2WrapStart
            0x5c - ResultWrapIndex | WrapIndex 15:0 |
            0x60 - ResultWrapStartOffset | StartOffset 15:0 |
            """,
        parent=PARENT.block("L2"),
        mark="+",
        words=30,
    ),
    block(
        "PE",
        0x4500,
        "",
        """
            0x00 ? = Config | -LutEn, -ReduceIndex, -ReduceKeep |
            """,
        parent=PARENT.block("PE"),
    ),
    block(
        "NE",
        0x4900,
        "",
        """
            0x00 ? KernelCfg | KernelFmt 1:0, PalettizedEn 2, PalettizedBits 7:4, SparseFmt 8, GroupKernelReuse 10 |
            0x04 ? MACCfg | OpMode 2:0, KernelMode 3, BiasMode 4, MatrixBiasEn 6, BinaryPoint 13:8, PostScaleMode 14, NonlinearMode 17:16 |
            0x08 ? MatrixVectorBias | MatrixVectorBias 15:0 |
            0x0c ? AccBias | AccBias 15:0, AccBiasShift 20:16 |
            0x10 ? PostScale | PostScale 15:0, PostRightShift 20:16 |
            """,
        words=11,
    ),
    block(
        "TileDMASrc",
        0x4D00,
        "",
        """
            0x00 ? Src1DMAConfig | Enable 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, DependencyMode 31:28 |
            0x04 ? Src2DMAConfig | Enable 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, DependencyMode 31:28 |
            0x08 ? Src1DMAConfigExt | CacheHintReuse 3:0, CacheHintNoReuse 7:4 |
            0x0c ? Src2DMAConfigExt | CacheHintReuse 3:0, CacheHintNoReuse 7:4 |
            0x10 ? Src1BaseAddr | Addr 31:6 *64 |
            0x14 ? Src1RowStride | Stride 31:6 *64 |
            0x18 ? Src1ChannelStride | Stride 31:6 *64 |
            0x1c ? Src1DepthStride | Stride 31:6 *64 |
            0x20 ? Src1GroupStride | Stride 31:6 *64 |
            0x24 ? Src2BaseAddr | Addr 31:6 *64 |
            0x28 ? Src2RowStride | Stride 31:6 *64 |
            0x2c ? Src2ChannelStride | Stride 31:6 *64 |
            0x30 ? Src2DepthStride | Stride 31:6 *64 |
            0x34 ? Src2GroupStride | Stride 31:6 *64 |
            0x50 ? Src1Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
            0x54 ? Src2Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
            0x68 ? PixelOffset[4] | Offset 15:0 |
            0xcc - Spare0 | |
            0xd0 - Spare1 | |
            """,
        words=69,
    ),
    block(
        "TileDMADst",
        0x5100,
        "",
        """
            - DstBaseAddrLo, DstBaseAddrHi, DstInternalCfg, DstMetaDataAddrLo, DstMetaDataAddrHi, DstFormatMode
            - DstCompressedInfo, DstCompSizeLo, DstCompSizeHi
            0x00 ? = DstDMAConfig | -UserTag, CrH 3:2 |
            0x04 ? DstBaseAddr | Addr 31:6 *64 |
            0x08 ? = DstRowStride..DstGroupStride
            0x18 ? = DstFmt | Truncate 5:4, Shift 8, ZeroPadLast 20, ZeroPadFirst 21, CmpVecFill 22 |
            0x1c - DstPixelOffset | Offset 15:0 |
            0x20 - DstReserved | |
            """,
        parent=PARENT.block("TileDMADst"),
        mark="+",
        words=21,
    ),
    block(
        "KernelDMASrc",
        0x5500,
        "",
        """
            - PaletteDMAConfig, PaletteBaseAddr, NLutDMAConfig, NLutBaseAddr
            0x00 - = MasterConfig..Prefetch
            """,
        parent=PARENT.block("KernelDMASrc"),
        mark="?",
        words=72,
    ),
    block(
        "CacheDMA",
        0x5900,
        "",
        parent=PARENT.block("CacheDMA"),
    ),
)

REGISTERS = RegisterMap(
    "h15",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Unverified and thin: one source project that mostly refers back to H14; no program available. Block bases and sizes are the reliable part.",
)
