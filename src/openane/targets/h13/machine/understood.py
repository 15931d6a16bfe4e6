"""Which fields the simulator understands: those it executes, those that only steer the schedule, and the values that
all others must have. Anything else stops the run with task, register and value; nothing is quietly computed
differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import and_
from types import MappingProxyType

from openane.core.errors import Diagnostic
from openane.program import Task
from openane.program.fields import Field, Register
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.spec import MACHINE

SCHEDULE_ONLY = frozenset(
    {
        # header: numbers, estimates, masks, groups of tasks that may overlap; tasks run one after the other here
        *("Header.Task", "Header.Next", "Header.LogEvents", "Header.Exceptions", "Header.DebugLogEvents"),
        *("Header.DebugExceptions", "Header.NextPointer", "Extra.DTID"),
        *(f"Header.Control.{name}" for name in ("DisallowAbort", "SPL", "TSR", "SPC", "DPC", "NextPriority", "TSE")),
        *(f"Header.Control.{name}" for name in ("TDE", "SrcLoc", "DstLoc")),
        *("Header.Bases.TBase", "Header.Bases.TBE", "Header.Bases.ENE"),
        # shapes of tiles and patches, power, ids
        *("Common.TileCfg", "Common.PatchCfg", "Common.TaskInfo", "Common.DPE"),
        *(f"Common.Cfg.{name}" for name in ("Src1Tiled", "Src2Tiled", "ShPref", "ShMin", "ShMax")),
        *(f"Common.Cfg.{name}" for name in ("ContextSwitchIn", "ContextSwitchOut", "AccDoubleBufEn")),
        # cache hints and dependencies
        *(f"TileDMASrc.DMAConfig.{name}" for name in ("CrH", "CacheHint", "CacheHintReuse", "CacheHintNoReuse")),
        *(f"TileDMASrc.Src2DMAConfig.{name}" for name in ("CrH", "CacheHint", "CacheHintReuse", "CacheHintNoReuse")),
        *("TileDMASrc.DMAConfig.DependencyMode", "TileDMASrc.Src2DMAConfig.DependencyMode"),
        *("TileDMASrc.Src2DMAConfig.En", "TileDMASrc.Unknown_0x13840"),
        *(f"TileDMADst.DMAConfig.{name}" for name in ("CrH", "CacheHint", "DependencyMode", "Unknown_22")),
        *("TileDMADst.DMAConfig.Unknown_24", "TileDMADst.DMAConfig.L2BfrMode"),
        *("TileDMADst.Fmt.ZeroPadLast", "TileDMADst.Fmt.ZeroPadFirst"),
        # waiting for, or following, the other engine; formats of the staging
        *(f"L2.SourceCfg.{name}" for name in ("Dependent", "AliasConvSrc", "AliasConvRslt", "AliasPlanarSrc")),
        *("L2.SourceCfg.AliasPlanarRslt", "L2.SourceCfg.DMAFmt", "L2.SourceCfg.DMAInterleave", "L2.L2Cfg.PaddingMode"),
        *(f"L2.ResultCfg.{name}" for name in ("L2BfrMode", "AliasConvSrc", "AliasConvRslt", "AliasPlanarSrc")),
        *("L2.ResultCfg.AliasPlanarRslt", "L2.ResultCfg.DMAFmt", "L2.ResultCfg.DMAInterleave"),
        *("NE.KernelCfg.PESignal", "NE.KernelCfg.PEWait", "NE.KernelCfg.RuntimeKernel"),
        "NE.KernelCfg.Unknown_15",  # on record with a palette only, without an effect of its own
        *(f"KernelDMASrc.CoeffDMAConfig[{i}].{name}" for i in range(MACHINE.lanes) for name in ("CrH", "CacheHint")),
        *(f"KernelDMASrc.CoeffDMAConfig[{i}].PrefetchParticipateEn" for i in range(MACHINE.lanes)),
        *(f"KernelDMASrc.{name}DMAConfig.{part}" for name in ("Bias", "PostScale", "Palette", "NonLinearLut")
          for part in ("CrH", "CacheHint", "PrefetchParticipateEn")),
        *(f"KernelDMASrc.{name}{part}" for name in ("Bias", "PostScale", "Palette", "NonLinearLut")
          for part in ("BaseAddr", "BfrSize")),
    }
)  # fmt: skip
"""Registers and fields whose value has no effect on results (encoding.md#free-choices)."""

EXECUTED = frozenset(
    {
        *(f"Header.Bases.{name}" for name in ("RBase0", "RBE0", "RBase1", "RBE1", "WBase", "WBE")),
        *("Header.KernelBases.KBase0", "Header.KernelBases.KBE0"),
        *("Common.InDim", "Common.InDepth", "Common.ChCfg", "Common.Cin", "Common.Cout", "Common.OutDim"),
        *("Common.OutDepth", "Common.ConvCfg", "Common.GroupConvCfg", "Common.PECfg"),
        *("Common.Cfg.TaskType", "Common.Cfg.ActiveNE", "Common.Cfg.Transpose", "Common.Cfg.SmallSourceMode"),
        "TileDMASrc.DMAConfig.En",
        *(f"TileDMASrc.{two}{name}" for two in ("", "Src2") for name in ("BaseAddr", "RowStride", "PlaneStride")),
        *(f"TileDMASrc.{two}{name}" for two in ("", "Src2") for name in ("DepthStride", "GroupStride")),
        *(f"TileDMASrc.{two}Fmt.{name}" for two in ("", "Src2") for name in ("FmtMode", "Truncate", "MemFmt")),
        *("TileDMASrc.Fmt.Interleave", "TileDMASrc.Src2Fmt.Interleave"),
        "TileDMADst.DMAConfig.En",
        *(f"TileDMADst.{name}" for name in ("BaseAddr", "RowStride", "PlaneStride", "DepthStride", "GroupStride")),
        *(f"TileDMADst.Fmt.{name}" for name in ("FmtMode", "Truncate", "MemFmt", "Interleave")),
        *("L2.L2Cfg.InputReLU", "L2.L2Cfg.Source2ReLU", "L2.SourceCfg.SourceType", "L2.SourceCfg.Source2Dram"),
        "L2.ResultCfg.ResultType",
        *(f"L2.Source{two}{name}" for two in ("", "2") for name in ("Base", "ChannelStride", "RowStride")),
        *(f"L2.Source{two}{name}" for two in ("", "2") for name in ("DepthStride", "GroupStride")),
        *("L2.ResultBase", "L2.ConvResultChannelStride", "L2.ConvResultRowStride"),
        *("L2.ResultDepthStride", "L2.ResultGroupStride"),
        *("PE.Cfg", "PE.BiasScale", "PE.PreScale", "PE.FinalScale"),
        *(f"NE.KernelCfg.{name}" for name in ("KernelFmt", "PalettizedEn", "PalettizedBits", "SparseFmt")),
        "NE.KernelCfg.GroupKernelReuse",
        *(f"NE.MACCfg.{name}" for name in ("OpMode", "KernelMode", "BiasMode", "BinaryPoint", "NonlinearMode")),
        *("NE.AccBias.AccBias", "NE.PostScale.PostScale"),
        "KernelDMASrc.MasterConfig",
        *(f"KernelDMASrc.CoeffDMAConfig[{i}].En" for i in range(MACHINE.lanes)),
        *(f"KernelDMASrc.{name}[{i}]" for name in ("CoeffBaseAddr", "CoeffBfrSize") for i in range(MACHINE.lanes)),
    }
)
"""Registers and fields that the decoder reads; it refuses combinations of values by itself."""

OTHER_VALUES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "Common.ConvCfg3d": (0x2041, 0),  # depth kernels are not on record; 0 is harmless [hardware]
        "NE.MACCfg.Unknown_20": (1,),
        "TileDMASrc.Fmt.CmpVec": (0,),
    }
)
"""Values of fields that are neither executed nor free; 0 alone when not listed."""

