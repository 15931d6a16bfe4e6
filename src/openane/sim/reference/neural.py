"""Tasks of the neural engine: convolutions in the accumulator, and operations without weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from openane.core.types import DType
from openane.numerics.definition.accumulator import INFINITE, STEP_BITS, Accumulator
from openane.numerics.definition.epilogue import linear, relu, scaled, tabulated
from openane.numerics.definition.fp16 import nearest, rounded, value
from openane.numerics.definition.planar import read, total
from openane.numerics.definition.single import F
from openane.numerics.definition.winograd import EVEN, ODD, transformed_pixels, transformed_taps
from openane.numerics.profile import (
    IntegerPath,
    OverflowOrder,
    Profile,
    RunTimeKernel,
    Winograd,
    WithoutWeights,
    ZeroBinaryPoint,
)
from openane.numerics.tables import LookupTable
from openane.sim.decoded_task import DecodedKernel, DecodedTask, MacFunction, MacOperation, MacWork
from openane.sim.reference.operand import Index, load, load_integer

ONE, ZERO = 0x3C00, 0
"""fp16 words."""
_STEP_BITS_OF_ZERO_POINT = {
    ZeroBinaryPoint.SAME: STEP_BITS,
    ZeroBinaryPoint.SMALLER_STEP: 20,
    ZeroBinaryPoint.LARGER_RANGE: 12,
}


@dataclass(frozen=True)
class Neural:
    """A task with what it needs.

    Attributes:
        task: decoded.
        kernel: its weights, bias and table.
        memory: of the source.
        at_run_time: whether a task computed the kernel.
        profile: arithmetic.
    """

    task: DecodedTask
    kernel: DecodedKernel
    memory: bytes
    at_run_time: bool
    profile: Profile

    @property
    def work(self) -> MacWork:
        """The description of the engine."""
        assert isinstance(self.task.engine, MacWork)
        return self.task.engine

    def results(self) -> Iterator[tuple[Index, int]]:
        """The word of each result element."""
        table = LookupTable.decode(self.kernel.table) if self.kernel.table is not None else None
        for index in itertools.product(*map(range, self.task.result_view)):
            yield index, self._finished(self._sum(index), table)

    def _finished(self, value_before: Fraction, table: LookupTable | None) -> int:
        v = scaled(value_before, Fraction(self.work.post_scale), self.profile)
        match self.work.function:
            case MacFunction.LINEAR:
                return linear(v)
            case MacFunction.RELU:
                return relu(v)
            case MacFunction.TABLE:
                assert table is not None
                return tabulated(v, table, self.profile)

    # Sums ----------------------------------------------------------------------------------------------------------

    def _sum(self, index: Index) -> Fraction:
        if self.kernel.weights is not None:
            return self._convolved(index)
        words, operation = [self._source(place) for place in self._inputs(index)], self.work.operation
        if self._in_accumulator:
            return self._accumulated([(word, ONE) for word in words], [Fraction(self.work.acc_bias)])
        first, *others = map(read, words)
        for other in others:
            first = _joined(operation, first, other)
        return _exact(F(first + F(self.work.acc_bias)))

    @property
    def _in_accumulator(self) -> bool:
        """Whether the profile computes this task without weights in the accumulator."""
        operation, profile = self.work.operation, self.profile
        added = operation is MacOperation.SUM and profile.without_weights is WithoutWeights.ACCUMULATOR
        shifted = self.work.zero_binary_point and profile.zero_binary_point is not ZeroBinaryPoint.SAME
        return added or (shifted and operation in (MacOperation.SUM, MacOperation.PASS))

    def _inputs(self, index: Index) -> Iterator[Index]:
        """Source elements of a result of an operation without weights."""
        g, d, c, y, x = index
        count = self.work.inputs_per_output
        channels = range(c * count, (c + 1) * count) if count else range(self.task.view[2])
        yield from ((g, d, channel, y, x) for channel in channels)

    def _source(self, place: Index) -> int:
        word = load(self.memory, self.task.sources[0], place)
        return ZERO if self.work.relu_in and word & 0x8000 else word

    def _convolved(self, index: Index) -> Fraction:
        work, weights = self.work, self.kernel.weights
        assert weights is not None and work.kernel is not None
        group, channel = index[0] if work.kernel_groups > 1 else 0, index[2]
        biases = [Fraction(work.acc_bias)]
        if self.kernel.bias is not None:
            biases.insert(0, value(int(self.kernel.bias.reshape(weights.shape[:2])[group, channel])))
        first = channel * work.inputs_per_output
        terms = list[tuple[Index | None, int]]()
        for number, (i, ky, kx) in self._steps:
            pixel = self._pixel(index[3], index[4], ky, kx)
            place = None if pixel is None else (index[0], index[1], first + i, *pixel)
            terms.append((place, int(weights[group, channel, number])))
        if self._integers:
            return self._integer_sum(terms, biases)
        if self._by_columns:
            return self._sum_by_columns(index, weights[group, channel].tolist()) + sum(biases)
        pairs = [(ZERO if place is None else self._source(place), weight) for place, weight in terms]
        if self.at_run_time and self.profile.run_time_kernel is RunTimeKernel.PLANAR:
            products = [read(nearest(value(x) * value(weight))) for x, weight in pairs]
            return _exact(total(products, self.profile.reduction)) + sum(biases)
        return self._accumulated(pairs, biases)

    @cached_property
    def _steps(self) -> list[tuple[int, list[int]]]:
        """Number in the kernel stream, and input channel, row, column of each step, in the order of the additions."""
        assert self.work.kernel is not None
        steps = list(enumerate(self.work.kernel.steps.tolist()))
        if self.profile.overflow_order is OverflowOrder.TAPS:
            steps.sort(key=lambda step: (*step[1][1:], step[1][0]))
        return steps

    def _pixel(self, oy: int, ox: int, ky: int, kx: int) -> tuple[int, int] | None:
        """The source pixel under a tap; None on padding and between the pixels of a spread source."""
        found = []
        for o, k, axis in ((oy, ky, 0), (ox, kx, 1)):
            stride, pad = self.work.stride[axis], self.work.pad[axis]
            if self.work.operation is MacOperation.TRANSPOSED:
                place, rest = divmod(o - pad + k, stride)
            else:
                place, rest = o * stride - pad + k, 0
            if rest or not 0 <= place < self.task.view[3 + axis]:
                return None
            found.append(place)
        return found[0], found[1]

    # Winograd ------------------------------------------------------------------------------------------------------

    @cached_property
    def _by_columns(self) -> bool:
        """Whether the profile computes this convolution by Winograd's F(2, 3) along the columns."""
        work, kernel = self.work, self.work.kernel
        if self.profile.winograd is Winograd.DIRECT or kernel is None or work.operation is MacOperation.TRANSPOSED:
            return False
        rows, columns = work.window
        shape = rows in (1, 3) and columns == 3 and work.stride == (1, 1) and work.inputs_per_output != 1
        return shape and not kernel.sparse and not self.at_run_time

    def _sum_by_columns(self, index: Index, weights: Sequence[int]) -> Fraction:
        """The sum of one result, out of the four sums of its pair of columns."""
        g, d, c, y, x = index
        taps = dict[tuple[int, int], list[int]]()  # input channel and row of the kernel -> its three taps
        for number, (i, ky, _) in self._steps:
            taps.setdefault((i, ky), []).append(weights[number])
        sums = [self._accumulator() for _ in EVEN]
        for (i, ky), row in taps.items():
            pixels = [self._pixel(y, x - x % 2 + column, ky, 0) for column in range(4)]
            channel = c * self.work.inputs_per_output + i
            words = [ZERO if pixel is None else self._source((g, d, channel, *pixel)) for pixel in pixels]
            for accumulator, v, u in zip(sums, transformed_pixels(words), transformed_taps(row), strict=True):
                accumulator.multiply_add(v, u)
        return sum((f * s.value for f, s in zip(ODD if x % 2 else EVEN, sums, strict=True)), Fraction(0))

    # Accumulators --------------------------------------------------------------------------------------------------

    def _accumulated(self, pairs: Sequence[tuple[int, int]], biases: Sequence[Fraction]) -> Fraction:
        accumulator = self._accumulator()
        for bias in biases:
            accumulator.start(bias)
        passes = self.profile.pass_steps or len(pairs) or 1
        for first in range(0, len(pairs), passes):
            if first and not accumulator.overflow:
                partial = rounded(accumulator.value)
                accumulator = self._accumulator()
                accumulator.start(partial)
            for x, weight in pairs[first : first + passes]:
                accumulator.multiply_add(x, weight)
        return accumulator.value

    def _accumulator(self) -> Accumulator:
        point = self.work.zero_binary_point
        step_bits = _STEP_BITS_OF_ZERO_POINT[self.profile.zero_binary_point] if point else STEP_BITS
        return Accumulator(step_bits, total_only=self.profile.overflow_order is OverflowOrder.TOTAL)

    @property
    def _integers(self) -> bool:
        """Whether 8-bit weights meet an 8-bit source, on a chip that multiplies them as integers."""
        kernel = self.work.kernel
        if self.profile.integers is IntegerPath.EXPANDED or kernel is None:
            return False
        return kernel.element_bits == 8 and self.task.sources[0].dtype is not DType.FLOAT16

    def _integer_sum(self, terms: Sequence[tuple[Index | None, int]], biases: Sequence[Fraction]) -> Fraction:
        accumulator = Accumulator(step_bits=0)
        for bias in biases:
            accumulator.start(bias)
        for place, weight in terms:
            if place is not None:
                x = load_integer(self.memory, self.task.sources[0], place)
                x = max(x, 0) if self.work.relu_in else x
                accumulator.add_integer(x * int(value(weight)))
        return accumulator.value


def _joined(operation: MacOperation, a: np.float32, b: np.float32) -> np.float32:
    """Two channels of an operation without weights."""
    match operation:
        case MacOperation.SUM:
            return F(a + b)
        case MacOperation.PRODUCT:
            return F(a * b)
        case _:
            return max(a, b)


def _exact(number: np.float32) -> Fraction:
    """A float32 on its way to PostScale; what is too large for it, or not a number, is infinite."""
    if np.isfinite(number):
        return Fraction(float(number))
    return -INFINITE if number < 0 else INFINITE
