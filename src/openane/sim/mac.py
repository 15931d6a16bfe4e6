"""The MAC engine: convolutions and the tasks that pass, add, multiply or compare channels without weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics.accumulate import (
    PIXEL_BLOCK,
    SLACK,
    convolve,
    convolve_tile4,
    line_pitch,
    pack_weights,
)
from openane.numerics.finish import FACTOR_COUNT, finish_rows
from openane.numerics.jit import ROWS
from openane.numerics.lookup import CompiledTable, from_halfwords
from openane.numerics.planar import apply_map, combine_channels, convolve_depthwise, load
from openane.numerics.profile import Accumulate, Denormals, Profile
from openane.sim.memory import MemoryState
from openane.sim.place import Lines, Operands, Place, every_halfword
from openane.sim.work import Function, Kernel, MacOperation, MacWork, Work
from openane.sim.workers import Workers

Floats = npt.NDArray[np.float32]
Halfwords = npt.NDArray[np.uint16]
Ending = tuple[Any, ...]
"""Arguments of `finish_rows` from the factors to the places."""

_SIDE_BY_SIDE = np.empty(0, np.int64)
_NO_BIAS = np.full(1, -0.0, np.float32)
_CHANNEL_CODES = {MacOperation.SUM: 0, MacOperation.PRODUCT: 2, MacOperation.MAXIMUM: 3}
_WORTH_A_PRODUCT = 1 << 22
"""Multiply-adds from which on the library's product is taken."""


