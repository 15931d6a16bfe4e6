"""Registers of H17 (A18, A18 Pro, M5): for reading programs only.

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
        - LogEvents
        0x08 - W2 | LogEvents 23:0, Unknown_W2_26 26 |
        0x20 - = W8 | Unknown_W8_3 3 |
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
            0x00 - = ChannelCfg
            0x10 ? = InDepth
            0x20 ? = OutDepth
            0x24 - = NumGroups..ConvCfg
            0x2c ? = ConvCfg3d
            0x38 - = TileOverlap
            0x48 ? = PECfg
            0x50 - = DPE..Reserved1
            """,
        parent=PARENT.block("Common"),
        mark="+",
    ),
    block(
        "L2",
        0x4100,
        "",
        """
            0x04 + = Src1Cfg..Src2Cfg
            0x14 + = Src1ChannelStride..Src1GroupStride
            0x48 + = ResultCfg..ResultBase
            0x74 ? = ResultWrapIdxOff
            0x7c ? = Result2Base..Result2DepthStride
            0xa0 ? = SrcOffsetXlsbs
            0xa4 - L2TraceCfg | | index 41
            """,
        parent=PARENT.block("L2"),
        words=42,
    ),
    block(
        "PE",
        0x4500,
        "",
        """
            0x00 ? = Config
            """,
        parent=PARENT.block("PE"),
        words=16,
    ),
    block(
        "NE",
        0x4900,
        "",
        """
            0x00 + = KernelCfg | Unknown_28 28 |
            0x04 + = MacCfg
            0x08 ? = MatrixVectorBias..NEBias
            0x10 + = NEPostScale
            """,
        parent=PARENT.block("NE"),
        words=13,
    ),
    block(
        "TileDMASrc",
        0x4D00,
        "",
        """
            0x00 + = Src1DMAConfig
            0x04 ? = Src2DMAConfig
            0x08 + = Src1WrapCfg
            0x0c ? = Src2WrapCfg
            0x10 + = Src1BaseAddrLo..Src1BaseAddrHi
            0x1c + = Src1ChannelStride
            0x68 + = Src1Fmt
            0x6c ? = Src2Fmt
            0xc8 ? = TextureConfig
            """,
        parent=PARENT.block("TileDMASrc"),
        words=83,
    ),
    block(
        "TileDMADst",
        0x5100,
        "",
        """
            0x00 + = DstDMAConfig
            0x08 + = DstBaseAddrLo..DstBaseAddrHi
            0x14 + = DstPlaneStride
            0x38 + = DstFmt
            0x58 - DstUserTag | | index 22
            """,
        parent=PARENT.block("TileDMADst"),
        words=23,
    ),
    block(
        "KernelDMASrc",
        0x5500,
        "",
        """
            0x00 + = MasterConfig | Unknown_7 7, Unknown_9 9, Unknown_16 16 |
            0x04 - = AlignedCoeffSizePerCh..Prefetch
            0x10 + = KernelBaseAddrLo..KernelBaseAddrHi
            0x18 ? = KernelGroupStride..KernelOCGStride
            0xe0 - = BiasDMAConfig..BiasBaseAddr
            0xf0 - = PostScaleDMAConfig..PostScaleBaseAddr
            0x100 - = PaletteDMAConfig..PaletteBaseAddr
            0x110 - = NLutDMAConfig..NLutBaseAddr
            """,
        parent=PARENT.block("KernelDMASrc"),
        mark="+",
        words=74,
    ),
    block(
        "CacheDMA",
        0x5900,
        "",
        """
            0x00 + = TelemetryControl..TelemetryPre0
            0x18 + = TelemetryDSID
            0x28 + = EarlyTermArg34..BackoffControl
            0x30 - CacheDMAReserved12 | |
            0x34 - CacheDMAReserved13 | |
            """,
        parent=PARENT.block("CacheDMA"),
    ),
)

REGISTERS = RegisterMap(
    "h17",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Partly verified: the 117-word conv1x1 program published as a parameterized word list (ane-compiler) and the published first commands of relu and abs programs (beefface) decode and re-encode; no program file was available and the rest is one source project.",
)
