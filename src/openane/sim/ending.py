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
from openane.numerics.lookup import CompiledTable
from openane.numerics.profile import Denormals, Profile
from openane.sim.schedule import ScheduleBuilder
from openane.sim.work import Function, Kernel, MacOperation, MacWork, Work


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

    def straight_columns(self, schedule: ScheduleBuilder, cut: bool) -> dict[int, int]:
        """Columns of the ending that the micro-kernel does, when it is one of those.

        Args:
            cut: whether another accumulator than the micro-kernel's adds.
        """
        lines = self.function == Function.TABLE.value and self.table.is_lines
        finite = np.isfinite(self.factors[[ACC_BIAS, POST_SCALE]]).all()
        known = self.function != Function.TABLE.value or lines
        if cut or not NATIVE_HALF or not finite or not known:
            return {column.STRAIGHT: micro.NO_STRAIGHT}
        numbers = np.zeros(micro.STRAIGHT_COUNT, np.float32)
        numbers[micro.FLUSH_BELOW] = self.factors[FLUSH_BELOW]
        numbers[micro.ACC_BIAS], numbers[micro.POST_SCALE] = self.factors[[ACC_BIAS, POST_SCALE]]
        numbers[micro.OUTPUT_LIMIT] = self.factors[OUTPUT_LIMIT]
        numbers[micro.FLOOR_VALUE] = 0 if self.function == Function.RELU.value else -np.inf
        if lines:
            numbers[[micro.LEFT, micro.LEFT_START, micro.RIGHT, micro.RIGHT_START]] = self.table.lines
            numbers[[micro.LOW, micro.HIGH, micro.BELOW, micro.ABOVE]] = self.table.limits
        return {
            column.STRAIGHT: micro.LINES if lines else micro.FLOOR,
            column.STRAIGHT_NUMBERS: schedule.floats(numbers),
        }

    def columns(self, schedule: ScheduleBuilder, *, own: bool = False) -> dict[int, int]:
        """Its columns; `own` parameters can be changed in each run."""
        return {
            column.FACTORS: schedule.floats(self.factors),
            column.FUNCTION: self.function,
            column.TABLE: schedule.floats(self.table.numbers, own=own),
            column.META: schedule.integers(self.table.meta, own=own),
        }


def _rounds_up_to(limit: float) -> float:
    """The smallest magnitude that rounds to the fp16 value `limit`."""
    below = np.nextafter(np.float16(limit), np.float16(0))
    return (float(below) + limit) / 2