@dataclass(frozen=True, eq=False, slots=True)
class Finish:
    """The end of the data path, as the kernels take it."""

    factors: npt.NDArray[np.float32]
    function: int
    table: CompiledTable

    @classmethod
    def of(cls, task: Work, work: MacWork, kernel: Kernel, profile: Profile) -> Finish:
        """Of a task with the kernel's table."""
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
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All that decides the function, with `function`."""
        return self.factors, self.table.numbers, self.table.meta

    @property
    def arguments(self) -> tuple[npt.NDArray[np.float32], int, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """In the order in which the kernels take them."""
        return self.factors, self.function, self.table.numbers, self.table.meta


def _rounds_up_to(limit: float) -> float:
    """The smallest magnitude that rounds to the fp16 value `limit`."""
    below = np.nextafter(np.float16(limit), np.float16(0))
    return (float(below) + limit) / 2


@dataclass(frozen=True, eq=False, slots=True)
class Geometry:
    """Where a convolution reads its padded input, in floats, the same for every group.

    Attributes:
        size: floats of the padded input of one group and depth.
        strides: of (groups, depth, channels, height, width) in it.
        origin: of its first pixel.
        taps: (steps,) offset of each step.
        pixels: (height * width of the result,) offset of each pixel.
        spacing: distance of neighbours in a row.
        padded: whether some of it is not loaded from the source.
    """

    size: int
    strides: npt.NDArray[np.int64]
    origin: int
    taps: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    spacing: int
    padded: bool


def geometry(task: Work, work: MacWork) -> Geometry:
    """The padded input of a convolution; right and bottom padding follow from the size of the result."""
    assert work.kernel is not None
    _, _, channels, height, width = task.view
    out_height, out_width = task.result_view[3:]
    spread = work.operation is MacOperation.TRANSPOSED
    grow = work.stride if spread else (1, 1)
    step = (1, 1) if spread else work.stride
    inner = ((height - 1) * grow[0] + 1, (width - 1) * grow[1] + 1)
    rows = max(inner[0] + work.pad[0], (out_height - 1) * step[0] + work.window[0])
    columns = max(inner[1] + work.pad[1], (out_width - 1) * step[1] + work.window[1])
    plane = rows * columns
    strides = np.array([0, 0, plane, columns * grow[0], grow[1]], np.int64)
    steps = work.kernel.steps
    taps = steps[:, 0] * plane + steps[:, 1] * columns + steps[:, 2]
    y, x = np.arange(out_height)[:, None] * step[0], np.arange(out_width) * step[1]
    pixels = (y * columns + x).reshape(-1)
    padded = (rows, columns) != (height, width)
    origin = work.pad[0] * columns + work.pad[1]
    return Geometry(channels * plane, strides, origin, taps.astype(np.int64), pixels, step[1], padded)


@dataclass(frozen=True, eq=False, slots=True)
class LoadedKernel:
    """Weights in the order of the micro-kernel, and what comes behind the sum.

    Attributes:
        packed: halfwords of each kernel group.
        bias: float32 (kernel groups, output channels).
        finish: end of the data path.
        floats: for the fast mode, float32 (output channels, steps) of each kernel group; else empty.
    """

    packed: tuple[npt.NDArray[np.uint16], ...]
    bias: npt.NDArray[np.float32]
    finish: Finish
    floats: tuple[npt.NDArray[np.float32], ...] = ()


class MacStep:
    """A task of the MAC engine, ready to run.

    Args:
        task: the decoded task; its engine is a MacWork.
        profile: arithmetic.
        fast: sums by the library's matrix product.
        kernel: bytes of the kernel's buffer when they never change; None reads them in every run.
    """

    def __init__(
        self,
        task: Work,
        profile: Profile,
        fast: bool,
        kernel: npt.NDArray[np.uint8] | None,
        maps: dict[bytes, npt.NDArray[np.uint16]],
    ) -> None:
        assert isinstance(task.engine, MacWork)
        self.task, self.work = task, task.engine
        self._profile, self._fast = profile, fast
        self._convolution = self.work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
        self._geometry = geometry(task, self.work) if self._convolution else None
        self._maps = maps
        self._mapping: Halfwords | None = None
        near = self._geometry is not None and self._geometry.spacing == 1
        self._positions = self._geometry.pixels - self._geometry.pixels[0] if near and self._geometry else _SIDE_BY_SIDE
        self._extents = np.array(task.result_view, np.int64)
        self._outer, self._macs, self._elements = math.prod(task.result_view[:3]), task.macs, task.elements
        self._source_extents = np.array((1, 1, *task.view[2:]), np.int64)
        constant = kernel is not None or self.work.kernel is None
        self._loaded = self._load(kernel) if constant else None

    def run(self, state: MemoryState, workers: Workers) -> None:
        """Executes the task."""
        loaded = self._loaded
        if loaded is None:
            assert self.work.kernel is not None
            loaded = self._load(state.buffer_bytes(self.work.kernel.buffer))
        operands = Operands.of(state, self.task)
        source = operands.source(0)
        with operands.result() as (result, lines):
            if self._convolution:
                self._convolve(loaded, source, lines, workers)
            elif self.work.operation is MacOperation.PASS:
                self._pass(loaded.finish, source, result, workers)
            else:
                self._combine(loaded.finish, source, lines, workers)

    def _load(self, memory: npt.NDArray[np.uint8] | None) -> LoadedKernel:
        source = self.work.kernel
        kernel = source.read(memory) if source is not None and memory is not None else Kernel()
        finish = Finish.of(self.task, self.work, kernel, self._profile)
        if kernel.weights is None:
            return LoadedKernel((), np.zeros((1, 0), np.float32), finish)
        groups, channels, _ = kernel.weights.shape
        bias = np.full((groups, channels), -0.0, np.float32)
        if kernel.bias is not None:
            bias[:] = from_halfwords(kernel.bias).reshape(groups, channels)
        if self.work.inputs_per_output:
            return LoadedKernel(tuple(group.reshape(-1).copy() for group in kernel.weights), bias, finish)
        if self._is_product:
            return LoadedKernel((), bias, finish, tuple(from_halfwords(group) for group in kernel.weights))
        return LoadedKernel(tuple(pack_weights(group) for group in kernel.weights), bias, finish)

    def _pass(self, finish: Finish, source: Place, result: Place, workers: Workers) -> None:
        if self._mapping is None:
            key = b"".join(part.tobytes() for part in finish.arrays) + bytes([self.work.relu_in, finish.function])
            self._mapping = self._maps.get(key)
            if self._mapping is None:
                self._mapping = self._maps.setdefault(key, self._tabulate(finish))
        kernel = partial(apply_map, self._mapping, *source.arguments, self._extents, *result.arguments)
        workers.split(kernel, self._outer, self._elements)

    def _tabulate(self, finish: Finish) -> npt.NDArray[np.uint16]:
        """The result for each of the 65,536 halfwords."""
        source, lines = every_halfword()
        values = from_halfwords(source.memory)
        if self.work.relu_in:
            values = np.maximum(values, np.float32(0))
        finish_rows(values, 1 << 16, _SIDE_BY_SIDE, *finish.arguments, _NO_BIAS, *lines.arguments, 0, 1, 0, 1 << 16)
        return lines.memory

    def _combine(self, finish: Finish, source: Place, lines: Lines, workers: Workers) -> None:
        inputs = self.work.inputs_per_output or self.task.view[2]
        how = inputs, _CHANNEL_CODES[self.work.operation], self.work.relu_in
        count = len(lines.places)
        bias = np.full(len(lines.bases), -0.0, np.float32)

        def share(begin: int, end: int) -> None:
            totals = np.empty((end - begin) * count, np.float32)
            combine_channels(*source.arguments, self._extents, *how, begin, end, totals)
            where = bias, *lines.arguments, begin, end, 0, count
            finish_rows(totals, count, _SIDE_BY_SIDE, *finish.arguments, *where)

        workers.split(share, len(lines.bases), self._elements)

    def _convolve(self, loaded: LoadedKernel, source: Place, lines: Lines, workers: Workers) -> None:
        shape = self._geometry
        assert shape is not None
        groups, _, channels, height, width = self.task.view
        count = self.task.result_view[2]
        image = np.empty(0, np.float32)
        if not self.work.inputs_per_output:
            image = (np.zeros if shape.padded else np.empty)(shape.size + SLACK, np.float32)
        for group in range(groups):
            first = source.base + group * int(source.strides[0])
            own = Lines(lines.memory, lines.bases[group * count : (group + 1) * count], lines.places)
            kernel = group if self.work.kernel_groups > 1 else 0
            where = source.memory, first, source.strides, self._source_extents, self.work.relu_in
            if self.work.inputs_per_output:
                share = partial(self._channels, loaded, kernel, where, own)
                workers.split(share, count, max(self._macs, self._elements))
                continue
            job = partial(load, *where, image, shape.origin, shape.strides)
            workers.split(job, channels, channels * height * width)
            self._sum(loaded, kernel, image, own, workers)

    def _sum(self, loaded: LoadedKernel, group: int, image: Floats, lines: Lines, workers: Workers) -> None:
        """One group: shares are blocks of pixels, and of channels when there are few pixels."""
        shape = self._geometry
        assert shape is not None
        channels, pixels = len(lines.bases), len(shape.pixels)
        ending = *loaded.finish.arguments, loaded.bias[group], *lines.arguments
        macs = self._macs
        if self._is_product:
            self._product(loaded.floats[group], image, ending, workers)
        elif self._profile.accumulate is Accumulate.TILE4:
            packed = loaded.packed[group]
            workers.split(lambda *share: self._tile4(packed, image, ending, *share), channels, macs)
        else:
            tiles = -(-channels // ROWS)
            edges = [*range(0, pixels, PIXEL_BLOCK), pixels]
            shares = [(0, tiles)] if len(edges) > 2 * workers.count else workers.shares(tiles, 2)
            block = partial(self._block, loaded.packed[group], image, ending)
            jobs = [partial(block, *share, *pair) for share in shares for pair in pairwise(edges)]
            workers.run(jobs, macs)

    def _block(
        self, packed: Halfwords, image: Floats, ending: Ending, tile_first: int, tile_end: int, pixel_first: int,
        pixel_end: int,
    ) -> None:  # fmt: skip
        """Some channels and pixels of a dense convolution."""
        shape = self._geometry
        assert shape is not None
        count = pixel_end - pixel_first
        pitch = line_pitch(count)
        sums = np.zeros((tile_end - tile_first) * ROWS * pitch, np.float32)
        where = shape.taps, shape.pixels, shape.spacing
        convolve(packed, image, *where, tile_first, tile_end, pixel_first, pixel_end, sums)
        channel_end = min(tile_end * ROWS, self.task.result_view[2])
        finish_rows(sums, pitch, _SIDE_BY_SIDE, *ending, tile_first * ROWS, channel_end, pixel_first, count)

    def _channels(
        self, loaded: LoadedKernel, group: int, source: Ending, lines: Lines, begin: int, end: int
    ) -> None:  # fmt: skip
        """Some channels of a depthwise convolution."""
        shape = self._geometry
        assert shape is not None
        count, width = len(shape.pixels), self.task.result_view[4]
        positions = self._positions
        length = int(positions[-1]) + 1 if positions.size else count
        how = shape.taps, shape.pixels, shape.spacing, width, length, positions
        image = int(shape.strides[2]), shape.origin, shape.strides
        ending = *loaded.finish.arguments, loaded.bias[group], *lines.arguments
        inputs = self.work.inputs_per_output
        convolve_depthwise(*source, *image, inputs, loaded.packed[group], *how, *ending, begin, end)

    def _tile4(self, packed: Halfwords, image: Floats, ending: Ending, begin: int, end: int) -> None:
        """Some channels with the other accumulator."""
        shape = self._geometry
        assert shape is not None
        count = len(shape.pixels)
        sums = np.empty((end - begin) * count, np.float32)
        convolve_tile4(packed, image, shape.taps, shape.pixels, begin, end, sums)
        finish_rows(sums, count, _SIDE_BY_SIDE, *ending, begin, end, 0, count)

    @property
    def _is_product(self) -> bool:
        """Whether the fast mode takes the library: the source is the matrix, and large enough to be worth it."""
        shape = self._geometry
        return (
            self._fast
            and shape is not None
            and not self.work.inputs_per_output
            and not shape.padded
            and len(shape.taps) * len(shape.pixels) == shape.size
            and self.task.macs >= _WORTH_A_PRODUCT
        )

    def _product(self, weights: Floats, image: Floats, ending: Ending, workers: Workers) -> None:
        """The fast mode: sums in the order of the library, everything else as in the exact mode."""
        shape = self._geometry
        assert shape is not None
        sums = weights @ image[: shape.size].reshape(len(shape.taps), len(shape.pixels))
        count = sums.shape[1]

        def share(begin: int, end: int) -> None:
            finish_rows(sums[begin:end].reshape(-1), count, _SIDE_BY_SIDE, *ending, begin, end, 0, count)

        workers.split(share, len(sums), sums.size)
