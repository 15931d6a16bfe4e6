"""Registers of H18 (A19, A19 Pro): for reading programs only.

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
        0x00 - ChannelCfg | InFmt 2:0, Src2InFmt 5:3, OutFmt 8:6 | formats widened to 3 bits
        0x04 ? InWidth | Win 16:0 |
        0x08 ? InHeight | Hin 16:0 |
        0x0c ? InChannels | Cin 16:0 |
        0x10 ? InDepth | Din 16:0 |
        0x14 ? OutWidth | Wout 16:0 |
        0x18 ? OutHeight | Hout 16:0 |
        0x1c ? OutChannels | Cout 16:0 |
        0x20 ? OutDepth | Dout 16:0 |
        0x24 - NumGroups | NumGroups 16:0 |
        0x28 ? ConvCfg | Kw 5:0, Kh 11:6, Sx 14:13, Sy 16:15, PadLeft 21:17, PadTop 26:22, Ox 29:28, Oy 31:30 |
        0x2c ? ConvCfg3d | Kd 4:0, Sz 7:6, Pz 11:8, Oz 14:13 |
        0x30 - UnicastCfg | UnicastEn 14, UnicastCin 31:16 |
        0x34 - TileHeight | TileHeight 16:0 |
        0x38 - TileOverlap | Overlap 20:16, PadTop 25:21, PadBottom 30:26, Reflect 31 |
        0x3c ? MacCfg | SmallSrcMode 3:2, TaskType 7:4, ShPref 10:8, ShMin 14:12, ShMax 18:16, ActiveNE 21:19, PerfTraceEn 22, ReluType 27:24, OutTrans 28, FillLowerNE 29 | ShPref/ShMin/ShMax are not in the map: taken from the identi
        0x40 ? NECfg | OCGSize 2:0, FatTileEnable 3, HalfWUMode 7:6 |
        0x44 - PatchCfg | PatchWidth 3:0, PatchHeight 8:4 |
        0x48 - PECfg | Src1Broadcast 3:0, Src2Broadcast 7:4, Src1Transpose 8, Src2Transpose 9, OutputTranspose 10, IdxTranspose 14, IdxBroadcast 15, PEPrimarySource 18:16, ActiveNE 21:19 |
        0x4c ? NID | TaskID 15:0, TaskQ 19:16, NID 27:20 | the maps give no fields
        0x50 - DPE | Category 3:0 | no fields in the map
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
        0x60 - Reserved_0x4160 | |
        0x64 - SrcAndResultWrapCfg | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x68 - Src1WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x6c - Src2WrapStart | WrapNumBlocks 11:0, WrapLen 31:12 |
        0x70 - Reserved_0x4170 | |
        0x74 ? ResultWrapIdxOff | WrapIndex 15:0, StartOffset 31:16 |
        0x78 - Reserved_0x4178 | |
        0x7c ? Result2Base | Addr 20:4 *16 |
        0x80 ? Result2ChannelStride | Stride 20:4 *16 |
        0x84 ? Result2RowStride | Stride 20:4 *16 |
        0x88 ? Result2DepthStride | Stride 20:4 *16 |
        0x8c - PEIndexCfg | MaxIndex 15:0, Mode 18:16, Broadcast 25:24, Transpose 26 |
        0x90 - Src1AddrWrap | |
        0x94 - Src2AddrWrap | |
        0x98 - Reserved_0x4198 | |
        0x9c - ResultWrapAddrCfg | ResultWrapAddr 11:0, ResultWrapAddrOffset 26:16 |
        0xa0 ? SrcOffsetXlsbs | Src1OffsetXlsbs 5:0, Src1OffsetYlsbs 12:8, Src2OffsetXlsbs 21:16, Src2OffsetYlsbs 28:24 |
        0xa4 - Reserved_0x41a4 | |
        0xa8 - L2TraceCfg | |
        """,
    ),
    block(
        "PE",
        0x4500,
        "",
        """
        0x00 ? Config | PoolMode 1:0, Operation 4:2, LutEn 5, Condition 8:6, ReduceIndex 10:9, ReduceKeep 11, NLMode 13:12, Src1Sel 16, Src2Sel 19:18 |
        0x04 - Bias | Bias 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19
        0x08 - Scale | Scale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19
        0x0c - FinalScaleEpsilon | FinalScaleEpsilon 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19
        0x10 - PreScale | PreScale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19
        0x14 - FinalScale | FinalScale 18:0 | 19-bit float (sign, 8-bit exponent, 10-bit mantissa: top 19
        0x18 - LUT[8] | Value 31:0 | piecewise-linear LUT parameter
        0x38 - Quant | Src1InputOffset 7:0, Src2InputOffset 15:8, OutputZeroPoint 23:16 |
        0x3c - PETraceCfg | |
        """,
    ),
    block(
        "NE",
        0x4900,
        "",
        """
        0x00 - KernelCfg | KernelFmt 1:0, PalettizedEn 2, PalettizedBits 7:4, SparseEn 8, GroupKernelReuse 10, SparseBlockSizeW 24:21, SparseBlockSizeA 28:25 |
        0x04 ? MacCfg | OpMode 2:0, KernelMode 3, BiasEn 4, PassEn 5, MatrixBiasEn 6, BinaryPoint 13:8, PostScaleEn 14, NonlinearMode 17:16, MaxPoolEn 19, ArgSel 23:20, SmallSrcMode 28:27 |
        0x08 ? MatrixVectorBias | MatrixVectorBias 15:0 |
        0x0c ? NEBias | BiasVal 15:0, ExpIdx 20:16 |
        0x10 ? NEPostScale | ScaleVal 15:0, ExpIdx 20:16 | exponent index is stored negated
        0x14 - RcasConfig | KeyMask 7:0, CmpBit 10:8, SenseAxis 13:12, SenseBit 19:16, Mode 20 |
        0x18 - RoundModeCfg | Mode 1:0, IntBits 8:4 |
        0x1c - SRSeed[4] | Seed 31:0 |
        0x2c - QuantZeroPoint | ZeroPoint 7:0 |
        0x30 - NETraceCfg | |
        """,
    ),
    block(
        "TileDMASrc",
        0x4D00,
        "",
        """
        0x00 ? Unmapped_0x4d00 | | position not published consistently
        0x04 ? Unmapped_0x4d04 | | position not published consistently
        0x08 ? Unmapped_0x4d08 | | position not published consistently
        0x0c ? Unmapped_0x4d0c | | position not published consistently
        0x10 ? Unmapped_0x4d10 | | position not published consistently
        0x14 ? Unmapped_0x4d14 | | position not published consistently
        0x18 ? Src1BaseAddrLo | AddrLo 31:0 | address inferred: directly before the row stride
        0x1c ? Src1BaseAddrHi | AddrHi 31:0 | address inferred: directly before the row stride
        0x20 ? Src1RowStride | Stride 31:6 *64 | from the hardware traits
        0x24 ? Src1ChannelStride | Stride 31:6 *64 | from the hardware traits
        0x28 ? Src1DepthStride | Stride 31:6 *64 | from the hardware traits
        0x2c ? Src1GroupStride | Stride 31:6 *64 | from the hardware traits
        0x30 ? Src2BaseAddrLo | AddrLo 31:0 | address inferred: directly before the row stride
        0x34 ? Src2BaseAddrHi | AddrHi 31:0 | address inferred: directly before the row stride
        0x38 ? Src2RowStride | Stride 31:6 *64 | from the hardware traits
        0x3c ? Src2ChannelStride | Stride 31:6 *64 | from the hardware traits
        0x40 ? Src2DepthStride | Stride 31:6 *64 | from the hardware traits
        0x44 ? Src2GroupStride | Stride 31:6 *64 | from the hardware traits
        0x48 ? Unmapped_0x4d48 | | position not published consistently
        0x4c ? Unmapped_0x4d4c | | position not published consistently
        0x50 ? Unmapped_0x4d50 | | position not published consistently
        0x54 ? Unmapped_0x4d54 | | position not published consistently
        0x58 ? Unmapped_0x4d58 | | position not published consistently
        0x5c ? Unmapped_0x4d5c | | position not published consistently
        0x60 ? Unmapped_0x4d60 | | position not published consistently
        0x64 ? Unmapped_0x4d64 | | position not published consistently
        0x68 ? Unmapped_0x4d68 | | position not published consistently
        0x6c ? Unmapped_0x4d6c | | position not published consistently
        0x70 ? Unmapped_0x4d70 | | position not published consistently
        0x74 ? Unmapped_0x4d74 | | position not published consistently
        0x78 ? Unmapped_0x4d78 | | position not published consistently
        0x7c ? Unmapped_0x4d7c | | position not published consistently
        0x80 ? Unmapped_0x4d80 | | position not published consistently
        0x84 ? Unmapped_0x4d84 | | position not published consistently
        0x88 ? Unmapped_0x4d88 | | position not published consistently
        0x8c ? Unmapped_0x4d8c | | position not published consistently
        0x90 ? Unmapped_0x4d90 | | position not published consistently
        0x94 ? Unmapped_0x4d94 | | position not published consistently
        0x98 ? Unmapped_0x4d98 | | position not published consistently
        0x9c ? Unmapped_0x4d9c | | position not published consistently
        0xa0 ? Unmapped_0x4da0 | | position not published consistently
        0xa4 ? Unmapped_0x4da4 | | position not published consistently
        0xa8 ? Unmapped_0x4da8 | | position not published consistently
        0xac ? Unmapped_0x4dac | | position not published consistently
        0xb0 ? Unmapped_0x4db0 | | position not published consistently
        0xb4 ? Unmapped_0x4db4 | | position not published consistently
        0xb8 ? Unmapped_0x4db8 | | position not published consistently
        0xbc ? Unmapped_0x4dbc | | position not published consistently
        0xc0 ? Unmapped_0x4dc0 | | position not published consistently
        0xc4 ? Unmapped_0x4dc4 | | position not published consistently
        0xc8 ? Unmapped_0x4dc8 | | position not published consistently
        0xcc ? Unmapped_0x4dcc | | position not published consistently
        0xd0 ? Unmapped_0x4dd0 | | position not published consistently
        0xd4 ? Unmapped_0x4dd4 | | position not published consistently
        0xd8 ? Unmapped_0x4dd8 | | position not published consistently
        0xdc ? Unmapped_0x4ddc | | position not published consistently
        0xe0 ? Unmapped_0x4de0 | | position not published consistently
        0xe4 ? Unmapped_0x4de4 | | position not published consistently
        0xe8 ? Unmapped_0x4de8 | | position not published consistently
        0xec ? Unmapped_0x4dec | | position not published consistently
        0xf0 ? Unmapped_0x4df0 | | position not published consistently
        0xf4 ? Unmapped_0x4df4 | | position not published consistently
        0xf8 ? Unmapped_0x4df8 | | position not published consistently
        0xfc ? Unmapped_0x4dfc | | position not published consistently
        0x100 ? Unmapped_0x4e00 | | position not published consistently
        0x104 ? Unmapped_0x4e04 | | position not published consistently
        0x108 ? Unmapped_0x4e08 | | position not published consistently
        0x10c ? Unmapped_0x4e0c | | position not published consistently
        0x110 ? Unmapped_0x4e10 | | position not published consistently
        0x114 ? Unmapped_0x4e14 | | position not published consistently
        0x118 ? Unmapped_0x4e18 | | position not published consistently
        0x11c ? Unmapped_0x4e1c | | position not published consistently
        0x120 ? Unmapped_0x4e20 | | position not published consistently
        0x124 ? Unmapped_0x4e24 | | position not published consistently
        0x128 ? Unmapped_0x4e28 | | position not published consistently
        0x12c ? Unmapped_0x4e2c | | position not published consistently
        0x130 ? Unmapped_0x4e30 | | position not published consistently
        0x134 ? Unmapped_0x4e34 | | position not published consistently
        0x138 ? Unmapped_0x4e38 | | position not published consistently
        0x13c ? Unmapped_0x4e3c | | position not published consistently
        0x140 ? Unmapped_0x4e40 | | position not published consistently
        """,
    ),
    block(
        "TileDMADst",
        0x5100,
        "",
        """
        0x00 ? Unmapped_0x5100 | | position not published consistently
        0x04 ? Unmapped_0x5104 | | position not published consistently
        0x08 ? Unmapped_0x5108 | | position not published consistently
        0x0c ? Unmapped_0x510c | | position not published consistently
        0x10 ? DstBaseAddrLo | AddrLo 31:0 | address inferred: directly before the row stride
        0x14 ? DstBaseAddrHi | AddrHi 31:0 | address inferred: directly before the row stride
        0x18 ? DstRowStride | Stride 31:6 *64 | from the hardware traits
        0x1c ? DstPlaneStride | Stride 31:6 *64 | from the hardware traits
        0x20 ? DstDepthStride | Stride 31:6 *64 | from the hardware traits
        0x24 ? DstGroupStride | Stride 31:6 *64 | from the hardware traits
        0x28 ? Unmapped_0x5128 | | position not published consistently
        0x2c ? Unmapped_0x512c | | position not published consistently
        0x30 ? Unmapped_0x5130 | | position not published consistently
        0x34 ? Unmapped_0x5134 | | position not published consistently
        0x38 ? Unmapped_0x5138 | | position not published consistently
        0x3c ? Unmapped_0x513c | | position not published consistently
        0x40 ? Unmapped_0x5140 | | position not published consistently
        0x44 ? Unmapped_0x5144 | | position not published consistently
        0x48 ? Unmapped_0x5148 | | position not published consistently
        0x4c ? Unmapped_0x514c | | position not published consistently
        0x50 ? Unmapped_0x5150 | | position not published consistently
        0x54 ? Unmapped_0x5154 | | position not published consistently
        0x58 ? Unmapped_0x5158 | | position not published consistently
        0x5c ? Unmapped_0x515c | | position not published consistently
        0x60 ? Unmapped_0x5160 | | position not published consistently
        0x64 ? Unmapped_0x5164 | | position not published consistently
        0x68 ? Unmapped_0x5168 | | position not published consistently
        """,
    ),
    block(
        "KernelDMASrc",
        0x5500,
        "",
        """
        0x00 - MasterConfig | GroupKernelReuse 4, KernelSparseFmt 5, MasterEnable 6 |
        0x04 - AlignedCoeffSizePerCh | Size 27:0 |
        0x08 - Prefetch | EarlyTermEn 0, StopOnError 1, PrefetchRate 31:16 |
        0x0c - Reserved_0x550c | |
        0x10 - Reserved_0x5510 | |
        0x14 - Reserved_0x5514 | |
        0x18 ? KernelGroupStride | Stride 31:6 *64 |
        0x1c ? KernelOCGStride | Stride 31:6 *64 |
        0x20 - CoeffDMAConfig[16] | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0x60 - CoeffBaseAddr[16] | Addr 31:6 *64 |
        0xa0 - CoeffBfrSize[16] | MemBfrSize 31:6 *64 |
        0xe0 - BiasDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0xe4 - BiasBaseAddr | Addr 31:6 *64 |
        0xe8 - Reserved_0x55e8 | |
        0xec - Reserved_0x55ec | |
        0xf0 - PostScaleDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0xf4 - PostScaleBaseAddr | Addr 31:6 *64 |
        0xf8 - Reserved_0x55f8 | |
        0xfc - Reserved_0x55fc | |
        0x100 - PaletteDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0x104 - PaletteBaseAddr | Addr 31:6 *64 |
        0x108 - Reserved_0x5608 | |
        0x10c - Reserved_0x560c | |
        0x110 - NLutDMAConfig | Enable 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 |
        0x114 - NLutBaseAddr | Addr 31:6 *64 |
        0x118 - Reserved_0x5618 | |
        0x11c - Reserved_0x561c | |
        0x120 - Reserved_0x5620 | |
        0x124 - Reserved_0x5624 | |
        0x128 - Reserved_0x5628 | |
        0x12c - Reserved_0x562c | |
        0x130 - Reserved_0x5630 | |
        0x134 - Reserved_0x5634 | |
        0x138 - Reserved_0x5638 | |
        0x13c - Reserved_0x563c | |
        0x140 - Reserved_0x5640 | |
        0x144 - Reserved_0x5644 | |
        0x148 - NonLinearUserTag | |
        """,
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
        0x30 - CacheDMAReserved12 | |
        0x34 - CacheDMAReserved13 | |
        """,
    ),
)

REGISTERS = RegisterMap(
    "h18", _HEADER, _BLOCKS, _EXTRA, "Unverified: one source project, internally inconsistent; no program available."
)
