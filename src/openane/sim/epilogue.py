"""The end of the MAC engine's data path, as the kernels take it: what a sum begins with, PostScale, the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics.limits import SUM_LIMIT, SUM_STEP
from openane.numerics.lookup import CompiledTable, from_fp16_words
from openane.sim.decoded_task import DecodedKernel, DecodedTask, MacFunction, MacWork
from openane.sim.schedule import ScheduleBuilder

_OVERFLOWN = 2.0**40
"""Steps with which an accumulator begins that has overflown before the first product."""


@dataclass(frozen=True, eq=False, slots=True)
class Epilogue:
    """What follows the sum.

    Attributes:
        acc_bias: added to sums without weights.
        post_scale: factor.
        function: code of the function.
        table: of `Function.TABLE`.
    """

    acc_bias: float
    post_scale: float
    function: MacFunction
    table: CompiledTable

    @classmethod
    def of(cls, task: DecodedTask, work: MacWork, kernel: DecodedKernel) -> Epilogue:
        """Of a task with the kernel's table.

        Raises:
            FaultError: the table is missing.
            FormatError: it is damaged.
        """
        table = CompiledTable.none()
        if work.function is MacFunction.TABLE:
            if kernel.table is None:
                raise FaultError("the task uses a table and loads none", where=task.where)
            table = CompiledTable.of(kernel.table, task.where)
        return cls(work.acc_bias, work.post_scale, work.function, table)

    @property
    def key(self) -> bytes:
        """Equal for endings that compute the same."""
        numbers = np.array([self.acc_bias, self.post_scale, self.function.value], np.float64)
        return b"".join(part.tobytes() for part in (numbers, self.table.numbers, self.table.meta))

    @property
    def is_function_only(self) -> bool:
        """Whether it changes nothing that a word can hold before the function."""
        return self.acc_bias == 0 and self.post_scale == 1

    def columns(self, schedule: ScheduleBuilder, *, own: bool = False) -> dict[str, Any]:
        """Fields of a row; `own` parameters can be changed in each run."""
        return {
            "scale": schedule.floats(self.post_scale),
            "numbers": schedule.floats(self.acc_bias),
            "function": self.function.value,
            "table": schedule.floats(self.table.numbers, own=own),
            "meta": schedule.integers(self.table.meta, own=own),
        }


def starts(bias: npt.NDArray[np.uint16] | None, acc_bias: float, count: int) -> npt.NDArray[np.float64]:
    """What the sums of `count` channels begin with, in steps: the bias, then AccBias, each rounded half away.

    A bias that does not fit gives a number that no product changes any more.
    """
    own = np.zeros(count) if bias is None else _steps(from_fp16_words(bias.reshape(-1)))
    total, limit = own + _steps(np.float64(acc_bias)), SUM_LIMIT / SUM_STEP
    total = np.where(np.abs(total) >= limit, np.copysign(_OVERFLOWN, total), total)
    return np.where(np.abs(own) >= limit, np.copysign(_OVERFLOWN, own), total)


def _steps(numbers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    steps = np.asarray(numbers, np.float64) / SUM_STEP
    return np.copysign(np.floor(np.abs(steps) + 0.5), steps)
