"""What an H13 task does, read off its registers, for text, info and diff. Never fails on odd register values."""

from __future__ import annotations

from openane.backend.task_cost import FP16_KERNEL
from openane.program.fields import bits_float
from openane.program.summary import Memory, OperandReference, TaskSummary
from openane.program.task import Task
from openane.targets.h13.read import TaskFields, kernel_form
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.registers.codes import NeOperation, ResultType, SecondSource, SourceType, TaskType

_TWO_SOURCES = tuple(kind for kind in TaskType if kind.takes_two_sources)


def summarize(task: Task) -> TaskSummary:
    """The task in one line."""
    view = TaskFields.of(task)
    kind = view("Common.Cfg", "TaskType")
    streams = view.streams()
    return TaskSummary(
        engine="NE" if view.is_ne else "PE",
        operation=_ne_operation(view) if view.is_ne else _pe_operation(view, kind),
        source_shape=_shape(view, "In", "Din", "Cin", "in"),
        result_shape=_shape(view, "Out", "Dout", "Cout", "out"),
        sources=_sources(view, kind),
        result=_result(view),
        kernel=OperandReference(Memory.BUFFER, view("Header.KernelBases", "KBase0")) if streams else None,
        kernel_bytes=sum(stream.size_bytes for stream in streams),
        kernel_form="" if not streams or not view.is_ne or kernel_form(view) == FP16_KERNEL else kernel_form(view),
    )


def _shape(view: TaskFields, prefix: str, depth: str, channels: str, suffix: str) -> tuple[int, ...]:
    return (
        view("Common.GroupConvCfg", "NumGroups"),
        view(f"Common.{prefix}Depth", depth),
        view(f"Common.{channels}", channels),
        view(f"Common.{prefix}Dim", f"H{suffix}"),
        view(f"Common.{prefix}Dim", f"W{suffix}"),
    )


def _ne_operation(view: TaskFields) -> str:
    mode = view("NE.MACCfg", "OpMode")
    weights = not view("NE.MACCfg", "KernelMode")
    kernel = f" {view('Common.ConvCfg', 'Kh')}x{view('Common.ConvCfg', 'Kw')}"
    steps = (view("Common.ConvCfg", "Sy"), view("Common.ConvCfg", "Sx"))
    if steps != (1, 1):
        kernel += f" step {steps[0]}x{steps[1]}"
    names = {NeOperation.CONV: "conv" if weights else "sum", NeOperation.BYPASS: "copy"}
    named = REGISTERS["NE.MACCfg"]["OpMode"].values.get(mode, f"mode {mode}")
    words = [names.get(mode, named) + (kernel if weights else "")]  # type: ignore[call-overload]
    if view("NE.MACCfg", "BiasMode"):
        words.append("bias")
    nonlinear = view("NE.MACCfg", "NonlinearMode")
    if nonlinear:
        words.append(REGISTERS["NE.MACCfg"]["NonlinearMode"].values.get(nonlinear, f"nonlinear {nonlinear}"))
    if words[0] == "copy" and len(words) > 1:
        words.pop(0)
    if view("Common.Cfg", "Transpose"):
        words.append("transpose")
    return " + ".join(words)


def _pe_operation(view: TaskFields, kind: int) -> str:
    words = []
    if kind in (TaskType.PE_BINARY, TaskType.PE_BINARY_ROWS):
        subtracts = view("PE.Cfg", "SecSrc") == SecondSource.MINUS_SOURCE2
        words.append("sub" if subtracts else view.name("PE.Cfg", "OpMode"))
    elif kind == TaskType.PE_REDUCTION:
        words.append(f"reduce {view.name('PE.Cfg', 'PoolMode')}")
    elif kind == TaskType.PE_POOL:
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


def _sources(view: TaskFields, kind: int) -> tuple[OperandReference, ...]:
    first = view("L2.SourceCfg", "SourceType")
    if first == SourceType.CHAIN:
        found = [OperandReference(Memory.CHAIN)]
    elif SourceType(first).in_dram:
        buffer = view("Header.Bases", "RBase0")
        found = [OperandReference(Memory.BUFFER, buffer, view("TileDMASrc.BaseAddr", "Addr"))]
    else:
        found = [OperandReference(Memory.L2, None, view("L2.SourceBase", "Addr"))]
    if kind in _TWO_SOURCES and view("PE.Cfg", "SecSrc"):
        if view("L2.SourceCfg", "Source2Dram"):
            buffer = view("Header.Bases", "RBase1")
            found.append(OperandReference(Memory.BUFFER, buffer, view("TileDMASrc.Src2BaseAddr", "Addr")))
        else:
            found.append(OperandReference(Memory.L2, None, view("L2.Source2Base", "Addr")))
    return tuple(found)


def _result(view: TaskFields) -> OperandReference:
    kind = view("L2.ResultCfg", "ResultType")
    if kind == ResultType.CHAIN:
        return OperandReference(Memory.CHAIN)
    if ResultType(kind).in_dram:
        return OperandReference(Memory.BUFFER, view("Header.Bases", "WBase"), view("TileDMADst.BaseAddr", "Addr"))
    return OperandReference(Memory.L2, None, view("L2.ResultBase", "Addr"))
