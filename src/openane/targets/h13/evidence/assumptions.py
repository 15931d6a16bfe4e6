"""What a task may depend on that no record shows: each assumption with its meaning, and the case that settles it.

`tools/assumptions_page.py` makes the table of docs/assumptions.md of them. Where a task shows in its fields that it
depends on one, the assumption names these fields; the others are about arithmetic or memory of every task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openane.targets.h13.evidence.features import computation_features, text_of
from openane.targets.h13.evidence.recorded import COMPUTATIONS
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers.codes import (
    ElementFormat,
    NeOperation,
    PeCondition,
    PePoolMode,
    ResultType,
    TaskType,
)
from openane.targets.h13.spec import MACHINE

Fields = Iterator[str]


def _no_fields(words: TaskFields) -> Fields:
    """Nothing in the fields of a task shows whether it depends on it."""
    del words
    yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """A meaning of registers or values that no record shows.

    Attributes:
        name: "A1".
        subject: what it is about.
        encoding: what the compiler writes and the simulator computes.
        cases: of `openane verify-device`, whose results on a chip settle it.
        fields_of: the fields of a task that show that the task depends on it; none if it does not.
    """

    name: str
    subject: str
    encoding: str
    cases: tuple[str, ...]
    fields_of: Callable[[TaskFields], Fields] = _no_fields


def _unrecorded(words: TaskFields) -> bool:
    return text_of(computation_features(words)) not in COMPUTATIONS


def _weighted(words: TaskFields) -> bool:
    """Whether the task reads a kernel of constants."""
    return words.is_ne and not words("NE.MACCfg", "KernelMode") and not words("NE.KernelCfg", "RuntimeKernel")


def _pooling(words: TaskFields) -> Fields:
    if words("Common.Cfg", "TaskType") == TaskType.PE_POOL:
        yield "Common.Cfg.TaskType"


def _average(words: TaskFields) -> Fields:
    if words("PE.Cfg", "PoolMode") == PePoolMode.AVERAGE:
        yield "PE.Cfg.PoolMode"


def _stride(words: TaskFields) -> Fields:
    for name in ("Sx", "Sy"):
        if words("Common.ConvCfg", name) > 2:
            yield f"Common.ConvCfg.{name}"


def _transposed(words: TaskFields) -> Fields:
    if words.is_ne and words("NE.MACCfg", "OpMode") == NeOperation.TRANSPOSED_CONV:
        yield "NE.MACCfg.OpMode"


def _small_weights(words: TaskFields) -> Fields:
    if _weighted(words) and words("NE.KernelCfg", "KernelFmt") != ElementFormat.FP16:
        yield "NE.KernelCfg.KernelFmt"


def _palette(words: TaskFields) -> Fields:
    if _weighted(words) and words("NE.KernelCfg", "PalettizedEn") and _unrecorded(words):
        yield "NE.KernelCfg.PalettizedEn"


def _integers(words: TaskFields) -> Fields:
    """All but bytes that the neural engine reads and writes, which are on record."""
    for name in ("InFmt", "Src2InFmt", "OutFmt"):
        code = words("Common.ChCfg", name)
        unused = name == "Src2InFmt" and not words("PE.Cfg", "SecSrc")
        if code != ElementFormat.FP16 and not unused and not (code == ElementFormat.UINT8 and words.is_ne):
            yield f"Common.ChCfg.{name}"


def _shared_kernel(words: TaskFields) -> Fields:
    if words("NE.KernelCfg", "GroupKernelReuse"):
        yield "NE.KernelCfg.GroupKernelReuse"


def _minimum(words: TaskFields) -> Fields:
    if words("PE.Cfg", "PoolMode") == PePoolMode.MIN:
        yield "PE.Cfg.PoolMode"


def _condition(words: TaskFields) -> Fields:
    if words("PE.Cfg", "Condition") not in (PeCondition.NONE, PeCondition.ABS):
        yield "PE.Cfg.Condition"


def _pixel_offset(words: TaskFields) -> Fields:
    for index in range(4):
        if words.word(f"TileDMASrc.PixelOffset[{index}]"):
            yield f"TileDMASrc.PixelOffset[{index}].Offset"


def _last_round(words: TaskFields) -> Fields:
    """More output channels than lanes, which do not fill the last round."""
    channels = words("Common.Cout", "Cout")
    depthwise = words("Common.GroupConvCfg", "UnicastEn")
    if _weighted(words) and not depthwise and channels > MACHINE.lanes and channels % MACHINE.lanes:
        yield "Common.Cout.Cout"


def _sparse(words: TaskFields) -> Fields:
    """Sparse kernels of other strides than 2 that are not on record."""
    strides = {words("Common.ConvCfg", "Sx"), words("Common.ConvCfg", "Sy")}
    plain = words("Common.ConvCfg", "Ox") == 1
    if _weighted(words) and words("NE.KernelCfg", "SparseFmt") and plain and strides != {2} and _unrecorded(words):
        yield "NE.KernelCfg.SparseFmt"


def _scaled_sum(words: TaskFields) -> Fields:
    if _weighted(words) and words("NE.PostScale", "PostScale") != 0x3C00:
        yield "NE.PostScale.PostScale"


def _undescribed(words: TaskFields) -> Fields:
    """Operands in DRAM with base and row stride 0."""
    if words.reads_dram and not words("L2.SourceBase", "Addr") and not words("L2.SourceRowStride", "Stride"):
        yield "L2.SourceBase.Addr"
    stated = words("L2.ResultBase", "Addr") or words("L2.ConvResultRowStride", "Stride")
    if ResultType(words("L2.ResultCfg", "ResultType")).in_dram and not stated:
        yield "L2.ResultBase.Addr"


ASSUMPTIONS = (
    Assumption(
        name="A1",
        subject="windowed pooling",
        encoding="PE task with `Common.Cfg` TaskType 1 (unseen); window, stride and pad in `Common.ConvCfg` (Kw, Kh,"
        " Sx, Sy, Px, Py) as for a convolution; size of the result in `OutDim`; `PE.Cfg` PoolMode 2 = max, 3 ="
        " min, 0 = sum, 1 = average over the pixels inside the image",
        cases=("pool-max-2x2", "pool-average-2x2"),
        fields_of=_pooling,
    ),
    Assumption(
        name="A2",
        subject="value of the padding",
        encoding="conv, pool sum: zero. Pool max, min: the neutral value. An average that includes the padding:"
        " PoolMode 0 with `FinalScale` = 1/(Kw·Kh); one that excludes it: PoolMode 1 with `FinalScale` 1 (the"
        " engine divides each sum by the number of pixels it read)",
        cases=(
            "pool-max-3x3-padded",
            "pool-average-stride-3",
        ),
        fields_of=_average,
    ),
    Assumption(
        name="A3",
        subject="asymmetric padding",
        encoding="Px, Py are the left and top pads. Right and bottom pads need no field: a pixel outside the source is"
        " padding, and `OutDim` gives the number of results. A result whose whole window is outside the source"
        " is refused, before it (a pad as large as the window) or after it",
        cases=("pad-one-side",),
    ),
    Assumption(
        name="A4",
        subject="stride",
        encoding="Sx, Sy hold the stride: 1, 2 or 3; 0 is refused. With `SparseFmt` and stride 2 on both axes a kernel"
        " has the phase order of Apple's compiler, otherwise the plain order (input channel, row, column,"
        " output channel). With Ox 2 and Sx 2 a depthwise kernel computes two neighboring outputs (recorded;"
        " one ran on a chip); other values of Ox and Oy are refused",
        cases=(
            "pool-max-stride-3",
            "pool-average-stride-3",
        ),
        fields_of=_stride,
    ),
    Assumption(
        name="A5",
        subject="dilation",
        encoding="no field: the kernel is stored with zeros between its taps (size (K−1)·d+1, at most 31)",
        cases=("dilation-2",),
    ),
    Assumption(
        name="A6",
        subject="transposed convolution",
        encoding="`NE.MACCfg` OpMode 5 with KernelMode 0: the source is upsampled by Sx, Sy with zeros, then convolved"
        " at stride 1 with the stored taps (already mirrored); Px, Py are the pads of that convolution. The"
        " kernel stream is in the plain order. Only the simulator knows it: the compiler writes a convolution"
        " per phase",
        cases=("transposed-mode",),
        fields_of=_transposed,
    ),
    Assumption(
        name="A7",
        subject="per-channel scale after the MAC array",
        encoding="not encoded; PostScale is one number per task. Scales are folded into the weights",
        cases=("scale-per-channel",),
    ),
    Assumption(
        name="A8",
        subject="8-bit kernel",
        encoding="`KernelFmt` 0 = uint8 (measured: weight 248 on an M1), 1 = int8, one byte per weight in the order of"
        " the fp16 stream; the bias remains fp16, before its round; PostScale holds the scale",
        cases=("kernel-uint8", "kernel-int8"),
        fields_of=_small_weights,
    ),
    Assumption(
        name="A9",
        subject="palettized kernel",
        encoding="`PalettizedEn` with PalettizedBits b in 1, 2, 4, 6, 8: each lane starts with its palette (after a"
        " table, before the first bias), 2^b fp16 values, padded to 64 bytes; then b-bit indices, lowest bit first,"
        " in the order of the fp16 stream,"
        " each round padded to a byte. With `SparseFmt` a round has only masks and one weight, the first entry"
        " of the palette (2 tasks on record, bit 15 set; one ran on a chip); more weights are refused",
        cases=("kernel-palette",),
        fields_of=_palette,
    ),
    Assumption(
        name="A10",
        subject="order in one lane",
        encoding="[table 128 bytes]`per round: bias, weights`; the hash confirms bias and weights, the size of the"
        " lane confirms the table before them",
        cases=("table-bias",),
    ),
    Assumption(
        name="A11",
        subject="8-bit tensors",
        encoding="`ChCfg` InFmt/OutFmt and `MemFmt` 0 = uint8, 1 = int8, 2 = fp16, with FmtMode 0, equal in `ChCfg`"
        " and `MemFmt`; Truncate (0 or 3) has no effect on integers, whose value is the integer itself; a"
        " result is rounded to fp16, then to the nearest integer (ties to even), and saturates. Recorded:"
        " bytes that the neural engine reads and writes, with Truncate 0",
        cases=("bytes-uint8", "bytes-int8"),
        fields_of=_integers,
    ),
    Assumption(
        name="A12",
        subject="groups",
        encoding="`NumGroups` > 1 on an NE task with a kernel: one kernel block per group. With `GroupKernelReuse` the"
        " groups are a batch and share one kernel. On other tasks groups are a plain outermost axis",
        cases=(
            "order-groups",
            "kernel-reuse",
        ),
        fields_of=_shared_kernel,
    ),
    Assumption(
        name="A13",
        subject="PE minimum",
        encoding="PoolMode 3",
        cases=("reduce-min-mode",),
        fields_of=_minimum,
    ),
    Assumption(
        name="A14",
        subject="depth",
        encoding="an ordinary view axis on tasks without a kernel; kernels have depth 1 (0x20 = 0x2041)",
        cases=("reduce-depth",),
    ),
    Assumption(
        name="A15",
        subject="condition field of the PE",
        encoding="1 = absolute value; all other values are refused",
        cases=("planar-abs",),
        fields_of=_condition,
    ),
    Assumption(
        name="A16",
        subject="PixelOffset",
        encoding="nonzero values are refused: no record shows the effect of a width offset (measured on an M1: times"
        " 16 in storage)",
        cases=("view-width",),
        fields_of=_pixel_offset,
    ),
    Assumption(
        name="A17",
        subject="output channels that do not fill the lanes",
        encoding="channels are distributed to 2^ActiveNE lanes in rounds of g = min(channels left per lane rounded up,"
        " 2^OCGSize); in the last round the missing channels are stored as zeros. A lane without channels may"
        " be disabled. Recorded: up to 16 channels, and multiples of 16",
        cases=("order-33x3x3x3",),
        fields_of=_last_round,
    ),
    Assumption(
        name="A18",
        subject="sparse kernels of stride 1 and 3, sparse rounds of 3, 6, ... channels",
        encoding="the plain order with masks; rounds are padded to a multiple of 2 channels, of 4 in small-source mode",
        cases=(
            "kernel-sparse",
            "order-48x2x3x3-stride-2",
        ),
        fields_of=_sparse,
    ),
    Assumption(
        name="A19",
        subject="intermediate values",
        encoding="float32 outside the MAC array, with one rounding per operation; sums of the array are exact up to"
        " the function. With one operation per task the result equals that of one rounding",
        cases=("planar-scale-bias",),
    ),
    Assumption(
        name="A20",
        subject="order of additions",
        encoding="matters only for an overflow of the MAC array (order of the kernel stream) and for reductions of the"
        " planar engine, which are known to round intermediate sums; the simulator adds them in float32 over"
        " depth, height, width. Channel sums without weights are added in channel order, pooling windows row"
        " by row",
        cases=("overflow-taps", "reduce-pairs", "reduce-normal"),
    ),
    Assumption(
        name="A21",
        subject="PostScale and tables after a sum",
        encoding="PostScale multiplies the exact sum; the argument of a table is the scaled sum, as float32."
        " `--rescale` depends on a PostScale of a power of two after any kernel, bias and ReLU, which no"
        " recorded program has",
        cases=("post-scale", "post-scale-power", "table-of-sum"),
        fields_of=_scaled_sum,
    ),
    Assumption(
        name="A22",
        subject="sums without weights, run-time kernels, long sums",
        encoding="channels that are added without weights bypass the accumulator; a run-time kernel is multiplied like"
        " a constant one; a sum does not leave the accumulator before it is complete",
        cases=("constant-sum", "run-time-matmul", "passes-1024", "passes-4096"),
    ),
    Assumption(
        name="A23",
        subject="reciprocal and rsqrt of the PE",
        encoding="computed in fp32; of zero (and of negative numbers for rsqrt) infinity. The chip very likely uses a"
        " table",
        cases=("softmax", "layer-norm"),
    ),
    Assumption(
        name="A24",
        subject="a source that remains in L2 (SourceType 1)",
        encoding="plain channels, not exchanged, in the memory format (31 recorded tasks); everything else is refused",
        cases=("softmax",),
    ),
    Assumption(
        name="A25",
        subject="chained values",
        encoding="fp16, not exchanged, read completely by the next task (4 goldens); everything else is refused. The"
        " compiler does not write it",
        cases=("chain",),
    ),
    Assumption(
        name="A26",
        subject="a result staged in L2 for DRAM",
        encoding="occupies L2 from `L2.ResultBase` on: min(height, TileHeight) rows of all channels, aligned to 16"
        " bytes, or as many of them as fit before the end of L2. At least one row fits (64 of its columns if"
        " the whole row does not). 5 recorded programs leave less space than a tile: a stem with space for 40"
        " of 1500 rows, a depthwise convolution for 27 of 56, a transpose for exactly one of 255 that ran"
        " bit-exact on a chip. Rows with a separate `ConvResultRowStride` fit completely in every recorded"
        " program",
        cases=("stage-many-rows",),
    ),
    Assumption(
        name="A27",
        subject="staging in L2 that is not described",
        encoding="if L2 base and row stride of a DRAM operand are 0, nothing counts as overwritten. No program of"
        " Apple's compiler leaves both at 0; ours does where L2 has no other place for the result",
        cases=("stage-undescribed",),
        fields_of=_undescribed,
    ),
    Assumption(
        name="A28",
        subject="elementwise in place",
        encoding="a result may overlap a source only if a PASS or planar task without a reduction gives both the same"
        " base, strides and sizes; all other overlaps within a task are refused (none in 2,086 tasks)",
        cases=("softmax",),
    ),
    Assumption(
        name="A29",
        subject="pairs of rows (type 4)",
        encoding="`Src2Broadcast` 0 or 8 (one pair for all channels), the recorded values",
        cases=("layer-norm",),
    ),
    Assumption(
        name="A30",
        subject="a kernel that is loaded but unused",
        encoding="has no effect (programs that ran on the chip have some); its streams must be inside their buffer",
        cases=("kernel-unused",),
    ),
)
"""All assumptions, in the order of their numbers."""
