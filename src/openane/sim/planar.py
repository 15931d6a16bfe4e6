"""The planar engine: elementwise tasks, row pairs, reductions, pooling."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt

from openane.numerics import planar as kernels
from openane.numerics.profile import Profile, Ties
from openane.sim.memory import MemoryState
from openane.sim.place import Lines, Operands, Place, every_halfword, nothing
from openane.sim.work import PlanarWork, Reduction, Work
from openane.sim.workers import Workers

_BY_CHANNEL = [0, 2, 1, 3, 4]
"""Axes in the order (groups, channels, depth, height, width): a reduction's values stand side by side."""


class PlanarStep:
    """A task of the planar engine, ready to run.

    Args:
        task: the decoded task; its engine is a PlanarWork.
        profile: arithmetic.
    """

    def __init__(self, task: Work, profile: Profile) -> None:
        assert isinstance(task.engine, PlanarWork)
        self.task, self.work = task, task.engine
        self._settings = _numbers(task.engine), _flags(task, profile)
        self._extents = np.array(task.view, np.int64)
        single = len(task.sources) == 1 and self.work.reduction is Reduction.NONE
        self._map = self._tabulate() if single else None
        self._window = np.array((*(self.work.window or (1, 1)), *self.work.stride, *self.work.pad), np.int64)
        self._outer, self._elements = math.prod(task.view[:3]), task.elements

    def run(self, state: MemoryState, workers: Workers) -> None:
        """Executes the task."""
        operands = Operands.of(state, self.task)
        first, second = operands.source(0), operands.source(1)
        with operands.result() as (result, lines):
            if self._map is not None:
                kernel = partial(kernels.apply_map, self._map, *first.arguments, self._extents, *result.arguments)
                workers.split(kernel, self._outer, self._elements)
            elif self.work.window is None and self.work.reduction is not Reduction.NONE:
                self._reduce(first, second, lines, workers)
            else:
                workers.split(partial(self._share, first, second, lines), len(lines.bases), self._elements)

    def _share(self, first: Place, second: Place, lines: Lines, begin: int, end: int) -> None:
        """Some channels of an elementwise task or of pooling."""
        _, _, _, height, width = self.task.view
        joined = np.empty((end - begin) * height * width, np.float32)
        sources = *first.arguments, *second.arguments, self._extents
        kernels.join_rows(*sources, *self._settings, begin, end, joined)
        if self.work.window is not None:
            _, _, _, out_height, out_width = self.task.result_view
            totals = np.empty((end - begin) * out_height * out_width, np.float32)
            kind = self.work.reduction.value
            kernels.pool_planes(joined, height, width, self._window, out_height, kind, totals, out_width)
            joined = totals
        kernels.settle_rows(joined, len(lines.places), *self._settings, *lines.arguments, begin, end)

    def _reduce(self, first: Place, second: Place, lines: Lines, workers: Workers) -> None:
        sources = *_by_channel(first), *_by_channel(second), self._extents[_BY_CHANNEL]
        _, depth, _, height, width = self.task.view

        def share(begin: int, end: int) -> None:
            joined = np.empty((end - begin) * depth * height * width, np.float32)
            totals = np.empty(end - begin, np.float32)
            kernels.join_rows(*sources, *self._settings, begin * depth, end * depth, joined)
            kernels.reduce_lines(joined, depth * height * width, self.work.reduction.value, totals)
            kernels.settle_rows(totals, 1, *self._settings, *lines.arguments, begin, end)

        workers.split(share, len(lines.bases), self._elements)

    def _tabulate(self) -> npt.NDArray[np.uint16]:
        """The result for each of the 65,536 halfwords."""
        source, lines = every_halfword()
        values = np.empty(1 << 16, np.float32)
        extents = np.array((1, 1, 1, 1, 1 << 16), np.int64)
        kernels.join_rows(*source.arguments, *nothing().arguments, extents, *self._settings, 0, 1, values)
        kernels.settle_rows(values, 1 << 16, *self._settings, *lines.arguments, 0, 1)
        return lines.memory


def _by_channel(place: Place) -> tuple[npt.NDArray[np.uint16], int, npt.NDArray[np.int64]]:
    return place.memory, place.base, place.strides[_BY_CHANNEL]


def _numbers(work: PlanarWork) -> npt.NDArray[np.float32]:
    numbers = np.zeros(kernels.NUMBER_COUNT, np.float32)
    numbers[kernels.PRE_SCALE] = work.pre_scale
    numbers[kernels.SCALE] = work.scale
    numbers[kernels.BIAS] = work.bias
    numbers[kernels.FINAL_SCALE] = work.final_scale
    numbers[kernels.EPSILON] = work.epsilon
    return numbers


def _flags(task: Work, profile: Profile) -> npt.NDArray[np.int64]:
    work = task.engine
    assert isinstance(work, PlanarWork)
    whole = work.reduction is not Reduction.NONE and work.window is None
    flags = np.zeros(kernels.FLAG_COUNT, np.int64)
    flags[kernels.OPERATION] = work.operation.value
    flags[kernels.NEGATE_FIRST] = work.negate_first
    flags[kernels.NEGATE_SECOND] = work.negate_second
    flags[kernels.SECOND] = kernels.WITH_SECOND if len(task.sources) > 1 else kernels.NO_SECOND
    flags[kernels.ROWS] = work.rows
    flags[kernels.ABSOLUTE] = work.absolute
    flags[kernels.FUNCTION] = work.function.value
    flags[kernels.RELU] = work.relu
    flags[kernels.RELU_FIRST] = work.relu_first
    flags[kernels.RELU_SECOND] = work.relu_second
    flags[kernels.TIES_AWAY] = whole and profile.reduction_ties is Ties.AWAY
    return flags
