"""Registers of H18 (A19, A19 Pro): for reading programs only.

The table form is described in `openane.targets.declare`.
"""

# ruff: noqa: E501
from openane.program.registers import RegisterMap
from openane.targets.declare import block
from openane.targets.h17.registers import REGISTERS as PARENT

_HEADER = block(
    "Header",
    0x0,
    "the first words of a task descriptor",
    """
        - W2
        0x08 - LogEvents | LogEvents 23:0 |
        0x20 - = W8 | -Unknown_W8_3 |
        """,
    parent=PARENT.block("Header"),
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
            0x24 - = NumGroups
            0x30 - = UnicastCfg..TileHeight
            0x38 - = TileOverlap | Reflect 31 |
            0x40 ? = NECfg | -WUStackLog2, HalfWUMode 7:6 |
            0x44 - = PatchCfg..PECfg
            0x50 - = DPE..Reserved1
            """,
        parent=PARENT.block("Common"),
        mark="?",
    ),
    block(
        "L2",
        0x4100,
        "",
        """
            0x48 ? = ResultCfg
            0x74 ? = ResultWrapIdxOff
            0x7c ? = Result2Base..Result2DepthStride
            0xa0 ? = SrcOffsetXlsbs
            0xa8 - = L2TraceCfg
            """,
        parent=PARENT.block("L2"),
        words=43,
    ),
    block(
        "PE",
        0x4500,
        "",
        """
            0x00 ? = Config
            0x3c - PETraceCfg | |
            """,
        parent=PARENT.block("PE"),
    ),
    block(
        "NE",
        0x4900,
        "",
        """
            0x00 - = KernelCfg | -SparseBinary, -Align, -SparseBlockSize, -AsymQuantEn, -Unknown_28, SparseBlockSizeW 24:21, SparseBlockSizeA 28:25 |
            0x04 ? = MacCfg | -DoubleInt8En, SmallSrcMode 28:27 |
            0x08 ? = MatrixVectorBias..NEPostScale
            0x30 - NETraceCfg | |
            """,
        parent=PARENT.block("NE"),
    ),
    block(
        "TileDMASrc",
        0x4D00,
        "",
        """
            - Src1DMAConfig, Src2DMAConfig, Src1WrapCfg, Src2WrapCfg, Src1MetaDataAddrLo, Src1MetaDataAddrHi
            - Src2MetaDataAddrLo, Src2MetaDataAddrHi, Src1MetaDataConfig, Src1MetaUnknown1, Src1MetaDataSize
            - Src2MetaDataConfig, Src2MetaUnknown1, Src2MetaDataSize, Src1Fmt, Src2Fmt, Src1CompressedInfo
            - Src1CompressedSizeLo, Src1CompressedSizeHi, Src1CropOffset, Src2CompressedInfo
            - Src2CompressedSizeLo, Src2CompressedSizeHi, Src2CropOffset, Src1WrapDynamic, Src2WrapDynamic
            - Src1DependencyOffset, Src2DependencyOffset, TextureConfig, TextureIdxPermute, TextureSrcPermute
            - TextureBackgroundVal, TextureExtMaxDim1, TextureExtMaxDim2, TextureExtMaxDim3
            - TextureCropBatchSplitDim1, TextureCropDepthDim1, TextureCropBatchSplitDim2, Src1Ephemeral
            - TextureCropCoeffVal
            0x18 ? = Src1BaseAddrLo..Src2GroupStride
            """,
        parent=PARENT.block("TileDMASrc"),
        mark="+",
        words=81,
    ),
    block(
        "TileDMADst",
        0x5100,
        "",
        """
            - DstDMAConfig, DstInternalCfg, DstMetaDataAddrLo, DstMetaDataAddrHi, DstFormatMode, DstFmt
            - DstCompressedInfo, DstCompSizeLo, DstCompSizeHi, DstPixelOffset, DstUserTag
            0x10 ? = DstBaseAddrLo..DstGroupStride
            """,
        parent=PARENT.block("TileDMADst"),
        mark="+",
        words=27,
    ),
    block(
        "KernelDMASrc",
        0x5500,
        "",
        """
            - KernelBaseAddrLo, KernelBaseAddrHi
            0x00 - = MasterConfig | -Unknown_7, -Unknown_9, -Unknown_16 |
            0x18 ? = KernelGroupStride..KernelOCGStride
            0x148 - NonLinearUserTag | |
            """,
        parent=PARENT.block("KernelDMASrc"),
        words=83,
    ),
    block(
        "CacheDMA",
        0x5900,
        "",
        parent=PARENT.block("CacheDMA"),
    ),
)

REGISTERS = RegisterMap(
    "h18",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Unverified: one source project, internally inconsistent; no program available.",
)
