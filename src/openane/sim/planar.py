"""The planar engine: elementwise tasks, row pairs, reductions, pooling."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from openane.numerics import planar as kernels
from openane.numerics.profile import Profile, Ties
from openane.sim.memory import MemoryState
from openane.sim.place import nothing, result_place, source_place
from openane.sim.work import PlanarWork, Reduction, Work
from openane.sim.workers import Workers


class PlanarStep:
    """A task of the planar engine, ready to run.

    Args:
        task: the decoded task; its engine is a PlanarWork.
        profile: arithmetic.
    """

    def __init__(self, task: Work, profile: Profile) -> None:
        assert isinstance(task.engine, PlanarWork)
        self.task, self.work = task, task.engine
        self._numbers = _numbers(task.engine)
        self._flags = _flags(task, profile)
        single = len(task.sources) == 1 and self.work.reduction is Reduction.NONE
        self._map = kernels.planar_map(self._numbers, self._flags) if single else None

    def run(self, state: MemoryState, workers: Workers) -> None:
        """Executes the task."""
        task, work = self.task, self.work
        first = source_place(state, task.sources[0], task.result)
        extents = np.array(task.view, np.int64)
        triples = int(np.prod(extents[:3]))
        with result_place(state, task.result) as result:
            if self._map is not None:
                kernel = partial(kernels.apply_map, self._map, *first.arguments, extents, *result.arguments)
                workers.split(kernel, triples)
            elif work.window is not None:
                window = np.array((*work.window, *work.stride, *work.pad), np.int64)
                size = task.result_view[3:]
                what = *first.arguments, extents, window, *size, self._numbers, self._flags
                workers.split(partial(kernels.pool, *what, *result.arguments), triples)
            else:
                second = source_place(state, task.sources[1], task.result) if len(task.sources) > 1 else nothing()
                reduced = work.reduction is not Reduction.NONE
                both = *first.arguments, *second.arguments, extents, self._numbers, self._flags
                kernel = partial(kernels.reduce_all if reduced else kernels.elementwise, *both, *result.arguments)
                workers.split(kernel, int(extents[0] * extents[2]) if reduced else triples)


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
    flags = np.zeros(kernels.FLAG_COUNT, np.int64)
    flags[kernels.OPERATION] = work.operation.value
    flags[kernels.NEGATE_FIRST] = work.negate_first
    flags[kernels.NEGATE_SECOND] = work.negate_second
    flags[kernels.SECOND] = kernels.WITH_SECOND if len(task.sources) > 1 else kernels.NO_SECOND
    flags[kernels.ROWS] = work.rows
    flags[kernels.ABSOLUTE] = work.absolute
    flags[kernels.REDUCTION] = work.reduction.value
    flags[kernels.FUNCTION] = work.function.value
    flags[kernels.RELU] = work.relu
    flags[kernels.RELU_FIRST] = work.relu_first
    flags[kernels.RELU_SECOND] = work.relu_second
    flags[kernels.TIES_AWAY] = profile.reduction_ties is Ties.AWAY
    return flags
