"""From the registers of one H13 task to a description of its work.

Meanings and their evidence stand in the register declarations (`targets.h13.registers`); what no record shows is
listed in docs/assumptions.md. Registers that a task does not write are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.sim.decoded_task import (
    Axes,
    DecodedOperand,
    DecodedTask,
    MacFunction,
    MacOperation,
    MacWork,
    PlanarFunction,
    PlanarOperation,
    PlanarReduction,
    PlanarWork,
    UnusedKernel,
)
from openane.targets.h13.machine import tensors
from openane.targets.h13.machine.kernels import KernelStreams, WeightFormat
from openane.targets.h13.read import TaskFields, field_group, fp16_number
from openane.targets.h13.registers.codes import (
    NeNonlinear,
    NeOperation,
    PeCondition,
    PeNonlinear,
    PeOperation,
    PePoolMode,
    RepeatedAxes,
    SecondSource,
    TaskType,
)
from openane.targets.h13.spec import MACHINE

MOST_ACTIVE = 4
"""ActiveNE of all engines."""
SMALL_SOURCE_SLOTS, SPARSE_SLOTS = 4, 2
"""Channels of a sparse kernel that an engine computes at a time, by SmallSourceMode (encoding.md#sparse-packing)."""
_MAC_OPERATIONS: Mapping[tuple[int, int], MacOperation] = MappingProxyType(
    {
        (NeOperation.CONV, 0): MacOperation.CONVOLUTION,
        (NeOperation.TRANSPOSED_CONV, 0): MacOperation.TRANSPOSED,  # assumption A6
        (NeOperation.CONV, 1): MacOperation.SUM,
        (NeOperation.MULTIPLY, 1): MacOperation.PRODUCT,
        (NeOperation.MAXIMUM, 1): MacOperation.MAXIMUM,
        (NeOperation.BYPASS, 1): MacOperation.PASS,
    }
)
"""By OpMode and KernelMode."""
_FUNCTIONS: Mapping[int, MacFunction] = MappingProxyType(
    {NeNonlinear.NONE: MacFunction.LINEAR, NeNonlinear.RELU: MacFunction.RELU, NeNonlinear.TABLE: MacFunction.TABLE}
)
_PLANAR_OPERATIONS: Mapping[int, PlanarOperation] = MappingProxyType(
    {
        PeOperation.ADD: PlanarOperation.ADD,
        PeOperation.MUL: PlanarOperation.MULTIPLY,
        PeOperation.MAX: PlanarOperation.MAXIMUM,
        PeOperation.MIN: PlanarOperation.MINIMUM,
        PeOperation.SUMSQ: PlanarOperation.SQUARED_SUM,
    }
)
_REDUCTIONS: Mapping[int, PlanarReduction] = MappingProxyType(
    {
        PePoolMode.SUM: PlanarReduction.SUM,
        PePoolMode.AVERAGE: PlanarReduction.AVERAGE,
        PePoolMode.MAX: PlanarReduction.MAXIMUM,
        PePoolMode.MIN: PlanarReduction.MINIMUM,
    }
)
_PLANAR_FUNCTIONS: Mapping[int, PlanarFunction] = MappingProxyType(
    {
        PeNonlinear.NONE: PlanarFunction.NONE,
        PeNonlinear.RECIPROCAL: PlanarFunction.RECIPROCAL,
        PeNonlinear.RSQRT: PlanarFunction.RSQRT,
    }
)
_PLANAR = field_group(
    *(f"PE.Cfg.{name}" for name in ("OpMode", "Condition", "NLMode", "FirstSrc", "SecSrc", "PoolMode", "ReluEn")),
    *("Common.GroupConvCfg.UnicastEn", "Common.GroupConvCfg.ElemMultMode"),
)
_PLANAR_VIEWS = field_group(
    *("Common.Cfg.TaskType", "Common.Cfg.Transpose", "Common.ChCfg.InFmt", "Common.ChCfg.Src2InFmt"),
    *("Common.PECfg.Src1Broadcast", "Common.PECfg.Src2Broadcast", "Common.PECfg.Src1Transpose"),
    *("Common.PECfg.Src2Transpose", "Common.PECfg.OutTranspose", "L2.SourceCfg.Source2Dram"),
)
_PLANAR_NUMBERS = field_group("PE.PreScale.PreScale", "PE.BiasScale.Scale", "PE.BiasScale.Bias", "PE.PreScale.Epsilon")
_MAC = field_group(
    *(f"NE.MACCfg.{name}" for name in ("OpMode", "KernelMode", "NonlinearMode", "BiasMode", "BinaryPoint")),
    *("NE.KernelCfg.GroupKernelReuse", "Common.GroupConvCfg.UnicastEn", "L2.L2Cfg.InputReLU"),
    *("NE.AccBias.AccBias", "NE.PostScale.PostScale"),
)
_KERNEL = field_group(
    *("KernelDMASrc.MasterConfig.MasterEnable", "KernelDMASrc.MasterConfig.SparseEnable", "NE.KernelCfg.SparseFmt"),
    *("NE.KernelCfg.KernelFmt", "NE.KernelCfg.PalettizedEn", "NE.KernelCfg.PalettizedBits", "Common.Cfg.ActiveNE"),
    *("Common.Cfg.SmallSourceMode", "Common.ConvCfg.OCGSize", "Common.ConvCfg.Ox", "NE.MACCfg.BiasMode"),
)
_WINDOW = field_group(*(f"Common.ConvCfg.{name}" for name in ("Kh", "Kw", "Sy", "Sx", "Py", "Px", "Oy", "Ox")))
_UNICAST = field_group(*(f"Common.GroupConvCfg.{name}" for name in ("UnicastEn", "UnicastCin", "ElemMultMode")))


def decode_fields(words: TaskFields, index: int, name: str) -> DecodedTask:
    """The work of a task.

    Args:
        words: its registers and header.
        index: position in the chain.
        name: its layers.

    Raises:
        FaultError: a combination of registers that is not understood or makes no sense.
    """
    if words("Common.Cfg", "ActiveNE") > MOST_ACTIVE:
        raise words.refuse(
            "more neural engines than there are", "Common.Cfg", f"ActiveNE {MOST_ACTIVE}: {MACHINE.lanes} engines"
        )
    return (_mac if words.is_ne else _planar)(words, index, name)


def _work(
    words: TaskFields, index: int, name: str, engine: MacWork | PlanarWork, views: tuple[Axes, Axes],
    sources: tuple[DecodedOperand, ...], result: DecodedOperand,
) -> DecodedTask:  # fmt: skip
    """The parts of a task with what stays in L2 or passes through it."""
    view, result_view = views
    loads = isinstance(engine, MacWork) and engine.kernel is not None
    unused = None if loads else _unused_kernel(words)
    return DecodedTask(
        index, name, engine, view, result_view, sources, result, tensors.kept(words, sources[0]),
        tensors.staging(words, engine, sources, views), tensors.result_staging(words, result, result_view), unused,
    )  # fmt: skip


def _unused_kernel(words: TaskFields) -> UnusedKernel | None:
    """Streams of a task that has no use for them: programs that ran on the chip have some, Apple's compiler none."""
    lanes = words.streams() if words("KernelDMASrc.MasterConfig", "MasterEnable") else ()
    if lanes and not words("Header.KernelBases", "KBE0"):
        raise words.refuse("the task loads a kernel and KBE0 is off", "Header.KernelBases")
    return UnusedKernel(words("Header.KernelBases", "KBase0"), lanes) if lanes else None


# Planar engine -----------------------------------------------------------------------------------------------------


def _planar(words: TaskFields, index: int, name: str) -> DecodedTask:
    (
        code, transposed, format1, format2, repeated1, repeated2, swapped1, swapped2, swapped_result, dram2,
    ) = words.of_group(_PLANAR_VIEWS)  # fmt: skip
    if code > TaskType.PE_VARIANCE:
        raise words.refuse("task type is not understood", "Common.Cfg", "0 to 6 in bits 6:4")
    kind = TaskType(code)
    if transposed:
        raise words.refuse("a planar task swaps its result with PECfg, not with Cfg", "Common.Cfg")
    view, stated = tensors.extents(words)
    engine = _planar_engine(words, kind)
    reduced = kind in (TaskType.PE_REDUCTION, TaskType.PE_VARIANCE)
    if (view[2] != stated[2] or view[1] != stated[1]) or (kind is not TaskType.PE_POOL and view != stated):
        raise words.refuse(
            "source and result of a planar task differ in size", "Common.OutDim", f"{view}", f"Found {stated}."
        )
    result_view = (view[0], 1, view[2], 1, 1) if reduced else stated
    sources = [tensors.source(words, 1, tensors.broadcast(view, repeated1), bool(swapped1))]
    if kind.takes_two_sources:
        if format1 != format2:
            raise words.refuse("the two sources have different formats", "Common.ChCfg", "0x2a")
        extents = tensors.broadcast(view, repeated2)
        if kind is TaskType.PE_BINARY_ROWS:
            if repeated2 not in (0, RepeatedAxes.C):
                raise words.refuse(
                    "a pair of rows is repeated", "Common.PECfg", "Src2Broadcast 0, or 8 = one pair for all"
                )
            extents = (1, 1, extents[2], 2, 1)
        sources.append(tensors.source(words, 2, extents, bool(swapped2)))
    elif format2:
        raise words.refuse("a second source has a format and the task has one source", "Common.ChCfg", "0x22")
    elif repeated2 or swapped2:
        raise words.refuse("a second source has a view and the task has one source", "Common.PECfg", "Src2 fields of 0")
    elif dram2:
        raise words.refuse("a second source comes from DRAM and the task has one source", "L2.SourceCfg")
    result = tensors.result(words, result_view, bool(swapped_result))
    return _work(words, index, name, engine, (view, result_view), tuple(sources), result)


def _planar_engine(words: TaskFields, kind: TaskType) -> PlanarWork:
    operation, condition, function, first, second, pool, relu, unicast, multiply = words.of_group(_PLANAR)
    if operation not in _PLANAR_OPERATIONS:
        raise words.refuse("operation is not understood", "PE.Cfg", "add, mul, max, min, squared sum (0 to 4)")
    if condition not in (PeCondition.NONE, PeCondition.ABS):
        raise words.refuse("condition is not understood", "PE.Cfg", "0, or 1 = abs")
    if function not in _PLANAR_FUNCTIONS:
        raise words.refuse("function is not understood", "PE.Cfg", "0, 1 = reciprocal, 2 = rsqrt")
    double = kind.takes_two_sources
    if second not in ((SecondSource.SOURCE2, SecondSource.MINUS_SOURCE2) if double else (SecondSource.NONE,)):
        raise words.refuse("second operand does not go with the task type", "PE.Cfg", "2 or 3 with two sources, else 0")
    if not double and operation not in (PeOperation.ADD, PeOperation.SUMSQ):
        raise words.refuse("an operation of two sources on one", "PE.Cfg", "add or squared sum")
    if pool and not kind.reduces:
        raise words.refuse("a pool mode on a task that does not reduce", "PE.Cfg", "0")
    if unicast or multiply:
        raise words.refuse("groups of a planar task", "Common.GroupConvCfg", "no unicast, no multiply mode")
    window, stride, pad = _window(words) if kind is TaskType.PE_POOL else (None, (1, 1), (0, 0))
    if kind is TaskType.PE_POOL and words("Common.ConvCfg", "OCGSize"):
        raise words.refuse("output channel groups of a planar task", "Common.ConvCfg", "OCGSize 0")
    if kind is not TaskType.PE_POOL and words.word("Common.ConvCfg") != 0x5000A021:
        raise words.refuse("a planar task with a kernel size", "Common.ConvCfg", "0x5000a021")
    pre_scale, scale, bias, epsilon = map(fp16_number, words.of_group(_PLANAR_NUMBERS))
    return PlanarWork(
        _PLANAR_OPERATIONS[operation],
        negate_first=bool(first),
        negate_second=second == SecondSource.MINUS_SOURCE2,
        rows=kind is TaskType.PE_BINARY_ROWS,
        absolute=condition == PeCondition.ABS,
        reduction=_REDUCTIONS[pool] if kind.reduces else PlanarReduction.NONE,
        window=window,
        stride=stride,
        pad=pad,
        pre_scale=pre_scale,
        scale=scale,
        bias=bias,
        final_scale=words.single("PE.FinalScale"),
        epsilon=epsilon,
        function=_PLANAR_FUNCTIONS[function],
        relu=bool(relu),
        relu_first=bool(words("L2.L2Cfg", "InputReLU")),
        relu_second=bool(words("L2.L2Cfg", "Source2ReLU")),
    )


def _window(words: TaskFields) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(rows, columns) of window, stride and pad."""
    path = "Common.ConvCfg"
    kh, kw, sy, sx, py, px, oy, ox = words.of_group(_WINDOW)
    window, stride, pad, outputs = (kh, kw), (sy, sx), (py, px), (oy, ox)
    if min(window) < 1 or min(stride) < 1:
        raise words.refuse("kernel size or stride is zero", path, "at least 1")
    if outputs == (1, 2) and stride[1] == 2:  # two neighboring outputs at each second column: every column
        stride = stride[0], 1
    elif outputs != (1, 1):
        raise words.refuse("outputs at a time are not understood", path, "Ox 2 with Sx 2, or 1; Oy 1")
    return window, stride, pad


# Neural engine -----------------------------------------------------------------------------------------------------


def _mac(words: TaskFields, index: int, name: str) -> DecodedTask:
    view, result_view = tensors.extents(words)
    if words.word("Common.PECfg"):
        raise words.refuse("operand views of the planar engine on a task of the neural engine", "Common.PECfg", "0")
    engine = _mac_engine(words, view, result_view)
    if engine.operation not in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED):
        if (view[1], *view[3:]) != (result_view[1], *result_view[3:]):
            raise words.refuse("source and result differ in size", "Common.OutDim", f"{view}", f"Found {result_view}.")
    elif view[1] != 1 or result_view[1] != 1:
        raise words.refuse("a convolution over depth", "Common.InDepth", "1")
    source = tensors.source(words, 1, view, False)
    result = tensors.result(words, result_view, bool(words("Common.Cfg", "Transpose")))
    return _work(words, index, name, engine, (view, result_view), (source,), result)


def _mac_engine(words: TaskFields, view: Axes, result_view: Axes) -> MacWork:
    mode, kernel_mode, function, bias, point, reuse, unicast, relu_in, acc_bias, post_scale = words.of_group(_MAC)
    code = mode, kernel_mode
    if code not in _MAC_OPERATIONS:
        raise words.refuse("operation is not understood", "NE.MACCfg", "OpMode and KernelMode as on record")
    operation = _MAC_OPERATIONS[code]
    if function not in _FUNCTIONS:
        raise words.refuse("function is not understood", "NE.MACCfg", "0, 1 = ReLU, 2 = table")
    inputs = _inputs_per_output(words, operation, view, result_view)
    window, stride, pad = _window(words)
    with_kernel = operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    if not with_kernel and (window, stride, pad) != ((1, 1), (1, 1), (0, 0)):
        raise words.refuse("a kernel size on a task without a kernel", "Common.ConvCfg", "0x5000a021")
    if not with_kernel and bias:
        raise words.refuse("a bias on a task without a kernel", "NE.MACCfg")
    groups = view[0] if with_kernel and not reuse else 1
    kernel = _kernel(
        words,
        with_kernel,
        function == NeNonlinear.TABLE,
        groups,
        bool(unicast) and with_kernel,
        inputs or view[2],
        result_view[2],
    )
    return MacWork(
        operation, inputs if unicast or operation in (MacOperation.PASS,) else 0, groups, kernel, window, stride, pad,
        bool(relu_in), fp16_number(acc_bias), fp16_number(post_scale), _FUNCTIONS[function], point == 0,
    )  # fmt: skip


def _inputs_per_output(words: TaskFields, operation: MacOperation, view: Axes, result_view: Axes) -> int:
    """Input channels of one output channel; 0 when it sees all of them."""
    path = "Common.GroupConvCfg"
    unicast, count, multiply = words.of_group(_UNICAST)
    if count != 1 and (not unicast or operation is MacOperation.PASS):
        raise words.refuse("UnicastCin has no meaning here", path, "1")
    if bool(multiply) != (operation is MacOperation.PRODUCT):
        raise words.refuse("multiply mode goes with the two-source multiply only", path)
    if operation is MacOperation.PASS:
        if view[2] != result_view[2]:
            raise words.refuse("a task that passes channels changes their number", "Common.Cout", view[2])
        return 1
    if not unicast:
        if operation in (MacOperation.SUM, MacOperation.MAXIMUM, MacOperation.PRODUCT) and result_view[2] != 1:
            raise words.refuse("a task over all channels has one result", "Common.Cout", 1)
        return 0
    if count * result_view[2] != view[2]:
        raise words.refuse(
            "input channels do not divide among the output channels", path, f"UnicastCin x {result_view[2]} = {view[2]}"
        )
    return count


def _kernel(
    words: TaskFields, weights: bool, table: bool, groups: int, depthwise: bool, inputs: int, channels: int
) -> KernelStreams | None:
    """The streams of a task that reads some."""
    if not weights and not table:
        return None
    master, config, lanes = "KernelDMASrc.MasterConfig", "NE.KernelCfg", words.streams()
    enabled, sparse_lanes, sparse, element, palettized, bits, active, small, ocg, pairs, bias = words.of_group(_KERNEL)
    if not lanes or not enabled:
        raise words.refuse("the task needs a kernel or table and loads none", master, "0x40 and an enabled lane")
    if not words("Header.KernelBases", "KBE0"):
        raise words.refuse("the task loads a kernel and KBE0 is off", "Header.KernelBases")
    if weights and sparse != sparse_lanes:
        raise words.refuse("SparseFmt and SparseEnable differ", master)
    if element not in tensors.DTYPES or bits not in ((1, 2, 4, 6, 8) if palettized and bits else (8,)):
        raise words.refuse("kernel format is not understood", config)
    window, stride, _ = _window(words)
    if pairs == 2 and not depthwise:
        raise words.refuse("two outputs at a time of a kernel that is not depthwise", "Common.ConvCfg", "Ox 1")
    if weights and sparse and stride not in ((1, 1), (2, 2)):
        raise words.refuse("a sparse kernel with this stride", "Common.ConvCfg", "1 or 2 on both axes")
    slots = SMALL_SOURCE_SLOTS if small else SPARSE_SLOTS
    return KernelStreams(
        words("Header.KernelBases", "KBase0"), lanes, 1 << active, channels, inputs, window, groups, 1 << ocg,
        depthwise, weights, bool(bias), table, bool(sparse) and stride == (2, 2), slots if sparse else 1, pairs == 2,
        WeightFormat(element, bits if palettized else 0, bool(sparse)), words.where,
    )  # fmt: skip
