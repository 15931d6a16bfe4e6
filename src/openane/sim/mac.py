"""The MAC engine: convolutions and the tasks that pass, add, multiply or compare channels without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from openane.sim.addressing import Address, add_result, add_source, result_address
from openane.sim.arrange import Arrangement, arrange
from openane.sim.convolution import add_convolution
from openane.sim.decoded_task import DecodedTask, MacFunction, MacOperation, MacWork
from openane.sim.kernel import LoadedKernel, load_kernel
from openane.sim.kernels.library import LINE, SLACK, Copied, KernelKind, Library
from openane.sim.memory import Fp16Words
from openane.sim.schedule import RunState, ScheduleBuilder

_WORDS = 1 << 16
"""Different fp16 words."""
_CHANNEL_CODES = {MacOperation.SUM: 0, MacOperation.PRODUCT: 1, MacOperation.MAXIMUM: 2}
_PASSED = {MacFunction.LINEAR: Copied.PASSED, MacFunction.RELU: Copied.RECTIFIED}
_COPY_COST, _MAP_COST, _COMBINE_COST = 0.1, 0.5, 0.5
"""Nanoseconds an element."""


def add_mac(schedule: ScheduleBuilder, task: DecodedTask, constants: Fp16Words) -> None:
    """Adds the rows of a task whose engine is a MacWork.

    Args:
        constants: fp16 words of the constant section.

    Raises:
        FaultError: a kernel that is missing or damaged.
    """
    work = task.engine
    assert isinstance(work, MacWork)
    loaded = load_kernel(schedule, task, constants)
    source = add_source(schedule, task, 0, constants, in_place=work.operation is MacOperation.PASS)
    result = result_address(schedule, task)
    if work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED):
        add_convolution(schedule, task, loaded, source, result)
    elif (work.inputs_per_output or task.view[2]) == 1:  # whatever the operation is
        _add_pass(schedule, task, loaded, source, result)
    else:
        _add_combination(schedule, task, loaded, source, result)
    add_result(schedule, task, result)


def _add_pass(
    schedule: ScheduleBuilder, task: DecodedTask, loaded: LoadedKernel, source: Address, result: Address
) -> None:
    """A function of one word: copied or looked up; the bits are those of `Kind.COMBINE`, which is slower."""
    work = task.engine
    assert isinstance(work, MacWork)
    shape = arrange(task.result_view, source.strides, result.strides)
    columns, ending = shape.columns(first=source.base, result=result.base), loaded.ending
    if ending.is_function_only and ending.function in _PASSED:
        how = Copied.RECTIFIED if work.relu_in else _PASSED[ending.function]
        schedule.row(KernelKind.COPY, shape.units, _COPY_COST * task.elements, columns | {"operation": how})
        return
    if loaded.changes:
        mapping = schedule.area("mapping", _WORDS)
        schedule.act(_Tabulate(schedule.library, loaded.columns, work.relu_in, mapping))
    else:
        key = ending.key + bytes([work.relu_in])
        mapping = schedule.mapping(
            key, lambda: _tabulate(schedule.library, loaded.columns, work.relu_in, *schedule.parameters())
        )
    schedule.row(KernelKind.MAP, shape.units, _MAP_COST * task.elements, columns | {"weights": mapping})


def _tabulate(
    library: Library, ending: dict[str, Any], relu_in: bool, floats: np.ndarray, integers: np.ndarray
) -> Fp16Words:
    """The result for each word; the fields of the ending refer to `floats` and `integers`."""
    memory = np.zeros(2 * _WORDS + SLACK, np.uint16)
    memory[:_WORDS] = np.arange(_WORDS)
    strides = np.array([0, 0, 0, 0, 1])
    line = Arrangement(np.array([1, 1, 1, 1, _WORDS, 1, LINE]), (strides, strides), _WORDS // LINE)
    row = np.zeros((), library.row)
    fields = {**ending, **line.columns(first=0, result=_WORDS), "inputs": 1, "relu_in": relu_in}
    for name, value in (fields | {"kind": KernelKind.COMBINE, "units": line.units, "blocks": 1}).items():
        row[name] = value
    library.call(row, memory, floats, integers)
    return memory[_WORDS : 2 * _WORDS].copy()


@dataclass(frozen=True, eq=False, slots=True)
class _Tabulate:
    """Looks up the function whose table an earlier task has computed."""

    library: Library
    ending: dict[str, Any]
    relu_in: bool
    mapping: int

    def __call__(self, state: RunState) -> None:
        words = _tabulate(self.library, self.ending, self.relu_in, state.floats, state.integers)
        state.memory.memory[self.mapping : self.mapping + _WORDS] = words


def _add_combination(
    schedule: ScheduleBuilder, task: DecodedTask, loaded: LoadedKernel, source: Address, result: Address
) -> None:
    work = task.engine
    assert isinstance(work, MacWork)
    inputs = work.inputs_per_output or task.view[2]
    g, d, c, h, w = source.strides
    shape = arrange(task.result_view, (g, d, c * inputs, h, w), result.strides)
    columns = {
        **loaded.columns,
        **shape.columns(first=source.base, result=result.base),
        "inputs": inputs,
        "input_stride": c,
        "operation": _CHANNEL_CODES[work.operation],
        "relu_in": work.relu_in,
    }
    schedule.row(KernelKind.COMBINE, shape.units, _COMBINE_COST * task.elements, columns)
