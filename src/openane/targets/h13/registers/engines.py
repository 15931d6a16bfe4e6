"""The planar and the neural engine of H13, and the kernel DMA."""

from __future__ import annotations

from openane.program.fields import FieldKind
from openane.targets.h13.registers.codes import (
    CacheHint,
    ElementFormat,
    NeNonlinear,
    NeOperation,
    PeCondition,
    PeNonlinear,
    PeOperation,
    PePoolMode,
    SecondSource,
)
from openane.targets.h13.registers.draft import (
    GUESS,
    PROVED,
    SEEN,
    Draft,
    block,
    draft,
    dram,
    field,
    lanes,
    unknown,
)

PE = block(
    "PE",
    0x08800,
    "planar engine: y = nonlinear(op(pre_scale*a, b)*scale + bias) * final_scale",
    draft(
        "Cfg",
        "operation",
        field("PoolMode", 0, 2, "reduction; average and min are assumed", PROVED, "programs", codes=PePoolMode),
        field("OpMode", 2, 3, "operation of two sources", PROVED, "programs, hardware", codes=PeOperation),
        field("ReluEn", 5, 1, "ReLU on the result", SEEN, "printer"),
        field("Condition", 6, 3, "abs proved, comparisons by analogy", SEEN, codes=PeCondition),
        field("NLMode", 12, 2, "applied to the result", PROVED, "programs", codes=PeNonlinear),
        field("FirstSrc", 16, 1, "set in the variance task of layer_norm"),
        field("SecSrc", 18, 2, "second operand", PROVED, "programs", codes=SecondSource),
    ),
    draft(
        "BiasScale",
        "after the operation",
        field("Bias", 0, 16, "added after the scale", PROVED, kind=FieldKind.FP16),
        field("Scale", 16, 16, "multiplied after the operation", PROVED, kind=FieldKind.FP16),
    ),
    draft(
        "PreScale",
        "before the operation",
        field("Epsilon", 0, 16, "added under the reciprocal root", SEEN, "programs", kind=FieldKind.FP16),
        field("PreScale", 16, 16, "multiplies source 1", PROVED, "programs", kind=FieldKind.FP16),
    ),
    draft("FinalScale", "last factor", field("FinalScale", 0, 32, "1/n of a mean", SEEN, kind=FieldKind.FP32)),
)

NE = block(
    "NE",
    0x0C800,
    "neural engine: y = nonlinear((sum + bias + acc_bias) * post_scale)",
    draft(
        "KernelCfg",
        "kernel format",
        field("KernelFmt", 0, 2, "element format of the kernel", PROVED, "hardware", codes=ElementFormat),
        field("PalettizedEn", 2, 1, "never set"),
        field("PalettizedBits", 4, 4, "8 when off", SEEN, default=8),
        field("SparseFmt", 8, 1, "masks and non-zero values", PROVED, "programs"),
        field("GroupKernelReuse", 10, 1, "the batch shares the kernel"),
        field("PESignal", 12, 1, "the next planar task of the group waits for this one", SEEN, "programs"),
        field("PEWait", 14, 1, "waits for the planar task before", SEEN, "programs"),
        unknown(15, meaning="set with SparseFmt and PalettizedEn together (2 tasks on record)"),
        field("RuntimeKernel", 16, 1, "the kernel is a tensor computed or given at run time", SEEN, "programs"),
    ),
    draft(
        "MACCfg",
        "operation",
        field("OpMode", 0, 3, "with KernelMode; transposed_conv is assumed", PROVED, codes=NeOperation),
        field("KernelMode", 3, 1, "1: no weights are read", PROVED),
        field("BiasMode", 4, 1, "a bias per channel is in the kernel stream", PROVED),
        field("MatrixBiasEn", 6, 1, "never set"),
        field("BinaryPoint", 8, 5, "signed: -4 (0x1C) from new compilers, 0 from old ones; what 0 means is open"),
        field("PostScaleMode", 14, 1, "never set"),
        field("NonlinearMode", 16, 2, "last step", PROVED, "programs, hardware", codes=NeNonlinear),
        unknown(20, meaning="set in every task of the neural engine", default=1),
    ),
    draft("MatrixVectorBias", "", field("MatrixVectorBias", 0, 16, "0 in every program")),
    draft(
        "AccBias",
        "added before the post-scale",
        field("AccBias", 0, 16, "number", PROVED, kind=FieldKind.FP16),
        field("AccBiasShift", 16, 5, "for integers"),
    ),
    draft(
        "PostScale",
        "factor before the nonlinearity",
        field("PostScale", 0, 16, "number", PROVED, "programs, hardware", kind=FieldKind.FP16),
        field("PostRightShift", 16, 5, "for integers"),
    ),
)


def _kernel_config(name: str) -> Draft:
    return draft(
        name,
        "stream of one channel",
        field("En", 0, 1, "the stream is loaded", PROVED),
        field("CrH", 4, 2),
        field("CacheHint", 6, 4, "schedule only", SEEN, codes=CacheHint, default=2),
        field("PrefetchParticipateEn", 28, 1, "never set", GUESS, "printer"),
    )


def _kernel_base(name: str) -> Draft:
    return dram(name, "offset of the stream in the kernel's buffer", named="Addr")


def _kernel_size(name: str) -> Draft:
    size = field("MemBfrSize", 6, 26, "bytes, a multiple of 64", PROVED, unit=64, default=0x40)
    return draft(name, "size of the stream; 0x40 when unused", size)


#: What the four channels after the 16 lanes carry is known from later generations only; they are never enabled.
_EXTRA_STREAMS = ("Bias", "PostScale", "Palette", "NonLinearLut")

KERNEL_DMA_SRC = block(
    "KernelDMASrc",
    0x1F800,
    "loads kernels: one stream for each of 16 engines",
    draft(
        "MasterConfig",
        "all streams",
        field("SparseEnable", 5, 1, "sparse streams", SEEN, "programs"),
        field("MasterEnable", 6, 1, "some stream is loaded", SEEN, "programs"),
    ),
    draft("AlignedCoeffSizePerCh", "0 in every program; name from later generations"),
    *lanes("CoeffDMAConfig", _kernel_config),
    *lanes("CoeffBaseAddr", _kernel_base),
    *lanes("CoeffBfrSize", _kernel_size),
    *(_kernel_config(f"{name}DMAConfig") for name in _EXTRA_STREAMS),
    *(_kernel_base(f"{name}BaseAddr") for name in _EXTRA_STREAMS),
    *(_kernel_size(f"{name}BfrSize") for name in _EXTRA_STREAMS),
)
