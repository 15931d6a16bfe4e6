"""Registers of H14 (A15, M2), as differences from H13's: for reading programs only.

Every record of Apple's H14 compiler at hand decodes with these addresses, and the words that it writes are the words
that H13's compiler writes for the same network, moved as declared here. The fields of words that no record writes keep
H13's meaning by analogy. The table form is described in `openane.targets.declare`.
"""

# ruff: noqa: E501
from openane.program.registers import RegisterMap
from openane.targets.declare import block
from openane.targets.h13.registers import REGISTERS as PARENT

_HEADER = block(
    "Header",
    0x0,
    "the first words of a task descriptor",
    """
        0x00 + Task | TID 15:0, TaskSize 26:16 | number and length in words of the task
        0x04 + ExeCycles | ExeCycles 16:0 | the compiler's time estimate in microseconds
        0x08 + LogEvents | LogEvents 23:0 | event log mask
        0x0c + Exceptions | Exceptions 23:0 | 0 in every record
        0x10 + DebugLogEvents | DebugLogEvents 23:0 | debug event log mask
        0x14 + DebugExceptions | DebugExceptions 23:0 | 0 in every record
        0x18 ? LiveOuts | LiveOuts 31:0 | probably the live banks of L2, 64 KiB per bit
        0x1c + Control | TSR 0, TDE 1, ENE 18:16 | ENE: log2 of the active engines plus 1, 0 on planar tasks
        """,
)

_EXTRA = block("Extra", 0x20, "only when TDE is set", "0x20 - DTID | DTID 15:0 | task that wrote the kernel")

_COMMON = block(
    "Common",
    0x0,
    "geometry of the task and choice of the engine",
    """
        0x1c + OCGSize | OCGSize 2:0 | log2 of the output channels that an engine computes at once
        0x20 + = ConvCfg | -OCGSize, Kw 5:0, Kh 11:6 |
        0x24 + = ConvCfg3d..DPE
        0x38 + = Cfg | Unknown_29 29 |
        """,
    parent=PARENT.block("Common"),
    mark="+",
)

_TILE_DMA_SRC = block(
    "TileDMASrc",
    0x1100,
    "reads sources from DRAM; address = base + g*group + d*depth + c*plane + y*row + 2*x",
    """
        - DMAConfig, Src2DMAConfig, BaseAddr, Src2BaseAddr
        - Unknown_0x13830, Unknown_0x13834, Unknown_0x13840, Unknown_0x13844, Unknown_0x13848, Unknown_0x1384c
        - Unknown_0x13860, Unknown_0x13864, Unknown_0x13868, Unknown_0x1386c
        - PixelOffset[0], PixelOffset[1], PixelOffset[2], PixelOffset[3]
        0x00 + DMAConfig | En 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, DependencyMode 31:28 | source 1
        0x04 + Src2DMAConfig | En 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, DependencyMode 31:28 | source 2
        0x08 + DMAConfigExt | CacheHintReuse 3:0, CacheHintNoReuse 7:4 | source 1
        0x0c + Src2DMAConfigExt | CacheHintReuse 3:0, CacheHintNoReuse 7:4 | source 2
        0x10 + BaseAddrLow | Addr 31:6 *64 | source 1, offset in its buffer
        0x14 + BaseAddrHigh | Addr 31:0 | source 1, upper word
        0x18 + = RowStride..GroupStride
        0x28 + Src2BaseAddrLow | Addr 31:6 *64 | source 2, offset in its buffer
        0x2c + Src2BaseAddrHigh | Addr 31:0 | source 2, upper word
        0x30 + = Src2RowStride..Src2GroupStride
        0x50 + = Fmt..Src2Fmt
        """,
    parent=PARENT.block("TileDMASrc"),
    mark="+",
    words=53,
)

_TILE_DMA_DST = block(
    "TileDMADst",
    0x1500,
    "writes the result to DRAM",
    """
        - BaseAddr
        0x00 + DMAConfig | En 0, CrH 3:2, CacheHint 7:4, DataSetId 15:8, UserTag 23:16, L2BfrMode 24, BypassEOW 25 | result
        0x08 + BaseAddrLow | Addr 31:6 *64 | offset in the result's buffer
        0x0c + BaseAddrHigh | Addr 31:0 | upper word
        0x10 + = RowStride..Fmt
        0x24 + Filler | Value 31:0 | 0xdead pads a task to a multiple of 16 bytes
        """,
    parent=PARENT.block("TileDMADst"),
    mark="+",
    words=10,
)

_KERNEL_DMA_SRC = block(
    "KernelDMASrc",
    0x1900,
    "loads kernels: one stream for each of 16 engines",
    """
        0x00 + MasterConfig | GroupKernelReuse 4, SparseEnable 5, MasterEnable 6, Unknown_7 7, Unknown_9 9, UserTag 23:16 | all streams
        0x08 + KernelBaseAddrLow | Addr 31:6 *64 | offset of the kernels in their buffer
        0x0c + KernelBaseAddrHigh | Addr 31:0 | upper word
        0x18 + CoeffDMAConfig[16] | En 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 | stream of one engine
        0x58 + = CoeffBaseAddr[0]..CoeffBaseAddr[15]
        0x98 + = CoeffBfrSize[0]..CoeffBfrSize[15]
        0xd8 ? BiasDMAConfig | En 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 | never enabled
        0xdc ? PostScaleDMAConfig | En 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 | never enabled
        0xe0 ? PaletteDMAConfig | En 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 | never enabled
        0xe4 + NonLinearLutDMAConfig | En 0, CacheHint 7:4, DataSetId 15:8, UserTag 23:16 | lookup table
        0xe8 ? = BiasBaseAddr..PaletteBaseAddr
        0xf4 + = NonLinearLutBaseAddr
        0x100 + NonLinearLutBufferAddrLow | Addr 31:6 *64 | equals NonLinearLutBaseAddr in every record
        0x104 + NonLinearLutBufferAddrHigh | Addr 31:0 | upper word
        0x108 ? = BiasBfrSize..PaletteBfrSize
        0x114 + = NonLinearLutBfrSize
        """,
    parent=PARENT.block("KernelDMASrc"),
    mark="?",
    words=70,
)

_NE = block(
    "NE",
    0xD00,
    PARENT.block("NE").meaning,
    """
        0x00 + = KernelCfg | -RuntimeKernel, Unknown_16 16 | kernel format; bit 16 is set with tables and run-time kernels
        """,
    parent=PARENT.block("NE"),
    mark="+",
)

_BLOCKS = (
    _KERNEL_DMA_SRC,
    _COMMON,
    _TILE_DMA_SRC,
    block("L2", 0x500, PARENT.block("L2").meaning, parent=PARENT.block("L2"), mark="+"),
    block("PE", 0x900, PARENT.block("PE").meaning, parent=PARENT.block("PE"), mark="+"),
    _NE,
    _TILE_DMA_DST,
)

REGISTERS = RegisterMap(
    "h14",
    _HEADER,
    _BLOCKS,
    _EXTRA,
    "Addresses agree with every record of Apple's H14 compiler at hand; fields are H13's, which predict the words of"
    " the same networks. Nothing ran on hardware.",
)