_PE_ONLY, _NE_ONLY = ("PE.",), ("NE.",)


def findings(task: Task, words: Mapping[int, int] | None = None) -> Iterator[Diagnostic]:
    """Fields of a task that hold values the simulator does not understand.

    Args:
        task: to look at.
        words: its registers, when the caller has collected them already.
    """
    if words is None:
        words = task.registers()
    masks, wanted = _expected_of(tuple(words))
    found = tuple(map(and_, words.values(), masks))
    header = tuple(map(and_, task.header, _HEADER_MASKS))
    if found == wanted and header == _HEADER_WANTED[: len(header)]:
        return
    skipped = _PE_ONLY if TaskFields(words).is_ne else _NE_ONLY
    for index, (address, word) in enumerate(words.items()):
        if found[index] == wanted[index]:
            continue
        register = REGISTERS.by_address.get(address)
        if register is None:
            yield Diagnostic("register is not known", where=f"register {address:#x}", value=f"{word:#x}")
        elif not register.path.startswith(skipped):
            yield from _register(register, word)
    for register, own, expected, word in zip(
        REGISTERS.header.registers, header, _HEADER_WANTED, task.header, strict=False
    ):
        if own != expected:
            yield from _register(register, word)


@lru_cache(256)
def _expected_of(addresses: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(masks, values) of the registers that a task writes; tasks of a program write the same ones."""
    known = [_EXPECTED.get(address, _NOTHING_KNOWN) for address in addresses]
    return tuple(mask for mask, _ in known), tuple(value for _, value in known)


def _expected(register: Register) -> tuple[int, int]:
    """(mask, value) that no finding has: most words pass with one comparison."""
    if register.path in OTHER_VALUES:
        return _ALL_BITS, OTHER_VALUES[register.path][0]
    whole = register.path in SCHEDULE_ONLY or register.path in EXECUTED
    mask = value = 0
    for field in register.fields:
        name = f"{register.path}.{field.name}"
        if field.reserved if whole else name not in SCHEDULE_ONLY and name not in EXECUTED:
            mask |= field.mask << field.lsb
            value |= OTHER_VALUES.get(name, (0,))[0] // field.unit << field.lsb
    return mask, value


def _register(register: Register, word: int) -> Iterator[Diagnostic]:
    path = register.path
    if path in SCHEDULE_ONLY or path in EXECUTED:
        for field in register.fields:
            if field.reserved and field.get(word):
                yield _finding(register, field, word, (0,))
        return
    if path in OTHER_VALUES:
        if word not in OTHER_VALUES[path]:
            yield Diagnostic(
                "register holds a value that is not understood",
                where=path,
                value=f"{word:#x}",
                limit=", ".join(f"{value:#x}" for value in OTHER_VALUES[path]),
            )
        return
    for field in register.fields:
        name = f"{path}.{field.name}"
        if name in SCHEDULE_ONLY or name in EXECUTED:
            continue
        allowed = OTHER_VALUES.get(name, (0,))
        if field.get(word) not in allowed:
            yield _finding(register, field, word, allowed)


def _finding(register: Register, field: Field, word: int, allowed: tuple[int, ...]) -> Diagnostic:
    return Diagnostic(
        "field holds a value that is not understood",
        where=f"{register.path}.{field.name} (register {register.address:#x})",
        value=f"{field.get(word):#x} in word {word:#x}",
        limit=", ".join(f"{value:#x}" for value in allowed),
    )


_ALL_BITS = 0xFFFFFFFF
_NOTHING_KNOWN = _ALL_BITS, 0
_EXPECTED = {address: _expected(register) for address, register in REGISTERS.by_address.items()}
_HEADER_MASKS, _HEADER_WANTED = zip(*map(_expected, REGISTERS.header.registers), strict=True)
