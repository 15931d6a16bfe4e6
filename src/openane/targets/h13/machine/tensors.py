"""Where the sources and the result of one H13 task lie: extents, strides, element types, staging in L2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from openane.core.types import DType
from openane.sim.decoded_task import Axes, DecodedOperand, MacOperation, MacWork, MemorySpace, PlanarWork, Staging
from openane.targets.h13.machine.kernels import FP16
from openane.targets.h13.read import TaskFields, field_group
from openane.targets.h13.spec import MACHINE

RESIDENT, DRAM_KEPT, DRAM, CHAIN = range(4)
"""Values of SourceType and ResultType."""


_EXTENTS = field_group(
    *("Common.GroupConvCfg.NumGroups", "Common.InDepth.Din", "Common.Cin.Cin", "Common.InDim.Hin", "Common.InDim.Win"),
    *("Common.OutDepth.Dout", "Common.Cout.Cout", "Common.OutDim.Hout", "Common.OutDim.Wout", "Common.ConvCfg.Ox"),
)
_RESIDENT = {
    prefix: field_group(
        *(f"L2.{prefix}GroupStride.Stride", f"L2.{prefix}DepthStride.Stride", f"L2.{near}ChannelStride.Stride"),
        *(f"L2.{near}RowStride.Stride", f"L2.{prefix}Base.Addr"),
    )
    for prefix, near in (("Source", "Source"), ("Source2", "Source2"), ("Result", "ConvResult"))
}
"""Strides and base of a tensor in L2."""
_SOURCES = {
    prefix: field_group(
        *(f"{prefix}{axis}Stride.Stride" for axis in ("Group", "Depth", "Plane", "Row")), f"{prefix}BaseAddr.Addr"
    )
    for prefix in ("TileDMASrc.", "TileDMASrc.Src2")
}
"""Strides and base of a source in DRAM."""
_RESULT = field_group(
    *(f"TileDMADst.{axis}Stride.{axis}Stride" for axis in ("Group", "Depth", "Plane", "Row")),
    "TileDMADst.BaseAddr.Addr",
)
"""Strides and base of a result in DRAM."""
_FORMATS = {
    path: field_group(*(f"{path}.{name}" for name in ("MemFmt", "FmtMode", "Truncate", "Interleave")))
    for path in ("TileDMASrc.Fmt", "TileDMASrc.Src2Fmt", "TileDMADst.Fmt")
}

_SOURCE_KIND = field_group(
    *("L2.SourceCfg.SourceType", "L2.SourceCfg.Source2Dram", "TileDMASrc.DMAConfig.En"),
    *("Common.ChCfg.InFmt", "Common.ChCfg.Src2InFmt"),
)
_RESULT_KIND = field_group("L2.ResultCfg.ResultType", "TileDMADst.DMAConfig.En", "Common.ChCfg.OutFmt")
_RESULT_ROWS = field_group("L2.ResultBase.Addr", "L2.ConvResultRowStride.Stride", "Common.TileCfg.TileHeight")

Views = tuple[Axes, Axes]
"""Extents of the source and of the result."""

DTYPES: Mapping[int, DType] = MappingProxyType({0: DType.UINT8, 1: DType.INT8, 2: DType.FLOAT16})

_SOURCE_SEGMENT, _RESULT_SEGMENT = 32, 64
"""Columns that tasks too wide for L2 stage at least at a time (goldens of 1600 and of 16384 columns)."""


def extents(words: TaskFields) -> tuple[Axes, Axes]:
    """Extents of the source as the engine walks it, and of the result.

    Raises:
        FaultError: one of them is zero.
    """
    groups, d_in, c_in, h_in, w_in, d_out, c_out, h_out, w_out, outputs = words.of_group(_EXTENTS)
    view = (groups, d_in, c_in, h_in, w_in)
    result = (groups, d_out, c_out, h_out, w_out * max(outputs, 1))  # counts pairs of outputs with Ox 2
    for path, found in (("Common.InDim", view), ("Common.OutDim", result)):
        if min(found) < 1:
            raise words.refuse(
                "an extent is zero", path, "groups, depth, channels, height, width of at least 1",
                f"Found {found}; the hardware hangs on zero.",
            )  # fmt: skip
    return view, result


def broadcast(extents: Axes, flags: int) -> Axes:
    """Extents as stored, with 1 on the repeated axes; flags: W 1, H 2, D 4, C 8."""
    g, d, c, h, w = extents
    return (g, 1 if flags & 4 else d, 1 if flags & 8 else c, 1 if flags & 2 else h, 1 if flags & 1 else w)


def source(words: TaskFields, number: int, extents: Axes, swapped: bool) -> DecodedOperand:
    """Source 1 or 2.

    Raises:
        FaultError: it is nowhere, or its format is not understood.
    """
    second = number == 2
    kind, second_in_dram, loads, code, second_code = words.of_group(_SOURCE_KIND)
    if second:
        kind, code = DRAM if second_in_dram else RESIDENT, second_code
    role, format_field = f"source {number}", "Src2InFmt" if second else "InFmt"
    if kind == CHAIN:
        return _chained(words, role, extents, swapped, (code, format_field), "L2.SourceCfg")
    if kind == RESIDENT:
        return _resident(words, role, "Source2" if second else "Source", extents, swapped, code)
    if not loads:
        raise words.refuse("a source comes from DRAM and its DMA is off", "TileDMASrc.DMAConfig")
    base, enable = ("RBase1", "RBE1") if second else ("RBase0", "RBE0")
    if not words("Header.Bases", enable):
        raise words.refuse(f"{role} comes from DRAM and {enable} is off", "Header.Bases")
    prefix = "TileDMASrc.Src2" if second else "TileDMASrc."
    dtype, interleave = _format(words, f"{prefix}Fmt", second)
    _same_format(words, (code, format_field), f"{prefix}Fmt")
    group, depth, plane, row, address = words.of_group(_SOURCES[prefix])
    strides = (group, depth, plane, row, dtype.numpy.itemsize * interleave)
    return DecodedOperand(
        role, MemorySpace.DRAM, words("Header.Bases", base), address, extents,
        _swap(strides) if swapped else strides, dtype, interleave, f"{prefix}BaseAddr", swapped,
    )  # fmt: skip


def kept(words: TaskFields, first: DecodedOperand) -> DecodedOperand | None:
    """Where source 1 stays in L2 for later tasks; None when it does not.

    On record (31 tasks) it is plain fp16, so its copy has its extents and element type; how a transfer would lay
    interleaved or exchanged channels is not known.

    Raises:
        FaultError: a source whose copy is not understood.
    """
    if words("L2.SourceCfg", "SourceType") != DRAM_KEPT:
        return None
    if first.interleave != 1:
        raise words.refuse("a source that stays in L2 has interleaved channels", "TileDMASrc.Fmt", "interleave 1")
    if first.swapped:
        raise words.refuse("a source that stays in L2 has its channels and columns exchanged", "Common.PECfg")
    return _resident(words, "kept source", "Source", first.extent, False, words("Common.ChCfg", "InFmt"), kept=True)


def result(words: TaskFields, extents: Axes, swapped: bool) -> DecodedOperand:
    """The result.

    Raises:
        FaultError: it goes nowhere, or its format is not understood.
    """
    kind, stores, code = words.of_group(_RESULT_KIND)
    if kind != DRAM and kind != DRAM_KEPT and stores:
        stays = "is chained to the next task" if kind == CHAIN else "stays in L2"
        raise words.refuse(f"the result {stays} and its DMA is on", "TileDMADst.DMAConfig")
    if kind == CHAIN:
        return _chained(words, "result", extents, swapped, (code, "OutFmt"), "L2.ResultCfg")
    if kind == RESIDENT:
        return _resident(words, "result", "Result", extents, swapped, code)
    if not stores:
        raise words.refuse("the result goes to DRAM and its DMA is off", "TileDMADst.DMAConfig")
    if not words("Header.Bases", "WBE"):
        raise words.refuse("the result goes to DRAM and WBE is off", "Header.Bases")
    dtype, interleave = _format(words, "TileDMADst.Fmt")
    _same_format(words, (code, "OutFmt"), "TileDMADst.Fmt")
    group, depth, plane, row, address = words.of_group(_RESULT)
    strides = (group, depth, plane, row, dtype.numpy.itemsize * interleave)
    return DecodedOperand(
        "result", MemorySpace.DRAM, words("Header.Bases", "WBase"), address, extents,
        _swap(strides) if swapped else strides, dtype, interleave, "TileDMADst.BaseAddr", swapped,
    )  # fmt: skip


def staging(
    words: TaskFields, engine: MacWork | PlanarWork, sources: Sequence[DecodedOperand], views: Views
) -> tuple[Staging, ...]:
    """L2 that sources from DRAM pass through: the rows in flight, from the source's L2 base on.

    A task whose L2 base and row stride of a source are 0 states no staging; no program of Apple's compiler does that.
    """
    found = []
    for operand, prefix in zip(sources, ("Source", "Source2"), strict=False):
        if operand.space is MemorySpace.DRAM:
            flying = rows_in_flight(engine, views, max(words("Common.TileCfg", "TileHeight"), 1))
            _, _, _, row, base = words.of_group(_RESIDENT[prefix])
            least = min(operand.extent[4], _SOURCE_SEGMENT) * operand.item_bytes if base or row else 0
            rows = flying if operand.extent[3] == views[0][3] else operand.extent[3]
            found.append(Staging(operand.role, base, base + rows * max(row, least), f"L2.{prefix}Base"))
    return tuple(found)


def rows_in_flight(engine: MacWork | PlanarWork, views: Views, tile_height: int) -> int:
    """Most source rows that one tile of result rows reads.

    Apple's compiler leaves exactly this many row strides between the bases of source and result: 33 rows for two tiles
    of 32 under a 3x3 kernel, 114 for 56 rows of a 3x3 kernel of stride 2, whose taps it makes even.

    Args:
        engine: for the window and stride.
        views: of the source and of the result.
        tile_height: result rows of a tile.
    """
    height, result_height = views[0][3], views[1][3]
    if engine.window in (None, (1, 1)) and engine.stride == (1, 1):
        return min(height, result_height, tile_height)
    window, pad, stride = engine.window[0] if engine.window else 1, engine.pad[0], engine.stride[0]
    spread = 1
    if isinstance(engine, MacWork) and engine.operation is MacOperation.TRANSPOSED:
        stride, spread = 1, stride
    window += window % 2 if stride == 2 else 0  # taps of stride 2 come in pairs

    def rows(tile: int) -> int:
        first = tile * tile_height
        start = first * stride - pad
        stop = (min(first + tile_height, result_height) - 1) * stride - pad + window
        return min(-(-stop // spread), height) - max(-(-start // spread), 0)

    tiles = -(-result_height // tile_height)
    inner = min(-(-pad // (tile_height * stride)), tiles - 1)  # the first one without padding above, when there is one
    return max(0, *(rows(tile) for tile in range(max(inner - 1, 0), min(inner + spread, tiles))))


def result_staging(words: TaskFields, result: DecodedOperand, view: Axes, *, compiled: bool = False) -> Staging | None:
    """L2 that a result passes through to DRAM: the rows of one tile, or as many as fit between its base and the end.

    The transfer reuses this room: base plus one row always fits in Apple's programs, the rows of a whole tile do not
    (a program whose base leaves room for one of 255 rows ran bit-exact on a chip). No program has anything else there.
    Rows that a task does not space itself are dense, and tasks too wide for L2 hold a segment of columns; rows that it
    does space fit as a whole in every program on record. Base and row stride both 0: see `staging`; a compiled program
    means address 0 by it.
    """
    if result.space is not MemorySpace.DRAM:
        return None
    base, stated, tile_height = words.of_group(_RESULT_ROWS)
    if not (base or stated or compiled):
        return None
    _, depth, channels, height, width = view
    rows = min(height, max(tile_height, 1))
    if stated:
        return Staging("result", base, base + rows * stated, "L2.ResultBase")

    def row(columns: int) -> int:
        return depth * channels * (-(-2 * columns // MACHINE.bank_bytes) * MACHINE.bank_bytes)

    least = row(width if base + row(width) <= MACHINE.l2_bytes else min(width, _RESULT_SEGMENT))
    return Staging("result", base, max(min(base + rows * row(width), MACHINE.l2_bytes), base + least), "L2.ResultBase")


def _chained(
    words: TaskFields, role: str, extents: Axes, swapped: bool, code: tuple[int, str], path: str
) -> DecodedOperand:
    """A value that goes from one task straight into the next: fp16, nothing exchanged (4 goldens)."""
    if code[0] != FP16:
        raise words.refuse("a chained value has another format than fp16", "Common.ChCfg", f"{code[1]} 2")
    if swapped:
        raise words.refuse("a chained value has its channels and columns exchanged", path)
    return DecodedOperand(role, MemorySpace.CHAIN, 0, 0, extents, _dense(extents, 2), registers=path)


def _resident(
    words: TaskFields, role: str, prefix: str, extents: Axes, swapped: bool, code: int, *, kept: bool = False
) -> DecodedOperand:
    """A tensor in L2. With group stride 0 all groups of a batch share the values of a source, unless it is a copy."""
    if code not in DTYPES:
        raise words.refuse("element format is not understood", "Common.ChCfg", "0 uint8, 1 int8, 2 fp16")
    group, depth, channel, row, base = words.of_group(_RESIDENT[prefix])
    if not group and not kept and prefix != "Result":
        extents = (1, *extents[1:])
    dtype = DTYPES[code]
    strides = (group, depth, channel, row, 2 if code == FP16 else 1)
    strides = _swap(strides) if swapped else strides
    return DecodedOperand(role, MemorySpace.L2, 0, base, extents, strides, dtype, 1, f"L2.{prefix}Base")


def _format(words: TaskFields, path: str, second: bool = False) -> tuple[DType, int]:
    """Element type and interleave of a tensor in DRAM. Integers have FmtMode 0 (assumption A11)."""
    memory, mode, truncate, stated = words.of_group(_FORMATS[path])
    known = (mode == (not second) and truncate == 3) if memory == FP16 else (mode == 0 and truncate in (0, 3))
    if memory not in DTYPES or not known:
        raise words.refuse("element format is not understood", path, "fp16 (0x2031), uint8, int8 with FmtMode 0")
    if bool(stated) == second:  # 0 on source 2, the number itself elsewhere
        raise words.refuse("interleave is not understood", path, "0 on source 2, else 1 and above")
    resident = words("L2.SourceCfg", "SourceType") not in (DRAM, DRAM_KEPT)
    if second and resident:  # source 2 has no interleave of its own (encoding.md#softmax)
        stated = words("TileDMASrc.Fmt", "Interleave")
    return DTYPES[memory], max(stated, 1)


def _same_format(words: TaskFields, code: tuple[int, str], path: str) -> None:
    """The data path and memory have one format (all 1,717 tensors on record; assumption A11)."""
    if code[0] != words(path, "MemFmt"):
        raise words.refuse(
            f"{code[1]} is another format than memory has", "Common.ChCfg", f"{words(path, 'MemFmt')} as in {path}"
        )


def _swap(strides: Axes) -> Axes:
    """Strides of a tensor that is stored with channel and column exchanged."""
    g, d, c, h, w = strides
    return (g, d, w, h, c)


def _dense(extents: Axes, item: int) -> Axes:
    strides, step = [], item
    for extent in reversed(extents):
        strides.append(step)
        step *= extent
    g, d, c, h, w = reversed(strides)
    return (g, d, c, h, w)
