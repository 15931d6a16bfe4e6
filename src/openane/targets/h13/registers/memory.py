"""Tile DMA and L2 of H13: where tensors are."""

from __future__ import annotations

from openane.program.fields import Field
from openane.targets.h13.registers.codes import CacheHint, ElementFormat, ResultType, SourceType
from openane.targets.h13.registers.draft import GUESS, PROVED, SEEN, Draft, block, draft, dram, field, l2, unknown, zero


def _source_config(name: str, meaning: str) -> Draft:
    return draft(
        name,
        meaning,
        field("En", 0, 1, "DMA runs; on source 1 also when only source 2 is read", PROVED),
        field("CrH", 4, 2),
        field("CacheHint", 6, 4, "schedule only", SEEN, codes=CacheHint),
        field("CacheHintReuse", 10, 4, "schedule only", SEEN, codes=CacheHint),
        field("CacheHintNoReuse", 14, 4, "schedule only", SEEN, codes=CacheHint),
        field("DependencyMode", 18, 2, "1: first read of a value that an earlier task wrote"),
    )


def _format(name: str, meaning: str, *more: Field, interleave: int) -> Draft:
    return draft(
        name,
        meaning,
        field("FmtMode", 0, 2, "1 16-bit, 0 8-bit, 3 32-bit", SEEN, "programs, maps"),
        field("Truncate", 4, 2, "3 for fp16", SEEN, "programs, maps"),
        field("Shift", 8, 1, "", SEEN, "maps"),
        field("MemFmt", 12, 2, "element format in memory", SEEN, "programs, maps", codes=ElementFormat),
        field("OffsetCh", 16, 3, "", SEEN, "maps"),
        *more,
        field("Interleave", 24, 4, "channels per element group", SEEN, default=interleave),
        field("CmpVec", 28, 4, "", SEEN, "maps"),
    )


TILE_DMA_SRC = block(
    "TileDMASrc",
    0x13800,
    "reads sources from DRAM; address = base + g*group + d*depth + c*plane + y*row + 2*x",
    _source_config("DMAConfig", "source 1"),
    _source_config("Src2DMAConfig", "source 2; its own En bit is never set"),
    dram("BaseAddr", "source 1, offset in its buffer", named="Addr"),
    dram("RowStride", "source 1"),
    dram("PlaneStride", "source 1, from channel to channel"),
    dram("DepthStride", "source 1"),
    dram("GroupStride", "source 1, also from batch to batch"),
    dram("Src2BaseAddr", "source 2, offset in its buffer", named="Addr"),
    dram("Src2RowStride", "source 2"),
    dram("Src2PlaneStride", "source 2, from channel to channel"),
    dram("Src2DepthStride", "source 2"),
    dram("Src2GroupStride", "source 2, also from batch to batch"),
    zero(0x13830),
    zero(0x13834),
    _format("Fmt", "source 1; 0x1000000 without DMA", interleave=1),
    _format("Src2Fmt", "source 2; 0 without DMA", interleave=0),
    draft(
        "Unknown_0x13840",
        "0x100 in every task of newer compilers, no effect",
        unknown(8, meaning="0 only in planar tasks of old compilers", default=1),
    ),
    zero(0x13844),
    zero(0x13848),
    zero(0x1384C),
    *(draft(f"PixelOffset[{i}]", "0 in every program", field("Offset", 0, 16, "", GUESS, "maps")) for i in range(4)),
    zero(0x13860),
    zero(0x13864),
    zero(0x13868),
    zero(0x1386C),
)

