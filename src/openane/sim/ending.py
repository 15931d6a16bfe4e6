"""The end of the MAC engine's data path: bias, scale, function, as the kernels take it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics import micro
from openane.numerics import rows as column
from openane.numerics.finish import ACC_BIAS, FACTOR_COUNT, FLUSH_BELOW, OUTPUT_LIMIT, POST_SCALE
from openane.numerics.jit import NATIVE_HALF
from openane.numerics.lookup import CompiledTable, to_halfwords
from openane.numerics.profile import Denormals, Profile
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import Function, Kernel, MacOperation, MacWork, Work

_INFINITY, _NO_LIMIT = 0x7C00, 0x7FFF
"""Halfwords: of infinity, and one that no magnitude exceeds."""


@dataclass(frozen=True, eq=False, slots=True)
class Ending:
    """The end of the data path, as the kernels take it."""

    factors: npt.NDArray[np.float32]
    function: int
    table: CompiledTable

    @classmethod
    def of(cls, task: Work, work: MacWork, kernel: Kernel, profile: Profile) -> Ending:
        """Of a task with the kernel's table.

        Raises:
            FaultError: the table is missing.
            FormatError: it is damaged.
        """
        products = work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED, MacOperation.SUM)
        count = (work.inputs_per_output or task.view[2]) * work.window[0] * work.window[1]
        limited = products and count > 1 and profile.output_limit > 0
        flushed = work.kernel is not None and products and profile.denormals is Denormals.FLUSH
        factors = np.zeros(FACTOR_COUNT, np.float32)
        factors[:] = (
            work.acc_bias if work.acc_bias else -0.0,
            work.post_scale,
            2.0**-14 if flushed and work.operation is not MacOperation.SUM else 0.0,
            _rounds_up_to(profile.output_limit) if limited else np.inf,
        )
        if work.function is not Function.TABLE:
            return cls(factors, work.function.value, CompiledTable.none())
        if kernel.table is None:
            raise FaultError("the task uses a table and loads none", where=task.where)
        return cls(factors, work.function.value, CompiledTable.of(kernel.table, task.where))

    @property
    def arguments(self) -> tuple[npt.NDArray[np.float32], int, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """In the order in which the kernels take them."""
        return self.factors, self.function, self.table.numbers, self.table.meta

    @property
    def key(self) -> bytes:
        """Equal for endings that compute the same."""
        parts = self.factors, self.table.numbers, self.table.meta
        return b"".join(part.tobytes() for part in parts) + bytes([self.function])

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing that a halfword can hold."""
        return self.function == Function.LINEAR.value and self._is_function_only

    @property
    def lines(self) -> npt.NDArray[np.float32] | None:
        """Two lines and their limits, in the order of `numerics.straight.bend_rows`, when it is nothing else."""
        if self.function == Function.TABLE.value and self.table.is_lines and self._is_function_only:
            return np.concatenate((self.table.lines, self.table.limits))
        return None

    @property
    def _is_function_only(self) -> bool:
        """Whether nothing happens in front of the function."""
        acc_bias, post_scale, flush, limit = self.factors[[ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT]]
        return bool(acc_bias == 0 and np.signbit(acc_bias) and post_scale == 1 and flush == 0 and limit == np.inf)

    def straight_columns(self, schedule: ScheduleBuilder, cut: bool) -> dict[int, int]:
        """Columns of the ending that the micro-kernel does, when it is one of those.

        Args:
            cut: whether another accumulator than the micro-kernel's adds.
        """
        table, lined = self.function == Function.TABLE.value, self.table.is_lines
        acc_bias, post_scale, flush, limit = self.factors[[ACC_BIAS, POST_SCALE, FLUSH_BELOW, OUTPUT_LIMIT]]
        finite = np.isfinite([acc_bias, post_scale]).all()
        largest = _largest_word(float(limit))
        if cut or not NATIVE_HALF or not finite or (table and not lined) or largest is None:
            return {column.STRAIGHT: micro.NO_STRAIGHT}
        straight, numbers = micro.ENDED, np.zeros(micro.STRAIGHT_COUNT, np.float32)
        numbers[[micro.FLUSH_BELOW, micro.ACC_BIAS, micro.POST_SCALE]] = flush, acc_bias, post_scale
        if acc_bias or post_scale != 1:
            straight |= micro.SCALED
        clamp = self._clamp()
        if clamp is not None:
            straight |= micro.CLAMPED
            numbers[[micro.LOWEST_WORD, micro.HIGHEST_WORD]] = [_twice(word) for word in clamp]
        elif table:
            straight, largest = straight | micro.LINED, _NO_LIMIT
            numbers[micro.OUTPUT_LIMIT] = limit
            numbers[[micro.LEFT, micro.LEFT_START, micro.RIGHT, micro.RIGHT_START]] = self.table.lines
            numbers[[micro.LOW, micro.HIGH, micro.BELOW, micro.ABOVE]] = self.table.limits
        numbers[micro.LARGEST_WORD] = _twice(largest)
        return {column.STRAIGHT: straight, column.STRAIGHT_NUMBERS: schedule.floats(numbers)}

    def _clamp(self) -> tuple[int, int] | None:
        """Halfwords of the lower and upper limit of a function that is nothing else; neither is negative."""
        if self.function == Function.RELU.value:
            return 0, _INFINITY
        if self.function != Function.TABLE.value:
            return None
        (left, left_start, *right), (low, high, below, above) = self.table.lines, self.table.limits
        lowest = max(low, np.float32(0))
        hidden = low >= 0 or (left == left_start == 0 and not np.signbit(left_start))  # the line below 0
        identity = hidden and right == [1, 0] and (below, above) == (lowest, high) and not np.signbit(below)
        if not identity or high <= lowest:
            return None
        return int(to_halfwords(lowest)), int(to_halfwords(high))

    def columns(self, schedule: ScheduleBuilder, *, own: bool = False) -> dict[int, int]:
        """Its columns; `own` parameters can be changed in each run."""
        return {
            column.FACTORS: schedule.floats(self.factors),
            column.FUNCTION: self.function,
            column.TABLE: schedule.floats(self.table.numbers, own=own),
            column.META: schedule.integers(self.table.meta, own=own),
        }


def _largest_word(limit: float) -> int | None:
    """Bits of the largest fp16 to which magnitudes below the limit round, when no other one rounds to it."""
    if np.isinf(limit):
        return _NO_LIMIT
    below, above = to_halfwords(np.nextafter(np.float32(limit), [np.float32(0), np.float32(limit)])).tolist()
    return int(below) if below < above <= _INFINITY else None


def _twice(word: int) -> np.float32:
    """A number whose bits are those of a halfword, twice."""
    return np.array([word, word], np.uint16).view(np.float32)[0]


def _rounds_up_to(limit: float) -> float:
    """The smallest magnitude that rounds to the fp16 value `limit`."""
    below = np.nextafter(np.float16(limit), np.float16(0))
    return (float(below) + limit) / 2
