"""What is known about the arithmetic of a chip generation, and the choices where sources contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum

from openane.core.errors import InputError


class PostScale(Enum):
    """What PostScale multiplies."""

    SUM = "sum"
    """The sum in the accumulator; the product is rounded to fp16 once."""
    FP16_SUM = "fp16-sum"
    """The sum rounded to fp16; the product is rounded again."""


class TableIndex(Enum):
    """What a table sees."""

    SUM = "sum"
    """The scaled sum."""
    FP16 = "fp16"
    """The scaled sum rounded to fp16."""


class ReductionOrder(Enum):
    """How the planar engine adds the elements of a reduction: depth, height, width."""

    FLOAT32 = "float32"
    """One after the other in float32; the result is rounded to fp16 once."""
    FP16_SEQUENCE = "fp16-sequence"
    """One after the other; every partial sum is rounded to fp16."""
    FP16_PAIRS = "fp16-pairs"
    """Neighbors, then neighbors of the sums; every partial sum is rounded to fp16."""


class RunTimeKernel(Enum):
    """Which unit multiplies two run-time tensors."""

    MAC_ARRAY = "mac-array"
    """The MAC array, with the arithmetic of constant weights."""
    PLANAR = "planar"
    """The arithmetic of the planar engine: products rounded to fp16, added as in a reduction."""


class WithoutWeights(Enum):
    """Where sums of channels without weights are computed, the constant that a task adds to its input included.

    Copies and functions without such a constant do not enter the accumulator.
    """

    FLOAT32 = "float32"
    """In float32, with the whole range of fp16."""
    ACCUMULATOR = "accumulator"
    """In the accumulator, as if every weight were 1 [an M6: the error of 1 / (x + 1e-4) is .4375, and .407 else]."""


class OverflowOrder(Enum):
    """The order of additions in which a running total may leave the range of the accumulator."""

    STREAM = "stream"
    """The order of the kernel stream: input channel, row, column."""
    TAPS = "taps"
    """Row, column, input channel."""
    TOTAL = "total"
    """None: only the complete sum is compared with the range."""


class ZeroBinaryPoint(Enum):
    """What binary point 0 means for fp16, which the compiler of macOS 11 writes in tasks without weights.

    Later compilers write -4 in every task.
    """

    SAME = "same"
    """Nothing."""
    SMALLER_STEP = "smaller-step"
    """The task is computed in an accumulator with range 2048 and step 2^-20."""
    LARGER_RANGE = "larger-range"
    """The same, with range 524288 and step 2^-12."""


class Winograd(Enum):
    """How convolutions with three columns of taps and stride 1 are computed; others are always computed directly."""

    DIRECT = "direct"
    """As every other convolution [errors of an M1, M2 Max, M4 and M4 Pro]."""
    COLUMNS = "columns"
    """F(2, 3) along the columns: see `openane.numerics.definition.winograd` [errors of an M5 and an M6]."""


class IntegerPath(Enum):
    """What becomes of 8-bit weights that meet an 8-bit source."""

    EXPANDED = "expanded"
    """Both are expanded to fp16."""
    INTEGER = "integer"
    """Products are integers and their sum is exact in 32 bits [measured on an M6]."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The choices that measurements leave open; the arithmetic that they settle is `openane.numerics.definition`.

    docs/simulator.md has the evidence for each default, and the case of `openane verify-device` that would decide it.

    Attributes:
        post_scale, table_index, reduction, run_time_kernel, without_weights, overflow_order, zero_binary_point,
            winograd, integers: see the classes.
        pass_steps: products of a sum after which it leaves the accumulator as fp16 and comes back; 0 for never.
    """

    post_scale: PostScale = PostScale.SUM
    table_index: TableIndex = TableIndex.SUM
    reduction: ReductionOrder = ReductionOrder.FLOAT32
    run_time_kernel: RunTimeKernel = RunTimeKernel.MAC_ARRAY
    pass_steps: int = 0
    without_weights: WithoutWeights = WithoutWeights.FLOAT32
    overflow_order: OverflowOrder = OverflowOrder.STREAM
    zero_binary_point: ZeroBinaryPoint = ZeroBinaryPoint.SAME
    winograd: Winograd = Winograd.DIRECT
    integers: IntegerPath = IntegerPath.EXPANDED

    def __post_init__(self) -> None:
        if self.pass_steps < 0:
            raise InputError(
                "pass_steps is negative", value=self.pass_steps, limit="0 for never, or a number of products"
            )

    def with_options(self, options: Mapping[str, str]) -> Profile:
        """This profile with options by name, values as text.

        Raises:
            InputError: an unknown option or value.
        """
        known = {field.name: field for field in fields(self)}
        changes: dict[str, object] = {}
        for name, text in options.items():
            if name not in known:
                raise InputError("unknown option of the numerics profile", value=name, limit=", ".join(known))
            default = getattr(self, name)
            try:
                changes[name] = type(default)(text)
            except ValueError:
                kinds = [member.value for member in type(default)] if isinstance(default, Enum) else ["a number"]
                raise InputError(
                    f"unknown value of the option {name!r}", value=text, limit=", ".join(map(str, kinds))
                ) from None
        return replace(self, **changes)  # type: ignore[arg-type]
