"""The features of an H13 task: what it computes, and the forms of its operands, each with the field that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.registers.codes import (
    ElementFormat,
    NeNonlinear,
    NeOperation,
    PeCondition,
    PeNonlinear,
    PeOperation,
    PePoolMode,
    RepeatedAxes,
    SecondSource,
    SourceType,
    TaskType,
)


class Feature(NamedTuple):
    """One property of a task that differs from the plain one.

    Attributes:
        text: "bias", "3x3".
        field: path of the field that selects it.
    """

    text: str
    field: str


class OperandRole(Enum):
    """An operand of a task, by the engine that reads or writes it."""

    NE_SOURCE = "source of the neural engine"
    NE_RESULT = "result of the neural engine"
    PE_SOURCE = "source 1 of the planar engine"
    PE_SOURCE2 = "source 2 of the planar engine"
    PE_RESULT = "result of the planar engine"


_NE_OPERATIONS: Mapping[tuple[int, int], str] = MappingProxyType(
    {
        (NeOperation.CONV, 0): "convolution",
        (NeOperation.TRANSPOSED_CONV, 0): "transposed convolution",
        (NeOperation.CONV, 1): "sum of channels",
        (NeOperation.MULTIPLY, 1): "product of channels",
        (NeOperation.MAXIMUM, 1): "maximum of channels",
        (NeOperation.BYPASS, 1): "pass",
    }
)
"""By OpMode and KernelMode."""
_NE_FUNCTIONS: Mapping[int, str] = MappingProxyType({NeNonlinear.RELU: "relu", NeNonlinear.TABLE: "table"})
_PE_TYPES: Mapping[int, str] = MappingProxyType(
    {
        TaskType.PE_POOL: "pooling",
        TaskType.PE_UNARY: "unary",
        TaskType.PE_BINARY: "binary",
        TaskType.PE_BINARY_ROWS: "pair of rows",
        TaskType.PE_REDUCTION: "reduction",
        TaskType.PE_VARIANCE: "variance",
    }
)
_PE_FIELDS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "OpMode": {
            PeOperation.ADD: "",
            PeOperation.MUL: "mul",
            PeOperation.MAX: "max",
            PeOperation.MIN: "min",
            PeOperation.SUMSQ: "square of the sum",
        },
        "PoolMode": {
            PePoolMode.SUM: "",
            PePoolMode.AVERAGE: "average",
            PePoolMode.MAX: "maximum",
            PePoolMode.MIN: "minimum",
        },
        "ReluEn": {0: "", 1: "relu"},
        "Condition": {PeCondition.NONE: "", PeCondition.ABS: "abs"},
        "NLMode": {PeNonlinear.NONE: "", PeNonlinear.RECIPROCAL: "reciprocal", PeNonlinear.RSQRT: "rsqrt"},
        "FirstSrc": {0: "", 1: "source 1 negated"},
        "SecSrc": {SecondSource.NONE: "", SecondSource.SOURCE2: "", SecondSource.MINUS_SOURCE2: "source 2 subtracted"},
    }
)
"""Fields of PE.Cfg: value -> feature."""
_PE_CONSTANTS = (
    ("PE.PreScale", "PreScale", 0x3C00, "scale before"),
    ("PE.BiasScale", "Scale", 0x3C00, "scale"),
    ("PE.BiasScale", "Bias", 0, "bias"),
)
"""Fields that hold a factor or summand, with the value that has no effect. The last factor (FinalScale) and the epsilon
take part in the tasks that have them with any value."""
_ONE = 0x3C00
_SOURCE_TYPES = ("L2", "DRAM and kept in L2", "DRAM", "the task before")
_RESULT_TYPES = ("L2", "DRAM with result type 1", "DRAM", "the next task")
_NO_PAD = (0, 0)


def computation_features(words: TaskFields) -> tuple[Feature, ...]:
    """What a task computes: the operation first, then every feature that it has."""
    return tuple(_ne_features(words) if words.is_ne else _pe_features(words))


def _ne_features(words: TaskFields) -> Iterator[Feature]:
    code = words("NE.MACCfg", "OpMode"), words("NE.MACCfg", "KernelMode")
    weighted = not code[1]
    yield Feature(_NE_OPERATIONS.get(code, f"operation {code[0]} with kernel mode {code[1]}"), "NE.MACCfg.OpMode")
    if weighted:
        yield from _kernel_features(words)
    if words("NE.MACCfg", "BiasMode"):
        yield Feature("bias", "NE.MACCfg.BiasMode")
    function = words("NE.MACCfg", "NonlinearMode")
    if function:
        yield Feature(_NE_FUNCTIONS.get(function, f"function {function}"), "NE.MACCfg.NonlinearMode")
    if words("Common.GroupConvCfg", "NumGroups") > 1:
        yield Feature("groups", "Common.GroupConvCfg.NumGroups")
    if words("NE.AccBias", "AccBias"):
        yield Feature("constant added", "NE.AccBias.AccBias")
    if words("NE.PostScale", "PostScale") != _ONE:
        yield Feature("scale", "NE.PostScale.PostScale")


def _kernel_features(words: TaskFields) -> Iterator[Feature]:
    config, path = "NE.KernelCfg", "Common.ConvCfg"
    if words(config, "RuntimeKernel"):
        yield Feature("run-time kernel", f"{config}.RuntimeKernel")
    if words("Common.GroupConvCfg", "UnicastEn"):
        yield Feature("depthwise", "Common.GroupConvCfg.UnicastEn")
    yield Feature(f"{words(path, 'Kh')}x{words(path, 'Kw')}", f"{path}.Kw")
    stride, pad = (words(path, "Sy"), words(path, "Sx")), (words(path, "Py"), words(path, "Px"))
    if words(path, "Ox") != 1 or words(path, "Oy") != 1:
        yield Feature(f"{words(path, 'Oy')}x{words(path, 'Ox')} outputs at a time", f"{path}.Ox")
        stride = stride[0], stride[1] - 1  # one column per output
    if stride != (1, 1):
        yield Feature(f"stride {stride[0]}x{stride[1]}", f"{path}.Sx")
    if pad != _NO_PAD:
        yield Feature(f"pad {pad[0]}x{pad[1]}", f"{path}.Px")
    kernel = words(config, "KernelFmt")
    if kernel != ElementFormat.FP16:
        yield Feature(f"{REGISTERS[config]['KernelFmt'].show(kernel)} weights", f"{config}.KernelFmt")
    if words(config, "SparseFmt"):
        yield Feature("sparse", f"{config}.SparseFmt")
    if words(config, "PalettizedEn"):
        yield Feature(f"palette of {words(config, 'PalettizedBits')} bits", f"{config}.PalettizedEn")
    if words(config, "GroupKernelReuse"):
        yield Feature("kernel shared by groups", f"{config}.GroupKernelReuse")


def _pe_features(words: TaskFields) -> Iterator[Feature]:
    kind = words("Common.Cfg", "TaskType")
    yield Feature(_PE_TYPES.get(kind, f"task type {kind}"), "Common.Cfg.TaskType")
    if kind == TaskType.PE_POOL:
        yield Feature(f"{words('Common.ConvCfg', 'Kh')}x{words('Common.ConvCfg', 'Kw')}", "Common.ConvCfg.Kw")
    for name, texts in _PE_FIELDS.items():
        value = words("PE.Cfg", name)
        text = texts.get(value, f"{name} {value}")
        if text:
            yield Feature(text, f"PE.Cfg.{name}")
    for path, name, plain, text in _PE_CONSTANTS:
        if words(path, name) != plain:
            yield Feature(text, f"{path}.{name}")


# Operands ------------------------------------------------------------------------------------------------------------


def operand_forms(words: TaskFields) -> Iterator[tuple[OperandRole, tuple[Feature, ...]]]:
    """Where each operand of a task is, and how its axes are walked; the place first."""
    if words.is_ne:
        yield OperandRole.NE_SOURCE, tuple(_first_source(words))
        yield OperandRole.NE_RESULT, tuple(_result(words, "Common.Cfg", "Transpose"))
        return
    yield OperandRole.PE_SOURCE, tuple(_first_source(words))
    if words("PE.Cfg", "SecSrc"):
        yield OperandRole.PE_SOURCE2, tuple(_second_source(words))
    yield OperandRole.PE_RESULT, tuple(_result(words, "Common.PECfg", "OutTranspose"))


def _first_source(words: TaskFields) -> Iterator[Feature]:
    kind = words("L2.SourceCfg", "SourceType")
    yield Feature(_SOURCE_TYPES[kind], "L2.SourceCfg.SourceType")
    if SourceType(kind).in_dram:
        yield from _interleaved(words, "TileDMASrc.Fmt")
    yield from _format(words, "InFmt")
    yield from _walked(words, "Src1Broadcast", "Src1Transpose")
    if words("L2.L2Cfg", "InputReLU"):
        yield Feature("rectified", "L2.L2Cfg.InputReLU")


def _second_source(words: TaskFields) -> Iterator[Feature]:
    yield Feature("DRAM" if words("L2.SourceCfg", "Source2Dram") else "L2", "L2.SourceCfg.Source2Dram")
    yield from _format(words, "Src2InFmt")
    yield from _walked(words, "Src2Broadcast", "Src2Transpose")
    if words("L2.L2Cfg", "Source2ReLU"):
        yield Feature("rectified", "L2.L2Cfg.Source2ReLU")


def _result(words: TaskFields, path: str, swapped: str) -> Iterator[Feature]:
    yield Feature(_RESULT_TYPES[words("L2.ResultCfg", "ResultType")], "L2.ResultCfg.ResultType")
    yield from _interleaved(words, "TileDMADst.Fmt")
    yield from _format(words, "OutFmt")
    if words(path, swapped):
        yield Feature("channel and column exchanged", f"{path}.{swapped}")


def _interleaved(words: TaskFields, path: str) -> Iterator[Feature]:
    interleave = words(path, "Interleave")
    if interleave > 1:
        yield Feature(f"interleave {interleave}", f"{path}.Interleave")


def _format(words: TaskFields, name: str) -> Iterator[Feature]:
    code = words("Common.ChCfg", name)
    if code != ElementFormat.FP16:
        yield Feature(REGISTERS["Common.ChCfg"][name].show(code), f"Common.ChCfg.{name}")


def _walked(words: TaskFields, repeated: str, swapped: str) -> Iterator[Feature]:
    axes = words("Common.PECfg", repeated)
    if axes:
        names = "".join(axis.name or "" for axis in RepeatedAxes if axes & axis)
        yield Feature(f"repeated over {names}", f"Common.PECfg.{repeated}")
    if words("Common.PECfg", swapped):
        yield Feature("channel and column exchanged", f"Common.PECfg.{swapped}")


def text_of(features: tuple[Feature, ...]) -> str:
    """Features as one text, in their order: "convolution, 1x1, bias"."""
    return ", ".join(feature.text for feature in features)
