"""Registers of H16 (A17 Pro, M4): for reading programs only.

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
        0x00 - W0 | TID 15:0, TaskSize 26:16 |
        0x04 - ExeCycles | ExeCycles 16:0 | compiler cycle estimate
        0x08 - LogEvents | LogEvents 23:0 |
        0x0c - Exceptions | Exceptions 23:0 |
        0x10 - DebugLogEvents | DebugLogEvents 23:0 |
        0x14 - DebugExceptions | DebugExceptions 23:0 |
        0x18 - LiveOuts | LiveOuts 23:0 |
        0x1c - UnknownFlags | UnknownFlags 31:0 |
        0x20 - W8 | TSR 0, TDE 1, ENE 18:16 |
        """,
)

_EXTRA = block(
    "Extra",
    0x24,
    "only when TDE is set",
    """
        0x24 - DTID | DTID 15:0 |
        """,
)

_BLOCKS = (
    block(
        "Common",
        0x0,
        "",
        """
            0x00 - ChannelCfg | InFmt 1:0, Src2InFmt 3:2, OutFmt 5:4 |
            0x04 ? InWidth | Win 16:0 |
            0x08 ? InHeight | Hin 16:0 |
            0x0c ? InChannels | Cin 16:0 |
            0x10 ? InDepth | Din 16:0 |
            0x14 ? OutWidth | Wout 16:0 |
            0x18 ? OutHeight | Hout 16:0 |
            0x1c ? OutChannels | Cout 16:0 |
            0x20 ? OutDepth | Dout 16:0 |
            0x24 - NumGroups | NumGroups 16:0 |
            0x28 - ConvCfg | Kw 5:0, Kh 11:6, Sx 14:13, Sy 16:15, PadLeft 21:17, PadTop 26:22, Ox 29:28, Oy 31:30 |
            0x2c ? ConvCfg3d | Kd 4:0, Sz 7:6, Pz 11:8, Oz 14:13 |
            0x30 - UnicastCfg | UnicastEn 14, UnicastCin 31:16 |
            0x34 - TileHeight | TileHeight 16:0 |
            0x38 - TileOverlap | Overlap 20:16, PadTop 25:21, PadBottom 30:26 |
            0x3c ? MacCfg | SmallSrcMode 3:2, TaskType 7:4, ShPref 10:8, ShMin 14:12, ShMax 18:16, ActiveNE 21:19, PerfTraceEn 22, ReluType 27:24, OutTrans 28, FillLowerNE 29 | ShPref/ShMin/ShMax are not in the map: taken from the identical H13 Cfg layout, seen as 4/4/4 in H17 conv words
            0x40 - NECfg | OCGSize 2:0, FatTileEnable 3, WUStackLog2 5:4 |
            0x44 - PatchCfg | PatchWidth 3:0, PatchHeight 8:4 |
            0x48 - PECfg | Src1Broadcast 3:0, Src2Broadcast 7:4, Src1Transpose 8, Src2Transpose 9, OutputTranspose 10, IdxTranspose 14, IdxBroadcast 15, PEPrimarySource 18:16, ActiveNE 21:19 |
            0x4c ? NID | TaskID 15:0, TaskQ 19:16, NID 27:20 | the maps give no fields; the H13 TaskInfo layout is used because the H17 conv program writes 0x200000 here (NID 2)
            0x50 - DPE | Category 3:0 | no fields in the map; H13 layout
            0x54 - Reserved0 | |
            0x58 - Reserved1 | |
            """,
    ),
    block(
        "L2",
        0x4100,
        "",
        """
            0x00 - Control | Src1ReLU 0, PaddingMode 3:2, Src2ReLU 4, Barrier 16, BarrierIdx 23:17 |
            0x04 - Src1Cfg | Type 1:0, Dependent 3:2, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, AliasPlanarSrc 20, AliasPlanarRslt 22, Compression 26:25 |
            0x08 - Src2Cfg | Type 1:0, Dependent 3:2, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, AliasPlanarSrc 20, AliasPlanarRslt 22, Compression 26:25 |
            0x0c - SrcIdxCfg | Type 1:0, Dependent 3:2, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, AliasPlanarSrc 20, AliasPlanarRslt 22, Bit27 27 |
            0x10 - Src1Base | Addr 20:4 *16 |
            0x14 - Src1ChannelStride | Stride 20:4 *16 |
            0x18 - Src1RowStride | Stride 20:4 *16 |
            0x1c - Src1DepthStride | Stride 20:4 *16 |
            0x20 - Src1GroupStride | Stride 20:4 *16 |
            0x24 - Src2Base | Addr 20:4 *16 |
            0x28 - Src2ChannelStride | Stride 20:4 *16 |
            0x2c - Src2RowStride | Stride 20:4 *16 |
            0x30 - Src2DepthStride | Stride 20:4 *16 |
            0x34 - Src2GroupStride | Stride 20:4 *16 |
            0x38 - SrcIdxBase | Addr 20:4 *16 |
            0x3c - SrcIdxChannelStride | Stride 20:4 *16 |
            0x40 - SrcIdxDepthStride | Stride 20:4 *16 |
            0x44 - SrcIdxGroupStride | Stride 20:4 *16 |
            0x48 ? ResultCfg | Type 1:0, L2BfrMode 3, AliasConvSrc 4, AliasConvRslt 5, DMAFmt 7:6, Interleave 11:8, AliasPlanarSrc 20, AliasPlanarRslt 22, Compression 26:25 |
            0x4c - ResultBase | Addr 20:4 *16 |
            0x50 - ResultChannelStride | Stride 20:4 *16 |
            0x54 - ResultRowStride | Stride 20:4 *16 |
            0x58 - ResultDepthStride | Stride 20:4 *16 |
            0x5c - ResultGroupStride | Stride 20:4 *16 |
            0x64 - SrcAndResultWrapCfg | WrapNumBlocks 11:0, WrapLen 31:12 |
            0x68 - Src1WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
            0x6c - Src2WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
            0x74 ? ResultWrapIdxOff | WrapIndex 15:0, StartOffset 31:16 |
            0x7c ? Result2Base | Addr 20:4 *16 |
            0x80 ? Result2ChannelStride | Stride 20:4 *16 |
            0x84 ? Result2RowStride | Stride 20:4 *16 |
            0x88 ? Result2DepthStride | Stride 20:4 *16 |
            0x8c - PEIndexCfg | MaxIndex 15:0, Mode 18:16, Broadcast 25:24, Transpose 26 |
            0x90 - Src1AddrWrap | |
            0x94 - Src2AddrWrap | |
            0x9c - ResultWrapAddrCfg | ResultWrapAddr 11:0, ResultWrapAddrOffset 26:16 |
            0xa0 ? SrcOffsetXlsbs | Src1OffsetXlsbs 5:0, Src1OffsetYlsbs 12:8, Src2OffsetXlsbs 21:16, Src2OffsetYlsbs 28:24 |
            """,
        words=41,
    ),
    block(
        "PEIndex",
        0x44D0,
        "",
        """
            0x00 ? PEIndexCfg | MaxIndex 15:0, IndexingEn 16 | extension register printed by the parser at 0x44d0; the h16 map instead has a PEIndexCfg at 0x418c
            """,
    ),
    block(
        "PE",
        0x4500,
        "",
        """
            0x00 ? Config | PoolMode 1:0, Operation 4:2, LutEn 5, Condition 8:6, ReduceIndex 10:9, ReduceKeep 11, NLMode 13:12, Src1Sel 16, Src2Sel 19:18 |
            0x04 - Bias | Bias 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19 bits of fp32); a parser also accepts a plain fp32 when upper bits are set
            0x08 - Scale | Scale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19 bits of fp32); a parser also accepts a plain fp32 when upper bits are set
            0x0c - FinalScaleEpsilon | FinalScaleEpsilon 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19 bits of fp32); a parser also accepts a plain fp32 when upper bits are set
            0x10 - PreScale | PreScale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19 bits of fp32); a parser also accepts a plain fp32 when upper bits are set
            0x14 - FinalScale | FinalScale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19 bits of fp32); a parser also accepts a plain fp32 when upper bits are set
            0x18 - LUT[8] | Value 31:0 | piecewise-linear LUT parameter
            0x38 - Quant | Src1InputOffset 7:0, Src2InputOffset 15:8, OutputZeroPoint 23:16 |
            """,
    ),
    block(
        "NE",
        0x4900,
        "",
        """
            0x00 - KernelCfg | KernelFmt 1:0, PalettizedEn 2, PalettizedBits 7:4, SparseEn 8, GroupKernelReuse 10, SparseBinary 15, Align 16, SparseBlockSize 23:21, AsymQuantEn 24 |
            0x04 ? MacCfg | OpMode 2:0, KernelMode 3, BiasEn 4, PassEn 5, MatrixBiasEn 6, BinaryPoint 13:8, PostScaleEn 14, NonlinearMode 17:16, MaxPoolEn 19, ArgSel 23:20, DoubleInt8En 26 |
            0x08 ? MatrixVectorBias | MatrixVectorBias 15:0 |
            0x0c ? NEBias | BiasVal 15:0, ExpIdx 20:16 |
            0x10 ? NEPostScale | ScaleVal 15:0, ExpIdx 20:16 | exponent index is stored negated
            0x14 - RcasConfig | KeyMask 7:0, CmpBit 10:8, SenseAxis 13:12, SenseBit 19:16, Mode 20 |
            0x18 - RoundModeCfg | Mode 1:0, IntBits 8:4 |
            0x1c - SRSeed[4] | Seed 31:0 |
            0x2c - QuantZeroPoint | ZeroPoint 7:0 |
            """,
    ),
    block(
        "TileDMASrc",
        0x4D00,
        "",
        """
            0x00 ? Src1DMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, DependencyInterval 27:24, DependencyMode 29:28 |
            0x04 ? Src2DMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, DependencyInterval 27:24, DependencyMode 29:28 |
            0x08 ? Src1WrapCfg | CacheHintReuse 3:0, CacheHintNoReuse 7:4, WrapCfg 10:8, WrapStatic 31:16 |
            0x0c ? Src2WrapCfg | CacheHintReuse 3:0, CacheHintNoReuse 7:4, WrapCfg 10:8, WrapStatic 31:16 |
            0x10 - Src1BaseAddrLo | AddrLo 31:0 |
            0x14 - Src1BaseAddrHi | AddrHi 31:0 |
            0x18 - Src1RowStride | Stride 31:6 *64 |
            0x1c - Src1ChannelStride | Stride 31:6 *64 |
            0x20 - Src1DepthStride | Stride 31:6 *64 |
            0x24 - Src1GroupStride | Stride 31:6 *64 |
            0x28 - Src2BaseAddrLo | AddrLo 31:0 |
            0x2c - Src2BaseAddrHi | AddrHi 31:0 |
            0x30 - Src2RowStride | Stride 31:6 *64 |
            0x34 - Src2ChannelStride | Stride 31:6 *64 |
            0x38 - Src2DepthStride | Stride 31:6 *64 |
            0x3c - Src2GroupStride | Stride 31:6 *64 |
            0x40 - Src1MetaDataAddrLo | AddrLo 31:0 |
            0x44 - Src1MetaDataAddrHi | AddrHi 31:0 |
            0x48 - Src2MetaDataAddrLo | AddrLo 31:0 |
            0x4c - Src2MetaDataAddrHi | AddrHi 31:0 |
            0x50 - Src1MetaDataConfig | Config0 31:7 |
            0x54 - Src1MetaUnknown1 | Config1 31:7 |
            0x58 - Src1MetaDataSize | Size 31:7 |
            0x5c - Src2MetaDataConfig | Config0 31:7 |
            0x60 - Src2MetaUnknown1 | Config1 31:7 |
            0x64 - Src2MetaDataSize | Size 31:7 |
            0x68 ? Src1Fmt | FmtMode 1:0, Truncate 6:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
            0x6c ? Src2Fmt | FmtMode 1:0, Truncate 6:4, Shift 8, MemFmt 13:12, OffsetCh 18:16, Interleave 27:24, CmpVec 31:28 |
            0x78 - Src1CompressedInfo | CompressedEnable 0, MacroblockSize 2, PackingFormatTableIdx 9:4, LossyEnable 13, MdUserTag 31:24 |
            0x7c - Src1CompressedSizeLo | SizeLo 31:0 |
            0x80 - Src1CompressedSizeHi | SizeHi 31:0 |
            0x84 - Src1CropOffset | OffsetY 15:0, CropOffset 31:16 |
            0x88 - Src2CompressedInfo | CompressedEnable 0, MacroblockSize 2, PackingFormatTableIdx 9:4, LossyEnable 13, MdUserTag 31:24 |
            0x8c - Src2CompressedSizeLo | SizeLo 31:0 |
            0x90 - Src2CompressedSizeHi | SizeHi 31:0 |
            0x94 - Src2CropOffset | OffsetY 15:0, CropOffset 31:16 |
            0xb8 - Src1WrapDynamic | WrapNumBlocks 11:0, WrapLen 31:12 |
            0xbc - Src2WrapDynamic | WrapNumBlocks 11:0, WrapLen 31:12 |
            0xc0 - Src1DependencyOffset | Offset 31:0 |
            0xc4 - Src2DependencyOffset | Offset 31:0 |
            0xc8 ? TextureConfig | Mode 2:0, Norm1 5:3, Norm2 8:6, Filter 12, CropCoeff1 16:13, CropCoeff2 20:17, BackgroundEn 22, DepthValSel 23, WrapParam 28:24 |
            0xcc - TextureIdxPermute | Permute0 8:6, Permute1 14:12 |
            0xd0 - TextureSrcPermute | SrcPermute 2:0, Src2Permute 14:12, IndPermute 18:16, PreserveFrac 22, WrapParam 28:24 |
            0xd4 - TextureBackgroundVal | Value 15:0 |
            0xd8 - TextureExtMaxDim1 | Lo 15:0, Hi 31:16 |
            0xdc - TextureExtMaxDim2 | Lo 15:0, Hi 31:16 |
            0xe0 - TextureExtMaxDim3 | Val 15:0 |
            0xe4 - TextureCropBatchSplitDim1 | Lo 15:0, Hi 31:16 |
            0xe8 - TextureCropDepthDim1 | Lo 15:0, Hi 31:16 |
            0xec - TextureCropBatchSplitDim2 | Lo 15:0 |
            0xf8 - Src1Ephemeral | EphemeralEnable 0 |
            0x104 - TextureCropCoeffVal | CoeffValue 31:0 |
            """,
        words=81,
    ),
    block(
        "TileDMADst",
        0x5100,
        "",
        """
            0x00 ? DstDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, L2BfrMode 24, BypassEOW 25 |
            0x08 - DstBaseAddrLo | AddrLo 31:0 |
            0x0c - DstBaseAddrHi | AddrHi 31:0 |
            0x10 - DstRowStride | Stride 31:6 *64 |
            0x14 - DstPlaneStride | Stride 31:6 *64 |
            0x18 - DstDepthStride | Stride 31:6 *64 |
            0x1c - DstGroupStride | Stride 31:6 *64 |
            0x20 - DstInternalCfg | InternalBits 15:0, Flag1 16, Flag2 17, Flag3 18 |
            0x28 - DstMetaDataAddrLo | AddrLo 31:0 |
            0x2c - DstMetaDataAddrHi | AddrHi 31:0 |
            0x30 - DstFormatMode | FormatMode 1:0, MetaDataSize 31:7 |
            0x38 ? DstFmt | FmtMode 1:0, Truncate 6:4, Shift 10:8, MemFmt 13:12, OffsetCh 18:16, ZeroPadFirst 20, ZeroPadLast 21, Interleave 27:24, CmpVec 31:28 |
            0x40 - DstCompressedInfo | CompressedEnable 0, MacroblockSize 2, PackingFormatTableIdx 9:4, LossyEnable 13 |
            0x48 - DstCompSizeLo | SizeLo 31:0 |
            0x4c - DstCompSizeHi | SizeHi 31:0 |
            0x50 - DstPixelOffset | |
            """,
        words=21,
    ),
    block(
        "KernelDMASrc",
        0x5500,
        "",
        """
            0x00 - MasterConfig | GroupKernelReuse 4, KernelSparseFmt 5, MasterEnable 6 |
            0x04 - AlignedCoeffSizePerCh | Size 27:0 |
            0x08 - Prefetch | EarlyTermEn 0, StopOnError 1, PrefetchRate 31:16 |
            0x10 + KernelBaseAddrLo | Addr 31:0 | kernel base address, written as a relocated pair like the bases of tiles
            0x14 + KernelBaseAddrHi | Addr 31:0 | kernel base address, upper word
            0x18 ? KernelGroupStride | Stride 31:6 *64 |
            0x1c ? KernelOCGStride | Stride 31:6 *64 |
            0x20 - CoeffDMAConfig[16] | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
            0x60 - CoeffBaseAddr[16] | Addr 31:6 *64 |
            0xa0 - CoeffBfrSize[16] | MemBfrSize 31:6 *64 |
            0xe0 - BiasDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
            0xe4 - BiasBaseAddr | Addr 31:6 *64 |
            0xf0 - PostScaleDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
            0xf4 - PostScaleBaseAddr | Addr 31:6 *64 |
            0x100 - PaletteDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
            0x104 - PaletteBaseAddr | Addr 31:6 *64 |
            0x110 - NLutDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
            0x114 - NLutBaseAddr | Addr 31:6 *64 |
            """,
        words=72,
    ),
    block(
        "CacheDMA",
        0x5900,
        "",
        """
            0x00 - TelemetryControl | Flush 0, Enable 1, TaskSync 3:2, EarlyTerm 8:4, FootprintLimiter 9, FootprintThreshold 31:16 |
            0x04 - TelemetryPre0 | BandwidthLimit 9:0, Sieve2 19:16, ResponseAgeOut 23:20 |
            0x08 - TelemetryPre1 | Sieve1 13:0 |
            0x0c - TelemetryReserved1 | |
            0x10 - TelemetryReserved2 | |
            0x14 - TelemetryReserved3 | |
            0x18 - TelemetryDSID | DataSetIdAndSize 29:7 |
            0x1c - FootprintArg | FootprintArg2 27:17 |
            0x20 - EarlyTermArg12 | Arg1 15:0, Arg2 31:16 |
            0x24 - FlushRegister | FlushArg 15:0 |
            0x28 - EarlyTermArg34 | Arg3 7:0, Arg4 23:16 |
            0x2c - BackoffControl | Enable 0, Delay 7:4, Min 15:8, Max 23:16, Scale 31:24 |
            """,
    ),
)

REGISTERS = RegisterMap(
    "h16",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Unverified: one source project (static analysis of the vendor compiler); no H16 program available. Fields shared with H17 are supported by the published H17 conv words.",
)
