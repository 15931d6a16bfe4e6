"""Registers of H14 (A15, M2): for reading programs only.

Made by tools/make_registers.py from the fact sheet of the generation; the table form is told in
`openane.targets.declare`.
"""

# ruff: noqa: E501
from openane.program.registers import RegisterMap
from openane.targets.declare import block

_HEADER = block(
    "Header",
    0x0,
    "the first words of a task descriptor",
    """
        0x00 - W0 | TID 15:0, TaskSize 26:16 |
        0x04 - ExeCycles | ExeCycles 16:0 | compiler cycle estimate
        0x08 - LogEvents | LogEvents 23:0 |
        0x0c - Exceptions | Exceptions 23:0 |
        0x10 - DebugLogEvents | DebugLogEvents 23:0 |
        0x14 - DebugExceptions | DebugExceptions 23:0 |
        0x18 - LiveOuts | LiveOuts 31:0 |
        0x1c - W7 | TSR 0, TDE 1, ENE 18:16 |
        """,
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
        0x00 - InDim | Win 14:0, Hin 30:16 |
        0x04 - InDepth | Din 14:0 |
        0x08 - ChannelCfg | InFmt 1:0, Src2InFmt 3:2, OutFmt 5:4 |
        0x0c - InChannels | Cin 16:0 |
        0x10 - OutChannels | Cout 16:0 |
        0x14 - OutDim | Wout 14:0, Hout 30:16 |
        0x18 - OutDepth | Dout 14:0 |
        0x1c ? OCGSize | OCGSize 2:0 |
        0x20 ? ConvCfg | Kw 5:0, Kh 11:6, Sx 14:13, Sy 16:15, Px 21:17, Py 26:22, Ox 29:28, Oy 31:30 |
        0x24 ? ConvCfg3d | Kd 4:0, Sz 7:6, Pz 11:8, Oz 14:13 |
        0x28 ? GroupConvCfg | NumGroups 12:0, UnicastEn 14, ElemMultMode 15, UnicastCin 31:16 |
        0x2c ? TileCfg | TileHeight 14:0 |
        0x30 ? TileOverlap | Overlap 5:0, PadTop 10:6 |
        0x34 ? NECfg | OCGSize 2:0, FatTileEnable 3, WUStackLog2 5:4 |
        0x38 ? Cfg | SmallSourceMode 3:2, TaskType 7:4, ShPref 10:8, ShMin 14:12, ShMax 18:16, ActiveNE 21:19 |
        0x3c ? TaskInfo | TaskID 15:0, TaskQ 19:16, NID 27:20 |
        0x40 ? DPE | Category 3:0 |
        0x44 ? Spare0 | |
        0x48 ? Spare1 | |
        """,
    ),
    block(
        "L2",
        0x500,
        "",
        """
        0x00 - Control | Src1ReLU 0, PaddingMode 3:2, Src2ReLU 4, Barrier 16 |
        0x04 - Src1Cfg | Type 1:0, Dependent 3:2, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, Compression 26:25 |
        0x08 - Src2Cfg | Type 1:0, Dependent 3:2, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, Compression 26:25 |
        0x0c - Src1Base | Addr 20:4 *16 |
        0x10 - Src1ChannelStride | Stride 20:4 *16 |
        0x14 - Src1RowStride | Stride 20:4 *16 |
        0x18 - Src1DepthStride | Stride 20:4 *16 |
        0x1c - Src1GroupStride | Stride 20:4 *16 |
        0x20 - Src2Base | Addr 20:4 *16 |
        0x24 - Src2ChannelStride | Stride 20:4 *16 |
        0x28 - Src2RowStride | Stride 20:4 *16 |
        0x2c - Src2DepthStride | Stride 20:4 *16 |
        0x30 - Src2GroupStride | Stride 20:4 *16 |
        0x34 - ResultCfg | Type 1:0, DMAFmt 7:6, Interleave 11:8, Compression 26:25 |
        0x38 - ResultBase | Addr 20:4 *16 |
        0x3c - ResultChannelStride | Stride 20:4 *16 |
        0x40 - ResultRowStride | Stride 20:4 *16 |
        0x44 - ResultDepthStride | Stride 20:4 *16 |
        0x48 - ResultGroupStride | Stride 20:4 *16 |
        0x4c - SrcAndResultWrapCfg | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x50 - Src1WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x54 - Src2WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x58 - Reserved_22 | |
        0x5c - ResultWrapIndex | WrapIndex 15:0 |
        0x60 - ResultWrapStartOffset | StartOffset 15:0 |
        """,
    ),
    block(
        "PE",
        0x900,
        "",
        """
        0x00 - PEConfig | PoolMode 1:0, Operation 4:2, NLMode 13:12 |
        0x04 - BiasScale | Bias 15:0, Scale 31:16 | fp16
        0x08 - PreScale | PreScale 31:16 | fp16
        0x0c - FinalScale | FinalScale 31:0 | fp32
        0x10 - Quant | Src1InputOffset 7:0, Src2InputOffset 15:8, OutputZeroPoint 23:16 |
        """,
    ),
    block(
        "NE",
        0xD00,
        "",
        """
        0x00 ? KernelCfg | KernelFmt 1:0, PalettizedEn 2, PalettizedBits 7:4, SparseFmt 8, GroupKernelReuse 10 |
        0x04 ? MACCfg | OpMode 2:0, KernelMode 3, BiasMode 4, MatrixBiasEn 6, BinaryPoint 13:8, PostScaleMode 14, NonlinearMode 17:16 |
        0x08 ? MatrixVectorBias | MatrixVectorBias 15:0 |
        0x0c ? AccBias | AccBias 15:0, AccBiasShift 20:16 |
        0x10 ? PostScale | PostScale 15:0, PostRightShift 20:16 |
        """,
    ),
    block(
        "TileDMASrc",
        0x1100,
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
        0x38 - Reserved_14 | |
        0x3c - Reserved_15 | |
        0x40 - Reserved_16 | |
        0x44 - Reserved_17 | |
        0x48 - Reserved_18 | |
        0x4c - Reserved_19 | |
        0x50 ? Src1Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
        0x54 ? Src2Fmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
        0x58 - Reserved_22 | |
        0x5c - Reserved_23 | |
        0x60 - Reserved_24 | |
        0x64 - Reserved_25 | |
        0x68 ? PixelOffset[4] | Offset 15:0 |
        0x78 - Reserved_30 | |
        0x7c - Reserved_31 | |
        0x80 - Reserved_32 | |
        0x84 - Reserved_33 | |
        0x88 - Reserved_34 | |
        0x8c - Reserved_35 | |
        0x90 - Reserved_36 | |
        0x94 - Reserved_37 | |
        0x98 - Reserved_38 | |
        0x9c - Reserved_39 | |
        0xa0 - Reserved_40 | |
        0xa4 - Reserved_41 | |
        0xa8 - Reserved_42 | |
        0xac - Reserved_43 | |
        0xb0 - Reserved_44 | |
        0xb4 - Reserved_45 | |
        0xb8 - Reserved_46 | |
        0xbc - Reserved_47 | |
        0xc0 - Reserved_48 | |
        0xc4 - Reserved_49 | |
        0xc8 - Reserved_50 | |
        0xcc ? Spare0 | |
        0xd0 ? Spare1 | |
        """,
    ),
    block(
        "TileDMADst",
        0x1500,
        "",
        """
        0x00 ? DstDMAConfig | Enable 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, L2BfrMode 24, BypassEOW 25 |
        0x04 ? DstBaseAddr | Addr 31:6 *64 |
        0x08 ? DstRowStride | Stride 31:6 *64 |
        0x0c ? DstPlaneStride | Stride 31:6 *64 |
        0x10 ? DstDepthStride | Stride 31:6 *64 |
        0x14 ? DstGroupStride | Stride 31:6 *64 |
        0x18 ? DstFmt | FmtMode 1:0, Truncate 5:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, ZeroPadLast 20, ZeroPadFirst 21, CmpVecFill 22, Interleave 27:24, CmpVec 31:28 |
        0x1c - DstPixelOffset | Offset 15:0 |
        0x20 - DstReserved | |
        """,
    ),
    block(
        "KernelDMASrc",
        0x1900,
        "",
        """
        0x00 - MasterConfig | GroupKernelReuse 4, KernelSparseFmt 5, MasterEnable 6 |
        0x04 - AlignedCoeffSizePerCh | Size 27:0 |
        0x08 - Prefetch | EarlyTermEn 0, StopOnError 1, PrefetchRate 31:16 |
        0x0c - Reserved_3 | |
        0x10 - Reserved_4 | |
        0x14 - Reserved_5 | |
        0x18 ? KernelGroupStride | Stride 31:6 *64 |
        0x1c ? KernelOCGStride | Stride 31:6 *64 |
        0x20 ? CoeffDMAConfig[16] | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0x60 ? CoeffBaseAddr[16] | Addr 31:6 *64 |
        0xa0 ? CoeffBfrSize[16] | MemBfrSize 31:6 *64 |
        0xe0 ? BiasDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0xe4 ? BiasBaseAddr | Addr 31:6 *64 |
        0xe8 - Reserved_58 | |
        0xec - Reserved_59 | |
        0xf0 ? PostScaleDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0xf4 ? PostScaleBaseAddr | Addr 31:6 *64 |
        0xf8 - Reserved_62 | |
        0xfc - Reserved_63 | |
        0x100 ? SparseBlockSizeCfg | BlockSize 7:0 |
        0x104 - Reserved_65 | |
        0x108 - Reserved_66 | |
        0x10c - Reserved_67 | |
        0x110 - Reserved_68 | |
        0x114 - Reserved_69 | |
        """,
    ),
)

REGISTERS = RegisterMap(
    "h14", _HEADER, _BLOCKS, _EXTRA, "Unverified: one source project, internally inconsistent; no program available."
)
