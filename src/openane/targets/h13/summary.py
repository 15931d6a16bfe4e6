"""What an H13 task does, read off its registers, for text, info and diff. Never fails on odd register values."""

from __future__ import annotations

from collections.abc import Mapping

from openane.program.fields import bits_float
from openane.program.summary import Memory, Reference, TaskSummary
from openane.program.task import Task
from openane.targets.h13.registers import REGISTERS, values

_CHAIN = 3
_DRAM = (1, 2)
_TWO_SOURCES = (3, 4, 6)
_BASES = REGISTERS.header.registers.index(REGISTERS["Header.Bases"])
_KERNEL_BASES = REGISTERS.header.registers.index(REGISTERS["Header.KernelBases"])
_LANES = range(16)


class _View:
    """Fields of one task by path; registers that the task does not write read as 0."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.words: Mapping[int, int] = task.registers()

    def __call__(self, register: str, field: str) -> int:
        declared = REGISTERS[register]
        return declared[field].get(self.words.get(declared.address, 0))

    def name(self, register: str, field: str) -> str:
        declared = REGISTERS[register][field]
        return declared.show(self(register, field))

    def header(self, index: int, field: str) -> int:
        words = self.task.header
        return REGISTERS.header.registers[index][field].get(words[index]) if index < len(words) else 0


def summarize(task: Task) -> TaskSummary:
    """The task in one line."""
    view = _View(task)
    kind = view("Common.Cfg", "TaskType")
    on_ne = kind == 0
    lanes = [lane for lane in _LANES if view(f"KernelDMASrc.CoeffDMAConfig[{lane}]", "En")]
    return TaskSummary(
        engine="NE" if on_ne else "PE",
        operation=_ne_operation(view) if on_ne else _pe_operation(view, kind),
        source_shape=_shape(view, "In", "Din", "Cin", "in"),
        result_shape=_shape(view, "Out", "Dout", "Cout", "out"),
        sources=_sources(view, kind),
        result=_result(view),
        kernel=Reference(Memory.BUFFER, view.header(_KERNEL_BASES, "KBase0")) if lanes else None,
        kernel_bytes=sum(view(f"KernelDMASrc.CoeffBfrSize[{lane}]", "MemBfrSize") for lane in lanes),
    )


def _shape(view: _View, prefix: str, depth: str, channels: str, suffix: str) -> tuple[int, ...]:
    return (
        view("Common.GroupConvCfg", "NumGroups"),
        view(f"Common.{prefix}Depth", depth),
        view(f"Common.{channels}", channels),
        view(f"Common.{prefix}Dim", f"H{suffix}"),
        view(f"Common.{prefix}Dim", f"W{suffix}"),
    )


def _ne_operation(view: _View) -> str:
    mode = view("NE.MACCfg", "OpMode")
    weights = not view("NE.MACCfg", "KernelMode")
    kernel = f" {view('Common.ConvCfg', 'Kh')}x{view('Common.ConvCfg', 'Kw')}"
    steps = (view("Common.ConvCfg", "Sy"), view("Common.ConvCfg", "Sx"))
    if steps != (1, 1):
        kernel += f" step {steps[0]}x{steps[1]}"
    names = {0: "conv" if weights else "sum", 4: "copy"}
    words = [names.get(mode, values.NE_OPERATIONS.get(mode, f"mode {mode}")) + (kernel if weights else "")]
    if view("NE.MACCfg", "BiasMode"):
        words.append("bias")
    nonlinear = view("NE.MACCfg", "NonlinearMode")
    if nonlinear:
        words.append(values.NE_NONLINEAR.get(nonlinear, f"nonlinear {nonlinear}"))
    if words[0] == "copy" and len(words) > 1:
        words.pop(0)
    if view("Common.Cfg", "Transpose"):
        words.append("transpose")
    return " + ".join(words)


def _pe_operation(view: _View, kind: int) -> str:
    words = []
    if kind in (3, 4):
        subtracts = view("PE.Cfg", "SecSrc") == 3
        words.append("sub" if subtracts else view.name("PE.Cfg", "OpMode"))
    elif kind == 5:
        words.append(f"reduce {view.name('PE.Cfg', 'PoolMode')}")
    elif kind == 1:
        words.append(f"pool {view.name('PE.Cfg', 'PoolMode')}")
    else:
        words.append(view.name("Common.Cfg", "TaskType").removeprefix("pe_"))
    for register, field in (("PE.Cfg", "Condition"), ("PE.Cfg", "NLMode")):
        if view(register, field):
            words.append(view.name(register, field))
    for label, register, field, neutral in _FACTORS:
        declared = REGISTERS[register][field]
        bits = view(register, field)
        if bits not in (neutral, 0):
            words.append(f"{label} {bits_float(declared.kind, bits):.6g}")
    if view("PE.Cfg", "ReluEn"):
        words.append("relu")
    return " + ".join(words)


_FACTORS = (
    ("pre-scale", "PE.PreScale", "PreScale", 0x3C00),
    ("scale", "PE.BiasScale", "Scale", 0x3C00),
    ("bias", "PE.BiasScale", "Bias", 0),
    ("factor", "PE.FinalScale", "FinalScale", 0x3F800000),
)


def _sources(view: _View, kind: int) -> tuple[Reference, ...]:
    first = view("L2.SourceCfg", "SourceType")
    if first == _CHAIN:
        found = [Reference(Memory.CHAIN)]
    elif first in _DRAM:
        buffer = view.header(_BASES, "RBase0")
        found = [Reference(Memory.BUFFER, buffer, view("TileDMASrc.BaseAddr", "Addr"))]
    else:
        found = [Reference(Memory.L2, None, view("L2.SourceBase", "Addr"))]
    if kind in _TWO_SOURCES and view("PE.Cfg", "SecSrc"):
        if view("L2.SourceCfg", "Source2Dram"):
            buffer = view.header(_BASES, "RBase1")
            found.append(Reference(Memory.BUFFER, buffer, view("TileDMASrc.Src2BaseAddr", "Addr")))
        else:
            found.append(Reference(Memory.L2, None, view("L2.Source2Base", "Addr")))
    return tuple(found)


def _result(view: _View) -> Reference:
    kind = view("L2.ResultCfg", "ResultType")
    if kind == _CHAIN:
        return Reference(Memory.CHAIN)
    if kind in _DRAM:
        return Reference(Memory.BUFFER, view.header(_BASES, "WBase"), view("TileDMADst.BaseAddr", "Addr"))
    return Reference(Memory.L2, None, view("L2.ResultBase", "Addr"))