TILE_DMA_DST = block(
    "TileDMADst",
    0x17800,
    "writes the result to DRAM",
    draft(
        "DMAConfig",
        "result",
        field("En", 0, 1, "DMA runs", PROVED),
        field("CrH", 4, 2),
        field("CacheHint", 6, 4, "schedule only", SEEN, codes=CacheHint, default=3),
        field("DependencyMode", 18, 2, "set on some writes that a later task depends on", GUESS, "programs"),
        unknown(22, 2, "set on some intermediate writes"),
        unknown(24, 1, "set when a result is written as a kernel"),
        field("L2BfrMode", 26, 1, "equals L2.ResultCfg.L2BfrMode"),
        field("BypassEOW", 27, 1, "never set"),
    ),
    dram("BaseAddr", "offset in the result's buffer", named="Addr"),
    dram("RowStride", "", named="RowStride"),
    dram("PlaneStride", "from channel to channel", named="PlaneStride"),
    dram("DepthStride", "", named="DepthStride"),
    dram("GroupStride", "also from batch to batch", named="GroupStride"),
    _format(
        "Fmt",
        "result; 0x1000000 without DMA",
        field("ZeroPadLast", 20, 1, "fills the row up to 64 bytes", GUESS),
        field("ZeroPadFirst", 21, 1, "fills the row up to 64 bytes", GUESS),
        field("CmpVecFill", 22, 1, "", GUESS),
        interleave=1,
    ),
)


def _l2_config(kind: Field, *more: Field) -> tuple[Field, ...]:
    return (
        kind,
        field("AliasConvSrc", 4, 1, "wait for (or follow) the source of the neural engine"),
        field("AliasConvRslt", 5, 1, "wait for (or follow) the result of the neural engine"),
        field("DMAFmt", 6, 2, "1 16-bit elements in DRAM"),
        field("DMAInterleave", 8, 4, "channels per element group in DRAM", SEEN, default=1),
        field("DMACmpVec", 12, 4),
        field("DMAOffsetCh", 16, 3),
        field("AliasPlanarSrc", 20, 1, "wait for (or follow) the source of the planar engine"),
        field("AliasPlanarRslt", 22, 1, "wait for (or follow) the result of the planar engine"),
        *more,
    )


L2 = block(
    "L2",
    0x04800,
    "where tensors lie in the engine's memory of 2 MB; address = base + g*group + d*depth + c*channel + y*row + 2*x",
    draft(
        "L2Cfg",
        "on the way in",
        field("InputReLU", 0, 1, "ReLU on source 1 while loading"),
        field("PaddingMode", 2, 2, "1 on maximum reductions: pad with the neutral value"),
        field("Source2ReLU", 4, 1, "ReLU on source 2 while loading", SEEN, "programs"),
    ),
    draft(
        "SourceCfg",
        "sources",
        *_l2_config(
            field("SourceType", 0, 2, "where source 1 comes from", PROVED, codes=SourceType),
            field("Dependent", 2, 2, "follows the running task of the neural (1) or planar (2) engine"),
            field("Source2Dram", 24, 1, "source 2 comes from DRAM (else it is resident)", PROVED, "programs"),
        ),
    ),
    l2("SourceBase", "source 1", named="Addr"),
    l2("SourceChannelStride", "source 1"),
    l2("SourceRowStride", "source 1"),
    l2("SourceDepthStride", "source 1"),
    l2("SourceGroupStride", "source 1"),
    l2("Source2Base", "source 2", named="Addr"),
    l2("Source2ChannelStride", "source 2"),
    l2("Source2RowStride", "source 2"),
    l2("Source2DepthStride", "source 2"),
    l2("Source2GroupStride", "source 2"),
    draft(
        "ResultCfg",
        "result; 0 hangs",
        *_l2_config(
            field("ResultType", 0, 2, "where the result goes", PROVED, codes=ResultType),
            field("L2BfrMode", 3, 1, "schedule only; equals TileDMADst.DMAConfig.L2BfrMode"),
        ),
    ),
    l2("ResultBase", "result", named="Addr"),
    l2("ConvResultChannelStride", "result"),
    l2("ConvResultRowStride", "result"),
    l2("ResultDepthStride", "result"),
    l2("ResultGroupStride", "result"),
)
